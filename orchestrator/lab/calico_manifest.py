"""Calico's manifest for a lab: from the bundle, or fetched once into the cache, and never used unconfirmed."""

from __future__ import annotations

import hashlib
import shutil
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from orchestrator import bundle, paths
from orchestrator.bundle import BundleInfo
from orchestrator.errors import HostError
from orchestrator.events import Emit, Note
from orchestrator.lab.host_setup import Agree
from orchestrator.model import KubernetesPlan, Plan
from orchestrator.paths import LabDir

BUNDLED = "calico.yaml"
FETCH_SECONDS = 60.0


@dataclass(frozen=True)
class Manifest:
    """The manifest's path on this host and the sha256 it was confirmed with."""

    path: Path
    sha256: str


def place_manifest(plan: Plan, directory: LabDir, agree: Agree, emit: Emit) -> None:
    """Put the confirmed manifest into the lab's state, where the roles find it; nothing for a lab without Calico."""
    kubernetes = plan.kubernetes
    if kubernetes is None or kubernetes.cni != "calico":
        return
    existing = plan.source.bundle_id and bundle.find(paths.cache_dir(), plan.source.bundle_id)
    manifest = (existing and bundled_manifest(existing)) or fetch_manifest(kubernetes, agree, emit)
    shutil.copyfile(manifest.path, directory.calico_manifest)


def bundled_manifest(content: BundleInfo) -> Manifest | None:
    """The manifest that a bundle carries, its sum being that of the bundle's own manifest."""
    for file in content.files:
        if file.path == BUNDLED:
            return Manifest(content.path / file.path, file.sha256)
    return None


def fetch_manifest(kubernetes: KubernetesPlan, agree: Agree, emit: Emit) -> Manifest:
    """The manifest from the cache or from its project. Raises HostError when its sum is wrong or stays unconfirmed.

    A sum that the catalog or lab.yml has must match. Where nobody computed one, the user is asked once, the
    answer is kept beside the file, and a file that changed later is refused.
    """
    name = f"calico-{kubernetes.cni_version}"
    file = paths.cache_dir() / "calico" / f"{name}.yaml"
    confirmed = file.with_suffix(".sha256")
    expected = kubernetes.cni_manifest_sha256 or (confirmed.read_text().strip() if confirmed.exists() else "")
    if not file.exists():
        _fetch(kubernetes.cni_manifest_url or "", file)
    actual = hashlib.sha256(file.read_bytes()).hexdigest()
    confirm = f"packages: {{checksums: {{{name}: {actual}}}}} in lab.yml, if that is the manifest you expect"
    if expected and actual != expected:
        file.unlink()
        raise HostError(
            f"{kubernetes.cni_manifest_url} has the sha256 {actual}, not {expected}; it is not used", fix=confirm
        )
    if not expected:
        if not agree(f"Nobody has confirmed a checksum of {name}; what was fetched has the sha256 {actual}. Use it?"):
            raise HostError(f"the checksum of {name} is not confirmed: what was fetched has {actual}", fix=confirm)
        emit(Note(phase="calico", text=f"{name}: sha256 {actual}, confirmed by you alone"))
    confirmed.write_text(actual + "\n")
    return Manifest(file, actual)


def _fetch(url: str, target: Path) -> None:
    target.parent.mkdir(mode=0o700, exist_ok=True)
    fresh = target.with_suffix(".part")
    try:
        with urllib.request.urlopen(url, timeout=FETCH_SECONDS) as answer:
            fresh.write_bytes(answer.read())
    except (OSError, ValueError) as problem:
        raise HostError(
            f"Calico's manifest cannot be fetched from {url}: {problem}", fix="kubernetes: {cni: bridge_cni}"
        ) from None
    fresh.replace(target)
