"""`labctl upgrade`: bring the cluster to a newer Kubernetes version, one node after the other."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import replace

from orchestrator import catalog
from orchestrator.catalog.versions import minor, number
from orchestrator.errors import HostError, SpecError, VerifyError
from orchestrator.events import Emit
from orchestrator.lab import planning
from orchestrator.lab.attached import load_attached
from orchestrator.lab.convergence import ConvergeResult, converge, install_kubeconfig
from orchestrator.lab.drill_progress import read_progress
from orchestrator.lab.journal import changing
from orchestrator.lab.kubectl import read_objects
from orchestrator.lab.node_commands import run_on_nodes
from orchestrator.lab.observe import observe
from orchestrator.lab.observed_lab import ObservedLab, observe_lab, require_running
from orchestrator.lab.package_source import detach_from_nodes, ensure_source, serve_source
from orchestrator.lab.pending import begin_operation, finish_operation, pending_operation
from orchestrator.lab.playbooks import run_playbook
from orchestrator.lab.pod_network import require_pod_network
from orchestrator.lab.state import Lab, save_plan, save_source_access
from orchestrator.lab.verification import wait_until_healthy
from orchestrator.model import KubernetesPlan, Plan
from orchestrator.observed import Observed
from orchestrator.spec import Spec
from orchestrator.verify.conditions import ready

VERSION = re.compile(r"v?(\d+\.\d+(\.\d+)?)")
DEADLINE = 3600.0
# What the roles of the runtimes ask for, node by node, before they load images (container_engine_free_mb).
NEEDED_MB, IMAGES = 2048, "/var/lib"
_DISK = f"df -m --output=avail {IMAGES} | tail -n 1"
# The images came with the packages; a job that kubeadm starts as a trial needs one from a registry.
IGNORED = ("ImagePull", "CreateJob")
# kubeadm looks for the CoreDNS it would replace: a lab may have another DNS, or a CoreDNS that is newer than it knows.
OWN_DNS = ("CoreDNSMigration", "CoreDNSUnsupportedPlugins")


def target_version(lab: Lab, requested: str) -> str:
    """The version to upgrade to, or "" when the lab has it already. Raises SpecError for one that is out of reach."""
    if lab.plan.kubernetes is None:
        raise SpecError(f"{lab.plan.name} has no Kubernetes (profile {lab.plan.profile})", fix="labctl status")
    match = VERSION.fullmatch(requested)
    if not match:
        raise SpecError(f"--kubernetes {requested}: not a version", fix="labctl upgrade --kubernetes 1.21.14")
    version, current = match[1], lab.plan.kubernetes.version
    if version in (current, minor(current)):
        return ""
    if number(version) < number(current):
        raise SpecError(
            f"the lab has Kubernetes {current}; kubeadm never goes back, so not to {version}",
            fix=f"labctl snapshot restore NAME, or a new lab: labctl destroy, then provision --kubernetes {version}",
        )
    (major, old), (new_major, new) = number(current)[:2], number(version)[:2]
    if new_major != major or new > old + 1:
        raise SpecError(
            f"kubeadm goes from one minor to the next: from {current} to {major}.{old + 1}, not to {version}",
            fix=f"labctl upgrade --kubernetes {major}.{old + 1}; then the next one",
        )
    return version


def plan_upgrade(lab: Lab, spec: Spec, version: str, *, written: Spec) -> Plan:
    """The lab's plan with the new version. Raises SpecError when no source has it or lab.yml names another one."""
    named = written.lab.kubernetes.version
    if written.is_explicit("kubernetes.version") and named not in ("auto", "oldest", version, minor(version)):
        raise SpecError(
            f"{written.file} says kubernetes.version: {named}, to which provision would want to go back",
            fix=f'write kubernetes.version: "{version}" there, then: labctl upgrade --kubernetes {version}',
        )
    host = observe(spec, lab.directory)
    assert host.existing is not None
    # Everything else of the lab stays decided.
    kubernetes = replace(_kubernetes(host.existing), version=full_version(version, host))
    return planning.decide(spec, replace(host, existing=replace(host.existing, kubernetes=kubernetes)))


