"""`labctl` alone: what there is in this folder, and what to type next."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import SpecError
from orchestrator.lab.duration import in_words
from orchestrator.lab.node_status import LastVerify, last_verify
from orchestrator.lab.pending import pending_operation
from orchestrator.lab.state import Lab, lab_file, open_lab

Commands = tuple[tuple[str, str], ...]

_NO_LAB: Commands = (
    ("labctl plan", "see every decision; nothing is started"),
    ("labctl provision", "make the lab and verify it"),
)
_INIT: Commands = (("labctl init", "write a lab.yml after five questions; without one the defaults are taken"),)
_LIVE: Commands = (
    ("labctl ssh {node}", "open a shell on a node"),
    ("labctl kubectl -- get nodes", "ask the cluster"),
    ("labctl drill list", "learn by breaking and repairing"),
    ("labctl halt", "stop the machines and keep them"),
)
_BARE: Commands = (_LIVE[0], ("labctl packages install PACKAGE", "install more on the nodes"), _LIVE[-1])


@dataclass(frozen=True)
class NextSteps:
    """One sentence on what there is, and commands with what each does, the one to begin with first."""

    state: str
    commands: Commands


def next_steps(now: float | None = None) -> NextSteps:
    """What the files of this folder tell; no machine is asked. `now` is in seconds of the epoch."""
    try:
        lab = open_lab(None)
    except SpecError as problem:
        if (Path.cwd() / ".labctl").exists():
            return NextSteps(problem.message, ((problem.fix.split("   ")[0], "goes on from here"),))
        has_file = lab_file(None).exists()
        state = "lab.yml is here, and no lab yet" if has_file else "there is no lab in this folder"
        return NextSteps(state, _NO_LAB if has_file else (*_INIT, *_NO_LAB))
    plan = lab.plan
    version = f"Kubernetes {plan.kubernetes.version}" if plan.kubernetes else "no Kubernetes"
    what = f"{plan.name}: {len(plan.nodes)} machines by {plan.provider}, {version}"
    verified = last_verify(lab.directory)
    age = in_words((now or time.time()) - verified.at) if verified else ""
    if pending := pending_operation(lab.directory):
        finish = (pending.command, f"finish the {pending.verb} that was interrupted")
        return NextSteps(f"{what}; {pending.verb} was interrupted", (finish,))
    verdict, begin = _verdict(verified, age)
    usual = _LIVE if plan.kubernetes else _BARE
    return NextSteps(f"{what}; {verdict}", (*begin, *((_fill(command, lab), does) for command, does in usual)))


def _verdict(verified: LastVerify | None, age: str) -> tuple[str, Commands]:
    """What the last verify found, and the command that comes first because of it."""
    if verified is None:
        return "never verified", (("labctl provision", "complete the lab and verify it"),)
    if not verified.ok:
        found = f"{len(verified.failed)} checks failed" if verified.failed else "not every check ran"
        return f"{found} {age} ago", (("labctl verify", "see what is wrong now, with the fix"),)
    return f"verified {age} ago", (("labctl status", "see machines, nodes and what changed since"),)


def _fill(command: str, lab: Lab) -> str:
    return command.format(node=lab.plan.nodes[-1].name)
