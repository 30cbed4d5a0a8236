"""A rule in the CEL of Tekton's interceptor: when it takes an event, and which values it gives.

CEL has ``has`` and ``in`` for what may be missing; a string is compared to the byte and matched by
RE2. ``header.canonical``, ``truncate`` and ``replace`` are the interceptor's and its string
extension's.
"""

from __future__ import annotations

import re

from coalmine.compiler.around.rules import (
    ID_LENGTH,
    LONGEST_VALUE,
    SHORT_ID,
    UUID4,
    VALUE_CHARACTERS,
    Field,
    Rule,
    Text,
)

__all__ = ["RUN_ID", "condition", "extension", "values"]

RUN_ID = "run-id"
SPECIAL = re.compile(r"[\\.+*?()|\[\]{}^$]")
ID = "header.canonical('ce-id')"


def condition(rule: Rule) -> str:
    """Write when an event is taken: of the right kind, and harmless."""
    parts = [
        "header.canonical('ce-specversion') == '1.0'",
        *(_one_of(f"header.canonical('{name}')", patterns) for name, patterns in rule.wanted()),
        f"{ID}.matches('^({SHORT_ID}|{UUID4})$')",
        *(_harmless(item, must=must) for item, must in rule.fields()),
    ]
    return " && ".join(parts)


def values(rule: Rule) -> dict[str, str]:
    """Write what each extension of the event is."""
    found = {extension(rule, RUN_ID): f"'r' + {ID}.replace('-', '').truncate({ID_LENGTH})"}
    for name, value, default in rule.parameters:
        written = _text(value)
        if default is not None and (there := _all_there(value)):
            written = f"{there} ? {written} : {_text(default)}"
        found[extension(rule, name)] = written
    return found


def extension(rule: Rule, name: str) -> str:
    """Name the extension that holds a parameter's value."""
    return RUN_ID.replace("-", "_") if name in {RUN_ID, rule.id_parameter} else name


def _harmless(item: Field, *, must: bool) -> str:
    pattern = f"^[{VALUE_CHARACTERS}-]{{0,{LONGEST_VALUE}}}$"
    if item.header:
        return f"{_value(item)}.matches('{pattern}')" + (f" && {_there(item)}" if must else "")
    place = _place(item)
    kind = f"(type({place}) == string || type({place}) == double)"
    fine = f"{kind} && {_value(item)}.matches('{pattern}')"
    return f"{_there(item)} && {fine}" if must else f"(!({_there(item)}) || ({fine}))"


def _there(item: Field) -> str:
    """Write whether a field is there and not null."""
    if item.header:
        return f"{_value(item)} != ''"
    parts = []
    place = "body"
    for number, key in enumerate(item.path):
        known = [f"type({place}) == map"] if number else []
        parts += [*known, f"'{key}' in {place}"]
        place = f"{place}['{key}']"
    return " && ".join([*parts, f"{place} != null"])


def _all_there(text: Text) -> str:
    return " && ".join(_there(part) for part in text if isinstance(part, Field))


def _text(text: Text) -> str:
    return " + ".join(f"'{p}'" if isinstance(p, str) else _value(p) for p in text) or "''"


def _value(item: Field) -> str:
    return f"header.canonical('{item.path[0]}')" if item.header else f"string({_place(item)})"


def _place(item: Field) -> str:
    return "body" + "".join(f"['{key}']" for key in item.path)


def _one_of(value: str, patterns: tuple[str, ...]) -> str:
    if not any("*" in item for item in patterns):
        return f"{value} in [{', '.join(map(_quoted, patterns))}]"
    written = "|".join(".*".join(map(_exactly, item.split("*"))) for item in patterns)
    return f"{value}.matches({_quoted(f'^({written})$')})"


def _exactly(text: str) -> str:
    return SPECIAL.sub(r"\\\g<0>", text)


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
