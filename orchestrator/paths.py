"""Where everything lies: labctl's own data files, a lab's state directory, the cache shared by all labs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def data(*parts: str) -> Path:
    """The path of a data file or directory that ships with labctl (`roles`, `playbooks/site.yml`, ...).

    A wheel carries them under orchestrator/_data; in a checkout they lie beside the package. Raises
    FileNotFoundError naming both places when neither has it.
    """
    installed = _PACKAGE / "_data"
    root = installed if installed.is_dir() else _PACKAGE.parent
    path = root.joinpath(*parts)
    if not path.exists():
        raise FileNotFoundError(
            f"labctl's data file {'/'.join(parts)} is not in {root}: this installation is incomplete"
        )
    return path


def cache_dir() -> Path:
    """The cache for node images, bundles and boxes, made with mode 0700.

    LABCTL_CACHE names it; otherwise it is `labctl` under XDG_CACHE_HOME or ~/.cache.
    """
    named = os.environ.get("LABCTL_CACHE")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    path = Path(named) if named else base / "labctl"
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def runtime_dir() -> Path:
    """A short directory, mode 0700, for sockets: socket paths end at 108 bytes, lab directories may be deep."""
    uid = os.getuid()
    base = (
        Path("/run/labctl") if uid == 0 else Path(os.environ.get("XDG_RUNTIME_DIR") or f"/tmp/labctl-{uid}") / "labctl"
    )
    base.mkdir(parents=True, exist_ok=True, mode=0o700)
    return base


@dataclass(frozen=True)
class LabDir:
    """The state directory of one lab: `.labctl/<name>/` beside lab.yml. Only `create` touches the disk."""

    root: Path

    @classmethod
    def beside(cls, lab_file: Path, name: str) -> LabDir:
        """The state directory of the lab `name` whose lab.yml is, or would be, `lab_file`."""
        return cls(lab_file.resolve().parent / ".labctl" / name)

    def create(self) -> None:
        """Make the directory and its parts, all mode 0700."""
        for path in (self.root.parent, self.root, self.ssh, self.runs, self.reports, self.bin):
            path.mkdir(exist_ok=True, mode=0o700)

    @property
    def plan(self) -> Path:
        return self.root / "plan.json"

    @property
    def plan_copy(self) -> Path:
        """A second copy of the plan: without it, a lab whose plan.json was lost would be planned, and made, anew."""
        return self.root / "plan.copy.json"

    @property
    def identity(self) -> Path:
        return self.root / "identity.json"

    @property
    def source_access(self) -> Path:
        return self.root / "source.json"

    @property
    def calico_manifest(self) -> Path:
        return self.root / "calico.yaml"

    @property
    def journal(self) -> Path:
        return self.root / "journal.jsonl"

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    @property
    def ssh(self) -> Path:
        return self.root / "ssh"

    @property
    def private_key(self) -> Path:
        return self.ssh / "id_ed25519"

    @property
    def public_key(self) -> Path:
        return self.ssh / "id_ed25519.pub"

    @property
    def node_key(self) -> Path:
        """The private key that leads from one node to the others; it does not open them from anywhere else."""
        return self.ssh / "nodes_ed25519"

    @property
    def known_hosts(self) -> Path:
        return self.ssh / "known_hosts"

    @property
    def kubeconfig(self) -> Path:
        return self.root / "kubeconfig"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    @property
    def bin(self) -> Path:
        return self.root / "bin"

    @property
    def log(self) -> Path:
        return self.root / "labctl.log"


def write_private(path: Path, text: str) -> None:
    """Replace a file by one of mode 0600 in one step."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
    fresh.replace(path)


def write_private_copy(source: Path, target: Path) -> Path:
    """Replace `target` by a copy of a text file, mode 0600; returns `target`."""
    write_private(target, source.read_text(encoding="utf-8"))
    return target
