"""A drill's directory -> Drill: reads drill.yml and reports every problem at once."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from orchestrator.errors import Problem, SpecError
from orchestrator.spec import source

from .schema import SECTIONS, Drill

HOW_TO = "see docs/how-to/write-a-drill.md"
_KEYS = {info.alias or name for model in SECTIONS for name, info in model.model_fields.items()}
_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*\Z")


def load(directory: Path, known_checks: Collection[str] = ()) -> Drill:
    """The drill in `directory`. Raises SpecError with all problems, each with file, line and field.

    `known_checks` are the ids of `labctl verify`; empty means that they are not compared.
    """
    slug = directory.name
    problems: list[Problem] = []
    if not _SLUG.match(slug):
        problems.append(
            Problem("the directory's name is the drill's: lower-case words and hyphens", slug, f"mv {slug} my-drill")
        )
    file = directory / "drill.yml"
    if not file.is_file():
        raise SpecError(f"{directory} has no drill.yml", fix=HOW_TO, problems=problems)
    drill, document = _read(file, f"{slug}/drill.yml", problems)
    if drill is not None:
        problems += _broken_rules(drill, document, known_checks)
    if problems or drill is None:
        count = f"{len(problems)} problems" if len(problems) > 1 else "a problem"
        raise SpecError(f"the drill {slug} has {count}", fix=f"labctl drill lint {directory}", problems=problems)
    drill._directory = directory.resolve()
    return drill


def _read(file: Path, name: str, problems: list[Problem]) -> tuple[Drill | None, source.Document]:
    try:
        document = source.parse(source.read(file), name)
    except SpecError as error:
        problems.append(Problem(error.message, name, error.fix))
        return None, source.Document(name)
    problems += document.problems
    values = document.values
    if not isinstance(values, dict):
        problems.append(Problem("the file must be a map of keys", f"{name}:1", HOW_TO))
        return None, document
    if values.get("version") == 1:
        fix = "write its playbooks and grade.py as break, solve, bad_fix, reset and expect; " + HOW_TO
        problems.append(Problem("version 1 is not read any more", document.where(("version",)), fix))
        return None, document
    try:
        return Drill.model_validate(values), document
    except ValidationError as error:
        problems += [_translate(dict(item), document) for item in error.errors(include_url=False)]
        return None, document


def _translate(item: dict[str, Any], document: source.Document) -> Problem:
    """pydantic's error as a Problem in the words of drill.yml."""
    path = tuple(item["loc"])
    where, kind, raw = document.where(path), item["type"], document.raw.get(path, "")[:60]
    if kind == "labctl":
        return Problem(item["ctx"]["what"], where, item["ctx"]["fix"])
    if kind == "missing":
        return Problem("is missing", where, f"add `{path[-1]}:`")
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(str(path[-1]), _KEYS, 1, 0.6)
        return Problem("unknown key", where, f"did you mean `{near[0]}`?" if near else HOW_TO)
    if item.get("input") is None:
        return Problem("has no value", where, "write a value after the colon")
    fix = f'put it in quotes: "{raw}"' if kind == "string_type" else HOW_TO
    return Problem(str(item["msg"]).replace("Input should", f"{raw} should" if raw else "should"), where, fix)


def _broken_rules(drill: Drill, document: source.Document, known_checks: Collection[str]) -> Iterator[Problem]:
    """The problems of what holds between the fields of a drill."""
    for index, goal in enumerate(drill.expect):
        where = document.where(("expect", index, "check"))
        if goal.is_own != bool(goal.command):
            what = "has neither `ready` nor `shell`" if goal.is_own else "is a check of labctl verify"
            yield Problem(f"{goal.check} {what}", where, "only checks called drill.NAME have `ready` or `shell`")
        elif not goal.is_own and known_checks and goal.check not in known_checks:
            near = difflib.get_close_matches(goal.check, known_checks, 1)
            yield Problem(
                f"labctl verify has no check {goal.check}",
                where,
                f"did you mean {near[0]}?" if near else "labctl verify",
            )
        if goal.check in drill.checks[:index]:
            yield Problem(f"{goal.check} is a goal already", where, "leave one out")
    if not drill.broken_checks:
        yield Problem("no goal is `broken: true`", document.where(("expect",)), "mark what the break spoils")
    for index, question in enumerate(drill.observe):
        if bool(question.answer.kubectl) == bool(question.answer.accept):
            where = document.where(("observe", index, "answer"))
            yield Problem("an answer is either kubectl or accept", where, "keep one of them")
    steps = {"break": drill.breaks, "solve": drill.solve, "bad_fix": drill.bad_fix, "reset": drill.reset or ()}
    for part, listed in steps.items():
        for index, step in enumerate(listed):
            where = document.where((part, index))
            if step.use and part != "reset":
                yield Problem("`use` is for the steps of reset", where, "write the step out")
            if part != "reset" and not step.name:
                yield Problem("the step needs a name: `drill solve` shows it", where, "add `name:`")
