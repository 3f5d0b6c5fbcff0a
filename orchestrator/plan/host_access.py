"""What nodes and this host reach of each other: mounts of its folders, and ports on it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import PurePath

from orchestrator.host_access import Forward, Mount
from orchestrator.model import KubernetesPlan, NodePlan, Plan
from orchestrator.observed import ProviderState
from orchestrator.plan.diagnostics import Diagnostics

LOOPBACK = "127."


def host_access(
    state: ProviderState, nodes: Sequence[NodePlan], kubernetes: KubernetesPlan | None, diagnostics: Diagnostics
) -> tuple[tuple[Mount, ...], tuple[Forward, ...]]:
    """The folders of this host that nodes get, and their ports on this host.

    A port that somebody has is refused: it was asked for by its number.
    """
    return _mounts(state, nodes, diagnostics), _forwards(state, nodes, kubernetes, diagnostics)


def _mounts(state: ProviderState, nodes: Sequence[NodePlan], diagnostics: Diagnostics) -> tuple[Mount, ...]:
    asked = diagnostics.spec.lab.mounts
    if asked and state.traits.mounts == "none":
        what = f"labctl did not make the machines of {state.name}, and mounts nothing into them"
        diagnostics.refuse("mounts", what, "remove `mounts`; labctl cp copies folders to nodes")
        return ()
    planned = []
    for index, (mount, folder) in enumerate(zip(asked, diagnostics.observed.folders, strict=True)):
        field = f"mounts.{index}"
        _check_folder(field, mount.host, index, diagnostics)
        is_copy = state.traits.mounts == "copy"
        if mount.writable and is_copy:
            what = f"machines of {state.name} get a copy of {mount.host}; what they write never comes back"
            fix = "remove `writable`; labctl cp NODE:PATH . brings files back"
            diagnostics.refuse(f"{field}.writable", what, fix)
        names = mount.nodes if mount.nodes is not None else tuple(node.name for node in nodes)
        _refuse_unknown(field, names, nodes, diagnostics)
        planned.append(Mount(folder.path, mount.node, tuple(dict.fromkeys(names)), mount.writable))
        copied = f"{diagnostics.spec.why(field)}; a copy, which `labctl provision` refreshes" if is_copy else ""
        diagnostics.decide(field, planned[-1], copied)
    return tuple(planned)


def _check_folder(field: str, name: str, index: int, diagnostics: Diagnostics) -> None:
    """Refuse a place that is no folder, the whole host, or the lab's own secrets."""
    folder, field = diagnostics.observed.folders[index], f"{field}.host"
    place, state = PurePath(folder.path), PurePath(diagnostics.observed.owner, ".labctl")
    also = "" if name == folder.path else f" ({folder.path})"
    if folder.path == "/":
        diagnostics.refuse(field, f"{name} is the whole of this host", "name a folder below it")
    elif not folder.exists:
        fix = f"mkdir -p {folder.path}; a relative path counts from lab.yml"
        diagnostics.refuse(field, f"{name} does not exist{also}", fix)
    elif not folder.is_folder:
        diagnostics.refuse(field, f"{name} is no folder{also}", "name the folder that it is in")
    elif place.is_relative_to(state) or state.is_relative_to(place):
        what = f"{name} holds {state}, where the lab's keys are"
        diagnostics.refuse(field, what, "put what the nodes are to see into a folder of its own, such as ./data")


def _refuse_unknown(field: str, names: Iterable[str], nodes: Sequence[NodePlan], diagnostics: Diagnostics) -> None:
    known = [node.name for node in nodes]
    for name in dict.fromkeys(names):
        if name not in known:
            fix = f"the lab has {', '.join(known)}; remove the entry when you remove the machine"
            diagnostics.refuse(field, f"{name} is no machine of the lab", fix)


def _forwards(
    state: ProviderState, nodes: Sequence[NodePlan], kubernetes: KubernetesPlan | None, diagnostics: Diagnostics
) -> tuple[Forward, ...]:
    asked, addresses = diagnostics.spec.lab.ports, {node.name: node.address for node in nodes}
    if asked and not state.traits.forwards:
        first = asked[0]
        place = f"{addresses.get(first.node or '', nodes[0].address)}:{first.port}"
        what = f"this host reaches machines of {state.name} at their own addresses, and forwards no port to them"
        diagnostics.refuse("ports", what, f"remove `ports` and use {place}")
        return ()
    own = {node.ssh_port: f"SSH of {node.name}" for node in nodes}
    own |= {kubernetes.api_port: "the API server"} if kubernetes else {}
    busy = {port.port: port.by or "another program" for port in diagnostics.observed.busy_ports}
    planned = []
    for index, one in enumerate(asked):
        field = f"ports.{index}"
        if one.host in own:
            what = f"{one.host} leads to {own[one.host]} already"
            diagnostics.refuse(f"{field}.host", what, "write another port")
        elif one.host in busy:
            what, fix = f"port {one.host} is held by {busy[one.host]}", "write another port, or end that program"
            diagnostics.lack(what, fix, f"{field}.host")
        _refuse_unknown(field, [one.node] if one.node else [], nodes, diagnostics)
        planned.append(Forward(one.node or nodes[0].name, one.port, one.host, one.address))
        is_open = not one.address.startswith(LOOPBACK)
        everybody = f"{diagnostics.spec.why(field)}; other machines that reach this host reach it too"
        diagnostics.decide(field, planned[-1], everybody if is_open else "")
    return tuple(planned)


def changes(old: Plan, new: Plan) -> list[tuple[str, str, str]]:
    """Mounts and ports of machines that exist, as they are and as lab.yml has them: the field, and both in words."""
    kept = [node.name for node in new.nodes if node.name in {other.name for other in old.nodes}]

    def shown(parts: Iterable[Mount | Forward]) -> str:
        return ", ".join(sorted(map(str, parts))) or "none"

    def mounts_of(plan: Plan) -> str:
        return shown(replace(mount, nodes=(name,)) for name in kept for mount in plan.mounts_of(name))

    def ports_of(plan: Plan) -> str:
        return shown(forward for name in kept for forward in plan.forwards_of(name))

    return [("mounts", mounts_of(old), mounts_of(new)), ("ports", ports_of(old), ports_of(new))]
