"""The program of a lab's registry: compiled from Go modules, kept as a bundle of its own beside those of Kubernetes."""

from __future__ import annotations

import shutil
from pathlib import Path

from orchestrator import paths
from orchestrator.bundle import manifest, modules_compile, recipes
from orchestrator.bundle.builder import locked
from orchestrator.bundle.manifest import BundleInfo
from orchestrator.bundle.progress import Progress
from orchestrator.bundle.recipe import ModuleRecipe, Recipe
from orchestrator.bundle.root import BuildRoot
from orchestrator.errors import HostError
from orchestrator.events import Emit

PROGRAM = "registry"
_MODULE = "github.com/distribution/distribution/v3"
# Measured on two cores, the modules included.
_SECONDS = 90.0


def recipe(directory: Path | None = None) -> Recipe:
    """What the program is compiled from."""
    directory = directory or paths.data("images", "bundle")
    place = directory / "registry"
    version = recipes.required_version(place / "go.mod", _MODULE)
    return Recipe(
        origin="registry",
        directory=directory,
        inputs=tuple(sorted(file for file in place.iterdir() if file.is_file())),
        kubernetes="",
        suite="",
        architecture="amd64",
        compiler=(),
        tools=(),
        disk=2 * 10**9,
        node_packages=(),
        base_packages=(),
        omit=frozenset(),
        prune=(),
        packages=(),
        rpms=(),
        images=(),
        modules=(ModuleRecipe("registry", place.resolve(), {PROGRAM: "labctl/registry"}, _SECONDS, _MODULE, version),),
        versions={"registry": version},
    )


def find(cache: Path) -> BundleInfo | None:
    """The program that this labctl makes, else the newest that the cache has, or None; nothing is verified."""
    known = [one for one in manifest.list_bundles(cache) if one.kind == "registry"]
    wanted = recipe().id
    return next((one for one in known if one.id == wanted), known[-1] if known else None)


def build(cache: Path, emit: Emit, phase_name: str) -> BundleInfo:
    """The program, from the cache when it is intact, else compiled (about 90 s on 2 cores).

    Raises HostError when Go or a module cannot be had (the log is named).
    """
    inputs = recipe()
    if present := _intact(cache, inputs):
        return present
    with locked(cache, emit, phase_name):
        # The one who held the lock may have made it.
        if present := _intact(cache, inputs):
            return present
        final, staged = manifest.store(cache) / inputs.id, cache / "build-registry"
        for old in (final, staged):
            shutil.rmtree(old, ignore_errors=True)
        try:
            _compile(cache, inputs, staged, Progress(emit, phase_name, {"compile": _SECONDS}))
            _describe(inputs, staged / inputs.id)
            (staged / inputs.id).rename(final)
        except OSError as error:
            raise HostError(f"making the registry failed: {error}", fix=f"df -h {cache}") from error
        finally:
            shutil.rmtree(staged, ignore_errors=True)
        return manifest.load(final)


def _intact(cache: Path, inputs: Recipe) -> BundleInfo | None:
    present = manifest.find(cache, inputs.id)
    return present if present and not manifest.verify(present) else None


def _compile(cache: Path, inputs: Recipe, staged: Path, progress: Progress) -> None:
    log = cache / "logs" / f"bundle-{inputs.id}.log"
    log.parent.mkdir(exist_ok=True, parents=True)
    root = BuildRoot(staged / "root", log)
    compiler = modules_compile.Compiler(root, cache, inputs, log)
    try:
        with progress.step("compile") as detail:
            compiler.begin()
            compiled = compiler.finish(detail)
    except BaseException:
        compiler.end()
        raise
    programs = staged / inputs.id / "bin"
    programs.mkdir(parents=True)
    shutil.copyfile(compiled / PROGRAM, programs / PROGRAM)
    (programs / PROGRAM).chmod(0o755)


def _describe(inputs: Recipe, directory: Path) -> None:
    manifest.write(
        BundleInfo(
            id=inputs.id,
            path=directory,
            kubernetes="",
            packages={},
            rpms={},
            images=(),
            files=manifest.describe(directory),
            key_fingerprint="",
            components=dict(inputs.versions),
            kind="registry",
        )
    )
