"""What all tests share: the golden-file comparison, an observed host to plan on, and the host before the first lab."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.observed import BuildableBundle, Observed, ProviderState, SourceContent
from orchestrator.providers import registry
from tests import host_state
from tests.sources import published

# Helpers that assert tell as much as a test does when they fail.
pytest.register_assert_rewrite("tests.e2e_vm.machines", "tests.strangers")

pytest_plugins = ["pytester", "tests.selection.plugin"]

ROOT = Path(__file__).resolve().parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write golden files and generated documents anew; read the difference before you commit it",
    )


@pytest.fixture(scope="session")
def host_before() -> dict[str, list[str]]:
    """The host before the first lab of this test run."""
    return host_state.snapshot()


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, Path], None]:
    """Compare a text with a file of the repository, or write it with --update-golden."""

    def compare(text: str, file: Path) -> None:
        if request.config.getoption("--update-golden"):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        held = file.read_text(encoding="utf-8") if file.exists() else ""
        assert text == held, (
            f"{file.relative_to(ROOT)} is not current: run pytest with --update-golden and read the diff"
        )

    return compare


@pytest.fixture
def observe() -> Callable[..., Observed]:
    """An ordinary Linux machine with Docker and nothing else; keyword arguments change what is observed."""
    host = Observed(
        uuid="00000000-0000-4000-8000-000000000001",
        owner="/home/reader/lab",
        cpus=4,
        memory=16000,
        disk_free=60000,
        disk_path="/home/reader/.cache/labctl",
        kernel="6.1.0",
        cgroup="v1",
        providers=(
            ProviderState("virtualbox", ready=False, detail="VBoxManage is not installed", fix="install VirtualBox"),
            ProviderState("libvirt", ready=False, detail="virsh is not installed", fix="install libvirt"),
            ProviderState("container", ready=True),
        ),
        buildable=(
            *published("no answer within 3 s"),
            BuildableBundle(SourceContent("debian-1.20.2", "1.20.2"), "debian", possible=True, seconds=370, disk=9000),
            BuildableBundle(SourceContent("system", ""), "system", possible=True, seconds=90, disk=1000),
        ),
    )

    def changed(**facts: Any) -> Observed:
        observed = replace(host, **facts)
        states = (replace(one, traits=registry.provider(one.name).traits) for one in observed.providers)
        return replace(observed, providers=tuple(states))

    return changed
