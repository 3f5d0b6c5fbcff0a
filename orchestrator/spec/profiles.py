"""The profiles: named sets of values that stand between the defaults and lab.yml, kept as data."""

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
    return {name: Profile(name, body["description"], _frozen(body["values"])) for name, body in data.items()}


def _frozen(value: Any) -> Any:
    """Lists as tuples, which is what the model takes."""
    if isinstance(value, dict):
        return {key: _frozen(item) for key, item in value.items()}
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
