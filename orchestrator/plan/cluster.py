"""Everything about Kubernetes itself, once its version and source are known: runtime, pod network, DNS, taints."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.catalog import Catalog, Request, Resolution, resolve
from orchestrator.model import Cni, Dns, KubernetesPlan, Observed, Runtime
from orchestrator.plan.ledger import Ledger
from orchestrator.plan.source import Chosen, with_content


def kubernetes(
    request: Request, chosen: Chosen, api_port: int, catalog: Catalog, observed: Observed, ledger: Ledger
) -> KubernetesPlan | None:
    """The cluster; None after recording why the combination cannot work."""
    lab = ledger.spec.lab
    content = chosen.content
    runtime, runtime_why, request = _runtime(request, chosen, catalog, ledger)
    resolution = resolve(request, catalog)
    if not isinstance(resolution, Resolution):
        # The guest is judged by the caller, which also has labs without Kubernetes.
        ledger.refuse_all(tuple(refusal for refusal in resolution if refusal.field != "guest"))
        return None
    release = resolution.release
    cni, cni_why = _cni(chosen, resolution, observed, ledger)
    dns, dns_why = _dns(chosen, observed, ledger)
    calico = resolution.calico if cni == "calico" else None
    registry = lab.kubernetes.image_registry or lab.packages.mirror.image_registry or catalog.image_registry
    alone = lab.workers.count == 0
    planned = KubernetesPlan(
        version=chosen.version,
        config_api=release.config_api,
        runtime=runtime,
        cri_socket=resolution.cri_socket,
        cgroup_driver="cgroupfs" if resolution.cgroup_driver == "cgroupfs" else "systemd",
        image_registry=registry,
        pause_image=f"{registry}/{resolution.pause_image}",
        cni=cni,
        cni_version=(content and content.calico_version) or calico.version if calico else None,
        cni_manifest_sha256=calico.sha256 if calico else None,
        cni_manifest_url=calico.manifest if calico else None,
        dns=dns,
        api_port=api_port,
        role_labels=release.role_labels,
        taints=release.taints,
        untaint_control_plane=alone,
        extra_args_as_list=release.extra_args_as_list,
        cri_dockerd_version=resolution.cri_dockerd_version,
        cri_dockerd_sha256=lab.packages.checksums.get(f"cri-dockerd-{resolution.cri_dockerd_version}"),
    )
    ledger.decide("kubernetes.version", planned.version, chosen.version_why)
    ledger.decide("kubernetes.runtime", planned.runtime, runtime_why)
    ledger.decide("kubernetes.cri_socket", planned.cri_socket, f"where {release.minor} finds {runtime}")
    ledger.decide(
        "kubernetes.cgroup_driver",
        planned.cgroup_driver,
        "runtime and kubelet alike; "
        + (
            "systemd in a container cannot manage cgroup v1"
            if request.nested_v1
            else "what kubeadm writes from 1.21 on"
        ),
    )
    ledger.decide("kubernetes.config_api", planned.config_api, f"what kubeadm {release.minor} reads")
    ledger.decide(
        "kubernetes.image_registry",
        planned.image_registry,
        "" if lab.kubernetes.image_registry else "k8s.gcr.io, which old versions name, is frozen",
    )
    ledger.decide("kubernetes.pause_image", planned.pause_image, f"what kubeadm {release.minor} names")
    ledger.decide("kubernetes.cni", planned.cni, cni_why)
    if calico and calico.sha256 is None:
        ledger.decide(
            "kubernetes.cni_manifest_sha256",
            "unknown",
            f"nobody computed it yet: confirm it as packages.checksums.calico-{calico.version}",
        )
    ledger.decide("kubernetes.dns", planned.dns, dns_why)
    ledger.decide(
        "kubernetes.taints",
        "none" if alone else planned.taints,
        "no workers: the control plane takes the work" if alone else f"what kubeadm {release.minor} sets",
    )
    return planned


def _runtime(request: Request, chosen: Chosen, catalog: Catalog, ledger: Ledger) -> tuple[Runtime, str, Request]:
    """The runtime; a default gives way to containerd where Docker cannot work."""
    request = with_content(replace(request, version=chosen.version), chosen.content)
    if request.runtime == "containerd":
        return "containerd", "", _with_cni(request, ledger)
    release = catalog.release(chosen.version)
    explicit = ledger.spec.is_explicit("kubernetes.runtime")
    if release and not release.dockershim and not request.cri_dockerd and not explicit:
        adapter = f"cri-dockerd {catalog.cri_dockerd_version}"
        why = f"{release.minor} has no dockershim, and {adapter} has no confirmed checksum"
        return "containerd", why, _with_cni(replace(request, runtime="containerd"), ledger)
    return "docker", "", _with_cni(request, ledger)


def _with_cni(request: Request, ledger: Ledger) -> Request:
    """Only an explicit Calico is a wish that the catalogue may refuse."""
    return replace(request, cni="calico" if ledger.spec.lab.kubernetes.cni == "calico" else "bridge_cni")


def _cni(chosen: Chosen, resolution: Resolution, observed: Observed, ledger: Ledger) -> tuple[Cni, str]:
    asked = ledger.spec.lab.kubernetes.cni
    existing = observed.existing.kubernetes if observed.existing else None
    if asked == "bridge_cni":
        return "bridge_cni", ""
    if asked == "calico":
        return "calico", ""
    if existing:
        return existing.cni, "auto: the lab has it already"
    if chosen.kind != "community" and not (chosen.content and chosen.content.has_calico):
        return "bridge_cni", f"auto: the {chosen.kind} has no Calico images"
    if resolution.calico is None:
        return "bridge_cni", f"auto: {resolution.calico_refused}"
    return (
        "calico",
        f"auto: its images can be had, and {resolution.calico.version} goes with {resolution.release.minor}",
    )


def _dns(chosen: Chosen, observed: Observed, ledger: Ledger) -> tuple[Dns, str]:
    asked = ledger.spec.lab.kubernetes.dns
    existing = observed.existing.kubernetes if observed.existing else None
    if asked != "auto":
        return asked, ""
    if existing:
        return existing.dns, "auto: the lab has it already"
    if chosen.kind == "community" or (chosen.content and chosen.content.has_coredns):
        return "coredns", "auto: its image can be had"
    return "dnsmasq", f"auto: the {chosen.kind} has no CoreDNS image; dnsmasq is fed from the API server instead"
