"""Reads the YAML of lab.yml into plain values, each with the line it stands on; refuses what has no place there."""

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

# Stands for a value that was refused already, so that nobody complains about it twice.
_REFUSED = object()

_TAG = "tag:yaml.org,2002:"


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
        dotted = ".".join(str(part) for part in path)
        for length in range(len(path), -1, -1):
            if path[:length] in self.lines:
                return f"{self.name}:{self.lines[path[:length]]} {dotted}".rstrip()
        return f"{self.name} {dotted}".rstrip()


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
    if len(body) > SIZE_LIMIT:
        raise SpecError(f"{file} is larger than {SIZE_LIMIT // 1024} KiB", fix="is this really a lab.yml?")
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = body[: error.start].count(b"\n") + 1
        raise SpecError(
            f"{name}:{line}: not UTF-8 text (byte 0x{body[error.start]:02x})", fix=f"save {name} as UTF-8"
        ) from None


def parse(text: str, name: str = "lab.yml") -> Document:
    """The values and lines of `text`.

    Duplicate keys, anchors and aliases, tags and keys that are not text are collected as problems.
    Raises SpecError when the text is no YAML at all.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError

    if len(text) > SIZE_LIMIT:
        raise SpecError(f"{name} is larger than {SIZE_LIMIT // 1024} KiB", fix="is this really a lab.yml?")
    document = Document(name)
    try:
        root = YAML(typ="rt", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = f"{name}:{mark.line + 1}" if mark else name
        what = " ".join((error.problem or error.context or "it cannot be read").split())
        raise SpecError(f"{at}: not valid YAML: {what}", fix=_yaml_fix(what, name)) from None
    except RecursionError:
        raise SpecError(f"{name} is nested too deeply", fix="a lab.yml has three levels") from None
    except Exception as error:
        # ruamel answers some garbage with exceptions of other types (ValueError, AssertionError, ...).
        what = " ".join(str(error).split())[:200] or type(error).__name__
        raise SpecError(f"{name}: not valid YAML: {what}", fix=_yaml_fix(what, name)) from None
    if root is not None:
        value = _Reader(document).value(root, ())
        document.values = None if value is _REFUSED else value
    return document


def _yaml_fix(what: str, name: str) -> str:
    if "\\t" in what or "tab" in what:
        return "indent with spaces, never with tabs"
    return f"correct the line; `labctl plan --lab {name}` checks the file without starting anything"


class _Reader:
    """Turns composed YAML nodes into values; nothing is expanded or constructed, so no bomb can go off."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.seen: set[int] = set()

    def problem(self, path: FieldPath, what: str, fix: str) -> None:
        self.document.problems.append(Problem(what, self.document.where(path), fix))

    def value(self, node: Any, path: FieldPath) -> Any:
        from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

        self.document.lines.setdefault(path, node.start_mark.line + 1)
        if id(node) in self.seen:
            self.problem(path, "is an alias (`*name`), which lab.yml does not have", "write the value itself")
            return _REFUSED
        self.seen.add(id(node))
        if len(path) > DEPTH_LIMIT:
            self.problem(path[:3], "is nested too deeply", "a lab.yml has three levels")
            return _REFUSED
        if isinstance(node, MappingNode) and self.plain(node, path, "map"):
            return self.mapping(node, path)
        if isinstance(node, SequenceNode) and self.plain(node, path, "seq"):
            values = [self.value(child, (*path, index)) for index, child in enumerate(node.value)]
            return tuple(value for value in values if value is not _REFUSED)
        if isinstance(node, ScalarNode):
            self.document.raw[path] = node.value
            return self.scalar(node, path)
        return _REFUSED

    def plain(self, node: Any, path: FieldPath, kind: str) -> bool:
        if node.tag == _TAG + kind:
            return True
        self.problem(path, f"has the YAML tag {node.tag}, which lab.yml does not allow", "leave the tag out")
        return False

    def mapping(self, node: Any, path: FieldPath) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value
            line = key_node.start_mark.line + 1
            if not isinstance(key, str):
                self.document.problems.append(
                    Problem("a key must be a word", f"{self.document.name}:{line}", "write `key: value`")
                )
                continue
            key = key[:80]
            if key in values:
                first = self.document.lines.get((*path, key), line)
                dotted = ".".join(map(str, (*path, key)))
                self.document.problems.append(
                    Problem(
                        f"the key stands here a second time (first in line {first})",
                        f"{self.document.name}:{line} {dotted}",
                        "keep one of them",
                    )
                )
                continue
            self.document.lines[*path, key] = line
            value = self.value(value_node, (*path, key))
            if value is not _REFUSED:
                values[key] = value
        return values

    def scalar(self, node: Any, path: FieldPath) -> Any:
        text: str = node.value
        kind = str(node.tag).removeprefix(_TAG)
        try:
            if kind == "null":
                return None
            if kind == "bool":
                return text.lower() in ("true", "yes", "on")
            if kind == "int":
                return int(text.replace("_", ""), 0) if not text.lstrip("+-").isdigit() else int(text)
            if kind == "float":
                number = float(text.replace("_", "").replace(".inf", "inf").replace(".nan", "nan"))
                return number if math.isfinite(number) else text
            if kind in ("str", "timestamp"):
                return text
        except ValueError:
            return text
        self.plain(node, path, "str")
        return _REFUSED
