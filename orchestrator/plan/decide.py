"""The story of planning: provider, networks, machines, package source, Kubernetes; then all problems at once."""

from __future__ import annotations

import re
from dataclasses import replace

from orchestrator.catalog import Catalog, Request
from orchestrator.catalog.resolve import Purpose, guest_refusals
from orchestrator.model import KubernetesPlan, Observed, Plan, ProviderName, ProviderState, SourcePlan
from orchestrator.plan import cluster, host, network, source
from orchestrator.plan.ledger import Ledger
from orchestrator.spec import Spec


def plan(spec: Spec, catalog: Catalog, observed: Observed, purpose: Purpose = "converge") -> Plan:
    """Every decision about the lab, each with its reason.

    `purpose` is `converge` for a lab that is to run, `create` for machines alone, `render` for files
    alone (nothing about this host matters then). Raises SpecError with all problems when the lab cannot
    work as asked, HostError when this host is not ready for it.
    """
    if purpose == "render":
        observed = _as_if_ready(observed, spec)
    lab, ledger = spec.lab, Ledger(spec)
    ledger.decide("name", lab.name)
    ledger.decide("profile", lab.profile)
    provider = host.provider(observed, ledger)
    if provider == "static":
        kinds = {True: "containers: swap, modules and SELinux stay as they are", False: "each has a kernel of its own"}
        ledger.decide("static.shared_kernel", lab.static.shared_kernel, kinds[lab.static.shared_kernel])
    ledger.decide("guest", lab.guest)
    ledger.refuse_all(tuple(guest_refusals(lab.guest, provider, purpose, catalog)))
    networks = network.network(lab, observed, ledger)
    nodes = network.nodes(lab, networks.subnet, observed, ledger)
    _sizes(ledger)

    request = _request(spec, provider, catalog, observed, purpose)
    chosen = source.choose(_wanted(spec, request, observed), observed, catalog, ledger)
    packages = SourcePlan(kind="community")
    kubernetes: KubernetesPlan | None = None
    if chosen:
        packages = source.source_plan(chosen, networks.gateway, catalog.guest(lab.guest), catalog, ledger)
    if chosen and lab.kubernetes.enabled:
        api_port = network.api_port(lab, {node.ssh_port for node in nodes}, observed, ledger)
        kubernetes = cluster.kubernetes(request, chosen, api_port, catalog, observed, ledger)
    elif not lab.kubernetes.enabled:
        ledger.decide("kubernetes.enabled", False)
    if purpose != "render":
        host.capacity(provider, nodes, lab.kubernetes.enabled, bool(chosen and chosen.build), observed, catalog, ledger)
    _others(ledger)

    planned = Plan(
        name=lab.name,
        uuid=observed.uuid,
        owner=observed.owner,
        profile=lab.profile,
        provider=provider,
        guest=lab.guest,
        group=lab.virtualbox.group or f"/{lab.name}",
        nodes=nodes,
        network=networks,
        source=packages,
        kubernetes=kubernetes,
        base_packages=lab.packages.base or (),
        http_proxy=lab.http_proxy,
        decisions=tuple(ledger.decisions),
        ca=lab.ca,
        static_hosts=network.static_hosts(lab),
        static_key=lab.static.key if lab.provider == "static" else None,
        static_shared_kernel=lab.provider == "static" and lab.static.shared_kernel,
    )
    if observed.existing:
        _unchanged(observed.existing, planned, ledger)
    ledger.settle()
    return planned


def _as_if_ready(observed: Observed, spec: Spec) -> Observed:
    """A host on which everything is there: what is only rendered needs none of it."""
    names: tuple[ProviderName, ...] = ("virtualbox", "libvirt", "container", "static")
    return replace(
        observed,
        providers=tuple(ProviderState(name, ready=True) for name in names),
        busy_ports=(),
        networks=(),
        buildable=replace(observed.buildable, possible=True),
        community_reachable=True,
        community_reason="assumed for rendering",
    )


