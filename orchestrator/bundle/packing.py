"""What was downloaded, compiled and fetched becomes the directory of a bundle: repositories, images, sums."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.bundle import images, manifest, packages, repos
from orchestrator.bundle.community import Fetched
from orchestrator.bundle.manifest import BundleInfo
from orchestrator.bundle.packages import Closure
from orchestrator.bundle.progress import Progress
from orchestrator.bundle.recipe import Recipe
from orchestrator.bundle.root import BuildRoot
from orchestrator.bundle.rpms import build_rpms


def wanted(inputs: Recipe) -> dict[str, tuple[str, ...]]:
    """The lists of Debian packages to resolve: for the nodes, for own packages made of Debian's, for each image."""
    from_debs = {name for twin in inputs.rpms for name in twin.debs}
    for package in inputs.packages:
        references = {**package.files, **package.deb_files, **package.rpm_files}.values()
        from_debs |= {reference.split(":")[1] for reference in references if reference.startswith("deb:")}
    nodes = ("?essential", *inputs.node_packages) if inputs.node_packages else ()
    wanted = {"nodes": nodes, "parts": tuple(sorted(from_debs))}
    if inputs.images:
        wanted["base"] = inputs.base_packages
    return wanted | {image.ref: image.packages for image in inputs.images if image.packages}


def pack(
    inputs: Recipe,
    root: BuildRoot,
    closures: dict[str, Closure],
    compiled: Path,
    fetched: Fetched,
    progress: Progress,
) -> Path:
    """Write the bundle into a directory beside the build root, and return that."""
    staged = root.path.parent / inputs.id
    staged.mkdir()
    for name, program in fetched.programs.items():
        shutil.copyfile(program, compiled / name)
    if fetched.calico:
        shutil.copyfile(fetched.calico, staged / manifest.CALICO)
    made = _Repositories()
    if not inputs.is_suite:
        made = _write_repositories(inputs, root, closures, compiled, fetched, progress, staged)
    if inputs.images:
        with progress.step("images") as detail:
            layers = root.path.parent / "layers"
            images.build(root, inputs, closures, compiled, fetched.images, layers, staged, detail.append)
    with progress.step("sums"):
        for name in inputs.host_programs:
            (staged / "bin").mkdir(exist_ok=True)
            shutil.copyfile(compiled / name, staged / "bin" / name)
            (staged / "bin" / name).chmod(0o755)
        info = BundleInfo(
            id=inputs.id,
            path=staged,
            kubernetes=inputs.kubernetes,
            packages={**packages.versions(closures["nodes"]), **packages.versions(fetched.debs), **made.debs},
            rpms={**fetched.rpms, **made.rpms},
            images=(*fetched.digests, *inputs.references),
            files=manifest.describe(staged),
            key_fingerprint=made.fingerprint,
            components={**inputs.versions, **fetched.components},
            digests=fetched.digests,
            guest=inputs.upstream.guest if inputs.upstream else "",
            kind="conformance" if inputs.is_suite else "lab",
        )
        manifest.write(info)
    return staged


@dataclass(frozen=True)
class _Repositories:
    """The own packages in the repositories of a bundle, name -> version, and the key that signed them."""

    debs: Mapping[str, str] = field(default_factory=dict)
    rpms: Mapping[str, str] = field(default_factory=dict)
    fingerprint: str = ""


def _write_repositories(
    inputs: Recipe,
    root: BuildRoot,
    closures: dict[str, Closure],
    compiled: Path,
    fetched: Fetched,
    progress: Progress,
    staged: Path,
) -> _Repositories:
    with progress.step("packages") as detail:
        work = repos.fill_apt(root, closures["nodes"], fetched.debs)
        debs = packages.build_debs(root, inputs, compiled, closures["parts"], work)
        rpms = build_rpms(root, inputs, compiled, closures["parts"], detail.append)
    with progress.step("sign"):
        fingerprint = repos.make_key(root, staged / "key.asc")
        repos.index_apt(root, work, staged / "apt")
        repos.index_rpm(root, staged / "rpm")
    return _Repositories(debs, rpms, fingerprint)
