"""The compilers of bundles by origin, whether their sources can be had, and how long a build takes with them."""

from __future__ import annotations

import os
from pathlib import Path

from orchestrator.bundle import community, debian_compile, go, modules_compile, programs, recipe, recipes
from orchestrator.bundle.background import Background
from orchestrator.bundle.recipe import Recipe
from orchestrator.bundle.root import BuildRoot

# Seconds each step takes on 2 cores, measured; what is still to come is the sum of the rest.
_ROOT, _TOOLS, _DOWNLOAD, _RPM, _DEB, _IMAGES, _SIGN, SUMS, _CLEAN_UP = 25, 15, 15, 25, 10, 20, 12, 6, 4
_FEWEST_CORES = 0.4  # of the time on two cores is left however many there are: linking, mostly
_BY_ORIGIN = {
    "debian": debian_compile,
    "modules": modules_compile,
    "conformance": modules_compile,
    "community": community,
    "mirror": community,
}


def compiler(root: BuildRoot, cache: Path, inputs: Recipe) -> Background:
    """The compiler of a recipe, its log beside the root's; one that runs nothing where there is nothing to compile."""
    kind: type[Background] = _BY_ORIGIN[inputs.origin].Compiler if inputs.kubernetes else Background
    return kind(root, cache, inputs, root.log.with_suffix(".compile.log"))


def forget_old_programs(cache: Path) -> None:
    """Remove compiled programs that no recipe of today packs."""
    lasting = (*recipes.available(), *recipes.suites(), recipes.load("community"))
    compiled = [one for one in lasting if one.kubernetes or one.origin == "community"]
    programs.forget_others(cache, {name for one in compiled for name in _sets(one)})


def _sets(inputs: Recipe) -> set[str]:
    """The sets of programs that a recipe keeps in the cache."""
    if inputs.modules:
        return modules_compile.names(inputs)
    return {_BY_ORIGIN[inputs.origin].compiled_id(inputs)}


def _compiling(cache: Path, inputs: Recipe) -> float:
    """Seconds on 2 cores that compiling takes; what is in the cache takes none."""
    if inputs.modules:
        return modules_compile.remaining(cache, inputs)
    maker = _BY_ORIGIN[inputs.origin]
    return 0.0 if programs.present(cache, maker.compiled_id(inputs)) else float(maker.SECONDS)


def unreachable(cache: Path, inputs: Recipe) -> str:
    """Why the sources of a recipe cannot be had, asked for at most a few seconds; empty when they can."""
    if not inputs.modules or modules_compile.remaining(cache, inputs) == 0:
        return ""
    return go.proxy_problem(recipe.KUBERNETES, inputs.kubernetes, cache)


def seconds(cache: Path, inputs: Recipe) -> float:
    """How long this host takes to build a bundle, as far as its cores say; what is compiled already is left out."""
    return sum(steps(cache, inputs).values())


def steps(cache: Path, inputs: Recipe) -> dict[str, float]:
    """The steps of a build, with the seconds that each is expected to take on this host."""
    expected: dict[str, float] = {"build root": _ROOT, "tools": _TOOLS, "download": _DOWNLOAD}
    if not inputs.kubernetes:
        return expected | {"packages": _DEB, "sign": _SIGN, "sums": SUMS, "clean up": _CLEAN_UP}
    compiling = _compiling(cache, inputs) * max(2 / (os.cpu_count() or 1), _FEWEST_CORES)
    # Modules are compiled outside the root, while it is made.
    beside = _TOOLS + _DOWNLOAD + (_ROOT if inputs.modules else 0)
    if inputs.is_suite:
        return expected | {
            "compile": max(compiling - beside, 0),
            "images": _IMAGES,
            "sums": SUMS,
            "clean up": _CLEAN_UP,
        }
    rpms = _RPM if inputs.packages or inputs.rpms else 0
    expected |= {"compile": max(compiling - beside, 0), "packages": rpms + _DEB, "images": _IMAGES}
    if inputs.upstream:
        expected |= {"fetch": community.FETCH_SECONDS}
    return expected | {"sign": _SIGN, "sums": SUMS, "clean up": _CLEAN_UP}
