"""Loads a Spec from lab.yml, profile and options: merges and validates them, and reports every problem at once."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from orchestrator.errors import Problem, SpecError
from orchestrator.spec import rules, source
from orchestrator.spec.profiles import Profile, profiles
from orchestrator.spec.schema import Lab, section_of_entries
from orchestrator.spec.source import Document, FieldPath, dotted

Fields = dict[FieldPath, Any]


@dataclass(frozen=True)
class Override:
    """A value given on the command line: dotted field, value, and the option as the user typed it."""

    field: str
    value: Any
    option: str


@dataclass(frozen=True)
class Spec:
    """A valid lab.yml with its defaults filled in.

    `explicit` holds the dotted fields that the user wrote (file or option): a default may give way to
    circumstances, an explicit value is kept or refused. `origins` says where each value comes from.
    """

    lab: Lab
    explicit: frozenset[str] = frozenset()
    origins: Mapping[str, str] = field(default_factory=dict)
    file: Path | None = None

    def is_explicit(self, name: str) -> bool:
        """Whether the user wrote this field, or a block that is a part of it."""
        return name in self.explicit

    def is_default(self, name: str) -> bool:
        """Whether neither the user nor the profile gives this field a value."""
        return name not in self.origins

    def at(self, name: str) -> str:
        """Where the value of the field comes from: `lab.yml:7 workers.memory`, `--workers`, its profile or default."""
        return self.origins.get(name) or f"{name} (default)"

    def why(self, name: str) -> str:
        """The same as a reason: `lab.yml:7`, `--workers`, `profile book`, `default`."""
        origin = self.origins.get(name, "default")
        return origin.removesuffix(f" {name}")


def load(file: Path | None, overrides: Sequence[Override] = ()) -> Spec:
    """The Spec of `file`, or of no file at all (None: everything has a default).

    Raises SpecError with all problems, each with file, line and field path.
    """
    text = source.read(file) if file is not None else ""
    return parse(text, file.name if file is not None else "lab.yml", overrides, file=file)


def parse(text: str, name: str = "lab.yml", overrides: Sequence[Override] = (), *, file: Path | None = None) -> Spec:
    """The Spec of the YAML `text`; raises SpecError like `load`."""
    document = source.parse(text, name)
    problems = list(document.problems)
    written = {} if document.values is None else document.values
    if not isinstance(written, dict):
        fix = "for example `workers: {count: 3}`, one key a line"
        problems.append(Problem("the file must be a map of keys", f"{name}:1", fix))
        written = {}
    options = {_path(override.field): override for override in overrides}
    profile = _profile(written, options)
    fields = (_fields(profile.values) if profile else {}) | _fields(written)
    fields |= {path: override.value for path, override in options.items()}
    origins = _Origins(document, profile, options)
    lab, refused = _validate(fields)
    problems += [_translate(path, item, origins) for path, item in refused.items()]
    for violation in rules.violations(lab):
        involved = [_path(field) for field in (violation.field, *violation.others)]
        if not any(_overlap(path, other) for path in involved for other in refused):
            problems.append(Problem(violation.what, origins.where_to_change(involved), violation.fix))
    if problems:
        count = f"{len(problems)} problems" if len(problems) > 1 else "a problem"
        in_file = any(problem.where.startswith(name) for problem in problems)
        raise SpecError(f"{name if in_file else 'the request'} has {count}", problems=problems)
    explicit = frozenset(map(dotted, (*_fields(written), *options)))
    # What stands in a list is no field of its own, and has a line.
    listed = [path for path in document.lines if any(isinstance(part, int) for part in path)]
    return Spec(lab, explicit, {dotted(path): origins.where(path) for path in (*fields, *listed)}, file)


def _path(field: str) -> FieldPath:
    return tuple(int(part) if part.isdigit() else part for part in field.split("."))


def _profile(written: Mapping[str, Any], options: Mapping[FieldPath, Override]) -> Profile | None:
    option = options.get(("profile",))
    name = option.value if option else written.get("profile", Lab.model_fields["profile"].default)
    # Anything else is refused by the model, with its line.
    return profiles().get(name) if isinstance(name, str) else None


def _fields(values: Mapping[str, Any], path: FieldPath = ()) -> Fields:
    """Path -> value of every field in blocks of keys."""
    fields: Fields = {}
    for key, value in values.items():
        below = (*path, key)
        fields |= _fields(value, below) if isinstance(value, dict) and value else {below: value}
    return fields


def _blocks(fields: Fields) -> dict[str, Any]:
    """The blocks of keys of these fields; a later one replaces an earlier one that it is above or below."""
    blocks: dict[str, Any] = {}
    for (*above, name), value in fields.items():
        block = blocks
        for key in map(str, above):
            if not isinstance(block.get(key), dict):
                block[key] = {}
            block = block[key]
        if value != {} or name not in block:
            block[str(name)] = value
    return blocks


def _overlap(one: FieldPath, other: FieldPath) -> bool:
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


class _Origins:
    """Where each value comes from: option, file and line, or profile."""

    def __init__(self, document: Document, profile: Profile | None, options: Mapping[FieldPath, Override]) -> None:
        self.document = document
        self.options = options
        self.profile = profile.name if profile else ""
        self.by_profile = set(_fields(profile.values)) if profile else set()

    def where(self, path: FieldPath) -> str:
        """The place that gives a field its value, as a problem names it."""
        for option_path, override in self.options.items():
            if _overlap(option_path, path):
                return override.option
        if path in self.document.lines:
            return self.document.where(path)
        return f"profile {self.profile} {dotted(path)}" if path in self.by_profile else f"{dotted(path)} (default)"

    def where_to_change(self, involved: Sequence[FieldPath]) -> str:
        """The place of the first field that the user wrote, else of the first field."""
        written = (path for path in involved if path in self.document.lines or path in self.options)
        return self.where(next(written, involved[0]))


def _validate(fields: Fields) -> tuple[Lab, dict[FieldPath, dict[str, Any]]]:
    """The Lab, refused fields replaced by defaults so that the rules can be checked, and pydantic's error of each."""
    try:
        return Lab.model_validate(_blocks(fields)), {}
    except ValidationError as error:
        refused: dict[FieldPath, dict[str, Any]] = {}
        for item in error.errors(include_url=False):
            path = tuple(part for part in item["loc"] if part != "[key]")
            refused.setdefault(path, dict(item))
    valid = {path: value for path, value in fields.items() if not any(_overlap(path, other) for other in refused)}
    try:
        return Lab.model_validate(_blocks(valid)), refused
    except ValidationError:
        return Lab(), refused


