"""A drill's directory -> Drill: reads drill.yml, the playbooks and grade.py, and reports every problem at once."""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from orchestrator.errors import Problem, SpecError
from orchestrator.spec import source

from .schema import Answer, DrillFile, Goal, Needs, Proof, Symptom, Text

PLAYBOOKS = ("inject", "solution", "wrong", "restore")
# What a drill makes in its own namespace goes with the namespace: only the rest has to be put back.
OPTIONAL = ("restore",)
_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*\Z")


@dataclass(frozen=True)
class Question:
    """A question about what can be seen while the lab is broken, with what answers it."""

    ask: Text
    answer: Answer


@dataclass(frozen=True)
class Drill:
    """A valid drill; texts hold placeholders until `Catalogue.filled` puts the lab's names there."""

    slug: str
    directory: Path
    proved: bool
    title: Text
    section: str
    level: int
    minutes: int
    teaches: Text
    needs: Needs
    task: Text
    hints: tuple[Text, ...]
    questions: tuple[Question, ...]
    power_off: bool
    symptom: Symptom | None
    goals: tuple[Goal, ...]
    explain: Text
    proof: Proof

    def playbook(self, name: str) -> Path:
        """The path of `inject`, `solution`, `wrong` or `restore`."""
        return self.directory / f"{name}.yml"

    @property
    def own_checks(self) -> Path | None:
        """The drill's own checks, None when those of `labctl verify` do."""
        path = self.directory / "grade.py"
        return path if path.exists() else None

    @property
    def checks(self) -> tuple[str, ...]:
        return tuple(goal.check for goal in self.goals)


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
        raise SpecError(f"{directory} has no drill.yml", fix="see docs/how-to/write-a-drill.md", problems=problems)
    found, document = _read(file, f"{slug}/drill.yml", problems)
    for name in PLAYBOOKS:
        if name not in OPTIONAL or (directory / f"{name}.yml").exists():
            problems += _playbook_problems(directory / f"{name}.yml", f"{slug}/{name}.yml")
    own = _own_ids(directory / "grade.py", f"{slug}/grade.py", problems)
    if found is not None:
        problems += _rules(found, document, own, known_checks)
    if problems or found is None:
        count = f"{len(problems)} problems" if len(problems) > 1 else "a problem"
        raise SpecError(f"the drill {slug} has {count}", fix=f"labctl drill lint {directory}", problems=problems)
    return Drill(
        slug=slug,
        directory=directory.resolve(),
        proved=found.proved,
        title=found.title,
        section=found.section,
        level=found.level,
        minutes=found.minutes,
        teaches=found.teaches,
        needs=found.needs,
        task=found.task,
        hints=found.hints,
        questions=tuple(Question(one.ask, one.answer) for one in found.observe),
        power_off=found.power_off,
        symptom=found.symptom,
        goals=found.grade,
        explain=found.explain,
        proof=found.proof,
    )


def _read(file: Path, name: str, problems: list[Problem]) -> tuple[DrillFile | None, source.Document]:
    try:
        document = source.parse(source.read(file), name)
    except SpecError as error:
        problems.append(Problem(error.message, name, error.fix))
        return None, source.Document(name)
    problems += document.problems
    values = document.values
    if not isinstance(values, dict):
        problems.append(Problem("the file must be a map of keys", f"{name}:1", "see docs/how-to/write-a-drill.md"))
        return None, document
    try:
        return DrillFile.model_validate(values), document
    except ValidationError as error:
        problems += [_translate(dict(item), document) for item in error.errors(include_url=False)]
        return None, document


def _translate(item: dict[str, Any], document: source.Document) -> Problem:
    """pydantic's error as a Problem in the words of drill.yml."""
    path = tuple(item["loc"])
    where = document.where(path)
    kind, context = item["type"], item.get("ctx") or {}
    if kind == "labctl":
        return Problem(context["what"], where, context["fix"])
    if kind == "missing":
        return Problem("is missing", where, f"add `{path[-1]}:`")
    if kind == "extra_forbidden":
        known = list(_model_at(path[:-1]).model_fields)
        near = difflib.get_close_matches(str(path[-1]), known, 1, 0.6)
        return Problem("unknown key", where, f"did you mean `{near[0]}`?" if near else f"keys here: {', '.join(known)}")
    if item.get("input") is None:
        return Problem("has no value", where, "write a value after the colon")
    if kind in ("model_type", "dict_type", "model_attributes_type"):
        known = list(_model_at(path).model_fields)
        return Problem("must be a block of keys", where, f"write {{{known[0]}: ...}}")
    raw = document.raw.get(path, "")[:60]
    fix = f'put it in quotes: "{raw}"' if kind == "string_type" else "see docs/how-to/write-a-drill.md"
    return Problem(str(item["msg"]).replace("Input should", f"{raw} should" if raw else "should"), where, fix)


