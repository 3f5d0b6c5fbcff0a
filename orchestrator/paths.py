"""Where files are and how they are replaced: labctl's data, a lab's state directory, the cache shared by all labs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

_PACKAGE = Path(__file__).resolve().parent


def data(*parts: str) -> Path:
    """The path of a data file or directory that ships with labctl (`roles`, `playbooks/site.yml`, ...).

    A wheel has them under orchestrator/_data, a checkout beside the package. Raises FileNotFoundError for a file that
    is in neither.
    """
    installed = _PACKAGE / "_data"
    root = installed if installed.is_dir() else _PACKAGE.parent
    path = root.joinpath(*parts)
    if not path.exists():
        raise FileNotFoundError(
            f"labctl's data file {'/'.join(parts)} is not in {root}: the installation is incomplete"
        )
    return path


def is_installed() -> bool:
    """Whether labctl runs from a wheel, whose data is not the user's to change, and not from a checkout."""
    return (_PACKAGE / "_data").is_dir()


def cache_dir() -> Path:
    """The cache for node images, bundles and boxes, created with mode 0700.

    LABCTL_CACHE names it; otherwise it is `labctl` under XDG_CACHE_HOME or ~/.cache.
    """
    named = os.environ.get("LABCTL_CACHE")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    path = Path(named) if named else base / "labctl"
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def bundle_dir(bundle_id: str) -> Path:
    """Where the bundle of this id lies, or will lie."""
    return cache_dir() / "bundles" / bundle_id


def runtime_dir() -> Path:
    """A short directory, mode 0700, for sockets: socket paths end at 108 bytes, lab directories may be deep."""
    uid = os.getuid()
    base = (
        Path("/run/labctl") if uid == 0 else Path(os.environ.get("XDG_RUNTIME_DIR") or f"/tmp/labctl-{uid}") / "labctl"
    )
    base.mkdir(parents=True, exist_ok=True, mode=0o700)
    return base


class _Part:
    """A path below the root of a LabDir."""

    def __init__(self, *parts: str) -> None:
        self._parts = parts

    def __get__(self, lab: LabDir, owner: type[LabDir]) -> Path:
        return lab.root.joinpath(*self._parts)


@dataclass(frozen=True)
class LabDir:
    """The state directory of one lab: `.labctl/<name>/` beside lab.yml. Only `create` touches the disk."""

    root: Path

    plan = _Part("plan.json")
    # A lab whose plan.json is lost would be planned, and created, again.
    plan_copy = _Part("plan.copy.json")
    identity = _Part("identity.json")
    source_access = _Part("source.json")
    # What the roles read when they last brought the lab to its plan, as a digest.
    converged = _Part("converged")
    journal = _Part("journal.jsonl")
    lock = _Part("lock")
    ssh = _Part("ssh")
    private_key = _Part("ssh", "id_ed25519")
    public_key = _Part("ssh", "id_ed25519.pub")
    # For SSH from one node to another; the nodes refuse it from anywhere else.
    node_key = _Part("ssh", "nodes_ed25519")
    # The hash of root's password, where lab.yml gives one.
    root_password = _Part("ssh", "root_password")
    known_hosts = _Part("ssh", "known_hosts")
    kubeconfig = _Part("kubeconfig")
    runs = _Part("runs")
    reports = _Part("reports")
    bin = _Part("bin")
    log = _Part("labctl.log")

    @classmethod
    def beside(cls, lab_file: Path, name: str) -> LabDir:
        """The state directory of the lab `name` whose lab.yml is, or would be, `lab_file`."""
        return cls(lab_file.resolve().parent / ".labctl" / name)

    def create(self) -> None:
        """Create the directory and its parts, all mode 0700."""
        for path in (self.root.parent, self.root, self.ssh, self.runs, self.reports, self.bin):
            path.mkdir(exist_ok=True, mode=0o700)


@contextmanager
def replacing(path: Path, mode: int = 0o600) -> Iterator[IO[bytes]]:
    """A stream whose content replaces the file in one step when the block ends, and never when it raises."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(fresh, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, mode), "wb") as stream:
            os.fchmod(stream.fileno(), mode)
            yield stream
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file; an empty one when the file is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def write_private(path: Path, text: str) -> None:
    """Replace a file by one of mode 0600 in one step."""
    with replacing(path) as stream:
        stream.write(text.encode())


def write_private_copy(source: Path, target: Path) -> Path:
    """Replace `target` by a copy of a text file, mode 0600; returns `target`."""
    write_private(target, source.read_text(encoding="utf-8"))
    return target
