"""`labctl box`: list, take in and build Vagrant boxes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from orchestrator import catalog, host
from orchestrator.errors import HostError
from orchestrator.events import Emit, phase
from orchestrator.lab.host_setup import Agree
from orchestrator.providers.vagrant import box_build, boxes
from orchestrator.providers.vagrant.boxes import StoredBox


def listed() -> list[dict[str, Any]]:
    """Every guest of the catalogue with each of its boxes: kept here, buildable, or known by name only."""
    kept = {(box.guest, box.provider): box for box in boxes.stored()}
    rows = []
    for guest in catalog.load().guests:
        for provider in boxes.PROVIDERS:
            if provider not in guest.providers:
                continue
            box = kept.get((guest.name, provider))
            rows.append(describe(box) if box else _wanting(guest.name, guest.box, provider, guest.url, guest.sha256))
    return rows


def _wanting(guest: str, name: str, provider: str, url: str | None, sha256: str | None) -> dict[str, Any]:
    """A box that is not here, and how it is had."""
    how = "labctl box build" if boxes.buildable(guest, provider) else "labctl box import FILE --sha256 SUM"
    return {
        "guest": guest,
        "provider": provider,
        "state": "buildable" if boxes.buildable(guest, provider) else "to be imported",
        "name": name,
        "url": url,
        "sha256": sha256,
        "how": how,
    }


def describe(box: StoredBox) -> dict[str, Any]:
    """What a person wants to know of a box of the cache."""
    return {
        "guest": box.guest,
        "provider": box.provider,
        "state": "here",
        "name": box.name,
        "path": str(box.path),
        "sha256": box.sha256,
        "size": f"{box.size // 2**20} MB",
        "source": box.source,
    }


def take_in(file: Path, guest: str, sha256: str | None) -> StoredBox:
    """Import a box file. Raises SpecError, HostError."""
    return boxes.import_box(file, guest, sha256)


def intent() -> list[str]:
    """What `build` would do."""
    there = box_build.present()
    tools = [f"install on this host: {', '.join(missing)}"] if (missing := box_build.missing_tools()) else []
    return [f"nothing: {there.name} is built"] if there else [*tools, f"build a box of {box_build.GUEST} for libvirt"]


def build(*, agree: Agree, emit: Emit) -> StoredBox:
    """The Debian 12 box for libvirt, built if it is missing, damaged or of an older recipe. Raises HostError."""
    if missing := box_build.missing_tools():
        command = host.install_command(host.package_manager(), missing)
        if not agree(f"Building needs {', '.join(missing)}. Install with `{command}`?"):
            raise HostError(f"this host lacks {', '.join(missing)}", fix=command)
        host.install_packages(missing)
    with phase(emit, "box", f"Build the box of {box_build.GUEST} for libvirt"):
        return box_build.build(emit, "box")