def _model_at(path: tuple[Any, ...]) -> type[BaseModel]:
    """The model of the block at a path, the file's own when the path leads nowhere."""
    model: type[BaseModel] = DrillFile
    for part in path:
        if isinstance(part, int):
            continue
        info = model.model_fields.get(str(part))
        inner = list(_models(info.annotation)) if info else []
        if not inner:
            return DrillFile
        model = inner[0]
    return model


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in getattr(annotation, "__args__", ()):
        yield from _models(part)


def _playbook_problems(file: Path, name: str) -> list[Problem]:
    """What is wrong with a playbook as far as its form goes."""
    if not file.is_file():
        return [Problem("the playbook is missing", name, "see docs/how-to/write-a-drill.md")]
    try:
        document = source.parse(source.read(file), name)
    except SpecError as error:
        return [Problem(error.message, name, error.fix)]
    plays = document.values
    if not isinstance(plays, tuple) or not plays:
        return [Problem("a playbook is a list of plays", f"{name}:1", "- name: ...\n  hosts: ...")]
    problems = []
    for index, play in enumerate(plays):
        if not isinstance(play, dict) or "hosts" not in play or not play.get("tasks"):
            problems.append(Problem("a play needs hosts and tasks", document.where((index,)), "add them"))
            continue
        problems += [
            Problem(
                "a task needs a name: `drill solve` shows it", document.where((index, "tasks", number)), "add name:"
            )
            for number, task in enumerate(play["tasks"])
            if not isinstance(task, dict) or not task.get("name")
        ]
    return problems


_MARKED = re.compile(r"""\bid=["']([a-z0-9_.]+)["']""")


def _own_ids(file: Path, name: str, problems: list[Problem]) -> dict[str, int]:
    """The ids that grade.py defines, with their lines."""
    if not file.exists():
        return {}
    text = file.read_text(encoding="utf-8", errors="replace")
    try:
        ast.parse(text)
    except SyntaxError as error:
        problems.append(Problem(f"not valid Python: {error.msg}", f"{name}:{error.lineno}", "correct the line"))
        return {}
    found: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        for identity in _MARKED.findall(line):
            if not identity.startswith("drill."):
                problems.append(Problem(f"the id {identity} must start with drill.", f"{name}:{number}", "rename it"))
            else:
                found[identity] = number
    return found


def _rules(
    found: DrillFile, document: source.Document, own: dict[str, int], known_checks: Collection[str]
) -> Iterator[Problem]:
    """What holds between the fields and the files of a drill."""
    goals = [goal.check for goal in found.grade]
    for index, check in enumerate(goals):
        where = document.where(("grade", index, "check"))
        if check.startswith("drill.") and check not in own:
            yield Problem(f"grade.py has no check {check}", where, f"grade.py has: {', '.join(own) or 'none'}")
        elif not check.startswith("drill.") and known_checks and check not in known_checks:
            near = difflib.get_close_matches(check, known_checks, 1)
            yield Problem(
                f"labctl verify has no check {check}", where, f"did you mean {near[0]}?" if near else "labctl verify"
            )
        if check in goals[:index]:
            yield Problem(f"{check} is a goal already", where, "leave one out")
    for identity, line in own.items():
        if identity not in goals:
            place = document.name.replace("drill.yml", f"grade.py:{line}")
            yield Problem(f"{identity} is no goal of drill.yml", place, "add it to grade:, or remove it")
    for index, check in enumerate(found.proof.fails):
        if check not in goals:
            yield Problem(f"{check} is no goal", document.where(("proof", "fails", index)), "name goals of grade:")
    for index, question in enumerate(found.observe):
        if bool(question.answer.kubectl) == bool(question.answer.accept):
            where = document.where(("observe", index, "answer"))
            yield Problem("an answer is either kubectl or accept", where, "keep one of them")
