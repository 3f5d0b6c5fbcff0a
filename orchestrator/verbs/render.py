"""`labctl render`: the files a lab is created from (Vagrantfile, inventory, plan); nothing is started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator import catalog, inventory, paths
from orchestrator.errors import HostError
from orchestrator.lab import planning
from orchestrator.lab.observe import observe
from orchestrator.lab.yaml_text import dump_yaml
from orchestrator.model import Node, NodePlan, Plan
from orchestrator.paths import LabDir
from orchestrator.plan import plan as make_plan
from orchestrator.providers import registry
from orchestrator.spec import Spec


@dataclass(frozen=True)
class Rendered:
    """The files that were written, and notes on how to use them."""

    plan: Plan
    files: tuple[Path, ...]
    notes: tuple[str, ...]
    schema = "labctl/render/v1"

    def as_dict(self) -> Mapping[str, Any]:
        """The body of the document."""
        files = [str(path) for path in self.files]
        return {"lab": self.plan.name, "provider": self.plan.provider, "files": files, "notes": list(self.notes)}


def preview(spec: Spec, to: Path) -> list[str]:
    """What `render` would write. Raises SpecError."""
    return [f"write {to / name}" for name in _texts(_plan(spec), planning.directory_of(spec))]


def render(spec: Spec, to: Path) -> Rendered:
    """Write the files to the directory `to`, which is created when it is missing. Raises SpecError, HostError."""
    plan = _plan(spec)
    texts = _texts(plan, planning.directory_of(spec))
    try:
        to.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            with paths.replacing(to / name, 0o644) as stream:
                stream.write(text.encode())
    except OSError as problem:
        raise HostError(f"{to} cannot be written: {problem.strerror}", fix="labctl render --to DIRECTORY") from None
    return Rendered(plan, tuple(to / name for name in texts), _notes(plan, to))


def _plan(spec: Spec) -> Plan:
    """The plan of files alone, which nothing about this host can refuse. Raises SpecError."""
    return make_plan(spec, catalog.load(), observe(spec, planning.directory_of(spec)), "render")


def _texts(plan: Plan, directory: LabDir) -> Mapping[str, str]:
    """File name -> content."""
    texts = {"plan.json": plan.as_json(), "inventory.yml": _inventory(plan, directory)}
    return {**registry.provider(plan.provider).rendering(plan, directory.root).files, **texts}


def _notes(plan: Plan, to: Path) -> tuple[str, ...]:
    guest = catalog.load().guest(plan.guest)
    notes = list(registry.provider(plan.provider).rendering(plan, to).notes)
    if guest is not None and not guest.converge:
        notes.append(f"{guest.title} can be created but not set up: {guest.refused.strip()}")
    return tuple(notes)


def _inventory(plan: Plan, directory: LabDir) -> str:
    """The inventory of a provision of this plan, as an inventory file."""
    listed = inventory.build(
        plan,
        [_expected(plan, node) for node in plan.nodes],
        registry.provider(plan.provider).capabilities(plan),
        None,
        private_key=directory.private_key,
        known_hosts=directory.known_hosts,
        control_dir=paths.runtime_dir() / plan.uuid[:8],
    )
    return dump_yaml(inventory.as_file(listed))


def _expected(plan: Plan, node: NodePlan) -> Node:
    """A node as it will be reached."""
    user, address, port = registry.ssh_endpoint(plan, node)
    return Node(node.name, "running", ssh_host=address, ssh_port=port, ssh_user=user)
