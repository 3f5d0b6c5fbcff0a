"""A second bundle of a lab, of another version: its packages and images are on the nodes beside those of the first."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from orchestrator import bundle, paths
from orchestrator.bundle import BundleInfo
from orchestrator.errors import HostError
from orchestrator.model import SourceAccess
from orchestrator.paths import LabDir, write_private


@dataclass(frozen=True)
class Attached:
    """The bundle that is attached, its Kubernetes version, and where the nodes find it while it is served."""

    bundle: str
    kubernetes: str
    access: SourceAccess


def load_attached(directory: LabDir) -> Attached | None:
    """What is attached to a lab; None for most labs."""
    try:
        kept = json.loads(_file(directory).read_text(encoding="utf-8"))
        return Attached(str(kept["bundle"]), str(kept["kubernetes"]), SourceAccess(**kept["access"]))
    except (FileNotFoundError, KeyError, TypeError, ValueError):
        return None


def save_attached(directory: LabDir, attached: Attached) -> None:
    """Record what is attached: every later command that serves packages serves it as well."""
    write_private(_file(directory), json.dumps(asdict(attached)) + "\n")


def forget_attached(directory: LabDir) -> None:
    """Record that nothing is attached any more."""
    _file(directory).unlink(missing_ok=True)


def attached_bundle(directory: LabDir) -> BundleInfo | None:
    """The attached bundle, None where there is none. Raises HostError when it left the cache or was made again."""
    attached = load_attached(directory)
    if attached is None:
        return None
    found, key = bundle.find(paths.cache_dir(), attached.bundle), Path(attached.access.key_file)
    if found is None:
        raise HostError(
            f"the attached bundle {attached.bundle} is not in {paths.cache_dir()} any more",
            fix="labctl bundle import FILE or labctl bundle build brings it back; labctl bundle detach does without it",
        )
    if not key.exists() or key.read_bytes() != found.key_file.read_bytes():
        raise HostError(
            f"the attached bundle {attached.bundle} was made again, and the nodes do not have its new key",
            fix=f"labctl bundle attach {attached.bundle}",
        )
    return found


def attached_key(directory: LabDir) -> Path:
    """The copy of the attached bundle's key that the nodes are given."""
    return directory.root / "attached-key.asc"


def inventory_variables(directory: LabDir) -> Mapping[str, Any]:
    """What the playbooks are told of the attached bundle."""
    attached = load_attached(directory)
    if attached is None:
        return {}
    access = attached.access
    whole = (access.image_archive_url, access.image_archive_sha256)
    of_workers = (access.worker_archive_url, access.worker_archive_sha256) if access.worker_archive_url else whole
    names = ("url", "sha256")
    return {
        "attached_version": attached.kubernetes,
        "attached_apt_url": access.apt_url,
        "attached_rpm_url": access.rpm_url,
        "attached_key_file": access.key_file,
        "attached_images": {
            "control_plane": dict(zip(names, whole, strict=True)),
            "workers": dict(zip(names, of_workers, strict=True)),
        },
    }


def _file(directory: LabDir) -> Path:
    return directory.root / "attached.json"
