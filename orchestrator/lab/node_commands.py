"""One command on many nodes at the same time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
class NodeAnswer:
    """What the command left on one node; `error` says why it could not be run there at all (code 255)."""

    node: str
    code: int
    stdout: str = ""
    stderr: str = ""
    error: str = ""


@dataclass(frozen=True)
class Answers:
    """The answers in the order of the plan; `worst` is the highest exit code among them."""

    command: str
    nodes: tuple[NodeAnswer, ...]

    @property
    def worst(self) -> int:
        return max(answer.code for answer in self.nodes)

    def as_dict(self) -> dict[str, Any]:
        """The answers as the one document `labctl/exec/v1`."""
        body = {"command": self.command, "worst": self.worst, "nodes": [asdict(answer) for answer in self.nodes]}
        return {"schema": "labctl/exec/v1", **body}


def run_on_nodes(
    lab: Lab,
    pattern: str,
    command: str,
    *,
    timeout: float,
    on_answer: Callable[[NodeAnswer], None] = lambda answer: None,
    nodes: Sequence[Node] | None = None,
) -> Answers:
    """Run the command on every selected node at once; `on_answer` gets each answer as soon as it arrives.

    `nodes` are the lab's nodes where they were observed already. Raises SpecError for a pattern that selects
    nothing, ProviderError when none of the nodes runs.
    """
    names = [node.name for node in select_nodes(lab.plan, pattern)]
    reported = {node.name: node for node in (reported_nodes(lab) if nodes is None else nodes)}
    selected = [reported.get(name, Node(name, "missing")) for name in names]
    if all(node.state != "running" for node in selected):
        states = ", ".join(f"{node.name} is {node.state}" for node in selected)
        raise ProviderError(f"no node to run it on: {states}", fix="labctl start")
    answers: dict[str, NodeAnswer] = {}
    with ThreadPoolExecutor(THREADS) as pool:
        futures = [pool.submit(_run_on, lab, node, command, timeout) for node in selected]
        for future in as_completed(futures):
            answer = future.result()
            answers[answer.node] = answer
            on_answer(answer)
    return Answers(command, tuple(answers[name] for name in names))


def _run_on(lab: Lab, node: Node, command: str, timeout: float) -> NodeAnswer:
    if node.state != "running":
        return NodeAnswer(node.name, UNREACHABLE, error=f"the machine is {node.state}")
    try:
        done = proc.run(ssh_access.ssh_argv(lab.directory, node, command=(command,)), check=False, timeout=timeout)
    except proc.ProcessFailed as problem:
        left = problem.result
        return NodeAnswer(node.name, UNREACHABLE, left.stdout, left.stderr, f"no end within {timeout:.0f} s")
    code = done.code if done.code >= 0 else UNREACHABLE
    return NodeAnswer(node.name, code, done.stdout, done.stderr)
