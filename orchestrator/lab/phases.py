"""The phases of a provision, in their order, and which of them a run goes through (`--from`, `--until`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orchestrator import paths
from orchestrator.errors import SpecError
from orchestrator.paths import LabDir

# What each does. The five in the middle are playbooks.
PHASES: dict[str, str] = {
    "machines": "create or start the machines and reach them by SSH",
    "prepare": "names, package source, swap, SELinux, kernel settings",
    "runtime": "container runtime, images, kubeadm, kubelet and kubectl",
    "control_plane": "kubeadm init",
    "workers": "kubeadm join, all workers at once",
    "network": "pod network, cluster DNS, exercises; every node Ready",
    "kubeconfig": "kubeconfig and kubectl on this host",
    "verify": "verify the lab",
}
PLAYBOOKS = ("prepare", "runtime", "control_plane", "workers", "network")


@dataclass(frozen=True)
class PhaseRange:
    """The phases from `first` to `last`, both included."""

    first: str = "machines"
    last: str = "verify"

    def __post_init__(self) -> None:
        for option, name in (("--from", self.first), ("--until", self.last)):
            if name not in PHASES:
                raise SpecError(f"{option} {name}: no such phase", fix=f"one of: {', '.join(PHASES)}")
        if not self.names:
            raise SpecError(
                f"--from {self.first} comes after --until {self.last}: there is nothing between them",
                fix=f"the order is: {', '.join(PHASES)}",
            )

    @property
    def names(self) -> tuple[str, ...]:
        order = list(PHASES)
        return tuple(order[order.index(self.first) : order.index(self.last) + 1])

    @property
    def playbooks(self) -> tuple[str, ...]:
        return tuple(name for name in PLAYBOOKS if name in self.names)

    @property
    def remaining(self) -> tuple[str, ...]:
        """The phases after the last one."""
        return tuple(PHASES)[list(PHASES).index(self.last) + 1 :]


ALL_PHASES = PhaseRange()


def playbook(phases: PhaseRange, directory: LabDir) -> str | Path:
    """What Ansible is to run for these phases: site.yml, or a file in the lab's state that imports a part of it."""
    if phases.playbooks == PLAYBOOKS:
        return "site.yml"
    file = directory.root / "phases.yml"
    names = [paths.data("playbooks", f"{name}.yml") for name in phases.playbooks]
    plays = "".join(f"- ansible.builtin.import_playbook: {name}\n" for name in names)
    file.write_text(f"---\n{plays}", encoding="utf-8")
    return file
