"""The schema for editors and the reference of lab.yml are made from the model and are current."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import jsonschema
import pytest
from pydantic import BaseModel
from ruamel.yaml import YAML

from orchestrator.spec import json_schema
from orchestrator.spec.reference import render
from orchestrator.spec.schema import Forward, Lab, Mount
from orchestrator.spec.values import KUBEADM_MEMORY, WORKER_MEMORY

ROOT = Path(__file__).resolve().parents[3]
Golden = Callable[[str, Path], None]


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, info in model.model_fields.items():
        inner = info.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from keys(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def test_the_json_schema_is_current(golden: Golden) -> None:
    golden(json.dumps(json_schema(), indent=2) + "\n", ROOT / "docs" / "lab.schema.json")


def test_the_reference_is_current(golden: Golden) -> None:
    golden(render(), ROOT / "docs" / "reference" / "lab-yml.md")


@pytest.mark.parametrize("key", [*keys(Lab), *keys(Mount, "mounts[]."), *keys(Forward, "ports[].")])
def test_the_reference_explains_every_key(key: str) -> None:
    row = next(line for line in render().splitlines() if line.startswith(f"| `{key}` |"))
    assert row.split(" | ")[-1].strip(" |")


@pytest.mark.parametrize("file", sorted((ROOT / "examples").glob("*.yml")), ids=lambda file: file.name)
def test_the_examples_follow_the_schema(file: Path) -> None:
    jsonschema.validate(YAML(typ="safe").load(file), json_schema())


def test_the_reference_names_the_minimum_memory() -> None:
    sizes = {"control_plane.memory": KUBEADM_MEMORY, "workers.memory": WORKER_MEMORY}
    for key, minimum in sizes.items():
        row = next(line for line in render().splitlines() if line.startswith(f"| `{key}` |"))
        assert f" {minimum}" in row


def test_the_schema_refuses_unknown_keys() -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"workers": {"cuont": 1}}, json_schema())


def test_one_example_shows_every_key() -> None:
    known = set(keys(Lab))

    def leaves(value: object, prefix: str = "") -> Iterator[str]:
        # Some keys hold a mapping whose names are the user's.
        if isinstance(value, dict) and value and prefix not in known:
            for key, inner in value.items():
                yield from leaves(inner, f"{prefix}.{key}" if prefix else key)
        else:
            yield prefix

    shown = set(leaves(YAML(typ="safe").load(ROOT / "examples" / "every-key.yml")))
    assert shown == known
