"""Queries with ``${variables}``, filled strictly.

A name such as ``${canary}`` may stand only inside a string literal of the query and is escaped for
that kind of literal; only ``${window}``, which Coalmine writes itself, may stand outside of one.
In the literal of a ``=~`` or ``!~`` matcher a name is escaped for RE2 first, so that it means
itself there, too. So no value, however it is written, can change what a query asks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

__all__ = ["VARIABLES", "check_template", "fill_template", "is_text", "variables_in"]

VARIABLES = ("service", "canary", "stable", "namespace", "window")
UNQUOTED = frozenset({"window"})
IN_REGEX = "~"
"""Stands behind the quote of a literal that is a regular expression."""
MATCHES = re.compile(r"[=!]~\s*$")
SPECIAL = re.compile(r"[\\.+*?()|\[\]{}^$]")
"""What has a meaning in RE2, as its own QuoteMeta knows it."""
TOKEN = re.compile(
    r"""(?P<escape>\\.)|(?P<quote>["'`])|(?P<comment>\#[^\n]*)|\$\{(?P<name>[^}]*)\}|(?P<open>\$\{)""",
    re.DOTALL,
)


def is_text(value: str) -> bool:
    """Tell whether a string can be sent: half of a surrogate pair cannot."""
    return not any("\ud800" <= character <= "\udfff" for character in value)


def variables_in(template: str) -> frozenset[str]:
    """Name the variables a template uses."""
    return frozenset(name for _, name, _ in _places(template))


def check_template(template: str) -> None:
    """Check that it is text, and that every variable is known and stands where it may.

    Raises:
        ValueError: One is not, with the reason in a sentence.
    """
    if not is_text(template):
        raise ValueError("the query has half of a surrogate pair; write the whole character")
    for _, name, quote in _places(template):
        if name not in VARIABLES:
            known = ", ".join(f"${{{known}}}" for known in VARIABLES)
            raise ValueError(f"${{{name}}} is no variable; write one of {known}")
        if name not in UNQUOTED and quote[:1] not in {'"', "'"}:
            raise ValueError(f'${{{name}}} stands outside of quotes; write it as "${{{name}}}"')


def fill_template(template: str, values: Mapping[str, str]) -> str:
    """Put values in a template that was checked.

    Raises:
        KeyError: A variable has no value.
    """
    filled, end = [], 0
    for match, name, quote in _places(template):
        filled += [template[end : match.start()], _escape(values[name], quote)]
        end = match.end()
    return "".join([*filled, template[end:]])


def _places(template: str) -> Iterator[tuple[re.Match[str], str, str]]:
    """Find each variable with the quote it stands in, and what for; empty is outside of one."""
    quote, position = "", 0
    while match := TOKEN.search(template, position):
        position = match.end()
        if match["quote"]:
            regex = bool(MATCHES.search(template, 0, match.start()))
            quote = _after(quote, match["quote"], regex=regex)
        elif match["name"] is not None or match["open"]:
            yield match, match["name"] or "", quote
        elif _is_skipped(match, quote):
            position = match.start() + 1


def _after(quote: str, mark: str, *, regex: bool) -> str:
    if not quote:
        return mark + IN_REGEX if regex else mark
    return "" if quote[0] == mark else quote


def _is_skipped(match: re.Match[str], quote: str) -> bool:
    """Tell whether what looks like an escape or a comment is an ordinary character here."""
    if match["comment"]:
        return bool(quote)
    return quote[:1] not in {'"', "'"}


def _escape(value: str, quote: str) -> str:
    if not quote:
        return value
    if quote.endswith(IN_REGEX):
        value = SPECIAL.sub(r"\\\g<0>", value)
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace(quote[0], "\\" + quote[0])
