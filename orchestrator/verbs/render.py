"""`labctl render`: write what a lab would be made from (Vagrantfile, inventory, plan) and start nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator import catalog, inventory, paths
from orchestrator.errors import HostError
from orchestrator.lab import planning
from orchestrator.lab.observe import observe
from orchestrator.model import Node, NodePlan, Plan
from orchestrator.paths import LabDir
from orchestrator.plan import plan as make_plan
from orchestrator.providers import registry
from orchestrator.spec import Spec


@dataclass(frozen=True)
class Rendered:
    """What was written: the plan, the files, and what the reader has to know about them."""

    plan: Plan
    files: tuple[Path, ...]
    notes: tuple[str, ...]


def document(done: Rendered) -> dict[str, Any]:
    """The result as the one document `labctl/render/v1`."""
    return {
        "schema": "labctl/render/v1",
        "lab": done.plan.name,
        "provider": done.plan.provider,
        "files": [str(path) for path in done.files],
        "notes": list(done.notes),
    }


def decide(asked: Spec) -> Plan:
    """The plan of files alone: nothing about this host stands in its way. Raises SpecError."""
    return make_plan(asked, catalog.load(), observe(asked, planning.directory_of(asked)), "render")


def preview(asked: Spec, to: Path) -> list[str]:
    """What would be written (--dry-run)."""
    return [f"write {to / name}" for name in _texts(decide(asked), planning.directory_of(asked))]


def render(asked: Spec, to: Path) -> Rendered:
    """Write the files to the directory `to`, made if need be. Raises SpecError, HostError."""
    plan = decide(asked)
    texts = _texts(plan, planning.directory_of(asked))
    try:
        to.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (to / name).write_text(text, encoding="utf-8")
    except OSError as problem:
        raise HostError(
            f"cannot write to {to}: {problem.strerror}", fix="labctl render --to another directory"
        ) from None
    return Rendered(plan, tuple(to / name for name in texts), _notes(plan, to))


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
    """The inventory that a provision of this plan would use, as Ansible's YAML."""
    listed = inventory.build(
        plan,
        [_expected(plan, node) for node in plan.nodes],
        registry.provider(plan.provider).capabilities(plan),
        None,
        private_key=directory.private_key,
        known_hosts=directory.known_hosts,
        control_dir=paths.runtime_dir() / plan.uuid[:8],
    )
    return to_yaml(inventory.as_file(listed))


def _expected(plan: Plan, node: NodePlan) -> Node:
    """A node as it will be reached."""
    user, address, port = registry.ssh_endpoint(plan, node)
    return Node(node.name, "running", ssh_host=address, ssh_port=port, ssh_user=user)


def to_yaml(tree: Mapping[str, Any]) -> str:
    """Block style YAML, keys in the order given."""
    import io

    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.width = 160
    out = io.StringIO()
    yaml.dump(tree, out)
    return out.getvalue()
