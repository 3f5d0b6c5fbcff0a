"""lab.yml + profile + options -> Spec: merges them, validates the result and reports every problem at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from orchestrator.errors import Problem, SpecError
from orchestrator.spec import rules, source
from orchestrator.spec.profiles import Profile, profiles
from orchestrator.spec.schema import Lab
from orchestrator.spec.source import Document, FieldPath


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
    circumstances, an explicit value is kept or refused. `origins` says where each value stands.
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
        """Where the value of the field stands: `lab.yml:7 workers.memory`, `--workers`, or its profile or default."""
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
    written = document.values
    if written is None:
        written = {}
    if not isinstance(written, dict):
        problems.append(
            Problem("the file must be a map of keys", f"{name}:1", "for example `workers: {count: 3}`, one key a line")
        )
        written = {}
    options: dict[FieldPath, Override] = {tuple(override.field.split(".")): override for override in overrides}
    profile = _profile(written, options)
    merged = _merge(profile.values if profile else {}, written)
    for path, override in options.items():
        merged = _merge(merged, _nested(path, override.value))
    origins = _Origins(document, profile, options)
    lab, refused = _validate(merged, origins, problems)
    problems += [
        Problem(broken.what, origins.where_to_change(broken.path, broken.involved), broken.fix)
        for broken in rules.broken(lab)
        if not any(_overlap(path, bad) for path in broken.involved for bad in refused)
    ]
    if problems:
        raise SpecError(_headline(name, problems), problems=problems)
    return Spec(lab, origins.explicit(written), origins.table(merged), file)


def _headline(name: str, problems: Sequence[Problem]) -> str:
    count = f"{len(problems)} problems" if len(problems) > 1 else "a problem"
    return f"{name} has {count}" if any(p.where.startswith(name) for p in problems) else f"the request has {count}"


def _profile(written: Mapping[str, Any], options: Mapping[FieldPath, Override]) -> Profile | None:
    option = options.get(("profile",))
    name = option.value if option else written.get("profile", Lab.model_fields["profile"].default)
    # Anything else is refused by the model, with its line.
    return profiles().get(name) if isinstance(name, str) else None


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        held = merged.get(key)
        if isinstance(value, dict) and isinstance(held, dict):
            merged[key] = _merge(held, value)
        else:
            merged[key] = _merge({}, value) if isinstance(value, dict) else value
    return merged


def _nested(path: FieldPath, value: Any) -> dict[str, Any]:
    for key in reversed(path):
        value = {key: value}
    return dict(value)


def _leaves(values: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*path, key))
        else:
            yield (*path, key)


def _overlap(one: FieldPath, other: FieldPath) -> bool:
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


class _Origins:
    """Where each value comes from: option, file and line, or profile."""

    def __init__(self, document: Document, profile: Profile | None, options: Mapping[FieldPath, Override]) -> None:
        self.document = document
        self.profile = profile
        self.options = options
        self.by_profile = set(_leaves(profile.values)) if profile else set()

    def where(self, path: FieldPath) -> str:
        """For a problem: the place a person has to change, and the field."""
        for option_path, override in self.options.items():
            if _overlap(option_path, path):
                return override.option
        if path in self.document.lines:
            return self.document.where(path)
        dotted = ".".join(map(str, path))
        if path in self.by_profile and self.profile:
            return f"profile {self.profile.name} {dotted}"
        return f"{dotted} (default)"

    def where_to_change(self, path: FieldPath, involved: Sequence[FieldPath]) -> str:
        """The place of `path`, or of the first field of the rule that the user wrote when `path` is a default."""
        for candidate in (path, *involved):
            if candidate in self.document.lines or candidate in self.options:
                return self.where(candidate)
        return self.where(path)

    def explicit(self, written: Mapping[str, Any]) -> frozenset[str]:
        return frozenset(".".join(path) for path in (*_leaves(written), *map(_as_text, self.options)))

    def table(self, merged: Mapping[str, Any]) -> dict[str, str]:
        return {".".join(path): self.where(path) for path in _leaves(merged)}


def _as_text(path: FieldPath) -> tuple[str, ...]:
    return tuple(map(str, path))


def _validate(merged: dict[str, Any], origins: _Origins, problems: list[Problem]) -> tuple[Lab, set[FieldPath]]:
    """The Lab, wrong values replaced by their defaults so that the rules between fields can still be checked."""
    refused: set[FieldPath] = set()
    values = merged
    # Each round removes at least one value, or ends; the bound is a belt for the braces.
    for _ in range(50):
        try:
            return Lab.model_validate(values), refused
        except ValidationError as error:
            for item in error.errors(include_url=False):
                path = _field_path(item["loc"])
                if path in refused:
                    continue
                refused.add(path)
                problems.append(_translate(path, dict(item), origins))
            for path in refused:
                values = _without(values, path)
    return Lab(), refused


def _field_path(location: tuple[int | str, ...]) -> FieldPath:
    return tuple(part for part in location if part != "[key]")


def _without(values: dict[str, Any], path: FieldPath) -> dict[str, Any]:
    if not path or path[0] not in values:
        return values
    head, rest = str(path[0]), path[1:]
    below = values[head]
    if rest and isinstance(below, dict):
        return {**values, head: _without(below, rest)}
    return {key: value for key, value in values.items() if key != head}


def _translate(path: FieldPath, item: dict[str, Any], origins: _Origins) -> Problem:
    """pydantic's error as a Problem in the words of lab.yml."""
    where = origins.where(path)
    kind, context, value = item["type"], item.get("ctx") or {}, item.get("input")
    raw = origins.document.raw.get(path, str(value))[:60]
    if kind == "labctl":
        return Problem(context["what"], where, context["fix"])
    if kind == "extra_forbidden":
        return Problem("unknown key", where, _did_you_mean(path))
    if value is None:
        return Problem("has no value", where, "write a value after the colon, or leave the line out for the default")
    if kind in ("model_type", "dict_type", "model_attributes_type"):
        return Problem(f"must be a block of keys, not {_kind(value)}", where, _block_example(path))
    if kind == "int_type":
        fix = f"write {raw} without quotes" if isinstance(value, str) and raw.isdigit() else "write a whole number"
        return Problem(f"must be a whole number, not {_kind(value)} ({raw})", where, fix)
    if kind == "string_type":
        fix = f'put it in quotes: "{raw}"' if isinstance(value, int | float) else "write a text"
        return Problem(f"must be text, not {_kind(value)} ({raw})", where, fix)
    if kind == "bool_type":
        return Problem(f"must be true or false, not {_kind(value)} ({raw})", where, "write true or false")
    if kind in ("tuple_type", "list_type"):
        return Problem(f"must be a list, not {_kind(value)}", where, "write [first, second]")
    if kind == "literal_error":
        choices = [choice.strip("'") for choice in str(context["expected"]).replace(" or ", ", ").split(", ")]
        near = difflib.get_close_matches(str(value), choices, 1, 0.5)
        hint = f"did you mean {near[0]}? " if near else ""
        return Problem(f"{raw!r} is not one of {', '.join(choices)}", where, f"{hint}write one of {', '.join(choices)}")
    if kind == "greater_than_equal":
        return Problem(f"{raw} is below {context['ge']}", where, f"write {context['ge']} or more")
    if kind == "less_than_equal":
        return Problem(f"{raw} is above {context['le']}", where, f"write {context['le']} or less")
    return Problem(str(item["msg"]), where, "see docs/reference/lab-yml.md")


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    names = {str: "text", int: "a number", float: "a number", dict: "a block of keys", tuple: "a list", list: "a list"}
    return names.get(type(value), type(value).__name__)


