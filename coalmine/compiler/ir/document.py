"""Text to plain data: YAML, read event by event.

A file may hold anything, so nothing here recurses, aliases unfold to a limit, and what YAML would
settle in silence (a key that stands there twice, an unknown tag) is the error it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import ConstructorError, SafeConstructor

from coalmine._base.errors import InputError

__all__ = ["PARSER", "load_documents", "read_text"]

LARGEST = 4 * 2**20
"""Bytes. Kubernetes takes objects of 1.5 MiB, so nothing runs that is larger by far."""
DEEPEST = 200
MOST_VALUES = 1_000_000
"""Once aliases are unfolded: a few lines of YAML can mean billions of values."""
TEXT = "tag:yaml.org,2002:str"
PARSER = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
RESOLVER = yaml.SafeLoader("")
START = (yaml.MappingStartEvent, yaml.SequenceStartEvent)
END = (yaml.MappingEndEvent, yaml.SequenceEndEvent)


def read_text(path: Path) -> str:
    """Read a compiled pipeline's text.

    Raises:
        InputError: It cannot be read, is no UTF-8, or is larger than any pipeline.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise _too_large(path.stat().st_size)
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"cannot be read: {error}", field=str(path), fix="give a compiled pipeline"
        ) from None
    except InputError as error:
        raise InputError(error.message, field=str(path), fix=error.fix) from None


def load_documents(text: str) -> list[dict[str, Any]]:
    """Read every non-empty YAML document of a text; each must be a mapping.

    Raises:
        InputError: It is no YAML, larger than any pipeline, or a document is something else than
            a mapping; names line and column where they are known.
    """
    if len(text) > LARGEST:
        raise _too_large(len(text))
    try:
        documents = [item for item in _documents(text) if item is not None]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        problem = " ".join(filter(None, (error.context, error.problem)))
        raise _no_yaml(f"{place}{problem}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise _no_yaml(" ".join(str(error).split())) from None
    if not documents or not all(isinstance(item, dict) for item in documents):
        raise InputError(
            "holds no compiled pipeline", fix="give a file that the KFP compiler has written"
        )
    return documents


def _events(text: str) -> Iterator[yaml.Event]:
    """Give the events of a text, down to a depth that no pipeline reaches.

    Raises:
        yaml.YAMLError: It is no YAML, or too deep.
    """
    depth = 0
    for event in yaml.parse(text, PARSER):
        if isinstance(event, START):
            depth += 1
        elif isinstance(event, END):
            depth -= 1
        if depth > DEEPEST:
            raise _wrong(f"nested more than {DEEPEST} deep", event)
        yield event


@dataclass(slots=True)
class _Builder:
    """Puts one document together."""

    open: list[tuple[dict[str, Any] | list[Any], str | None]] = field(default_factory=list)
    """The collections around the place that is read, each with its own key in the one around."""
    key: str | None = None
    """The key whose value comes next."""
    root: Any = None
    anchors: dict[str, tuple[object, int]] = field(default_factory=dict)
    """What may be repeated by name: the value and how many values it holds."""
    named: list[tuple[str | None, int]] = field(default_factory=list)
    """For each open collection its anchor, and how many values stood before it."""
    count: int = 0

    def start(self, event: yaml.CollectionStartEvent) -> None:
        if event.tag is not None:
            raise _wrong(f"the tag {event.tag} is not taken", event)
        if self._wants_key():
            raise _wrong("a key is no text", event)
        self.open.append(([] if isinstance(event, yaml.SequenceStartEvent) else {}, self.key))
        self.named.append((event.anchor, self.count))
        self.count += 1
        self.key = None

    def end(self) -> None:
        value, self.key = self.open.pop()
        anchor, before = self.named.pop()
        if anchor is not None:
            self.anchors[anchor] = (value, self.count - before)
        self.put(value)

    def alias(self, event: yaml.AliasEvent) -> None:
        value, size = self.anchors.get(str(event.anchor), (None, 0))
        self.count += size
        if not size or self.count > MOST_VALUES or self._wants_key():
            raise _wrong(f"the alias *{event.anchor} cannot be unfolded here", event)
        self.put(value)

    def scalar(self, event: yaml.ScalarEvent) -> None:
        value = _value(event)
        self.count += 1
        if event.anchor is not None:
            self.anchors[event.anchor] = (value, 1)
        if not self._wants_key():
            self.put(value)
        elif not isinstance(value, str):
            raise _wrong(f"the key {event.value!r} is no text", event)
        elif value in self.open[-1][0]:
            raise _wrong(f"the key {value!r} stands here twice", event)
        else:
            self.key = value

    def put(self, value: object) -> None:
        around = self.open[-1][0] if self.open else None
        if around is None:
            self.root = value
        elif isinstance(around, list):
            around.append(value)
        else:
            around[self.key or ""] = value
        self.key = None

    def _wants_key(self) -> bool:
        return bool(self.open) and isinstance(self.open[-1][0], dict) and self.key is None


def _documents(text: str) -> Iterator[Any]:
    builder = _Builder()
    for event in _events(text):
        if isinstance(event, yaml.ScalarEvent):
            builder.scalar(event)
        elif isinstance(event, START):
            builder.start(event)
        elif isinstance(event, END):
            builder.end()
        elif isinstance(event, yaml.AliasEvent):
            builder.alias(event)
        elif isinstance(event, yaml.DocumentEndEvent):
            yield builder.root
            builder = _Builder()


def _value(event: yaml.ScalarEvent) -> object:
    plain, _ = event.implicit
    if event.tag not in {None, TEXT}:
        raise _wrong(f"the tag {event.tag} is not taken", event)
    if event.tag is not None or not plain:
        return event.value
    try:
        return _plain(event.value)
    except ValueError as error:
        raise _wrong(str(error), event) from None


@lru_cache(maxsize=4096)
def _plain(text: str) -> object:
    """Read what stands without quotes: often the same few words, thousands of times."""
    tag: str = RESOLVER.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
    if tag == TEXT:
        return text
    if tag.endswith((":merge", ":value")):
        raise ValueError(f"{text!r} without quotes is not taken")
    return SafeConstructor().construct_object(yaml.ScalarNode(tag, text))


def _wrong(problem: str, event: yaml.Event) -> ConstructorError:
    return ConstructorError(problem=problem, problem_mark=event.start_mark)  # type: ignore[arg-type]


def _no_yaml(problem: str) -> InputError:
    return InputError(f"is no YAML: {problem}", fix="compile the pipeline again")


def _too_large(size: int) -> InputError:
    return InputError(
        f"has {size / 2**20:.1f} MiB, and no pipeline has more than {LARGEST // 2**20}",
        fix="give a compiled pipeline; one this large has to be split",
    )
