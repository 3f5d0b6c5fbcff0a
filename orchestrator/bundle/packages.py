"""Packages of a bundle: Debian's with all they need, and Kubernetes' as .deb and .rpm the way upstream cuts them."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.bundle.recipe import PackageRecipe, Recipe
from orchestrator.bundle.root import BuildRoot
from orchestrator.errors import HostError

MAINTAINER = "The labctl maintainers <labctl@localhost>"
# Archives and state of the closure, inside the root.
DEBS = "/build/debs"
# Directories that are links into /usr on every Debian of today.
MERGED = ("bin", "sbin", "lib", "lib64")
_EMPTY = "/build/empty-status"


@dataclass(frozen=True)
class Closure:
    """Debian packages with everything they depend on: package name -> file name below /build/debs."""

    files: Mapping[str, str]

    def without(self, other: Closure, omit: Iterable[str] = ()) -> Closure:
        """What this closure has on top of another one."""
        skip = set(other.files) | set(omit)
        return Closure({name: file for name, file in self.files.items() if name not in skip})


def _apt(packages: Sequence[str]) -> list[str]:
    """apt-get that resolves as if nothing at all were installed, so that any node finds all it may lack."""
    settings = {
        "Dir::State::status": _EMPTY,
        # --print-uris leaves out what is there already, so it must not see what the root itself was made of.
        "Dir::Cache::archives": "/nonexistent",
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "root",
        # The default is MD5, which not every index has.
        "Acquire::ForceHash": "SHA256",
    }
    options = [f"-o{name}={value}" for name, value in settings.items()]
    return ["apt-get", *options, "--yes", *("install", *packages)]


def closures(root: BuildRoot, wanted: Mapping[str, Sequence[str]]) -> dict[str, Closure]:
    """Resolve each list of packages on its own and download everything once.

    The sums come from Debian's signed index, and apt's own downloader checks them.
    """
    root.script(f"mkdir -p {DEBS}; : > {_EMPTY}")
    found: dict[str, Closure] = {}
    downloads: dict[str, str] = {}
    for name, packages in wanted.items():
        listing = root.read([*_apt(packages), "--print-uris", "-qq"])
        rows = _rows(listing)
        found[name] = Closure({file.split("_")[0]: file for file in rows})
        downloads |= rows
    _download(root, downloads)
    return found


def exactly(root: BuildRoot, wanted: Sequence[str]) -> Closure:
    """Download these packages (NAME or NAME=VERSION, with * for any) and nothing of what they depend on."""
    listing = root.read(["apt-get", "-oAcquire::ForceHash=SHA256", "download", "--print-uris", "-qq", *wanted])
    rows = _rows(listing)
    _download(root, rows)
    return Closure({file.split("_")[0]: file for file in rows})


def _rows(listing: str) -> dict[str, str]:
    """File name -> arguments of apt's downloader, from lines of 'URI' FILE SIZE ALGORITHM:SUM."""
    rows = [line.split() for line in listing.splitlines() if line.startswith("'")]
    return {row[1]: f"{row[0]} '{DEBS}/{row[1]}' {row[3]}" for row in rows}


def _download(root: BuildRoot, downloads: Mapping[str, str]) -> None:
    # A file, because all of it together is too long for one argument of a command.
    script = root.build / "download.sh"
    helper = "exec /usr/lib/apt/apt-helper -oAPT::Sandbox::User=root -oAcquire::Retries=3 download-file"
    script.write_text(" \\\n ".join([helper, *downloads.values()]) + "\n", encoding="utf-8")
    root.run(["/bin/sh", "/build/download.sh"], timeout=1800)


def place(root: BuildRoot, closure: Closure, target: Path) -> None:
    """Put the packages of a closure into a repository directory; a colon of an epoch stays out of file names."""
    for file in closure.files.values():
        _link(root.path / DEBS.lstrip("/") / file, target / re.sub(r"_\d+%3a", "_", file))


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another filesystem, or a filesystem without hard links
        shutil.copyfile(source, target)


def extract(root: BuildRoot, files: Iterable[str], name: str) -> Path:
    """Unpack packages into one directory of the root, with the merged /usr that Debian's own installer makes."""
    tree = f"/build/trees/{name}"
    links = "; ".join(f"mkdir -p usr/{part}; ln -s usr/{part} {part}" for part in MERGED)
    # dpkg-deb -x would replace those links by the directories that older packages still have.
    unpack = "; ".join(
        f"dpkg-deb --fsys-tarfile '{DEBS}/{file}' | tar -x --keep-directory-symlink --no-same-owner" for file in files
    )
    root.script(f"rm -rf {tree}; mkdir -p {tree}; cd {tree}; {links}; {unpack}")
    return root.build / "trees" / name


