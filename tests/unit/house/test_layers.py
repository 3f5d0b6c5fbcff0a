"""Who may import whom: docs/adr/0004-layers.md as a test."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PACKAGE = ROOT / "orchestrator"

# A room imports from lower rows only, so that rooms of one row never import each other.
LAYERS = {
    "cli": 6,
    "verbs": 5,
    "lab": 4,
    "providers": 3,
    "inventory": 3,
    "runner": 3,
    "verify": 3,
    "doctor": 3,
    "drills": 3,
    "bundle": 3,
    # A part of the inventory that found no room in its module.
    "inventory_users": 2,
    "plan": 2,
    "checks": 2,
    "spec": 1,
    "catalog": 1,
    "host": 1,
    "debian_mirror": 1,
    "ssh_options": 1,
    "observed": 1,
    "registry": 1,
    "timeline": 1,
    "model": 0,
    "events": 0,
    "errors": 0,
    "proc": 0,
    "paths": 0,
    # Parts of the model that found no room in its module.
    "addresses": -1,
    "box": -1,
    # What every layer may ask of the system that it runs on.
    "operating_system": -1,
    "macos": -1,
    "capabilities": -1,
    "host_access": -1,
}

# A library -> the only place that may import it.
FENCES = {
    "click": "cli/",
    "ansible_runner": "runner.py",
    "pytest": "verify/",
    "testinfra": "verify/",
    "docker": "providers/container/",
    "subprocess": "proc.py",
}

PROVIDERS = {"container", "vagrant", "static"}

# Lines of a module and of a function.
LONGEST = 300
LONGEST_FUNCTION = 50


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if "_data" not in path.parts)


def place_of(path: Path) -> str:
    """The path below orchestrator/."""
    return path.relative_to(PACKAGE).as_posix()


def rooms_imported(path: Path, parent: str) -> set[str]:
    """The modules and folders of `orchestrator.<parent>` that a file imports."""
    start = f"orchestrator.{parent}."
    return {name.removeprefix(start).split(".")[0] for name in imports(path) if name.startswith(start)}


def part_of(path: Path) -> str:
    """The top-level module a file belongs to; empty for orchestrator/__init__.py and __main__.py."""
    name = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "" if name.startswith("__") else name


@cache
def imports(path: Path) -> tuple[str, ...]:
    """Absolute names of everything a file imports, at the top or inside a function."""
    return tuple(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    package = ("orchestrator", *path.relative_to(PACKAGE).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            start = ".".join(filter(None, (base, node.module or "")))
            yield from (f"{start}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", modules(), ids=place_of)
class TestModule:
    def test_it_has_a_layer(self, path: Path) -> None:
        part = part_of(path)
        assert part in LAYERS or not part, f"give {part} a layer in DESIGN's table and here"

    def test_it_imports_only_from_layers_below(self, path: Path) -> None:
        part = part_of(path)
        if not part:
            return
        for name in imports(path):
            other = name.split(".")[1] if name.startswith("orchestrator.") else ""
            if other in LAYERS and other != part:
                assert LAYERS[other] < LAYERS[part], f"{part} (layer {LAYERS[part]}) imports {name}"

    def test_it_stays_within_the_fences(self, path: Path) -> None:
        for name in imports(path):
            allowed = FENCES.get(name.split(".")[0], "")
            assert place_of(path).startswith(allowed), f"only {allowed} may import {name}"

    def test_it_fits_on_a_few_screens_and_says_what_it_is_for(self, path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= LONGEST
        assert not text.strip() or ast.get_docstring(ast.parse(text)), "the first line says what the module is for"

    def test_its_functions_fit_on_a_screen(self, path: Path) -> None:
        functions = [
            node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.FunctionDef)
        ]
        lengths = {function.name: (function.end_lineno or 0) - function.lineno + 1 for function in functions}
        assert {name: length for name, length in lengths.items() if length > LONGEST_FUNCTION} == {}


@pytest.mark.parametrize("path", [path for path in modules() if part_of(path) == "verbs"], ids=place_of)
def test_no_verb_imports_a_verb(path: Path) -> None:
    own = place_of(path).split("/")[1].removesuffix(".py")
    assert rooms_imported(path, "verbs") <= {own}


@pytest.mark.parametrize("path", [path for path in modules() if place_of(path).startswith("providers/")], ids=place_of)
def test_no_provider_imports_a_provider(path: Path) -> None:
    own = place_of(path).split("/")[1]
    if own in PROVIDERS:
        assert rooms_imported(path, "providers") & PROVIDERS <= {own}


def test_relative_imports_are_seen_as_absolute_names() -> None:
    assert "orchestrator.verify.run.run_checks" in set(imports(PACKAGE / "verify" / "__init__.py"))


def test_no_two_modules_import_each_other_not_even_by_a_detour() -> None:
    names = {".".join(("orchestrator", *path.relative_to(PACKAGE).with_suffix("").parts)): path for path in modules()}
    needs = {
        name: {other for other in names if any(one == other or one.startswith(f"{other}.") for one in imports(path))}
        for name, path in names.items()
    }
    while free := {name for name, others in needs.items() if not others & set(needs)}:
        needs = {name: others for name, others in needs.items() if name not in free}
    assert sorted(needs) == []
