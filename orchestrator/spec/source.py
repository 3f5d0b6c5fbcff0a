"""Reads the YAML of lab.yml into plain values, each with its line; refuses what has no place there."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.errors import Problem, SpecError

# A lab.yml has some dozens of lines; a megabyte of YAML is a mistake or an attack.
SIZE_LIMIT = 64 * 1024
DEPTH_LIMIT = 20

FieldPath = tuple[str | int, ...]

# A value that was refused already, so that it is reported once.
_REFUSED = object()

_TAG = "tag:yaml.org,2002:"


def dotted(path: FieldPath) -> str:
    """`workers.memory` of ("workers", "memory")."""
    return ".".join(map(str, path))


@dataclass
class Document:
    """The values of one YAML file; `lines` counts from 1, `raw` is a scalar as it was written."""

    name: str
    values: Any = None
    lines: dict[FieldPath, int] = field(default_factory=dict)
    raw: dict[FieldPath, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def where(self, path: FieldPath) -> str:
        """`lab.yml:7 workers.memory`; a path without a line of its own takes the nearest one above it."""
        lines = (self.lines.get(path[:length]) for length in range(len(path), -1, -1))
        line = next((line for line in lines if line), None)
        return f"{self.name}{f':{line}' if line else ''} {dotted(path)}".rstrip()


def read(file: Path) -> str:
    """The text of `file`; raises SpecError when it is no readable, small UTF-8 text file."""
    name = file.name or str(file)
    try:
        if file.is_dir():
            raise SpecError(f"{file} is a directory, not a file", fix=f"name the file: --lab {file / 'lab.yml'}")
        if not file.is_file():
            raise SpecError(f"{file} does not exist or is not a regular file", fix="write it, or leave out --lab")
        with file.open("rb") as stream:
            body = stream.read(SIZE_LIMIT + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise SpecError(f"{file} cannot be read: {reason}", fix=f"chmod u+r {file}") from None
    _refuse_size(len(body), str(file))
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = body[: error.start].count(b"\n") + 1
        what = f"{name}:{line}: not UTF-8 text (byte 0x{body[error.start]:02x})"
        raise SpecError(what, fix=f"save {name} as UTF-8") from None


def _refuse_size(size: int, name: str) -> None:
    if size > SIZE_LIMIT:
        raise SpecError(f"{name} is larger than {SIZE_LIMIT // 1024} KiB", fix="name a lab.yml")


def parse(text: str, name: str = "lab.yml") -> Document:
    """The values and lines of `text`.

    Duplicate keys, anchors and aliases, tags and keys that are not text are collected as problems.
    Raises SpecError when the text is not YAML.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError

    _refuse_size(len(text), name)
    document = Document(name)
    yaml = YAML(typ="safe", pure=True)
    try:
        root = yaml.compose(text)
    except RecursionError:
        raise SpecError(f"{name} is nested too deeply", fix="a lab.yml has three levels") from None
    except Exception as error:
        # ruamel raises exceptions of other types (ValueError, AssertionError, ...) for some broken texts.
        mark = (error.problem_mark or error.context_mark) if isinstance(error, MarkedYAMLError) else None
        marked = (error.problem or error.context) if isinstance(error, MarkedYAMLError) else None
        what = " ".join(str(marked or error).split())[:200] or type(error).__name__
        place = f"{name}:{mark.line + 1}" if mark else name
        raise SpecError(f"{place}: not valid YAML: {what}", fix=_yaml_fix(what, name)) from None
    if root is not None:
        value = _Reader(document, yaml.constructor).value(root, ())
        document.values = None if value is _REFUSED else value
    return document


def _yaml_fix(what: str, name: str) -> str:
    if "\\t" in what or "tab" in what:
        return "indent with spaces, never with tabs"
    return f"correct the line; `labctl plan --lab {name}` checks the file without starting anything"


class _Reader:
    """Turns composed YAML nodes into values; aliases are never expanded."""

    def __init__(self, document: Document, constructor: Any) -> None:
        self.document = document
        self.constructor = constructor
        self.seen: set[int] = set()

    def refuse(self, path: FieldPath, what: str, fix: str) -> Any:
        self.document.problems.append(Problem(what, self.document.where(path), fix))
        return _REFUSED

    def value(self, node: Any, path: FieldPath) -> Any:
        from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

        self.document.lines.setdefault(path, node.start_mark.line + 1)
        if id(node) in self.seen:
            return self.refuse(path, "is an alias (`*name`), which lab.yml does not have", "write the value itself")
        self.seen.add(id(node))
        if len(path) > DEPTH_LIMIT:
            return self.refuse(path[:3], "is nested too deeply", "a lab.yml has three levels")
        kind = str(node.tag).removeprefix(_TAG)
        if isinstance(node, MappingNode) and kind == "map":
            return self.mapping(node, path)
        if isinstance(node, SequenceNode) and kind == "seq":
            values = [self.value(child, (*path, index)) for index, child in enumerate(node.value)]
            return tuple(value for value in values if value is not _REFUSED)
        if isinstance(node, ScalarNode) and kind in ("null", "bool", "int", "float", "str", "timestamp"):
            self.document.raw[path] = node.value
            return self.scalar(node, kind)
        return self.refuse(path, f"has the YAML tag {node.tag}, which lab.yml does not allow", "leave the tag out")

    def mapping(self, node: Any, path: FieldPath) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            place = f"{self.document.name}:{line}"
            if not isinstance(key_node.value, str):
                self.document.problems.append(Problem("a key must be a word", place, "write `key: value`"))
                continue
            below = (*path, key_node.value[:80])
            if below in self.document.lines:
                what = f"the key is written a second time (first in line {self.document.lines[below]})"
                self.document.problems.append(Problem(what, f"{place} {dotted(below)}", "keep one of them"))
                continue
            self.document.lines[below] = line
            value = self.value(value_node, below)
            if value is not _REFUSED:
                values[key_node.value[:80]] = value
        return values

    def scalar(self, node: Any, kind: str) -> Any:
        """A value as YAML defines it; what has the form of a number and is none stays text."""
        if kind in ("str", "timestamp"):
            return node.value
        try:
            value = getattr(self.constructor, f"construct_yaml_{kind}")(node)
        except (ValueError, KeyError):
            return node.value
        return node.value if isinstance(value, float) and not math.isfinite(value) else value
