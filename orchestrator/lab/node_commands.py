"""One command on many nodes at the same time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from typing import Any

from orchestrator import proc
from orchestrator.errors import ProviderError
from orchestrator.lab.node_access import reported_nodes
from orchestrator.lab.node_selection import select_nodes
from orchestrator.lab.state import Lab
from orchestrator.model import Node
from orchestrator.providers import ssh_access

# What ssh itself exits with when it cannot reach a node.
UNREACHABLE = 255
THREADS = 16


@dataclass(frozen=True)
class NodeResult:
    """The result of the command on one node; `error` says why it could not be run there (code 255)."""

    node: str
    code: int
    stdout: str = ""
    stderr: str = ""
    error: str = ""


@dataclass(frozen=True)
class NodeResults:
    """The results in the order of the plan; `worst` is the highest exit code among them."""

    command: str
    nodes: tuple[NodeResult, ...]
    schema = "labctl/exec/v1"

    @property
    def worst(self) -> int:
        return max(result.code for result in self.nodes)

    def as_dict(self) -> Mapping[str, Any]:
        """The body of the document."""
        return {"command": self.command, "worst": self.worst, "nodes": [asdict(result) for result in self.nodes]}


def run_on_nodes(
    lab: Lab,
    pattern: str,
    command: str,
    *,
    timeout: float,
    on_result: Callable[[NodeResult], None] = lambda result: None,
    nodes: Sequence[Node] | None = None,
) -> NodeResults:
    """Run the command on every selected node at once; `on_result` gets each result as soon as it arrives.

    `nodes` are the lab's nodes when they were observed already. Raises SpecError for a pattern that selects nothing,
    ProviderError when none of the nodes runs.
    """
    names = [node.name for node in select_nodes(lab.plan, pattern)]
    reported = {node.name: node for node in (reported_nodes(lab) if nodes is None else nodes)}
    selected = [reported.get(name, Node(name, "missing")) for name in names]
    if all(node.state != "running" for node in selected):
        states = ", ".join(f"{node.name} is {node.state}" for node in selected)
        raise ProviderError(f"no selected node runs: {states}", fix="labctl start")
    results: dict[str, NodeResult] = {}
    with ThreadPoolExecutor(THREADS) as pool:
        futures = [pool.submit(_run_on, lab, node, command, timeout) for node in selected]
        for future in as_completed(futures):
            result = future.result()
            results[result.node] = result
            on_result(result)
    return NodeResults(command, tuple(results[name] for name in names))


def _run_on(lab: Lab, node: Node, command: str, timeout: float) -> NodeResult:
    if node.state != "running":
        return NodeResult(node.name, UNREACHABLE, error=f"the machine is {node.state}")
    try:
        done = proc.run(ssh_access.ssh_argv(lab.directory, node, command=(command,)), check=False, timeout=timeout)
    except proc.ProcessFailed as problem:
        left = problem.result
        return NodeResult(node.name, UNREACHABLE, left.stdout, left.stderr, f"timed out after {timeout:.0f} s")
    code = done.code if done.code >= 0 else UNREACHABLE
    return NodeResult(node.name, code, done.stdout, done.stderr)
