"""Everything about Kubernetes itself, once its version and source are known: runtime, pod network, DNS, taints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from orchestrator.catalog import Request, Resolution, resolve
from orchestrator.model import Cni, Dns, KubernetesPlan, Runtime
from orchestrator.observed import SourceContent
from orchestrator.plan.diagnostics import Diagnostics
from orchestrator.plan.source import SourceSelection, with_content

# Seconds after which a silent node is NotReady, and its pods go elsewhere. Kubernetes' own eviction period is the
# default of kube-apiserver's --default-unreachable-toleration-seconds. The short grace period spans four renewals of
# a kubelet's lease, as Kubernetes' own did before 1.32.
_EVICTION = 300
_SHORT_NODE, _SHORT_EVICTION = 16, 30

# Source: the release notes of 1.35 and containerd's deprecations.
_CGROUP_V1 = "version 1, which Kubernetes accepts only when it is told to; containerd drops it by May 2029"


def kubernetes(
    request: Request, selection: SourceSelection, api_port: int, resolvers: tuple[str, ...], diagnostics: Diagnostics
) -> KubernetesPlan | None:
    """The cluster; None after recording why the combination cannot work."""
    lab, catalog = diagnostics.spec.lab, diagnostics.catalog
    content = selection.content
    runtime, runtime_reason, request = _runtime(request, selection, diagnostics)
    resolution = resolve(request, catalog)
    if not isinstance(resolution, Resolution):
        # The caller checks the guest, also for labs without Kubernetes.
        diagnostics.refuse_all(tuple(refusal for refusal in resolution if refusal.field != "guest"))
        return None
    release = resolution.release
    cni, cni_reason = _cni(selection, resolution, diagnostics)
    dns, dns_reason = _dns(selection, diagnostics)
    calico = resolution.calico if cni == "calico" else None
    registry = lab.kubernetes.image_registry or catalog.image_registry
    alone = lab.workers.count == 0
    version = resolution.cri_dockerd_version
    cri_dockerd = content.components.get("cri_dockerd", version) if version else None
    short = lab.kubernetes.grace_periods == "short"
    plan = KubernetesPlan(
        version=selection.version,
        config_api=release.config_api,
        runtime=runtime,
        cri_socket=resolution.cri_socket,
        cgroup_driver="cgroupfs" if resolution.cgroup_driver == "cgroupfs" else "systemd",
        image_registry=registry,
        pause_image=f"{registry}/{resolution.pause_image}",
        cni=cni,
        cni_version=content.calico_version or calico.version if calico else None,
        dns=dns,
        api_port=api_port,
        role_labels=release.role_labels,
        taints=release.taints,
        untaint_control_plane=alone,
        extra_args_as_list=release.extra_args_as_list,
        cri_dockerd_version=cri_dockerd,
        pod_resolvers=resolvers if dns == "coredns" else (),
        endpoint=_endpoint(diagnostics),
        kubelet_gates_off=release.cri_dockerd_gates_off if cri_dockerd else (),
        allow_cgroup_v1=release.allow_cgroup_v1 and request.cgroup == "v1",
        grace_periods=lab.kubernetes.grace_periods,
        node_grace_period=_SHORT_NODE if short else release.node_grace_period,
        eviction_period=_SHORT_EVICTION if short else _EVICTION,
        **_from_source(content, cni),
    )
    reasons = {"version": selection.version_reason, "runtime": runtime_reason, "cni": cni_reason, "dns": dns_reason}
    _record(plan, reasons, request, release.minor, diagnostics)
    return plan


def _from_source(content: SourceContent, cni: Cni) -> dict[str, Any]:
    """What the source brings in other versions than kubeadm and the guest would take, and who enforces policies."""
    coredns = content.components.get("coredns")
    return {
        "etcd_tag": content.components.get("etcd"),
        "dns_tag": f"v{coredns}" if coredns else None,
        "containerd": content.containerd,
        "docker_ce": content.docker_ce,
        "network_policy_image": content.image("kube-router") if cni == "bridge_cni" else None,
    }


def _endpoint(diagnostics: Diagnostics) -> str | None:
    """The API server's name on the nodes; a cluster keeps the one it was made with."""
    existing = diagnostics.observed.existing
    if existing and existing.kubernetes:
        return existing.kubernetes.endpoint
    return f"api.{diagnostics.spec.lab.name}.internal"


