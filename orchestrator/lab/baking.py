"""Baked nodes: one machine that the roles prepare, kept and cloned, so that no node is installed a second time."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator import inventory, paths
from orchestrator.errors import HostError, LockedError, ProviderError
from orchestrator.events import Emit, Note, phase
from orchestrator.lab.converged import files_of, sum_of
from orchestrator.lab.observed_lab import observe_with
from orchestrator.lab.package_source import planned_bundle, serve_source
from orchestrator.lab.playbooks import run_playbook
from orchestrator.lab.state import Lab, save_plan, save_source_access, saved_plan
from orchestrator.model import Capabilities, Node, Plan, ProviderName, SourceAccess
from orchestrator.paths import LabDir, read_json, write_private
from orchestrator.providers import ssh_access
from orchestrator.providers.base import Bakery, Provider, identity

if TYPE_CHECKING:
    from filelock import FileLock

# The roles that bake.yml applies, in their order. The first two have a lab's own names and addresses in them, and are
# applied again to every clone.
OWN_ROLES = ("node_base", "kubernetes_repo")
SHARED_ROLES = (
    "swapoff",
    "selinux_permissive",
    "br_netfilter",
    "container_engine",
    "docker",
    "cri_dockerd",
    "containerd",
    "kubernetes_packages",
)
# Variables of theirs that say where a lab finds the same bytes, or what only a proxy makes matter.
_PLACES = ("_image_archive_url", "_image_archive_sha256", "_no_proxy")
_NAME = "baked"
# Another labctl that bakes the same: one machine, installed from a bundle.
WAIT_SECONDS = 1200.0
DEADLINE = 1200.0
# Beside the one that a lab was just made from; each takes about as much as one node.
KEPT = 3


@dataclass(frozen=True)
class BakedNode:
    """A machine that is kept to be cloned: its key, what it is, the bytes that it takes, and whose it is."""

    key: str
    title: str
    size: int
    provider: ProviderName


@dataclass(frozen=True)
class Origin:
    """What new machines start from: the key of a baked node, empty for none, and the roles that its clones can skip."""

    key: str = ""
    skipped: tuple[str, ...] = ()


BARE = Origin()


def ensure_baked(plan: Plan, provider: Provider, emit: Emit, *, fresh: bool) -> Origin:
    """Have the baked node of this plan, made now if there is none that is whole; BARE where machines are never baked.

    A lab that is not `fresh`, some of whose machines exist, takes the one there is, and skips no role. Raises
    ConvergeError when the roles fail on the baked node; a host without room for it does without, and says so.
    """
    bakery = provider.bakery(emit, "bake")
    if bakery is None or not bakery.base_image:
        return BARE
    capabilities = provider.capabilities(plan)
    key = key_of(plan, capabilities, bakery.base_image)
    with _locked(key, emit):
        record = read_json(_record(key))
        is_whole = bool(record) and bakery.seal(plan, key) == record["seal"]
        if not is_whole and not fresh:
            return BARE
        if not is_whole:
            if record:
                emit(Note(phase="bake", text=f"the baked node {key} is damaged or gone: making it again"))
            bakery.remove([key])
            with phase(emit, "bake", "Set up the machine that the nodes are cloned from (once)"):
                record = _bake(plan, key, provider, bakery, emit)
            if not record:
                return BARE
        write_private(_record(key), json.dumps({**record, "used": time.time()}) + "\n")
    discard([one.key for one in kept() if one.provider == plan.provider][KEPT:], bakery)
    return Origin(key, skippable(plan, capabilities) if fresh else ())


def key_of(plan: Plan, capabilities: Capabilities, base_image: str) -> str:
    """Twelve hex digits of all that goes into a baked node: machine image, bundle, roles, and their variables."""
    digest = hashlib.sha256(f"1 {base_image} {plan.provider} {plan.guest}\n".encode())
    bundle = planned_bundle(plan)
    for file in (bundle.path / "manifest.json", bundle.key_file, *_role_files()):
        digest.update(sum_of(file).encode())
    values = variables(_baking_plan(plan, Path("/")), capabilities)
    digest.update(json.dumps(values, sort_keys=True).encode())
    return digest.hexdigest()[:12]


def skippable(plan: Plan, capabilities: Capabilities) -> tuple[str, ...]:
    """The roles whose variables in the lab are those with which its baked node was made."""
    baked, own = (variables(one, capabilities) for one in (_baking_plan(plan, Path("/")), plan))
    differing = {name for name in {*baked, *own} if baked.get(name) != own.get(name)}
    return tuple(role for role in SHARED_ROLES if not any(name.startswith(f"{role}_") for name in differing))


def variables(plan: Plan, capabilities: Capabilities) -> dict[str, Any]:
    """The variables that the shared roles read, with node_base's packages, as the first node of a plan has them."""
    node = Node(plan.nodes[0].name, "running")
    nowhere = SourceAccess(apt_url="", rpm_url="", key_file="")
    document = inventory.build(
        plan, [node], capabilities, nowhere, private_key=Path(), known_hosts=Path(), control_dir=Path()
    )
    prefixes = (*(f"{role}_" for role in SHARED_ROLES), "container_runtime", "node_base_packages")
    found = inventory.variables_of(document, node.name)
    return {name: value for name, value in found.items() if name.startswith(prefixes) and not name.endswith(_PLACES)}


