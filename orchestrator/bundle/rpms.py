"""Builds the bundle's rpm packages from what its deb packages hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from orchestrator.bundle.packages import (
    MERGED,
    Closure,
    build_tree,
    extract,
    upstream_version,
    version_of,
    versions,
)
from orchestrator.bundle.recipe import Recipe
from orchestrator.bundle.root import BuildRoot


def build_rpms(
    root: BuildRoot, recipe: Recipe, compiled: Path, debs: Closure, tick: Callable[[str], None]
) -> dict[str, str]:
    """Make the .rpm of every own package and of every twin in /build/rpms; returns name -> version."""
    made: dict[str, str] = {}
    known = versions(debs)
    for package in recipe.packages:
        tick(f"{package.name}.rpm")
        build_tree(root, recipe, package, compiled, debs, "rpm")
        version = version_of(package, recipe, known)
        _rpmbuild(
            root,
            package.name,
            version,
            package.summary,
            requires=package.rpm_requires,
            recommends=package.rpm_recommends,
            provides=package.provides,
            conflicts=package.conflicts,
            release=recipe.revision,
            directories=[path for path, reference in package.files.items() if reference == "dir:"],
        )
        made[package.name] = f"{version}-{recipe.revision}"
    for twin in recipe.rpms:
        tick(f"{twin.name}.rpm")
        tree = extract(root, [debs.files[name] for name in twin.debs], f"twin-{twin.name}")
        # The directories of the base system belong to the distribution's own packages.
        for part in MERGED:
            (tree / part).unlink()
        for pattern in twin.without:
            for path in list(tree.glob(pattern)):
                path.unlink()
        if twin.only:
            kept = {path for pattern in twin.only for path in tree.glob(pattern)}
            for path in list(tree.rglob("*")):
                if path not in kept and (path.is_symlink() or not path.is_dir()):
                    path.unlink()
        place_for_rpm = f"/build/packages/rpm/{twin.name}"
        root.script(f"mkdir -p /build/packages/rpm; mv /build/trees/twin-{twin.name} {place_for_rpm}")
        version = upstream_version(known[twin.debs[0]])
        summary = f"{twin.name}, from Debian's {' and '.join(twin.debs)}"
        _rpmbuild(
            root, twin.name, version, summary, requires=twin.requires, groups=twin.groups, release=recipe.revision
        )
        made[twin.name] = f"{version}-{recipe.revision}"
    return made


def rpm_spec(
    name: str,
    version: str,
    summary: str,
    *,
    requires: Sequence[str] = (),
    recommends: Sequence[str] = (),
    provides: Sequence[str] = (),
    conflicts: Sequence[str] = (),
    release: str = "1",
    groups: Sequence[str] = (),
) -> str:
    """The spec of an rpm whose files are ready-made.

    The scriptlet that adds groups is in Lua, which rpm runs itself: a shell scriptlet would make rpm ask
    for a package that owns /bin/sh.
    """
    lines = [
        "%global debug_package %{nil}",
        "%global __os_install_post %{nil}",
        "%global _build_id_links none",
        "%global _binary_payload w5.zstdio",
        f"Name: {name}",
        f"Version: {version}",
        f"Release: {release}",
        f"Summary: {summary}",
        "Vendor: labctl",
        "License: Apache-2.0",
        "AutoReqProv: no",
        *(f"Requires: {item}" for item in requires),
        *(f"Recommends: {item}" for item in recommends),
        *(f"Provides: {item}" for item in provides),
        *(f"Conflicts: {item}" for item in conflicts),
        "%description",
        summary,
    ]
    if groups:
        lines += ["%pre -p <lua>", *(f'rpm.execute("groupadd", "--system", "--force", "{group}")' for group in groups)]
    return "\n".join([*lines, "%files -f %{_filelist}", ""])


def _rpmbuild(
    root: BuildRoot,
    name: str,
    version: str,
    summary: str,
    *,
    directories: Sequence[str] = (),
    **relations: Any,
) -> None:
    tree = root.build / "packages" / "rpm" / name
    listed = sorted(path for path in tree.rglob("*") if path.is_symlink() or not path.is_dir())
    files = "".join(f'"/{path.relative_to(tree).as_posix()}"\n' for path in listed)
    files += "".join(f'%dir "{path}"\n' for path in directories)
    (root.build / "packages" / f"{name}.files").write_text("%defattr(-,root,root)\n" + files, encoding="utf-8")
    spec = rpm_spec(name, version, summary, **relations)
    (root.build / "packages" / f"{name}.spec").write_text(spec, encoding="utf-8")
    root.run(
        [
            "rpmbuild", "-bb", "--quiet", "--noclean",
            "--define", f"_filelist /build/packages/{name}.files",
            "--define", "_rpmdir /build/rpms",
            "--define", "_rpmfilename %{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}.rpm",
            "--buildroot", f"/build/packages/rpm/{name}",
            f"/build/packages/{name}.spec",
        ]
    )  # fmt: skip
