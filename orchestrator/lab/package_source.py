"""The planned package source: made sure to exist, and served to the nodes while they need it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from orchestrator import bundle, catalog, paths
from orchestrator.bundle import BundleInfo, Served, manifest
from orchestrator.errors import HostError, SpecError
from orchestrator.events import Emit, Note, phase
from orchestrator.lab.attached import attached_bundle, forget_attached
from orchestrator.lab.host_setup import Agree, decline
from orchestrator.lab.observed_lab import ObservedLab
from orchestrator.lab.playbooks import run_playbook
from orchestrator.lab.state import Lab
from orchestrator.model import ORIGINS, Plan, Runtime, SourceAccess
from orchestrator.paths import LabDir, write_private_copy
from orchestrator.spec import Spec


@dataclass(frozen=True)
class Confirmation:
    """What the user confirms of what is fetched: sums by name, and an answer to questions about others."""

    sums: Mapping[str, str] = field(default_factory=dict)
    ask: Agree = decline


UNCONFIRMED = Confirmation()
_DETACH_SECONDS = 300.0


def known_sums(spec: Spec, confirmed: Confirmation) -> bundle.Known:
    """What was seen at earlier fetches, with what lab.yml and the user confirm."""
    accepted = {**spec.lab.packages.checksums, **confirmed.sums}
    return bundle.Known(paths.cache_dir() / bundle.KNOWN, accepted, confirmed.ask)


def ensure_source(plan: Plan, emit: Emit, known: bundle.Known | None = None) -> None:
    """Make the planned bundle when it is yet to be made, or when it can be made again and is damaged.

    `known` has the sums that the user confirms. Raises HostError for what cannot be fetched, and for a damaged bundle
    that cannot be made here, an imported one; and as `planned_bundle` does.
    """
    source = plan.source
    # One that is made again would not have the signature that lab.yml requires.
    recipe = None if source.signed_by else _recipe(plan)

    def make() -> None:
        assert recipe is not None
        bundle.build(paths.cache_dir(), recipe, emit, "bundle", known)

    if source.build_bundle and recipe:
        with phase(emit, "bundle", f"Make the bundle from {ORIGINS[recipe.origin]} (once)"):
            make()
    with phase(emit, "bundle", "Check the bundle"):
        planned = planned_bundle(plan)
        problems = bundle.verify(planned)
        if problems and recipe:
            emit(Note(phase="bundle", text=f"{problems[0].where} {problems[0].what}: making the bundle again"))
            make()
        elif problems:
            raise HostError(
                f"the bundle {planned.id} in {planned.path} is damaged",
                problems=problems,
                fix="labctl bundle import FILE   (from where it was made)",
            )


def _recipe(plan: Plan) -> bundle.Recipe | None:
    """The recipe of the planned bundle; None for one that was imported, or made by another labctl."""
    wanted, kubernetes, known = plan.source, plan.kubernetes, catalog.load()
    recipes = list(bundle.available())
    if kubernetes and wanted.origin in ("community", "mirror"):
        addresses = wanted.addresses or bundle.trusted()
        runtime: Runtime = "docker" if kubernetes.cri_dockerd_version else "containerd"
        # Calico is what is taken where nothing else is named.
        for cni in (kubernetes.cni, None):
            wish = bundle.Wish(kubernetes.version, plan.guest, runtime, cni)
            recipes.append(bundle.community(wish, known, addresses, wanted.origin))
    return next((recipe for recipe in recipes if recipe.id == wanted.bundle_id), None)


@contextmanager
def serve_source(plan: Plan, directory: LabDir, emit: Emit) -> Iterator[SourceAccess]:
    """How the nodes reach packages and images for the length of the block, in which the bundle is served over HTTP."""
    planned = planned_bundle(plan)
    write_private_copy(planned.key_file, _bundle_key(directory))
    with serve_bundle(planned, plan, directory):
        emit(Note(phase="converge", text=f"serving packages to the nodes at {plan.source.url}"))
        yield source_access(plan, directory)


def source_access(plan: Plan, directory: LabDir) -> SourceAccess:
    """How the nodes reach packages and images while they are served; raises as `planned_bundle` does."""
    access = access_to(planned_bundle(plan), plan.source.url or "", _bundle_key(directory))
    return replace(access, registry_program=str(_registry_program(plan))) if plan.registry else access


def access_to(planned: BundleInfo, url: str, key_file: Path) -> SourceAccess:
    """How the nodes reach a bundle that is served at `url`."""
    calico = planned.sha256_of(manifest.CALICO)
    return SourceAccess(
        apt_url=f"{url}/apt",
        rpm_url=f"{url}/rpm",
        key_file=str(key_file),
        calico_manifest=str(planned.path / manifest.CALICO) if calico else "",
        calico_manifest_sha256=calico,
        **_archives(url, planned),
    )


def ensure_registry(plan: Plan, emit: Emit, *, may_build: bool) -> None:
    """Have the program of the lab's registry, compiled now when the cache lacks it; nothing for a lab without one.

    Raises HostError when it is missing and nothing may be fetched, or when it cannot be compiled.
    """
    if not plan.registry or bundle.find_registry(paths.cache_dir()):
        return
    if not may_build:
        raise HostError(
            "the program of the registry is not in the cache, and lab.yml takes everything from there",
            fix="labctl bundle import FILE   (made by labctl bundle build --registry, then bundle export)",
        )
    with phase(emit, "bundle", "Compile the registry (once)"):
        bundle.build_registry(paths.cache_dir(), emit, "bundle")


def _registry_program(plan: Plan) -> Path:
    """The program of the registry on this host. Raises HostError when it is not in the cache any more."""
    found = bundle.find_registry(paths.cache_dir())
    if found is None:
        raise HostError(
            f"the program of the registry of {plan.name} is not in {paths.cache_dir()} any more",
            fix="labctl bundle build --registry",
        )
    return found.program("registry")


def known_bundle(lab: Lab) -> BundleInfo:
    """The bundle that the nodes of a lab install from.

    Raises HostError when it is not in the cache any more or the nodes do not trust its key: a bundle that is made again
    has a new one.
    """
    plan, key = lab.plan, _bundle_key(lab.directory)
    known = planned_bundle(plan)
    if not key.exists() or key.read_bytes() != known.key_file.read_bytes():
        raise HostError(
            f"the nodes of {plan.name} do not have the key of the bundle {known.id} in {known.path.parent}",
            fix="labctl provision   (gives them the key)",
        )
    return known


def serve_bundle(planned: BundleInfo, plan: Plan, directory: LabDir) -> AbstractContextManager[Served]:
    """Serve a bundle, and the one attached to the lab, where the nodes look for them.

    Raises HostError for a taken port, and as `attached_bundle` does.
    """
    port = urlsplit(plan.source.url or "").port or 80
    return bundle.serve(planned, plan.network.gateway, port, attached_bundle(directory))


def detach_from_nodes(observed: ObservedLab, emit: Emit) -> Mapping[str, int]:
    """Take the attached bundle's repository off the nodes, and forget it; the changed tasks per node."""
    again = "labctl bundle detach"
    done = run_playbook(observed, "detach.yml", emit=emit, deadline=_DETACH_SECONDS, again=again)
    forget_attached(observed.lab.directory)
    return done.changed


