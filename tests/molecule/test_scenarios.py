"""Each role alone, in its scenario: on containers, or on one virtual machine where the role changes a kernel."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.molecule.scenario import CHECKOUT, FILES, inputs_of, needs_machine, run_scenario

pytestmark = [pytest.mark.real, pytest.mark.timeout(1800)]
MACHINE = CHECKOUT / "molecule" / "shared_vm" / "machine.lab"


def _roles(*, on_machine: bool) -> list[object]:
    return [
        pytest.param(role, id=role, marks=pytest.mark.inputs(*inputs_of(role)))
        for role in FILES
        if needs_machine(role) == on_machine
    ]


def labctl(verb: str) -> None:
    argv = [str(CHECKOUT / "labctl"), verb, f"--lab={MACHINE}", "--yes", "--progress=plain"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stderr[-4000:]


@pytest.fixture(scope="module")
def machine() -> Iterator[dict[str, str]]:
    """The environment of scenarios that share one virtual machine, made for them."""
    try:
        labctl("provision")
        yield {**os.environ, "LABCTL_LAB_DIR": str(MACHINE.parent / ".labctl" / "molecule-vm")}
    finally:
        labctl("destroy")


@pytest.mark.takes(120)
@pytest.mark.parametrize("role", _roles(on_machine=False))
def test_a_role_passes_its_scenario_on_containers(role: str) -> None:
    run_scenario(role)


@pytest.mark.vm
@pytest.mark.takes(250)
@pytest.mark.parametrize("role", _roles(on_machine=True))
def test_a_role_passes_its_scenario_on_a_virtual_machine(machine: dict[str, str], role: str) -> None:
    run_scenario(role, machine)