def kept() -> list[BakedNode]:
    """The baked nodes of this user, the last used first."""
    records = [(file, read_json(file)) for file in (paths.cache_dir() / "baked").glob("*.json")]
    records.sort(key=lambda pair: -float(pair[1].get("used", 0)))
    return [
        BakedNode(file.stem, str(record["title"]), int(record["bytes"]), record["provider"])
        for file, record in records
        if record
    ]


def discard(keys: Collection[str], bakery: Bakery) -> None:
    """Remove baked nodes; the machines that were cloned from them stay."""
    bakery.remove(keys)
    for key in keys:
        _record(key).unlink(missing_ok=True)


def _title(plan: Plan) -> str:
    kubernetes = plan.kubernetes
    return f"Kubernetes {kubernetes.version}, {kubernetes.runtime}" if kubernetes else "no Kubernetes"


def _role_files() -> Iterator[Path]:
    """The files that decide what baking does, in a fixed order."""
    yield from files_of(*(paths.data("roles", role) for role in (*OWN_ROLES, *SHARED_ROLES)), paths.data("plugins"))
    yield from (paths.data("playbooks", f"{name}.yml") for name in ("bake", "prepare", "runtime"))
    yield paths.data("playbooks", "files", "forget-identity.sh")


def _baking_plan(plan: Plan, home: Path) -> Plan:
    """The plan of a lab of one machine that has nothing of the lab's identity, its users and its secrets."""
    first = replace(plan.nodes[0], name=_NAME, display_name=_NAME, role="control_plane")
    return replace(
        plan,
        name=_NAME,
        uuid=str(uuid.uuid5(uuid.NAMESPACE_URL, f"{home}/{plan.uuid}")),
        owner=str(home),
        nodes=(first,),
        http_proxy=None,
        ca=None,
        mounts=(),
        forwards=(),
        root_login="no",
        registry=False,
    )


def _bake(plan: Plan, key: str, provider: Provider, bakery: Bakery, emit: Emit) -> dict[str, Any]:
    """Set up one machine by the roles and keep it; what to note of it, nothing when the host has no room for it."""
    home = _home(key)
    baking = _baking_plan(plan, home)
    directory = LabDir.beside(home / "lab.yml", _NAME)
    shutil.rmtree(home, ignore_errors=True)  # of a command that was killed before it had a plan
    home.mkdir(mode=0o700, parents=True)
    save_plan(directory, baking)
    try:
        nodes = provider.create(baking, directory, emit, "bake")
        observed = observe_with(provider, Lab(directory, baking), nodes)
        with serve_source(baking, directory, emit) as access:
            save_source_access(directory, access)
            archive = {
                "worker_archive_url": access.worker_archive_url,
                "worker_archive_sha256": access.worker_archive_sha256,
            }
            run_playbook(observed, "bake.yml", emit=emit, deadline=DEADLINE, extra_vars=archive)
        try:
            taken = bakery.keep(baking, baking.nodes[0], key)
            seal = bakery.seal(baking, key)
            return {"seal": seal, "title": _title(plan), "bytes": taken, "provider": plan.provider}
        except (HostError, ProviderError) as problem:
            bakery.remove([key])
            emit(Note(phase="bake", text=f"no machine can be kept to be cloned, each is set up alone: {problem}"))
            return {}
    finally:
        _remove(directory, provider, emit)


def sweep(provider: Provider, emit: Emit) -> None:
    """Remove machines that were to be baked when their command was killed: they have the network of its lab."""
    from filelock import Timeout

    for home in (paths.cache_dir() / "baked").glob("*/"):
        directory = LabDir.beside(home / "lab.yml", _NAME)
        with suppress(Timeout, FileNotFoundError, ValueError), _lock(home.name).acquire(timeout=0):
            if saved_plan(directory).provider == provider.name:
                _remove(directory, provider, emit)


@contextmanager
def _locked(key: str, emit: Emit) -> Iterator[None]:
    """Be the only one who makes or checks the baked node of a key."""
    from filelock import Timeout

    _home(key).parent.mkdir(mode=0o700, exist_ok=True)
    lock = _lock(key)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        emit(Note(phase="bake", text="another labctl is setting up the same machine: waiting for it"))
        try:
            lock.acquire(timeout=WAIT_SECONDS)
        except Timeout:
            text = f"another labctl has been setting up the same machine for {WAIT_SECONDS / 60:.0f} minutes"
            raise LockedError(text, fix="end it, then run this again; or labctl provision --no-bake") from None
    try:
        yield
    finally:
        lock.release()


def _lock(key: str) -> FileLock:
    from filelock import FileLock

    return FileLock(_record(key).with_suffix(".lock"), mode=0o600)


def _remove(directory: LabDir, provider: Provider, emit: Emit) -> None:
    """Remove the lab of a machine that is baked, or was to be."""
    plan = saved_plan(directory)
    ssh_access.end_connections(plan.uuid)
    provider.destroy(identity(plan), emit, "bake")
    shutil.rmtree(directory.root.parents[1])


def _home(key: str) -> Path:
    return paths.cache_dir() / "baked" / key


def _record(key: str) -> Path:
    return paths.cache_dir() / "baked" / f"{key}.json"
