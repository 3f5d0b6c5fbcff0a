"""Runs Vagrant in a lab's directory: its output as steps, its failures with cause, fix and log."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator import proc
from orchestrator.errors import ProviderError
from orchestrator.events import Emit
from orchestrator.model import ProviderName
from orchestrator.paths import LabDir, read_json, write_private
from orchestrator.providers.base import LabIdentity
from orchestrator.providers.vagrant import output
from orchestrator.providers.vagrant.hypervisor import Machine

UP_SECONDS = 3600
LIST_SECONDS = 120
# Whatever else is called differently: a user's own snapshots are never touched.
SNAPSHOT_PREFIX = "labctl."


@dataclass(frozen=True)
class Vagrant:
    """Vagrant for one lab and provider; `nodes` are the names of the lab's machines."""

    provider: ProviderName
    lab: LabDir
    nodes: Sequence[str]
    emit: Emit
    phase: str

    def run(self, *words: str, seconds: float = UP_SECONDS) -> None:
        """Run a Vagrant command. Raises ProviderError."""
        reader = output.Reader(self.phase, self.nodes)
        log = self.lab.root / "vagrant.log"

        def report(line: str) -> None:
            if step := reader.step(line):
                self.emit(step)

        argv = ["vagrant", *words, "--machine-readable"]
        env, cwd = self.environment, self.lab.root
        try:
            result = proc.stream(argv, report, timeout=seconds, log=log, check=False, env=env, cwd=cwd)
        except proc.ProcessFailed as problem:
            raise ProviderError(f"vagrant {words[0]}: {problem}", fix="labctl provision", log=log) from problem
        if not result.ok:
            error = output.failure(words[0], "\n".join(reader.errors) or result.tail, reader.failed_node)
            error.log = log
            raise error

    def list_snapshots(self) -> list[str]:
        """Names of the snapshots that the lab's machines have."""
        argv = ["vagrant", "snapshot", "list", "--machine-readable"]
        listed = proc.run(argv, timeout=LIST_SECONDS, check=False, env=self.environment, cwd=self.lab.root)
        return output.snapshot_names(listed.stdout)

    @property
    def environment(self) -> dict[str, str]:
        """What Vagrant gets besides its command line; the user's own settings must not lead it elsewhere."""
        return {
            "VAGRANT_CWD": str(self.lab.root),
            "VAGRANT_DOTFILE_PATH": ".vagrant",
            "VAGRANT_VAGRANTFILE": "Vagrantfile",
            "VAGRANT_DEFAULT_PROVIDER": self.provider,
            "VAGRANT_CHECKPOINT_DISABLE": "1",
        }


def notes(provider: ProviderName, lab: LabDir, node: str) -> Path:
    """Where Vagrant keeps what it knows of a machine."""
    return lab.root / ".vagrant" / "machines" / node / provider


def relink(provider: ProviderName, lab: LabDir, machines: Iterable[Machine]) -> None:
    """Write Vagrant's notes again where they are lost, so that it neither makes machines twice nor forgets them."""
    for machine in machines:
        place = notes(provider, lab, machine.node)
        if not (place / "id").exists():
            place.mkdir(parents=True, exist_ok=True)
            (place / "id").write_text(machine.id, encoding="ascii")
            (place / "creator_uid").write_text(str(os.getuid()), encoding="ascii")
        if not (place / "private_key").exists():
            write_private(place / "private_key", lab.private_key.read_text(encoding="ascii"))


def without_own_key(provider: ProviderName, lab: LabDir, names: Iterable[str]) -> list[str]:
    """Those of the machines that still have the key which is in every box, so that anybody could log in."""
    return [name for name in names if not (notes(provider, lab, name) / "private_key").exists()]


def unkept(names: Collection[str], kept: Collection[str]) -> list[str]:
    """Those of the snapshots that labctl made and nobody keeps."""
    ours = (name for name in names if name.startswith(SNAPSHOT_PREFIX))
    return sorted(name for name in ours if name.removeprefix(SNAPSHOT_PREFIX) not in kept)


def is_state_of(identity: LabIdentity) -> bool:
    """Whether the lab's state directory is still this lab's, and Vagrant could work in it."""
    lab = identity.directory
    usable = (lab.root / "Vagrantfile").exists() and (lab.root / ".vagrant").exists() and shutil.which("vagrant")
    return bool(read_json(lab.identity).get("uuid") == identity.uuid and usable)
