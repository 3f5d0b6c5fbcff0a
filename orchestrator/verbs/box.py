"""`labctl box`: list, import and build Vagrant boxes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator import bundle, catalog, paths
from orchestrator.catalog import Guest
from orchestrator.errors import SpecError
from orchestrator.events import Emit, phase
from orchestrator.lab.build_tools import install_build_tools
from orchestrator.lab.fetching import is_url, local_file
from orchestrator.lab.host_setup import Agree
from orchestrator.lab.result import Result
from orchestrator.providers import registry
from orchestrator.providers.vagrant import box_build, boxes
from orchestrator.providers.vagrant.boxes import BoxProvider, StoredBox
from orchestrator.spec import Spec

_PROVIDER_NAMES = ", ".join(boxes.PROVIDERS)


@dataclass(frozen=True)
class CachedBox:
    """A box of the cache, in what its user needs to know."""

    box: StoredBox
    schema = "labctl/box/v1"

    def as_dict(self) -> Mapping[str, Any]:
        """The body of the document."""
        return {
            "guest": self.box.guest,
            "provider": self.box.provider,
            "state": "here",
            "name": self.box.name,
            "path": str(self.box.path),
            "sha256": self.box.sha256,
            "size": f"{self.box.size // 2**20} MB",
            "source": self.box.source,
        }


@dataclass(frozen=True)
class Boxes(Result):
    """Every guest of the catalog with each of its boxes: in the cache, buildable, or to be imported."""

    boxes: tuple[Mapping[str, Any], ...]
    schema = "labctl/boxes/v1"


def list_boxes() -> Boxes:
    """Every box that a guest of the catalog has or could have."""
    cached = {(box.guest, box.provider): CachedBox(box).as_dict() for box in boxes.stored()}
    return Boxes(
        tuple(
            cached.get((guest.name, provider)) or _missing_box(guest, provider)
            for guest in catalog.load().guests
            for provider in boxes.PROVIDERS
            if provider in guest.providers
        )
    )


def _missing_box(guest: Guest, provider: str) -> Mapping[str, Any]:
    """A box that the cache lacks, and the command that adds it."""
    is_buildable = boxes.buildable(guest.name, provider)
    return {
        "guest": guest.name,
        "provider": provider,
        "state": "buildable" if is_buildable else "to be imported",
        "name": guest.box,
        "url": guest.url,
        "sha256": guest.sha256,
        "how": boxes.build_command(provider) if is_buildable else "labctl box import FILE|URL --sha256 SUM",
    }


def import_box(source: str, guest: str, sha256: str | None, *, ask: Agree, emit: Emit) -> CachedBox:
    """Import the box in a file or at a URL, whose sum is confirmed once when nobody gave one, and remembered.

    Raises SpecError, HostError.
    """
    expected = boxes.expected_sum(guest, sha256)
    with (
        phase(emit, "import", f"Import {source.rpartition('/')[2]}"),
        local_file(source, emit, "import", command="labctl box import", sha256=expected or "") as file,
    ):
        if not is_url(source):
            return CachedBox(boxes.import_box(file, guest, expected))
        known = bundle.Known(paths.cache_dir() / bundle.KNOWN, ask=ask, option="--sha256 {digest}")
        found = expected or boxes.sum_of(file)
        if expected:
            known.remember(source, expected)
        elif known.get(source):
            known.require(source, found, f"the box at {source}")
        else:
            known.confirm(source, found, source)
        return CachedBox(boxes.import_box(file, guest, found, source))


def preview_import(source: str, guest: str) -> list[str]:
    """What `import_box` would do."""
    fetch = [f"fetch {source}"] if is_url(source) else []
    return [*fetch, f"compare the sha256 of {source}", f"keep it as the box of {guest}"]


def select_provider(name: str | None, spec: Spec) -> BoxProvider:
    """The provider of this name, else the lab's, else the first that this host has. Raises SpecError."""
    if name is not None and name not in boxes.PROVIDERS:
        raise SpecError(f"no box is built for the provider {name}", fix=f"--provider with one of {_PROVIDER_NAMES}")
    for wanted in (name, spec.lab.provider):
        if found := next((one for one in boxes.PROVIDERS if one == wanted), None):
            return found
    ready = [one for one in boxes.PROVIDERS if registry.provider(one).obstacle() is None]
    return (ready or boxes.PROVIDERS[-1:])[0]


def build(provider: BoxProvider, *, agree: Agree, emit: Emit) -> CachedBox:
    """The Debian 12 box, built when it is missing, damaged or of an older recipe. Raises HostError."""
    install_build_tools(box_build.missing_tools(), agree)
    with phase(emit, "box", f"Build the box of {box_build.GUEST} for {provider}"):
        return CachedBox(box_build.build(provider, emit, "box"))


def preview_build(provider: BoxProvider) -> list[str]:
    """What `build` would do."""
    if existing := box_build.present(provider):
        return [f"keep {existing.name}"]
    missing = box_build.missing_tools()
    tools = [f"install on this host: {', '.join(missing)}"] if missing else []
    return [*tools, f"build a box of {box_build.GUEST} for {provider}"]