def source_of(reference: str, recipe: Recipe, compiled: Path) -> Path:
    """The file that `bin:`, `setuid:` (a program again) or `file:` of a recipe means."""
    kind, _, rest = reference.partition(":")
    path = {"bin": compiled, "setuid": compiled, "file": recipe.files}[kind] / rest
    if not path.is_file():
        raise HostError(f"the bundle's recipe names {reference}, but {path} does not exist", fix="labctl bundle build")
    return path


def build_tree(
    root: BuildRoot, recipe: Recipe, package: PackageRecipe, compiled: Path, debs: Closure, kind: str
) -> Path:
    """The files of a package as they will lie on a node."""
    tree = root.build / "packages" / kind / package.name
    shutil.rmtree(tree, ignore_errors=True)
    files = {**package.files, **(package.deb_files if kind == "deb" else package.rpm_files)}
    for destination, reference in files.items():
        if kind == "rpm" and destination.startswith("/lib/"):
            destination = "/usr" + destination
        target = tree / destination.lstrip("/")
        if reference == "dir:":
            target.mkdir(parents=True)
            continue
        if reference.startswith("deb:"):
            _, name, directory = reference.split(":")
            unpacked = extract(root, [debs.files[name]], f"package-{name}")
            shutil.copytree(unpacked / directory.lstrip("/"), target, copy_function=_link_file, symlinks=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        # A copy, not a link: its mode and owner are the package's.
        shutil.copyfile(source_of(reference, recipe, compiled), target)
        target.chmod(0o755 if reference.startswith("bin:") else 0o644)
    return tree


def _link_file(source: str, target: str) -> str:
    _link(Path(source), Path(target))
    return target


def upstream_version(debian: str) -> str:
    """`1.1.1+ds1-3+b5` -> `1.1.1`: the version without epoch, repacking marks and Debian's revision."""
    match = re.match(r"(?:\d+:)?([0-9][0-9.]*)", debian)
    return match.group(1).rstrip(".") if match else debian


def version_of(package: PackageRecipe, recipe: Recipe, versions: Mapping[str, str]) -> str:
    """The upstream version a package carries: Kubernetes', a compiled component's, or that of a Debian package."""
    component = recipe.versions.get(package.version_of.replace("-", "_"))
    if component or not package.version_of:
        return component or recipe.kubernetes
    return upstream_version(versions[package.version_of])


def versions(closure: Closure) -> dict[str, str]:
    """Package name -> Debian version, epoch included, read off the file names."""
    return {name: file.split("_")[1].replace("%3a", ":") for name, file in closure.files.items()}


def build_debs(root: BuildRoot, recipe: Recipe, compiled: Path, debs: Closure, target: Path) -> dict[str, str]:
    """Make the .deb of every own package in `target`; returns name -> version."""
    made: dict[str, str] = {}
    known = versions(debs)
    for package in recipe.packages:
        version = f"{version_of(package, recipe, known)}-{recipe.revision}"
        tree = build_tree(root, recipe, package, compiled, debs, "deb")
        control = tree / "DEBIAN"
        control.mkdir()
        fields = {
            "Package": package.name,
            "Version": version,
            "Architecture": recipe.architecture,
            "Maintainer": MAINTAINER,
            "Section": "misc",
            "Priority": "optional",
            "Depends": ", ".join(package.deb_depends),
            "Provides": ", ".join(package.provides),
            "Conflicts": ", ".join(package.conflicts),
            "Replaces": ", ".join(package.conflicts),
            "Description": package.summary,
        }
        text = "".join(f"{name}: {value}\n" for name, value in fields.items() if value)
        (control / "control").write_text(text, encoding="utf-8")
        configuration = [path for path in package.deb_files if path.startswith("/etc/")]
        if configuration:
            (control / "conffiles").write_text("".join(f"{path}\n" for path in configuration), encoding="utf-8")
        if package.enable:
            _write_scripts(control, package.enable)
        # zstd: unpacking xz on every node at once costs more time than the few megabytes it saves.
        inside = f"/build/packages/deb/{package.name}"
        file = f"{package.name}_{version}_{recipe.architecture}.deb"
        root.run(["dpkg-deb", "--root-owner-group", "-Zzstd", "-z5", "--build", inside, f"/build/packages/{file}"])
        _link(root.build / "packages" / file, target / file)
        made[package.name] = version
    return made


def _write_scripts(control: Path, unit: str) -> None:
    """Enable the unit as upstream's package does; kubeadm starts it once there is something to run."""
    after = f"""#!/bin/sh
set -e
if [ "$1" = configure ]; then
    if command -v systemctl >/dev/null; then systemctl enable --quiet {unit} || true; fi
    if [ -d /run/systemd/system ]; then systemctl daemon-reload || true; fi
fi
"""
    before = f"""#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then systemctl disable --now --quiet {unit} || true; fi
"""
    for name, text in (("postinst", after), ("prerm", before)):
        (control / name).write_text(text, encoding="utf-8")
        (control / name).chmod(0o755)