def _translate(path: FieldPath, item: dict[str, Any], origins: _Origins) -> Problem:
    """pydantic's error as a Problem in the words of lab.yml."""
    raw = origins.document.raw.get(path, str(item.get("input")))[:60]
    if path[-1:] == ("root_password",):
        # Nobody's screen is the place for it, even if it is none.
        raw = "***"
    what, fix = _explain(path, item, raw)
    return Problem(what, origins.where(path[:-1] if item["type"] == "missing" else path), fix)


def _explain(path: FieldPath, item: dict[str, Any], raw: str) -> tuple[str, str]:
    """What is wrong, and the fix."""
    value, context = item.get("input"), item.get("ctx") or {}
    match item["type"]:
        case "labctl":
            return context["what"], context["fix"]
        case "extra_forbidden":
            return "unknown key", _suggest_key(path)
        case _ if value is None:
            return "has no value", "write a value after the colon, or leave the line out for the default"
        case "model_type" | "dict_type" | "model_attributes_type":
            return f"must be a block of keys, not {_kind(value)}", _block_example(path)
        case "missing":
            return f"has no `{path[-1]}`", _block_example(path[:-1])
        case "too_short":
            return "is empty", "leave the key out for its default"
        case "int_type":
            fix = f"write {raw} without quotes" if isinstance(value, str) and raw.isdigit() else "write a whole number"
            return f"must be a whole number, not {_kind(value)} ({raw})", fix
        case "string_type":
            fix = f'put it in quotes: "{raw}"' if isinstance(value, int | float) else "write a text"
            return f"must be text, not {_kind(value)} ({raw})", fix
        case "bool_type":
            return f"must be true or false, not {_kind(value)} ({raw})", "write true or false"
        case "tuple_type" | "list_type":
            return f"must be a list, not {_kind(value)}", "write [first, second]"
        case "literal_error":
            choices = context["expected"].replace("'", "").replace(" or ", ", ")
            near = difflib.get_close_matches(str(value), choices.split(", "), 1, 0.5)
            suggestion = f"did you mean {near[0]}? " if near else ""
            return f"{raw!r} is not one of {choices}", f"{suggestion}write one of {choices}"
        case "greater_than_equal":
            return f"{raw} is below {context['ge']}", f"write {context['ge']} or more"
        case "less_than_equal":
            return f"{raw} is above {context['le']}", f"write {context['le']} or less"
    return str(item["msg"]), "see docs/reference/lab-yml.md"


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    names = {str: "text", int: "a number", float: "a number", dict: "a block of keys", tuple: "a list", list: "a list"}
    return names.get(type(value), type(value).__name__)


def _section(path: FieldPath) -> type[BaseModel] | None:
    """The model of a block of keys; None when the field is none."""
    model: type[BaseModel] = Lab
    for part in (part for part in path if not isinstance(part, int)):
        info = model.model_fields.get(part)
        inner = (section_of_entries(info) or info.annotation) if info else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return None
        model = inner
    return model


def _suggest_key(path: FieldPath) -> str:
    """The known key that an unknown one is like, in its block or under that name in another."""
    *block, last = path
    name = str(last)
    known = list((_section(tuple(block)) or Lab).model_fields)
    sections = {top: _section((top,)) for top in Lab.model_fields}
    elsewhere = sorted(f"{top}.{name}" for top, section in sections.items() if section and name in section.model_fields)
    for match in (*difflib.get_close_matches(name, known, 1, 0.6), *elsewhere):
        return f"did you mean `{match}`?"
    return f"the keys here are {', '.join(known)}"


def _block_example(path: FieldPath) -> str:
    model = _section(path)
    if not path or model is None:
        return "write `key: value` pairs"
    keys = [name for name, info in model.model_fields.items() if info.is_required()] or list(model.model_fields)[:1]
    block = "{" + ", ".join(f"{key}: ..." for key in keys) + "}"
    return f"write `{block}`" if isinstance(path[-1], int) else f"write `{path[-1]}: {block}`"
