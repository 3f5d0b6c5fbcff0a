"""Whatever a node, a manifest or a drill file answers: what it should be or one named error, never a traceback."""

from __future__ import annotations

import contextlib
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator import paths
from orchestrator.bundle import manifest
from orchestrator.drills.load import load
from orchestrator.errors import SpecError
from orchestrator.lab.kubectl import items_of

QUICK = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
WORDS = ("items", "metadata", "name", "schema", "id", "packages", "images", "files", "path", "sha256", "size")
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=12), st.sampled_from(WORDS))
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.sampled_from(WORDS), st.text(max_size=5)), inner, max_size=5),
    ),
    max_leaves=15,
)
GOOD_MANIFEST: dict[str, Any] = {
    "schema": manifest.SCHEMA,
    "id": "a-bundle",
    "kubernetes": "1.37.2",
    "packages": {"kubelet": "1.37.2-1"},
    "images": ["registry.k8s.io/pause:3.10"],
    "files": [{"path": "deb/a.deb", "sha256": "0" * 64, "size": 1}],
    "key_fingerprint": "A" * 40,
}


def items_or_refusal(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert all(isinstance(item["metadata"]["name"], str) for item in items_of(text))


@QUICK
@given(st.one_of(st.text(max_size=200), values.map(json.dumps), values.map(lambda one: json.dumps({"items": one}))))
def test_what_kubectl_prints(text: str) -> None:
    items_or_refusal(text)


def test_what_kubectl_prints_when_it_never_ends() -> None:
    items_or_refusal("[" * 100_000)


def manifest_or_refusal(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, manifest.MANIFEST).write_bytes(content)
        problem = None
        try:
            manifest.load(Path(directory))
        except manifest.BrokenBundleError as refused:
            problem = refused
        assert problem is None or (problem.message and problem.fix)


@QUICK
@given(st.one_of(st.binary(max_size=200), values.map(lambda one: json.dumps(one).encode())))
def test_any_manifest(content: bytes) -> None:
    manifest_or_refusal(content)


@QUICK
@given(st.sampled_from(sorted(GOOD_MANIFEST)), values)
def test_a_manifest_with_one_wrong_value(key: str, value: object) -> None:
    manifest_or_refusal(json.dumps({**GOOD_MANIFEST, key: value}).encode())


def drill_or_refusal(text: bytes) -> None:
    with tempfile.TemporaryDirectory() as parent:
        directory = Path(parent, "a-drill")
        directory.mkdir()
        (directory / "drill.yml").write_bytes(text)
        problems = None
        try:
            load(directory)
        except SpecError as refused:
            problems = refused.problems
        assert problems is None or (problems and all(problem.what for problem in problems))


@QUICK
@given(st.binary(max_size=200))
def test_any_drill_file(content: bytes) -> None:
    drill_or_refusal(content)


@pytest.fixture(scope="module")
def drill_lines() -> list[str]:
    return (paths.data("drills") / "kubelet-down" / "drill.yml").read_text(encoding="utf-8").splitlines()


@QUICK
@given(st.data())
def test_a_drill_file_with_one_wrong_line(drill_lines: list[str], data: st.DataObject) -> None:
    lines = list(drill_lines)
    at = data.draw(st.integers(0, len(lines) - 1))
    lines[at] = data.draw(st.one_of(st.text(max_size=40), st.just(lines[at][: len(lines[at]) // 2])))
    drill_or_refusal("\n".join(lines).encode("utf-8", "replace"))
