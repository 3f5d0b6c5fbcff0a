"""The phases of a provision, in their order, and which of them a run goes through (`--from`, `--until`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orchestrator import paths
from orchestrator.errors import SpecError
from orchestrator.paths import LabDir

# What each does. The five in the middle are playbooks.
PHASES: dict[str, str] = {
    "machines": "make or start the machines and reach them by SSH",
    "prepare": "names, package source, swap, SELinux, kernel settings",
    "runtime": "container runtime, images, kubeadm, kubelet and kubectl",
    "control_plane": "kubeadm init",
    "workers": "kubeadm join, all workers at once",
    "network": "pod network, cluster DNS, exercises; every node Ready",
    "kubeconfig": "kubeconfig and kubectl on this host",
    "verify": "prove the lab",
}
PLAYBOOKS = ("prepare", "runtime", "control_plane", "workers", "network")

# What the first playbooks find out about a node, for those that follow without them.
FACTS = """\
---
- name: Gather facts
  hosts: cluster
  become: true
  gather_facts: false
  tasks:
    - name: Gather facts
      ansible.builtin.import_tasks: {path}
"""


@dataclass(frozen=True)
class Span:
    """The phases from `first` to `last`, both included."""

    first: str = "machines"
    last: str = "verify"

    def __post_init__(self) -> None:
        names = list(PHASES)
        for option, name in (("--from", self.first), ("--until", self.last)):
            if name not in names:
                raise SpecError(f"{option} {name}: no such phase", fix=f"one of: {', '.join(names)}")
        if names.index(self.first) > names.index(self.last):
            raise SpecError(
                f"--from {self.first} comes after --until {self.last}: there is nothing between them",
                fix=f"the order is: {', '.join(names)}",
            )

    @property
    def whole(self) -> bool:
        return self == WHOLE

    def has(self, name: str) -> bool:
        """Whether this phase is gone through."""
        names = list(PHASES)
        return names.index(self.first) <= names.index(name) <= names.index(self.last)

    @property
    def playbooks(self) -> tuple[str, ...]:
        return tuple(name for name in PLAYBOOKS if self.has(name))

    @property
    def rest(self) -> tuple[str, ...]:
        """The phases after the last one."""
        names = list(PHASES)
        return tuple(names[names.index(self.last) + 1 :])


WHOLE = Span()


def playbook(span: Span, directory: LabDir) -> str | Path:
    """What Ansible is to run for these phases: site.yml, or a file in the lab's state that imports a part of it."""
    if span.playbooks == PLAYBOOKS:
        return "site.yml"
    file = directory.root / "phases.yml"
    plays = [f"- ansible.builtin.import_playbook: {paths.data('playbooks', f'{name}.yml')}" for name in span.playbooks]
    facts = FACTS.format(path=paths.data("playbooks", "tasks", "facts.yml"))
    file.write_text(facts + "\n".join(plays) + "\n", encoding="utf-8")
    return file
