"""The model of drill.yml: every key, its type, and what a single value must be."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, ConfigDict, Field, PrivateAttr

from orchestrator.model import Cni, ProviderName

from .steps import Place, Section, Step, Steps, refuse, resolved, undo

LANGUAGES = ("en", "ko")
# What a text, a step or a kubectl line may name; labctl puts the lab's own names there.
PLACEHOLDERS = (
    "control_plane",
    "control_plane_address",
    "worker",
    "worker_address",
    "first_worker",
    "grace_period",
    "dns",
)

Tested = Literal["book", "modern", "teaching"]

_HANGUL = re.compile("[가-힣]")
_NAMED = re.compile(r"\{([a-z_]+)\}")


def _text(value: str) -> str:
    if not value.strip():
        raise refuse("is empty", "write a sentence")
    for name in _NAMED.findall(value):
        if name not in PLACEHOLDERS:
            raise refuse(f"names {{{name}}}, which is nothing of the lab", f"one of: {', '.join(PLACEHOLDERS)}")
    return value.strip()


def _korean(value: str) -> str:
    if not _HANGUL.search(value):
        raise refuse("has no Korean in it", "translate the English text")
    return _text(value)


def _minors(value: str) -> str:
    if not re.fullmatch(r"\d+\.\d+-(\d+\.\d+)?", value):
        raise refuse("is not a range of minors", "for example 1.18-1.30, or 1.31- for all from 1.31 on")
    return value


def _book_section(value: str) -> str:
    if not re.fullmatch(r"\d+(\.\d+)+", value):
        raise refuse(f"{value[:60]!r} is not a section of the book", 'for example "3.1.6"')
    return value


def _expression(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise refuse(f"is not a regular expression: {error}", "for example ^True$") from None
    return value


def _check_id(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9_]+\.[a-z0-9_]+", value):
        raise refuse(f"{value[:60]!r} is not a check id", "for example kubelet.running, or drill.NAME")
    return value


class Text(Section):
    """A text in every language."""

    en: Annotated[str, AfterValidator(_text)] = Field(description="the text in English")
    ko: Annotated[str, AfterValidator(_korean)] = Field(description="the text in Korean")

    def in_language(self, language: str) -> str:
        """The text in one of the languages."""
        return str(getattr(self, language))


class Needs(Section):
    """The labs on which the drill can be run."""

    workers: int = Field(1, ge=0, le=20, description="smallest number of workers")
    providers: tuple[ProviderName, ...] = Field(
        get_args(ProviderName), min_length=1, description="providers whose machines allow it"
    )
    kubernetes: Annotated[str, AfterValidator(_minors)] | None = Field(
        None, description="the range of minors on which it can be seen, such as 1.18-1.30"
    )
    runtime: Literal["docker", "containerd"] | None = Field(None, description="the container runtime, when it matters")
    cni: Cni | None = Field(None, description="the pod network, when it matters")
    dns: Literal["dnsmasq", "coredns"] | None = Field(None, description="the cluster's DNS server, when it matters")
    attached: Literal["older"] | None = Field(
        None, description="a second bundle that `labctl bundle attach` put beside the first, at most one minor older"
    )
    pods: bool = Field(True, description="whether pods have to run; with false it starts without a pod network, too")


class Answer(Section):
    """How labctl knows the right answer: it asks the cluster, or it knows some words."""

    kubectl: str | None = Field(None, description="kubectl arguments that print the right answer")
    accept: tuple[str, ...] = Field((), description="words of which the answer must contain one; case does not count")


class Question(Section):
    """A question about what can be seen while the lab is broken."""

    ask: Text
    answer: Answer


class Symptom(Section):
    """What can be seen once the break shows; labctl waits for it with a countdown."""

    say: Text
    kubectl: str = Field(description="kubectl arguments")
    expect: Annotated[str, AfterValidator(_expression)] = Field(
        description="regular expression that the output matches"
    )
    within: int = Field(ge=1, le=300, description="seconds that Kubernetes itself needs at most")


class Goal(Section):
    """One thing that must be right in the end: a check of `labctl verify`, or a command and its answer."""

    check: Annotated[str, AfterValidator(_check_id)] = Field(
        description="a check of `labctl verify`; drill.NAME is one of this file, by `ready` or `shell`"
    )
    say: Text
    broken: bool = Field(False, description="whether the break spoils it: the tests of the drill expect so")
    ready: dict[str, int] = Field({}, max_length=1, description="a Deployment and the number of its ready pods")
    shell: str = Field("", description="lines for bash that must succeed")
    node: Place = Field("control_plane", description="the machine that `shell` runs on")
    answer: Annotated[str, AfterValidator(_expression)] = Field(
        "", description="regular expression found in what `shell` prints"
    )

    @property
    def is_own(self) -> bool:
        """Whether the drill defines the check itself."""
        return self.check.startswith("drill.")

    @property
    def command(self) -> str:
        """The lines for bash whose answer decides."""
        for name in self.ready:
            return f"kubectl -n drill get deployment {name} -o jsonpath={{.status.availableReplicas}}"
        return self.shell

    @property
    def expected(self) -> str:
        """The regular expression that the answer must match."""
        for number in self.ready.values():
            return f"^{number}$" if number else "^0?$"
        return self.answer


class Drill(Section):
    """A valid drill; its texts and steps hold placeholders until the lab's names are filled in."""

    model_config = ConfigDict(title="DrillFile")

    version: int = Field(ge=2, le=2, description="version of this format")
    tested: tuple[Tested, ...] = Field((), description="profiles on whose labs its test passed; without any not listed")
    title: Text
    section: str = Field("", max_length=40, description="section of the course, such as 3.1.6")
    book: tuple[Annotated[str, AfterValidator(_book_section)], ...] = Field(
        (), description="sections of the course book whose exercise this is, such as 3.2.4 and 3.2.5"
    )
    level: int = Field(ge=1, le=3, description="1 first steps, 2 needs some knowledge, 3 hard")
    minutes: int = Field(ge=1, le=120, description="time that a student may need")
    teaches: Text
    needs: Needs = Field(Needs(), description="where it can be run")
    task: Text
    hints: tuple[Text, ...] = Field(min_length=3, max_length=3, description="three hints, the last nearly the solution")
    observe: tuple[Question, ...] = Field((), max_length=5, description="questions about what can be seen")
    breaks: Steps = Field(alias="break", min_length=1, description="steps that break the lab or prepare the exercise")
    power_off: bool = Field(False, description="labctl switches the drill's worker off after the break")
    symptom: Symptom | None = Field(None, description="what labctl waits for after the break")
    expect: tuple[Goal, ...] = Field(min_length=1, max_length=10, description="what must be right in the end")
    solve: Steps = Field(min_length=1, description="steps that repair the lab")
    bad_fix: Steps = Field(min_length=1, description="steps of a repair that must not be taken for a solution")
    reset: Steps | None = Field(None, description="steps that put everything back; without them the break is undone")
    recovery: int = Field(60, ge=1, le=300, description="seconds until all goals are reached after `solve`")
    explain: Text

    _directory: Path = PrivateAttr(default=Path())

    @property
    def directory(self) -> Path:
        return self._directory

    @property
    def slug(self) -> str:
        """The drill's name: that of its directory."""
        return self._directory.name

    @property
    def checks(self) -> tuple[str, ...]:
        return tuple(goal.check for goal in self.expect)

    @property
    def broken_checks(self) -> frozenset[str]:
        """The goals that are not reached after the break."""
        return frozenset(goal.check for goal in self.expect if goal.broken)

    @property
    def reset_steps(self) -> tuple[Step, ...]:
        """What puts the lab back, whatever the student did."""
        return undo(self.breaks) if self.reset is None else resolved(self.reset, self.breaks, self.solve)


SECTIONS = (Drill, Text, Needs, Answer, Question, Symptom, Goal, Step)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of drill.yml, for editors."""
    schema = Drill.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "labctl/drill/v2", **schema}
