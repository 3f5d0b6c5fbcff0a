"""`labctl tutorial`: ten minutes from the plan to the first solved drill, as steps of real commands."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from orchestrator import proc
from orchestrator.drills.catalog import lab_names
from orchestrator.drills.progress import Attempt
from orchestrator.errors import SpecError
from orchestrator.lab.drill_progress import read_progress
from orchestrator.lab.node_status import last_verify
from orchestrator.lab.pending import pending_operation
from orchestrator.lab.result import Result
from orchestrator.lab.state import Lab, open_lab
from orchestrator.lab.yaml_text import load_yaml

DRILL = "kubelet-down"
# `drill hint` adds a hint each time, and systemctl says by its exit code that the kubelet is down.
_MAY_FAIL = ("is-active",)
_STEPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("plan", ("plan",)),
    ("provision", ("provision {yes}",)),
    ("status", ("status",)),
    ("nodes", ("kubectl -- get nodes -o wide",)),
    ("start", (f"drill start {DRILL} {{lang}}",)),
    ("look", ("kubectl -- get nodes", "kubectl -- -n drill get pods -o wide")),
    ("hint", ("drill hint {lang}",)),
    ("find", ("ssh {worker} -- systemctl is-active kubelet",)),
    (
        "repair",
        (
            "ssh {worker} -- sudo systemctl start kubelet",
            "kubectl -- wait --for=condition=Ready node --all --timeout=60s",
            "kubectl -- -n drill wait --for=delete pod/nginx --timeout=60s",
        ),
    ),
    ("check", ("drill check {lang}",)),
    ("reset", ("drill reset {lang}",)),
    ("end", ()),
)


@dataclass(frozen=True)
class TutorialStep:
    """One step: what it teaches, and the commands after `labctl`."""

    name: str
    text: str
    commands: tuple[str, ...]


@dataclass(frozen=True)
class Tutorial(Result):
    """All steps in a language, and the number of the one to go on with, counted from 0."""

    language: str
    first: int
    steps: tuple[TutorialStep, ...]
    schema = "labctl/tutorial/v1"


@dataclass(frozen=True)
class Situation:
    """Where a reader is; `attempt` is the drill that is open, `is_solved` is about the one of the tutorial."""

    has_lab: bool = False
    is_verified: bool = False
    attempt: Attempt | None = None
    is_solved: bool = False


def tutorial(language: str, *, yes: bool) -> Tutorial:
    """The tutorial for the lab of this folder, or for one to be made here. Raises SpecError where it cannot be."""
    try:
        lab: Lab | None = open_lab(None)
    except SpecError as problem:
        if not problem.message.startswith("there is no lab"):
            raise
        lab = None
    if lab and lab.plan.kubernetes is None:
        what = f"the tutorial takes a lab with Kubernetes, {lab.plan.name} has none"
        raise SpecError(what, fix="mkdir first && cd first, then labctl tutorial")
    names = lab_names(lab.plan) if lab else {"worker": "w3-k8s"}
    gaps = {"worker": names["worker"], "lang": f"--lang {language}", "yes": "--yes" if yes else ""}
    steps = tuple(
        TutorialStep(name, say(name, language), tuple(" ".join(one.format(**gaps).split()) for one in commands))
        for name, commands in _STEPS
    )
    first = first_step(situation(lab))
    return Tutorial(language, [step.name for step in steps].index(first), steps)


def situation(lab: Lab | None) -> Situation:
    """Where the reader of this lab is, by its files alone."""
    if lab is None:
        return Situation()
    verified, progress = last_verify(lab.directory), read_progress(lab)
    complete = verified is not None and pending_operation(lab.directory) is None
    is_solved = DRILL in progress.records and progress.records[DRILL].solved > 0
    return Situation(True, complete and bool(verified and verified.ok), progress.current, is_solved)


def first_step(now: Situation) -> str:
    """The step to go on with. Raises SpecError when another drill is open."""
    if not now.has_lab:
        return "plan"
    if now.attempt is None:
        return "end" if now.is_solved else "status" if now.is_verified else "provision"
    if now.attempt.slug != DRILL:
        what = f"the drill {now.attempt.slug} is open, the tutorial is about {DRILL}"
        raise SpecError(what, fix="labctl drill reset, then labctl tutorial")
    if now.attempt.phase == "starting":
        return "start"
    if now.attempt.phase != "open":
        return "reset"
    return "find" if now.attempt.hints else "look"


def say(key: str, language: str) -> str:
    """A text of the tutorial."""
    return _texts()[key][language]


@cache
def _texts() -> Mapping[str, Mapping[str, str]]:
    text = files("orchestrator.verbs").joinpath("tutorial.yml").read_text(encoding="utf-8")
    texts: Mapping[str, Mapping[str, str]] = load_yaml(text)
    return texts


def run(command: str) -> int:
    """Run a command of labctl on this terminal; its exit code, 0 for one that may say no."""
    words = command.split()
    code = proc.foreground([sys.executable, "-m", "orchestrator.cli", *words])
    return 0 if any(word in _MAY_FAIL for word in words) else code