def _record(
    plan: KubernetesPlan, reasons: Mapping[str, str], request: Request, minor: str, diagnostics: Diagnostics
) -> None:
    """Record every decision about the cluster; `reasons` has those that were found while deciding."""
    nested, usual = "systemd in a container cannot manage cgroup v1", "what kubeadm writes from 1.21 on"
    registry = diagnostics.spec.lab.kubernetes.image_registry
    known = {
        "cri_socket": f"where {minor} finds {plan.runtime}",
        "cgroup_driver": f"runtime and kubelet alike; {nested if request.nested_v1 else usual}",
        "config_api": f"what kubeadm {minor} reads",
        "image_registry": "" if registry else "k8s.gcr.io, which old versions name, is frozen",
        "pause_image": f"what kubeadm {minor} names",
        **reasons,
    }
    for name in ("version", "runtime", "cri_socket", "cgroup_driver", "config_api", "image_registry", "pause_image"):
        diagnostics.decide(f"kubernetes.{name}", getattr(plan, name), known[name])
    diagnostics.decide(
        "kubernetes.endpoint",
        plan.endpoint or "address",
        "a name, so that control planes can be added" if plan.endpoint else "the cluster was made with it",
    )
    diagnostics.decide("kubernetes.cni", plan.cni, known["cni"])
    diagnostics.decide("kubernetes.network_policy", *_network_policy(plan))
    if plan.allow_cgroup_v1:
        diagnostics.decide("kubernetes.cgroup_v1", "allowed", _CGROUP_V1)
    diagnostics.decide("kubernetes.dns", plan.dns, known["dns"])
    diagnostics.decide("kubernetes.grace_periods", plan.grace_periods, _grace_periods(plan, diagnostics))
    if plan.untaint_control_plane:
        diagnostics.decide("kubernetes.taints", "none", "no workers: the control plane takes the work")
    else:
        diagnostics.decide("kubernetes.taints", plan.taints, f"what kubeadm {minor} sets")


def _network_policy(plan: KubernetesPlan) -> tuple[str, str]:
    """Who enforces NetworkPolicy, and why."""
    if plan.cni == "calico":
        return "calico", "Calico enforces it"
    if plan.cni == "none":
        return "not enforced", "left to the pod network that you install"
    if plan.network_policy_image:
        return "kube-router", "bridge_cni has none of its own; kube-router runs as a firewall only"
    return "not enforced", "bridge_cni has none of its own and the package source has no kube-router image"


def _grace_periods(plan: KubernetesPlan, diagnostics: Diagnostics) -> str:
    """Where they come from, and in seconds what they are instead of."""
    why, release = diagnostics.spec.why("kubernetes.grace_periods"), diagnostics.catalog.release(plan.version)
    reason = f"{why}: a silent node is NotReady after {plan.node_grace_period} s, its pods leave "
    reason += f"{plan.eviction_period} s later"
    if plan.grace_periods == "kubernetes" or not release:
        return reason
    return f"{reason}; real clusters wait {release.node_grace_period} and {_EVICTION} s"


def _runtime(request: Request, selection: SourceSelection, diagnostics: Diagnostics) -> tuple[Runtime, str, Request]:
    """The runtime, why, and the request with it; a default gives way to containerd where Docker cannot work."""
    spec = diagnostics.spec
    # Only an explicit Calico is a wish that the catalog may refuse.
    cni = "calico" if spec.lab.kubernetes.cni == "calico" else "bridge_cni"
    request = with_content(replace(request, version=selection.version, cni=cni), selection.content)
    release = diagnostics.catalog.release(selection.version)
    explicit = spec.is_explicit("kubernetes.runtime")
    if request.runtime == "containerd":
        return "containerd", "", request
    if release and not release.dockershim and not explicit:
        reason = f"{release.minor} has no dockershim (kubernetes.runtime: docker takes cri-dockerd)"
        return "containerd", reason, replace(request, runtime="containerd")
    return "docker", "", request


def _cni(selection: SourceSelection, resolution: Resolution, diagnostics: Diagnostics) -> tuple[Cni, str]:
    requested = diagnostics.spec.lab.kubernetes.cni
    plan = diagnostics.observed.existing
    existing = plan.kubernetes if plan else None
    if requested == "none":
        return requested, f"{diagnostics.spec.why('kubernetes.cni')}: nodes become Ready once you install a pod network"
    if requested != "auto":
        return requested, ""
    if existing:
        return existing.cni, "auto: the lab has it already"
    if not selection.content.has_calico:
        return "bridge_cni", "auto: the bundle has no Calico images"
    if resolution.calico is None:
        return "bridge_cni", f"auto: {resolution.calico_refused}"
    fits = f"{resolution.calico.version} goes with {resolution.release.minor}"
    return "calico", f"auto: its images can be had, and {fits}"


def _dns(selection: SourceSelection, diagnostics: Diagnostics) -> tuple[Dns, str]:
    requested = diagnostics.spec.lab.kubernetes.dns
    plan = diagnostics.observed.existing
    existing = plan.kubernetes if plan else None
    if requested != "auto":
        return requested, ""
    if existing:
        return existing.dns, "auto: the lab has it already"
    if selection.content.has_coredns:
        return "coredns", "auto: its image can be had"
    return "dnsmasq", "auto: the bundle has no CoreDNS image; dnsmasq is fed from the API server instead"
