"""Reads the checks that a test file declares: `meta/checks.yml` of a role, else the YAML file beside the test file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from orchestrator.errors import LabError

from .model import Check


@dataclass(frozen=True)
class Declaration:
    """The checks of one test file by the name of the test, and the inventory variables of the nodes they are for."""

    checks: Mapping[str, Check] = field(default_factory=dict)
    when: Mapping[str, Any] = field(default_factory=dict)

    def applies_to(self, variables: Mapping[str, Any]) -> bool:
        """Whether a node with these variables runs the checks: each one of `when` is set, holds or has this value."""
        return all(_matches(variables.get(name), value) for name, value in self.when.items())


def _matches(variable: Any, value: Any) -> bool:
    if value is True:
        return variable is not None
    return value in variable if isinstance(variable, (list, tuple)) else bool(variable == value)


def declaration_file(test_file: Path) -> Path:
    """The file that declares the checks of a test file."""
    in_role = test_file.parent.name == "tests" and test_file.parents[2].name == "roles"
    return test_file.parent.parent / "meta" / "checks.yml" if in_role else test_file.with_suffix(".yml")


@cache
def declared_checks(test_file: Path) -> Declaration:
    """The declaration of a test file, without any check where there is none. Raises LabError when it is wrong."""
    # With libyaml's parser: verify reads two dozen of these files each time, which in Python takes a tenth of a second.
    import yaml

    file = declaration_file(test_file)
    if not file.is_file():
        return Declaration()
    try:
        body = yaml.load(file.read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        checks = [Check(**{**entry, "after": tuple(entry.get("after", ()))}) for entry in body["checks"]]
        return Declaration({check.test: check for check in checks}, body.get("when", {}))
    except Exception as problem:  # whatever the parser raises, the file is what has to be named
        raise LabError(f"{file} declares no valid checks: {problem}", fix=f"correct {file}") from problem
