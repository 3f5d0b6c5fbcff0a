"""The profiles: named sets of values between the defaults and lab.yml, kept as data."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

PROFILE_DATA = "data/profiles.yml"


@dataclass(frozen=True)
class Profile:
    """A named set of values in the shape of lab.yml."""

    name: str
    description: str
    values: dict[str, Any]


@cache
def profiles() -> dict[str, Profile]:
    """Every profile by name, in the order of the data file."""
    from ruamel.yaml import YAML

    text = files("orchestrator.spec").joinpath(PROFILE_DATA).read_text(encoding="utf-8")
    data = YAML(typ="safe", pure=True).load(text)
    return {name: Profile(name, body["description"], _with_tuples(body["values"])) for name, body in data.items()}


def _with_tuples(value: Any) -> Any:
    """The values with tuples for lists, as the model takes them."""
    if isinstance(value, dict):
        return {key: _with_tuples(item) for key, item in value.items()}
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value