def full_version(version: str, observed: Observed) -> str:
    """A minor with the patch that a bundle or the mirror has, else the newest known; a whole version as it is."""
    if len(number(version)) > 2:
        return version
    fitting = [content.kubernetes for content in observed.bundles if minor(content.kubernetes) == version]
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


def upgrade(lab: Lab, new: Plan, emit: Emit) -> ConvergeResult:
    """Bring the cluster to the version of `new` and verify it; killed, the same command continues.

    Raises ConvergeError naming the step and node; ProviderError when a machine does not run.
    """
    began = time.monotonic()
    directory, version = lab.directory, _kubernetes(new).version
    inputs = {"from": _kubernetes(lab.plan).version, "to": version}
    with changing(directory, "upgrade", emit, inputs) as emit:
        before = observe_lab(lab)
        require_running(before.nodes, "an upgrade needs every machine")
        if pending_operation(directory) is None:
            require_upgradable(before, version)
        after = replace(before, lab=Lab(directory, new))
        ensure_source(new, emit)
        begin_operation(directory, "upgrade", f"labctl upgrade --kubernetes {version}")
        upgraded = upgrade_cluster(after, emit)
        save_plan(directory, new)
        finish_operation(directory)
        converged = converge(after, emit)
        install_kubeconfig(after, emit)
        if (attached := load_attached(directory)) and attached.bundle == new.source.bundle_id:
            detach_from_nodes(after, emit)
        report = wait_until_healthy(after, emit)
    changed = {name: upgraded.get(name, 0) + converged.get(name, 0) for name in {*upgraded, *converged}}
    return ConvergeResult("labctl/upgrade/v1", after.lab, changed, report, time.monotonic() - began)


def require_upgradable(observed: ObservedLab, version: str) -> None:
    """Raise, nothing being changed, for a lab in which an upgrade would fail half-way or hide what is wrong.

    SpecError while a drill is open or a pod network is missing, VerifyError when a node is not Ready, HostError when
    the disk of a node is too full.
    """
    lab = observed.lab
    again = f"labctl upgrade --kubernetes {version}"
    if attempt := read_progress(lab).current:
        raise SpecError(
            f"the drill {attempt.slug} is open, and an upgrade would move its pods and may repair what it broke",
            fix=f"labctl drill solve, or labctl drill reset; then: {again}",
        )
    require_pod_network(lab, "kubeadm upgrades nodes that are Ready")
    nodes, problem = read_objects(lab, "nodes")
    if problem:
        raise VerifyError(f"{problem}; nothing was changed", fix=f"labctl provision; then: {again}")
    if silent := [node["metadata"]["name"] for node in nodes if not ready(node)]:
        raise VerifyError(
            f"NotReady: {', '.join(silent)}; nothing was changed",
            fix=f"labctl verify shows why, labctl provision repairs; then: {again}",
        )
    for one in run_on_nodes(lab, "all", _DISK, timeout=30, nodes=observed.nodes).nodes:
        free = one.stdout.strip()
        if free.isdigit() and int(free) < NEEDED_MB:
            raise HostError(
                f"{one.node}: {int(free):,} MB free in {IMAGES}, packages and images of {version} need {NEEDED_MB:,}",
                fix=f"free disk there (container nodes have this host's: labctl cache prune); then: {again}",
            )


def upgrade_cluster(observed: ObservedLab, emit: Emit) -> Mapping[str, int]:
    """Run the upgrade's playbook over the nodes, to the version of the lab's plan; the changed tasks per node."""
    kubernetes = _kubernetes(observed.lab.plan)
    own_dns = kubernetes.dns == "dnsmasq" or kubernetes.dns_tag
    with serve_source(observed.lab.plan, observed.lab.directory, emit) as access:
        save_source_access(observed.lab.directory, access)
        return run_playbook(
            observed,
            "upgrade.yml",
            emit=emit,
            deadline=DEADLINE,
            again=f"labctl upgrade --kubernetes {kubernetes.version}",
            extra_vars={"upgrade_ignored": [*IGNORED, *(OWN_DNS if own_dns else ())]},
        ).changed


def _kubernetes(plan: Plan) -> KubernetesPlan:
    assert plan.kubernetes is not None
    return plan.kubernetes