def _bundle_key(directory: LabDir) -> Path:
    """The copy of the key that the nodes were given."""
    return directory.root / "bundle-key.asc"


def planned_bundle(plan: Plan) -> BundleInfo:
    """The bundle that the plan names.

    Raises HostError when it is no longer in the cache or lacks the required signature, SpecError for a plan of an
    earlier labctl, which has none.
    """
    if plan.source.bundle_id is None:
        raise SpecError(
            f"the nodes of {plan.name} read the community's repositories themselves, as an earlier labctl set them up",
            fix="labctl provision   (makes a bundle of the same version, which they install from)",
        )
    planned = bundle.find(paths.cache_dir(), plan.source.bundle_id)
    if planned is None:
        raise HostError(
            f"the bundle {plan.source.bundle_id} is not in {paths.cache_dir()} any more",
            fix="labctl provision   (takes another, or builds one; labctl bundle import FILE brings it back)",
        )
    if plan.source.signed_by:
        bundle.require_signature(planned, Path(plan.source.signed_by))
    return planned


def _archives(base: str, content: BundleInfo) -> dict[str, str]:
    """The image archives below `base`, with their sums; a bundle of an earlier layout has none for the workers."""
    archives = {"image_archive": manifest.ALL_IMAGES, "worker_archive": manifest.WORKER_IMAGES}
    present = {key: name for key, name in archives.items() if content.sha256_of(name)}
    urls = {f"{key}_url": f"{base}/{name}" for key, name in present.items()}
    return urls | {f"{key}_sha256": content.sha256_of(name) for key, name in present.items()}
