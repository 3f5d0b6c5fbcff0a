"""Whatever stands in lab.yml: a valid lab or SpecError, never anything else."""

from __future__ import annotations

import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.errors import SpecError
from orchestrator.spec import Spec, load, parse
from orchestrator.spec.schema import Lab

QUICK = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])

KEYS = sorted(
    {*Lab.model_fields, "count", "memory", "cpus", "subnet", "pod_cidr", "runtime", "base", "checksums", "url"}
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(
        ["auto", "book", "bare", "10.0.0.0/8", "1.20", "1.20.2", "192.168.56.0/24", "{i}", "0x", "1_0", "~"]
    ),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.sampled_from(KEYS), st.text(max_size=5)), inner, max_size=4),
    ),
    max_leaves=12,
)


def spec_or_error(read: Callable[[], Spec]) -> None:
    result: Spec | SpecError
    try:
        result = read()
    except SpecError as error:
        result = error
    if isinstance(result, SpecError):
        assert result.message
        assert result.fix or all(problem.fix for problem in result.problems)


def survives(text: str) -> None:
    spec_or_error(lambda: parse(text))


@QUICK
@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    survives(text)


@QUICK
@given(st.text(alphabet=string.ascii_lowercase[:4] + ":-[]{}&*!|>%@`\"'#,? \n\t0123456789._<~", max_size=120))
def test_text_that_looks_like_yaml(text: str) -> None:
    survives(text)


@QUICK
@given(st.binary(max_size=200))
def test_any_bytes(tmp_path_factory: Any, body: bytes) -> None:
    file: Path = tmp_path_factory.mktemp("garbage") / "lab.yml"
    file.write_bytes(body)
    spec_or_error(lambda: load(file))


@QUICK
@given(st.dictionaries(st.one_of(st.sampled_from(KEYS), st.text(max_size=5)), values, max_size=5))
def test_well_formed_yaml_of_the_wrong_shape(data: dict[str, Any]) -> None:
    import json

    # JSON with its NaN and Infinity is YAML enough.
    survives(json.dumps(data))


@QUICK
@given(st.sampled_from(sorted(Lab.model_fields)), st.sampled_from(KEYS), scalars)
def test_a_wrong_value_in_the_right_place(block: str, key: str, value: Any) -> None:
    import json

    survives(f"{block}: {{{key}: {json.dumps(value)}}}")
