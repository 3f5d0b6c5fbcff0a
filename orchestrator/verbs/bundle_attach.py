"""`labctl bundle attach` and `detach`: a bundle of another version beside the one that a lab installs from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator import bundle, catalog, paths
from orchestrator.bundle import ALSO, BundleInfo
from orchestrator.catalog.versions import minor
from orchestrator.errors import HostError, SpecError
from orchestrator.events import Emit, phase
from orchestrator.lab.attached import Attached, attached_key, load_attached, save_attached
from orchestrator.lab.journal import changing
from orchestrator.lab.observed_lab import ObservedLab, observe_lab, require_running
from orchestrator.lab.package_source import access_to, detach_from_nodes, serve_source
from orchestrator.lab.playbooks import run_playbook
from orchestrator.lab.result import Result
from orchestrator.lab.state import Lab, save_source_access
from orchestrator.paths import write_private_copy

DEADLINE = 900.0


@dataclass(frozen=True)
class AttachResult(Result):
    """The bundle that is, or was, attached, and the changed tasks per node."""

    lab: str
    bundle: str
    kubernetes: str
    changed: Mapping[str, int]
    schema = "labctl/bundle-attach/v1"


def preview_attach(lab: Lab, name: str) -> list[str]:
    """What `attach` would do. Raises as it does for a bundle that does not fit the lab."""
    found = _fitting(lab, name)
    before = load_attached(lab.directory)
    instead = [f"in the place of {before.bundle}"] if before and before.bundle != found.id else []
    return [
        " ".join([f"attach {found.id} to {lab.plan.name}", *instead]),
        *(f"{node.name}: add its repository, load its images" for node in lab.plan.nodes),
    ]


def attach(lab: Lab, name: str, emit: Emit) -> AttachResult:
    """Give the nodes a second repository and the images of another version; killed, the same command continues.

    `name` is a bundle of the cache, a version or a minor. Raises SpecError for one that is not there or does not fit,
    HostError for one that is damaged, ProviderError when a machine does not run, ConvergeError naming the node.
    """
    found, directory = _fitting(lab, name), lab.directory
    with changing(directory, "bundle attach", emit, {"bundle": found.id}) as emit:
        observed = _running(lab)
        with phase(emit, "bundle", "Check the bundle"):
            _require_intact(found)
            key = write_private_copy(found.key_file, attached_key(directory))
            access = access_to(found, f"{lab.plan.source.url}/{ALSO}", key)
            save_attached(directory, Attached(found.id, found.kubernetes, access))
        again = f"labctl bundle attach {name}"
        with serve_source(lab.plan, directory, emit) as first:
            save_source_access(directory, first)
            done = run_playbook(observed, "attach.yml", emit=emit, deadline=DEADLINE, again=again)
    return AttachResult(lab.plan.name, found.id, found.kubernetes, done.changed)


def preview_detach(lab: Lab) -> list[str]:
    """What `detach` would do. Raises SpecError when nothing is attached."""
    attached = _attached(lab)
    return [f"detach {attached.bundle}: remove its repository from {node.name}" for node in lab.plan.nodes]


def detach(lab: Lab, emit: Emit) -> AttachResult:
    """Take the second repository off the nodes; raises as `attach` does, and SpecError when nothing is attached."""
    attached = _attached(lab)
    with changing(lab.directory, "bundle detach", emit) as emit:
        changed = detach_from_nodes(_running(lab), emit)
    return AttachResult(lab.plan.name, attached.bundle, attached.kubernetes, changed)


def _running(lab: Lab) -> ObservedLab:
    observed = observe_lab(lab)
    require_running(observed.nodes, "every node has to know which bundles there are")
    return observed


def _attached(lab: Lab) -> Attached:
    attached = load_attached(lab.directory)
    if attached is None:
        raise SpecError(f"{lab.plan.name} has no second bundle", fix="labctl bundle attach VERSION")
    return attached


def _fitting(lab: Lab, name: str) -> BundleInfo:
    """The bundle of that id or the newest of that version. Raises SpecError or HostError unless it fits the lab."""
    plan, kubernetes = lab.plan, lab.plan.kubernetes
    if kubernetes is None:
        raise SpecError(f"{plan.name} has no Kubernetes (profile {plan.profile})", fix="labctl status")
    known = [one for one in bundle.list_bundles(paths.cache_dir()) if one.kind == "lab" and one.kubernetes]
    found = [one for one in known if name.removeprefix("v") in (one.id, one.kubernetes, minor(one.kubernetes))]
    if not found:
        version = name.removeprefix("v").removeprefix("kubernetes-").partition("-")[0]
        raise SpecError(
            f"the cache has no bundle {name}",
            fix=f"labctl bundle build --kubernetes {version}, or import FILE; labctl bundle info shows all",
        )
    fitting = [one for one in found if one.guest in ("", plan.guest)]
    if not fitting:
        raise SpecError(
            f"{found[-1].id} has packages for {found[-1].guest} alone, the nodes of {plan.name} are {plan.guest}",
            fix=f"labctl bundle build --kubernetes {found[-1].kubernetes}",
        )
    best = fitting[-1]
    _require_other(lab, best, kubernetes.version)
    bundle.require_processor(best)
    guest = catalog.load().guest(plan.guest)
    if guest and guest.family == "redhat" and "kubeadm" not in best.rpms:
        raise SpecError(f"{best.id} has no rpm packages, which {plan.guest} needs", fix="labctl bundle info")
    if plan.source.signed_by:
        bundle.require_signature(best, Path(plan.source.signed_by))
    return best


def _require_other(lab: Lab, found: BundleInfo, version: str) -> None:
    """Raise SpecError for the bundle, or the version, that the lab has already."""
    if found.id == lab.plan.source.bundle_id or found.kubernetes == version:
        raise SpecError(
            f"{lab.plan.name} has Kubernetes {version} from {lab.plan.source.bundle_id} already",
            fix="labctl bundle attach VERSION, with another one; labctl bundle info shows all",
        )


def _require_intact(found: BundleInfo) -> None:
    if problems := bundle.verify(found):
        raise HostError(
            f"the bundle {found.id} in {found.path} is damaged",
            problems=problems,
            fix=f"labctl bundle build --kubernetes {found.kubernetes}, or labctl bundle import FILE",
        )
