"""The model of drill.yml: every key, its type, and what a single value must be."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from orchestrator.model import ProviderName

LANGUAGES = ("en", "ko")
# What a text or a kubectl line may name; labctl puts the lab's own names there.
PLACEHOLDERS = ("control_plane", "control_plane_address", "worker", "worker_address", "first_worker")

_HANGUL = re.compile("[가-힣]")
_NAMED = re.compile(r"\{([a-z_]+)\}")


def _refuse(what: str, fix: str) -> PydanticCustomError:
    return PydanticCustomError("labctl", "{what}", {"what": what, "fix": fix})


def _text(value: str) -> str:
    if not value.strip():
        raise _refuse("is empty", "write a sentence")
    for name in _NAMED.findall(value):
        if name not in PLACEHOLDERS:
            raise _refuse(f"names {{{name}}}, which is nothing of the lab", f"one of: {', '.join(PLACEHOLDERS)}")
    return value.strip()


def _korean(value: str) -> str:
    if not _HANGUL.search(value):
        raise _refuse("has no Korean in it", "translate the English text")
    return _text(value)


def _expression(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise _refuse(f"is no regular expression: {error}", "for example ^True$") from None
    return value


def _check_id(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9_]+\.[a-z0-9_]+", value):
        raise _refuse(f"{value[:60]!r} is no check id", "for example kubelet.running, or drill.NAME of grade.py")
    return value


class Section(BaseModel):
    """A block of keys: what is not in the model is refused, nothing is converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Text(Section):
    """A text in every language."""

    en: Annotated[str, AfterValidator(_text)] = Field(description="the text in English")
    ko: Annotated[str, AfterValidator(_korean)] = Field(description="the text in Korean")


class Needs(Section):
    """The labs on which the drill can be run."""

    workers: int = Field(1, ge=0, le=20, description="smallest number of workers")
    providers: tuple[ProviderName, ...] = Field(
        get_args(ProviderName), min_length=1, description="providers whose machines allow it"
    )
    runtime: Literal["docker", "containerd"] | None = Field(None, description="the container runtime, when it matters")
    cni: Literal["bridge_cni", "calico"] | None = Field(None, description="the pod network, when it matters")
    dns: Literal["dnsmasq", "coredns"] | None = Field(None, description="the cluster's DNS server, when it matters")


class Answer(Section):
    """How labctl knows the right answer: it asks the cluster, or it knows some words."""

    kubectl: str | None = Field(None, description="kubectl arguments that print the right answer")
    accept: tuple[str, ...] = Field((), description="words of which the answer must contain one; case does not count")


class Observation(Section):
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
    """One thing that must be right in the end."""

    check: Annotated[str, AfterValidator(_check_id)] = Field(
        description="a check of `labctl verify`, or drill.NAME of grade.py"
    )
    say: Text


class Proof(Section):
    """What the tests of the drill expect."""

    fails: tuple[Annotated[str, AfterValidator(_check_id)], ...] = Field(
        min_length=1, description="goals that are not reached after inject"
    )
    recovery: int = Field(60, ge=1, le=300, description="seconds until all goals are reached after the solution")


class DrillFile(Section):
    """A drill as its drill.yml describes it."""

    version: int = Field(ge=1, le=1, description="version of this format")
    proved: bool = Field(False, description="whether its proof has passed on a real lab; others are not listed")
    title: Text
    section: str = Field("", max_length=40, description="section of the course, such as 3.1.6")
    level: int = Field(ge=1, le=3, description="1 first steps, 2 needs some knowledge, 3 hard")
    minutes: int = Field(ge=1, le=120, description="time that a student may need")
    teaches: Text
    needs: Needs = Field(Needs(), description="where it can be run")
    task: Text
    hints: tuple[Text, ...] = Field(min_length=3, max_length=3, description="three hints, the last nearly the solution")
    observe: tuple[Observation, ...] = Field((), max_length=5, description="questions about what can be seen")
    power_off: bool = Field(False, description="labctl switches the drill's worker off after inject")
    symptom: Symptom | None = Field(None, description="what labctl waits for after inject")
    grade: tuple[Goal, ...] = Field(min_length=1, max_length=10, description="what must be right in the end")
    explain: Text
    proof: Proof


def json_schema() -> dict[str, Any]:
    """The JSON Schema of drill.yml, for editors."""
    schema = DrillFile.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "labctl/drill/v1", **schema}
