"""`labctl cp`: files between this host and nodes, or between nodes."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator import paths, proc
from orchestrator.errors import SpecError
from orchestrator.lab.node_access import running_nodes
from orchestrator.lab.node_selection import select_nodes
from orchestrator.lab.result import Result
from orchestrator.lab.state import Lab
from orchestrator.providers.ssh_access import ssh_config

TIMEOUT_SECONDS = 3600


@dataclass(frozen=True)
class Copy:
    """One call of scp: `sources` and `target` as scp takes them."""

    sources: tuple[str, ...]
    target: str

    def __str__(self) -> str:
        return f"copy {', '.join(self.sources)} to {self.target}"


@dataclass(frozen=True)
class Copied(Result):
    """The copies that were made."""

    copied: tuple[Copy, ...]
    schema = "labctl/cp/v1"


@dataclass(frozen=True)
class _Place:
    """One place of the command line: a path on this host (no nodes) or on nodes."""

    text: str
    nodes: tuple[str, ...]
    path: str

    def for_scp(self, node: str = "") -> str:
        """The place as scp takes it; a local name with a colon would be read as a host."""
        if node:
            return f"{node}:{self.path}"
        return f"./{self.path}" if ":" in self.path and not self.path.startswith(("/", ".")) else self.path


def plan_copies(lab: Lab, places: Sequence[str]) -> tuple[Copy, ...]:
    """The copies that a command line asks for.

    `PATTERN:PATH` is on nodes, anything else on this host; the last place is the target. Raises SpecError for a pattern
    without a node, a source on several nodes, a missing file, and a copy from this host to itself.
    """
    if len(places) < 2:
        raise SpecError("cp needs a source and a target", fix="labctl cp FILE w1-k8s:/tmp/")
    *sources, target = (_parse(lab, text) for text in places)
    for source in sources:
        if len(source.nodes) > 1:
            names = ", ".join(source.nodes)
            raise SpecError(f"{source.text} is on {len(source.nodes)} nodes; a source is on one", fix=f"one of {names}")
    if not any(place.nodes for place in (*sources, target)):
        raise SpecError("neither side is on a node", fix="labctl cp FILE NODE:PATH, or labctl cp NODE:PATH FILE")
    if missing := [source.text for source in sources if not source.nodes and not Path(source.path).exists()]:
        raise SpecError(f"not on this host: {', '.join(missing)}", fix="name a file that exists")
    arguments = tuple(source.for_scp(*source.nodes) for source in sources)
    return tuple(Copy(arguments, target.for_scp(node)) for node in target.nodes or ("",))


def copy_files(lab: Lab, places: Sequence[str]) -> Copied:
    """Make the copies, one after the other.

    Raises as `plan_copies`, ProviderError for a node that does not run, SpecError when scp fails.
    """
    copies = plan_copies(lab, places)
    names = dict.fromkeys(name for text in places for name in _parse(lab, text).nodes)
    nodes = running_nodes(lab, ",".join(names))
    with tempfile.TemporaryDirectory(prefix="labctl-", dir=paths.runtime_dir()) as directory:
        config = Path(directory, "config")
        config.write_text(ssh_config(lab.directory, nodes), encoding="utf-8")
        for copy in copies:
            # -3: between two nodes the bytes go through this host, which alone can log in to both.
            argv = ["scp", "-q", "-r", "-p", "-3", "-F", str(config), "--", *copy.sources, copy.target]
            try:
                proc.run(argv, timeout=TIMEOUT_SECONDS)
            except proc.ProcessFailed as problem:
                raise SpecError(
                    f"cannot {copy}: {problem.result.tail}", fix="check both paths, labctl status"
                ) from None
    return Copied(copies)


def _parse(lab: Lab, text: str) -> _Place:
    pattern, colon, path = text.partition(":")
    if not colon or "/" in pattern:
        return _Place(text, (), text)
    return _Place(text, tuple(node.name for node in select_nodes(lab.plan, pattern)), path or ".")