def _section(path: FieldPath) -> type[BaseModel] | None:
    model: type[BaseModel] = Lab
    for part in path:
        info = model.model_fields.get(str(part))
        inner = info.annotation if info else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return None
        model = inner
    return model


def _did_you_mean(path: FieldPath) -> str:
    model = _section(path[:-1]) or Lab
    known = list(model.model_fields)
    near = difflib.get_close_matches(str(path[-1]) if path else "", known, 1, 0.6)
    if near:
        return f"did you mean `{near[0]}`?"
    elsewhere = sorted(_everywhere().get(str(path[-1]) if path else "", ()))
    if elsewhere:
        return f"did you mean `{elsewhere[0]}`?"
    return f"the keys here are {', '.join(known)}"


def _everywhere() -> dict[str, list[str]]:
    """Every key of the second level, and the dotted paths under which it stands."""
    found: dict[str, list[str]] = {}
    for top in Lab.model_fields:
        model = _section((top,))
        for key in model.model_fields if model else ():
            found.setdefault(key, []).append(f"{top}.{key}")
    return found


def _block_example(path: FieldPath) -> str:
    model = _section(path)
    if not path or model is None:
        return "write `key: value` pairs"
    return f"write `{path[-1]}: {{{next(iter(model.model_fields))}: ...}}`"
