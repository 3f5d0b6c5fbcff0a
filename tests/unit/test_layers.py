"""Who may import whom: docs/adr/0004-layers.md as a test."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "orchestrator"

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
    "plan": 2,
    "checks": 2,
    "spec": 1,
    "catalog": 1,
    "host": 1,
    "debian_mirror": 1,
    "ssh_options": 1,
    "model": 0,
    "events": 0,
    "errors": 0,
    "proc": 0,
    "paths": 0,
}

# A library that only these modules may import.
FENCES = {
    "click": ("cli",),
    "ansible_runner": ("runner",),
    "pytest": ("verify",),
    "testinfra": ("verify",),
    "docker": ("providers",),
    "subprocess": ("proc",),
}

LONGEST = 400


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if "_data" not in path.parts)


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


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
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
            allowed = FENCES.get(name.split(".")[0])
            assert allowed is None or part_of(path) in allowed, f"only {allowed} may import {name}"

    def test_it_fits_on_a_few_screens_and_says_what_it_is_for(self, path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) < LONGEST
        assert not text.strip() or ast.get_docstring(ast.parse(text)), "the first line says what the module is for"


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
