"""`labctl cache`: what labctl keeps on this host between labs, how large it is, and what nobody needs any more."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator import bundle, paths
from orchestrator.bundle import BundleInfo
from orchestrator.events import Emit, Note, phase
from orchestrator.lab import baking, claims
from orchestrator.lab.attached import load_attached
from orchestrator.lab.node_access import open_provider
from orchestrator.lab.state import saved_plan

# Notes of the prepared machines, which lie in the engine.
_BAKED = "baked"
# Folders of the cache, what they are for, and whether all of it can be had again without loss.
_SHARED = {
    "blobs": ("layers of images that were fetched, for the next bundle", True),
    "downloads": ("what was fetched for an import", True),
    "logs": ("logs of builds", True),
    "go": ("Go, and what a build that was cut off left", True),
    "compiled": ("compiled programs, for the next bundle of the same version", False),
    "node-images": ("images of container nodes", False),
    "boxes": ("boxes of virtual machines", False),
    "engine": ("layers of the private Docker engine", False),
}


@dataclass(frozen=True)
class Entry:
    """One thing in the cache: `size` in bytes, `labs` that use it; `kept` is the reason why a prune leaves it."""

    path: Path
    what: str
    size: int
    labs: tuple[str, ...] = ()
    kept: str = ""


@dataclass(frozen=True)
class Cache:
    """Everything in the cache, or all that was pruned."""

    directory: Path
    entries: tuple[Entry, ...]
    schema = "labctl/cache/v1"

    @property
    def size(self) -> int:
        """Bytes of all entries."""
        return sum(entry.size for entry in self.entries)

    def as_dict(self) -> Mapping[str, Any]:
        """The body of the document."""
        return {
            "directory": str(self.directory),
            "entries": [
                {
                    "path": str(entry.path.relative_to(self.directory)),
                    "what": entry.what,
                    "mb": entry.size // 10**6,
                    "labs": list(entry.labs),
                    "kept": entry.kept,
                }
                for entry in self.entries
            ],
        }


def contents() -> Cache:
    """What the cache holds, the largest first."""
    directory = paths.cache_dir()
    entries = [*_bundles(directory), *_baked(directory), *_others(directory)]
    return Cache(directory, tuple(sorted(entries, key=lambda entry: -entry.size)))


def prunable(*, everything: bool = False) -> Cache:
    """What a prune would remove: what nobody needs; with `everything` also what only saves time."""
    held = contents()
    chosen = [entry for entry in held.entries if not entry.labs and (everything or not entry.kept)]
    # Without the images of its nodes and its engine no lab that exists goes on.
    if any(entry.labs for entry in held.entries):
        chosen = [entry for entry in chosen if entry.path.name not in ("node-images", "engine", "boxes")]
    return Cache(held.directory, tuple(chosen))


def prune(emit: Emit, *, everything: bool = False) -> Cache:
    """Remove what `prunable` names and return it. Raises LockedError while a bundle is being made."""
    with phase(emit, "prune", "Prune the cache"), bundle.locked(paths.cache_dir(), emit, "prune"):
        found = prunable(everything=everything)
        _discard_baked({entry.path.stem for entry in found.entries if entry.path.parent.name == _BAKED}, emit)
        for entry in found.entries:
            emit(Note(phase="prune", text=f"remove {entry.path}"))
            shutil.rmtree(entry.path) if entry.path.is_dir() else entry.path.unlink(missing_ok=True)
    return found


def _bundles(directory: Path) -> Iterator[Entry]:
    """The bundles: those that labs use stay, and of each version the last. What several have counts for the first."""
    seen: set[int] = set()
    users = _users()
    known = bundle.list_bundles(directory)
    last = {(info.kind, info.kubernetes): info.id for info in known}
    current = {recipe.id for recipe in (*bundle.available(), *bundle.suites(), bundle.registry_recipe())}
    for info in known:
        kept = "the last of its version" if last[info.kind, info.kubernetes] == info.id else ""
        kept = "what this labctl makes" if info.id in current else kept
        yield Entry(info.path, _title(info), _size(info.path, seen), tuple(users.get(info.id, ())), kept)


def _baked(directory: Path) -> Iterator[Entry]:
    """Baked nodes: the last of each kind stays, which the next lab starts from."""
    titles: set[str] = set()
    for node in baking.kept():
        why = "" if node.title in titles else "saves the time to make it again"
        titles.add(node.title)
        yield Entry(directory / _BAKED / f"{node.key}.json", f"prepared node: {node.title}", node.size, (), why)


def _discard_baked(keys: Collection[str], emit: Emit) -> None:
    """Remove baked nodes, each from the backend that holds it."""
    chosen = [node for node in baking.kept() if node.key in keys]
    for name in {node.provider for node in chosen}:
        with open_provider(name, emit) as provider:
            if bakery := provider.bakery(emit, "prune"):
                baking.discard([node.key for node in chosen if node.provider == name], bakery)


def _title(info: BundleInfo) -> str:
    return f"bundle of {info.title}"


def _users() -> dict[str, list[str]]:
    """Bundle -> the labs whose nodes install from it."""
    users: dict[str, list[str]] = {}
    for lab in claims.labs():
        with suppress(FileNotFoundError, ValueError):
            plan = saved_plan(lab)
            attached = load_attached(lab)
            for used in (plan.source.bundle_id or "", *([attached.bundle] if attached else [])):
                users.setdefault(used, []).append(f"{plan.name} ({plan.owner})")
    return users


def _others(directory: Path) -> Iterator[Entry]:
    for name, (what, removable) in _SHARED.items():
        place = directory / name
        size = _size(place) if place.exists() else 0
        if name == "engine":
            size -= sum(node.size for node in baking.kept())
        if size > 0:
            yield Entry(place, what, size, (), "" if removable else "saves the time to make it again")


def _size(place: Path, seen: set[int] | None = None) -> int:
    """Bytes of a folder; what vanishes meanwhile is not counted, nor are files `seen` already, by their inodes."""
    total, seen = 0, set() if seen is None else seen
    for item in place.rglob("*"):
        with suppress(OSError):
            state = item.lstat()
            if not stat.S_ISDIR(state.st_mode) and state.st_ino not in seen:
                seen.add(state.st_ino)
                total += state.st_size
    return total
