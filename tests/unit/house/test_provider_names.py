"""A provider's name is compared nowhere but in providers/, and no provider knows another."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from orchestrator.model import ProviderName

PACKAGE = Path(__file__).resolve().parents[3] / "orchestrator"
NAMES = frozenset(get_args(ProviderName))


def modules() -> list[Path]:
    every = (path for path in PACKAGE.rglob("*.py") if not {"_data", "providers"} & set(path.parts))
    return sorted(every)


def uses(tree: ast.AST) -> Iterator[ast.AST]:
    """Comparisons, look-ups, cases, dictionaries and collections that hold the name of a provider as a literal."""
    for node in ast.walk(tree):
        parts: list[ast.AST | None] = []
        if isinstance(node, ast.Compare):
            parts = [node.left, *node.comparators]
        elif isinstance(node, ast.Subscript):
            # Literal["static"] names a type of its own; the providers' Literal has one place, which is tested below.
            parts = [] if isinstance(node.value, ast.Name) and node.value.id == "Literal" else [node.slice]
        elif isinstance(node, ast.MatchValue):
            parts = [node.value]
        elif isinstance(node, ast.Dict):
            parts = list(node.keys)
        elif isinstance(node, ast.Tuple | ast.List | ast.Set):
            parts = list(node.elts)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("get", "pop"):
            parts = list(node.args[:1])
        if any(isinstance(part, ast.Constant) and part.value in NAMES for part in parts):
            yield node


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_module_outside_providers_asks_for_a_name(path: Path) -> None:
    found = {node.lineno for node in uses(ast.parse(path.read_text(encoding="utf-8")))}  # type: ignore[attr-defined]
    if path == PACKAGE / "model.py":
        found -= {next(n for n, text in enumerate(path.read_text().splitlines(), 1) if text.startswith("ProviderName"))}
    # ("static", "hosts") is a field of lab.yml, for messages.
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [line for line in sorted(found) if "FieldPath" not in lines[line - 1]] == []


@pytest.mark.parametrize(
    "text",
    [
        'plan.provider == "static"',
        'provider in ("virtualbox", "libvirt")',
        'sizing["container"]',
        'sizing.get("container")',
        '{"libvirt": 1}[name]',
        'match name:\n    case "static":\n        pass',
        'provider != "container" and True',
    ],
)
def test_every_way_to_ask_is_seen(text: str) -> None:
    assert list(uses(ast.parse(text)))


@pytest.mark.parametrize("folder", ["container", "vagrant", "static"])
def test_a_provider_imports_no_other(folder: str) -> None:
    others = {"container", "vagrant", "static"} - {folder}
    for path in (PACKAGE / "providers" / folder).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            assert name.removeprefix("orchestrator.providers.").split(".")[0] not in others, f"{path.name}: {name}"