def _request(spec: Spec, provider: str, catalog: Catalog, observed: Observed, purpose: Purpose) -> Request:
    lab = spec.lab
    guest = catalog.guest(lab.guest)
    shared_kernel = provider == "static" and lab.static.shared_kernel
    own_kernel = guest is not None and provider != "container" and not shared_kernel
    checksums = lab.packages.checksums
    return Request(
        version=lab.kubernetes.version,
        runtime=lab.kubernetes.runtime,
        guest=lab.guest,
        provider=provider,
        kernel=guest.kernel if guest and own_kernel else observed.kernel,
        cgroup=guest.cgroup if guest and own_kernel else observed.cgroup,
        cri_dockerd=f"cri-dockerd-{catalog.cri_dockerd_version}" in checksums,
        checksums=checksums,
        purpose=purpose,
        shared_kernel=shared_kernel,
    )


def _wanted(spec: Spec, request: Request, observed: Observed) -> source.Wanted:
    lab = spec.lab
    version = lab.kubernetes.version
    existing = observed.existing.kubernetes if observed.existing else None
    kept = existing is not None and version in ("auto", "oldest")
    if existing and kept:
        version = existing.version
    return source.Wanted(
        version=version,
        request=request,
        any_runtime=not spec.is_explicit("kubernetes.runtime"),
        calico=lab.kubernetes.cni == "calico" or bool(existing and existing.cni == "calico"),
        coredns=lab.kubernetes.dns == "coredns" or bool(existing and existing.dns == "coredns"),
        kubernetes=lab.kubernetes.enabled,
        kept=kept,
    )


def _sizes(ledger: Ledger) -> None:
    lab = ledger.spec.lab
    ledger.decide("control_plane.cpus", lab.control_plane.cpus)
    ledger.decide("control_plane.memory", lab.control_plane.memory)
    ledger.decide("workers.count", lab.workers.count)
    if lab.workers.count:
        ledger.decide("workers.cpus", lab.workers.cpus)
        ledger.decide("workers.memory", lab.workers.memory)


def _others(ledger: Ledger) -> None:
    lab = ledger.spec.lab
    ledger.decide("names.control_plane", lab.names.control_plane)
    ledger.decide("names.worker", lab.names.worker)
    ledger.decide("names.suffix", lab.names.suffix or "none")
    group = "" if lab.virtualbox.group else "default: the lab's name"
    ledger.decide("virtualbox.group", lab.virtualbox.group or f"/{lab.name}", group)
    listed = lab.packages.base
    ledger.decide(
        "packages.base", listed if listed is not None else "auto", "" if listed is not None else "the system's own list"
    )
    if lab.http_proxy:
        # A decision is printed; a password in the URL is not for the screen.
        ledger.decide("http_proxy", re.sub(r"(://[^/@:]*):[^/@]*@", r"\1:***@", lab.http_proxy))
    if lab.ca:
        ledger.decide("ca", lab.ca)


def _unchanged(old: Plan, new: Plan, ledger: Ledger) -> None:
    """Refuse what cannot be changed in a lab that has machines."""
    pairs: list[tuple[str, object, object]] = [
        ("provider", old.provider, new.provider),
        ("guest", old.guest, new.guest),
        ("network.subnet", old.network.subnet, new.network.subnet),
        ("kubernetes.pod_cidr", old.network.pod_cidr, new.network.pod_cidr),
        ("kubernetes.service_cidr", old.network.service_cidr, new.network.service_cidr),
        ("network.dns_domain", old.network.dns_domain, new.network.dns_domain),
        ("kubernetes.enabled", old.kubernetes is not None, ledger.spec.lab.kubernetes.enabled),
        ("names.control_plane", old.control_plane.name, new.control_plane.name),
        ("network.control_plane_offset", old.control_plane.address, new.control_plane.address),
    ]
    if old.kubernetes and new.kubernetes:
        pairs += [
            ("kubernetes.version", old.kubernetes.version, new.kubernetes.version),
            ("kubernetes.runtime", old.kubernetes.runtime, new.kubernetes.runtime),
            ("kubernetes.cni", old.kubernetes.cni, new.kubernetes.cni),
            ("kubernetes.dns", old.kubernetes.dns, new.kubernetes.dns),
        ]
    for name, before, after in pairs:
        if before != after:
            way = f"`labctl upgrade --kubernetes {after}`, " if name == "kubernetes.version" else ""
            ledger.refuse(
                name,
                f"the lab exists with {before}; it cannot become {after}{' by provision' if way else ''}",
                f"{way}change it back, or `labctl destroy --yes` first (which loses what is in the lab)",
            )
