"""`labctl bundle pin`: pin a Kubernetes version in the recipes, for those who maintain labctl."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator import bundle, catalog, paths
from orchestrator.catalog.versions import minor
from orchestrator.errors import SpecError
from orchestrator.events import Emit, phase
from orchestrator.model import ORIGINS


@dataclass(frozen=True)
class PinnedVersion:
    """A version that was pinned: where, and what changed there."""

    version: str
    directory: Path
    changed: tuple[str, ...]
    schema = "labctl/bundle-pin/v1"

    def as_dict(self) -> Mapping[str, Any]:
        """The body of the document."""
        return {"version": self.version, "directory": str(self.directory), "changed": list(self.changed)}


def pin(version: str, emit: Emit) -> PinnedVersion:
    """Pin a Kubernetes version from the Go module proxy, in the checkout that labctl runs from.

    Raises SpecError for what is no version or no checkout, HostError when the proxy lacks something.
    """
    version, recipes = _pinnable(version)
    releases = Path(catalog.__file__).parent / "data" / "releases.yml"
    with phase(emit, "pin", f"Pin Kubernetes {version} from {ORIGINS['modules']}"):
        pinned = bundle.pin(version, recipes, paths.cache_dir())
        known = bundle.add_to_catalog(version, pinned.pause, releases)
        suite = bundle.pin_suite(version, recipes, paths.cache_dir())
    changed = (*pinned.changed, *(f"conformance: {name}" for name in suite), *([releases.name] if known else []))
    return PinnedVersion(version, pinned.directory, changed)


def preview_pin(version: str) -> list[str]:
    """What `pin` would do; raises SpecError as it does."""
    version, recipes = _pinnable(version)
    folder = recipes / "modules" / f"kubernetes-{minor(version)}"
    suite = recipes / "conformance" / folder.name
    return [
        f"write go.mod, go.sum and release.toml in {folder}",
        f"write go.mod, go.sum and images.toml of its conformance suite in {suite}",
        f"make {version} known in releases.yml",
    ]


def _pinnable(version: str) -> tuple[str, Path]:
    """The version without its v, and the folder of the recipes. Raises SpecError."""
    if not re.fullmatch(r"v?1\.\d+\.\d+(-[a-z]+\.\d+)?", version):
        raise SpecError(f"{version!r} is no full version", fix="labctl bundle pin 1.37.2")
    recipes = paths.data("images", "bundle")
    if not os.access(recipes, os.W_OK) or paths.is_installed():
        raise SpecError(f"{recipes} belongs to an installed labctl", fix="run ./labctl bundle pin in a checkout")
    return version.removeprefix("v"), recipes
