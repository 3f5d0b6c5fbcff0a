"""`labctl upgrade`: the cluster to a newer Kubernetes version, control plane first, then one worker after the other."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import replace

from orchestrator import catalog, runner
from orchestrator.catalog.versions import minor, number
from orchestrator.errors import ProviderError, SpecError
from orchestrator.events import Emit
from orchestrator.lab import calico_manifest as calico
from orchestrator.lab import journal, planning
from orchestrator.lab import package_source as sources
from orchestrator.lab.converge import converge, hand_over
from orchestrator.lab.lock import exclusive_lock
from orchestrator.lab.node_access import open_provider
from orchestrator.lab.observe import observe
from orchestrator.lab.pending import begin_operation, finish_operation
from orchestrator.lab.state import Lab, save_plan, save_source_access
from orchestrator.lab.verification import prove
from orchestrator.model import KubernetesPlan, Observed, Plan
from orchestrator.spec import Spec
from orchestrator.verbs.provision import Provisioned

VERSION = re.compile(r"v?(\d+\.\d+(\.\d+)?)")
DEADLINE = 3600.0
# The images came with the packages; a job that kubeadm starts as a trial needs one from a registry.
IGNORED = ("ImagePull", "CreateJob")
# kubeadm looks for the CoreDNS it would replace; these labs have a DNS of their own.
WITHOUT_COREDNS = ("CoreDNSMigration", "CoreDNSUnsupportedPlugins")


def check(lab: Lab, wanted: str) -> str:
    """The version meant, or "" when the lab has it already. Raises SpecError for one that cannot be gone to."""
    if lab.plan.kubernetes is None:
        raise SpecError(f"{lab.plan.name} has no Kubernetes (profile {lab.plan.profile})", fix="labctl status")
    found = VERSION.fullmatch(wanted)
    if not found:
        raise SpecError(f"--kubernetes {wanted}: not a version", fix="labctl upgrade --kubernetes 1.21.14")
    version, has = found[1], lab.plan.kubernetes.version
    if version in (has, minor(has)):
        return ""
    if number(version) < number(has):
        raise SpecError(
            f"the lab has Kubernetes {has}; kubeadm never goes back, so not to {version}",
            fix=f"labctl snapshot restore NAME, or a new lab: labctl destroy, then provision --kubernetes {version}",
        )
    (major, old), (new_major, new) = number(has)[:2], number(version)[:2]
    if new_major != major or new > old + 1:
        raise SpecError(
            f"kubeadm goes from one minor to the next: from {has} to {major}.{old + 1}, not to {version}",
            fix=f"labctl upgrade --kubernetes {major}.{old + 1}; then the next one",
        )
    return version


def decide(lab: Lab, asked: Spec, version: str, *, written: Spec, observed: Observed | None = None) -> Plan:
    """The lab's plan with the new version. Raises SpecError when no source has it or lab.yml says otherwise."""
    says = written.lab.kubernetes.version
    if written.is_explicit("kubernetes.version") and says not in ("auto", "oldest", version, minor(version)):
        raise SpecError(
            f"{written.file} says kubernetes.version: {says}, to which provision would want to go back",
            fix=f'write kubernetes.version: "{version}" there, then: labctl upgrade --kubernetes {version}',
        )
    seen = observed or observe(asked, lab.directory)
    assert seen.existing is not None
    assert seen.existing.kubernetes is not None
    # Everything else of the lab stays decided.
    moved = replace(seen.existing, kubernetes=replace(seen.existing.kubernetes, version=full(version, seen)))
    return planning.decide(asked, replace(seen, existing=moved))


def full(version: str, observed: Observed) -> str:
    """A minor with the patch that a bundle or the mirror has, else the newest known; a whole version as it is."""
    if len(number(version)) > 2:
        return version
    held = [*observed.bundles, *([observed.mirror] if observed.mirror else [])]
    fitting = [content.kubernetes for content in held if minor(content.kubernetes) == version]
    release = catalog.load().release(version)
    newest = release.newest_patch if release else version
    return max(fitting, key=number) if fitting else newest


def steps(old: Plan, new: Plan) -> list[str]:
    """The upgrade in sentences, in the order in which it is done."""
    before, after = _kubernetes(old).version, _kubernetes(new).version
    control, workers = new.control_plane.name, [node.name for node in new.workers]
    lines = [
        f"{control}: install kubeadm {after} and its images; kubeadm upgrade plan v{after}",
        f"{control}: kubeadm upgrade apply v{after} (API server, controller manager, scheduler, etcd, kube-proxy)",
    ]
    for name in (control, *workers):
        if name != control:
            lines.append(f"{name}: install kubeadm {after} and its images; kubeadm upgrade node")
        if workers:
            lines.append(f"{name}: drain (pods that nothing manages are lost)")
        lines.append(
            f"{name}: kubelet and kubectl from {before} to {after}; restart the kubelet; uncordon; wait for Ready"
        )
    return [*lines, "apply the roles and verify the lab"]


def upgrade(lab: Lab, new: Plan, emit: Emit) -> Provisioned:
    """Bring the cluster to the version of `new` and prove it; killed, the same command continues.

    Raises ConvergeError naming the step and node; ProviderError when a machine does not run.
    """
    began = time.monotonic()
    directory, version = lab.directory, _kubernetes(new).version
    inputs = {"from": _kubernetes(lab.plan).version, "to": version}
    with (
        exclusive_lock(directory, "upgrade"),
        journal.recorded(directory, "upgrade", emit, inputs) as told,
        open_provider(new.provider, told) as provider,
    ):
        nodes = tuple(provider.nodes(new))
        if down := [f"{node.name} is {node.state}" for node in nodes if node.state != "running"]:
            raise ProviderError(f"an upgrade needs every machine: {', '.join(down)}", fix="labctl start")
        sources.ensure(new, told)
        begin_operation(directory, "upgrade", f"labctl upgrade --kubernetes {version}")
        calico.place(new, directory, lambda question: False, told)
        changed = apply(new, Lab(directory, lab.plan), told)
        save_plan(directory, new)
        finish_operation(directory)
        more = converge(new, directory, told)
        hand_over(new, directory, nodes, lambda question: False, told)
        report = prove(Lab(directory, new), told)
    counted = {name: changed.get(name, 0) + more.get(name, 0) for name in {*changed, *more}}
    return Provisioned(directory, new, counted, report, time.monotonic() - began)


def apply(new: Plan, lab: Lab, emit: Emit) -> Mapping[str, int]:
    """Run the upgrade's playbook with the version of `new` over the lab's machines; the changed tasks per node."""
    kubernetes = _kubernetes(new)
    with sources.serving(new, lab.directory, emit) as reached:
        save_source_access(lab.directory, reached)
        return runner.run_playbook(
            "upgrade.yml",
            lab=lab.directory,
            emit=emit,
            deadline=DEADLINE,
            extra_vars={
                "kubeadm_init_version": kubernetes.version,
                "kubernetes_packages_version": kubernetes.version,
                "upgrade_ignored": [*IGNORED, *(WITHOUT_COREDNS if kubernetes.dns == "dnsmasq" else ())],
            },
        ).changed


def _kubernetes(plan: Plan) -> KubernetesPlan:
    assert plan.kubernetes is not None
    return plan.kubernetes
