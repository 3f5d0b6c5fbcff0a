"""The story of planning: provider, networks, machines, package source, Kubernetes; then all problems at once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, get_args

from orchestrator.box import Box
from orchestrator.catalog import Catalog, Request
from orchestrator.catalog.resolve import Purpose, guest_refusals
from orchestrator.model import KubernetesPlan, NetworkPlan, NodePlan, Plan, ProviderName, SourcePlan
from orchestrator.observed import Observed, ProviderState
from orchestrator.plan import cluster, host_access, network, source
from orchestrator.plan.diagnostics import Diagnostics
from orchestrator.plan.provider import check_capacity, provider
from orchestrator.plan.select_source import select
from orchestrator.spec import Spec

_GUESTS_BOX = "the box of its guest"
_KERNELS = ("each has a kernel of its own", "containers: swap, modules and SELinux stay as they are")


def plan(spec: Spec, catalog: Catalog, observed: Observed, purpose: Purpose = "converge") -> Plan:
    """Every decision about the lab, each with its reason.

    `purpose` is `converge` for a lab that is to run, `create` for machines alone, `render` for files alone (this host
    does not matter then). Raises SpecError for a lab that cannot work, HostError for a host that is not ready for it.
    """
    lab = spec.lab
    diagnostics = Diagnostics(spec, catalog, _as_if_ready(observed) if purpose == "render" else observed)
    diagnostics.decide("name", lab.name)
    diagnostics.decide("profile", lab.profile)
    state = provider(diagnostics)
    _system(state, purpose, diagnostics)
    networks = network.network(state.traits, diagnostics)
    nodes = network.nodes(networks.subnet, diagnostics)
    _sizes(diagnostics)
    selection, packages, kubernetes = _software(state, purpose, networks, nodes, diagnostics)
    if purpose != "render":
        check_capacity(state, nodes, selection.build_disk if selection else 0, diagnostics)
    mounts, forwards = host_access.host_access(state, nodes, kubernetes, diagnostics)
    root_login, box, registry = _root_login(diagnostics), _box(state, diagnostics), _registry(nodes, diagnostics)
    _others(diagnostics)
    result = Plan(
        name=lab.name,
        uuid=observed.uuid,
        owner=observed.owner,
        profile=lab.profile,
        provider=state.name,
        guest=lab.guest,
        group=lab.virtualbox.group or f"/{lab.name}",
        nodes=nodes,
        network=networks,
        source=packages,
        kubernetes=kubernetes,
        base_packages=lab.packages.base or (),
        http_proxy=lab.http_proxy,
        decisions=tuple(diagnostics.decisions),
        ca=lab.ca,
        static_hosts=network.static_hosts(lab),
        static_key=lab.listed.key if lab.listed else None,
        static_shared_kernel=bool(lab.listed and lab.listed.shared_kernel),
        box=box,
        mounts=mounts,
        forwards=forwards,
        root_login=root_login,
        registry=registry,
    )
    if observed.existing:
        _refuse_changes(observed.existing, result, diagnostics)
    diagnostics.raise_problems()
    return result


def _system(state: ProviderState, purpose: Purpose, diagnostics: Diagnostics) -> None:
    lab = diagnostics.spec.lab
    if lab.listed:
        diagnostics.decide("static.shared_kernel", lab.listed.shared_kernel, _KERNELS[lab.listed.shared_kernel])
    diagnostics.decide("guest", lab.guest)
    diagnostics.refuse_all(tuple(guest_refusals(lab.guest, state.name, purpose, diagnostics.catalog)))


def _box(state: ProviderState, diagnostics: Diagnostics) -> Box | None:
    """The box of lab.yml; None for a lab that names none."""
    box = diagnostics.spec.lab.box
    if box.name is None:
        return None
    if not state.traits.has_boxes:
        diagnostics.refuse("box.name", f"machines of {state.name} are not made from Vagrant boxes", "remove `box`")
    registry = "by version from a Vagrant registry, without a sum; the public one stops downloads on 2026-12-31"
    diagnostics.decide("box.name", box.name, "lab.yml, with its sha256" if box.sha256 else f"lab.yml: {registry}")
    return Box(box.name, box.url or "", box.sha256 or "", box.version or "")


def _root_login(diagnostics: Diagnostics) -> Literal["no", "key", "password"]:
    """How root logs in; the password itself is in no plan."""
    lab = diagnostics.spec.lab
    diagnostics.decide("login", lab.login)
    if lab.book.root_password:
        where = f"{diagnostics.spec.why('book.root_password')}: root's, let in from the lab's own nodes only"
        diagnostics.decide("book.root_password", "***", where)
        return "password"
    return "key" if lab.login == "root" else "no"


def _registry(nodes: Sequence[NodePlan], diagnostics: Diagnostics) -> bool:
    """Whether the control plane runs a registry of images."""
    lab = diagnostics.spec.lab
    if lab.registry and not lab.kubernetes.enabled:
        diagnostics.refuse("registry", "a lab without Kubernetes has no container runtime", "remove `registry`")
    elif lab.registry:
        control_plane = next(node for node in nodes if node.role == "control_plane")
        diagnostics.decide("registry", f"on {control_plane.name}", "for every node of the lab's network, no password")
    return lab.registry


def _as_if_ready(observed: Observed) -> Observed:
    """A host that has everything: what is only rendered needs none of it."""
    states = {state.name: state for state in observed.providers}
    names: tuple[ProviderName, ...] = get_args(ProviderName)
    unseen = [ProviderState(name, ready=True) for name in names if name not in states]
    return replace(
        observed,
        providers=tuple(replace(state, ready=True, only_named="") for state in (*states.values(), *unseen)),
        busy_ports=(),
        folders=tuple(replace(one, is_folder=True, exists=True) for one in observed.folders),
        networks=(),
        signed_by="",
        buildable=tuple(replace(one, possible=True) for one in observed.buildable),
    )


def _software(
    state: ProviderState, purpose: Purpose, networks: NetworkPlan, nodes: Sequence[NodePlan], diagnostics: Diagnostics
) -> tuple[source.SourceSelection | None, SourcePlan, KubernetesPlan | None]:
    """The package source, how nodes reach it, and the cluster; None for what there is not."""
    lab = diagnostics.spec.lab
    request = _request(state, purpose, diagnostics)
    selection = select(_requirements(request, diagnostics), diagnostics)
    packages = SourcePlan()
    if selection:
        packages = source.source_plan(selection, networks.gateway, diagnostics)
    if not lab.kubernetes.enabled:
        diagnostics.decide("kubernetes.enabled", False)
    if not selection or not lab.kubernetes.enabled:
        return selection, packages, None
    api_port = network.api_port({node.ssh_port for node in nodes}, diagnostics)
    resolvers = _pod_resolvers(state, networks, diagnostics.observed)
    return selection, packages, cluster.kubernetes(request, selection, api_port, resolvers, diagnostics)


def _pod_resolvers(state: ProviderState, networks: NetworkPlan, observed: Observed) -> tuple[str, ...]:
    """DNS servers for pods on machines whose own is on loopback: CoreDNS would forward to itself and stop.

    Without any other the gateway is named: nobody may answer there, which is better than a loop.
    """
    if not state.traits.loopback_resolver:
        return ()
    return networks.resolvers or observed.resolvers or (networks.gateway,)


def _request(state: ProviderState, purpose: Purpose, diagnostics: Diagnostics) -> Request:
    lab, catalog, observed = diagnostics.spec.lab, diagnostics.catalog, diagnostics.observed
    guest = catalog.guest(lab.guest)
    shared_kernel = state.traits.shares_kernel or bool(lab.listed and lab.listed.shared_kernel)
    kernel_of = guest if guest and not shared_kernel else observed
    return Request(
        version=lab.kubernetes.version,
        runtime=lab.kubernetes.runtime,
        guest=lab.guest,
        provider=state.name,
        kernel=kernel_of.kernel,
        cgroup=kernel_of.cgroup,
        purpose=purpose,
        shared_kernel=shared_kernel,
    )


def _requirements(request: Request, diagnostics: Diagnostics) -> source.Requirements:
    lab, plan = diagnostics.spec.lab, diagnostics.observed.existing
    existing = plan.kubernetes if plan else None
    kept = existing if lab.kubernetes.version in source.OPEN_VERSIONS else None
    return source.Requirements(
        version=kept.version if kept else lab.kubernetes.version,
        request=request,
        any_runtime=not diagnostics.spec.is_explicit("kubernetes.runtime"),
        calico=lab.kubernetes.cni == "calico" or bool(existing and existing.cni == "calico"),
        coredns=lab.kubernetes.dns == "coredns" or bool(existing and existing.dns == "coredns"),
        kubernetes=lab.kubernetes.enabled,
        kept=kept is not None,
    )


def _sizes(diagnostics: Diagnostics) -> None:
    lab = diagnostics.spec.lab
    diagnostics.decide("control_plane.cpus", lab.control_plane.cpus)
    diagnostics.decide("control_plane.memory", lab.control_plane.memory)
    diagnostics.decide("workers.count", lab.workers.count)
    if lab.workers.count:
        diagnostics.decide("workers.cpus", lab.workers.cpus)
        diagnostics.decide("workers.memory", lab.workers.memory)


def _others(diagnostics: Diagnostics) -> None:
    lab = diagnostics.spec.lab
    diagnostics.decide("names.control_plane", lab.names.control_plane)
    diagnostics.decide("names.worker", lab.names.worker)
    diagnostics.decide("names.suffix", lab.names.suffix or "none")
    group = "" if lab.virtualbox.group else "default: the lab's name"
    diagnostics.decide("virtualbox.group", lab.virtualbox.group or f"/{lab.name}", group)
    listed = lab.packages.base
    own_list = "" if listed is not None else "the system's own list"
    diagnostics.decide("packages.base", listed if listed is not None else "auto", own_list)
    if lab.http_proxy:
        # A decision is printed; a password in the URL is not for the screen.
        diagnostics.decide("http_proxy", re.sub(r"(://[^/@:]*):[^/@]*@", r"\1:***@", lab.http_proxy))
    if lab.ca:
        diagnostics.decide("ca", lab.ca)


def _refuse_changes(old: Plan, new: Plan, diagnostics: Diagnostics) -> None:
    """Refuse what cannot be changed in a lab that has machines."""
    pairs: list[tuple[str, object, object]] = [
        ("provider", old.provider, new.provider),
        ("guest", old.guest, new.guest),
        ("box", old.box or _GUESTS_BOX, new.box or _GUESTS_BOX),
        ("network.subnet", old.network.subnet, new.network.subnet),
        ("kubernetes.pod_cidr", old.network.pod_cidr, new.network.pod_cidr),
        ("kubernetes.service_cidr", old.network.service_cidr, new.network.service_cidr),
        ("network.dns_domain", old.network.dns_domain, new.network.dns_domain),
        ("kubernetes.enabled", old.kubernetes is not None, diagnostics.spec.lab.kubernetes.enabled),
        ("names.control_plane", old.control_plane.name, new.control_plane.name),
        ("network.control_plane_offset", old.control_plane.address, new.control_plane.address),
    ]
    if old.kubernetes and new.kubernetes:
        fields = ("version", "runtime", "cni", "dns", "grace_periods")
        pairs += [(f"kubernetes.{f}", getattr(old.kubernetes, f), getattr(new.kubernetes, f)) for f in fields]
    pairs += host_access.changes(old, new)
    for name, before, after in pairs:
        if before == after:
            continue
        upgrade = f"`labctl upgrade --kubernetes {after}`, " if name == "kubernetes.version" else ""
        diagnostics.refuse(
            name,
            f"the lab exists with {before}; it cannot become {after}{' by provision' if upgrade else ''}",
            f"{upgrade}change it back, or `labctl destroy --yes` first (which loses what is in the lab)",
        )
