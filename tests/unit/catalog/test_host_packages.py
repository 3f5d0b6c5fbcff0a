"""Package names of hosts with and without apt."""

from __future__ import annotations

import os
import shutil
from typing import get_args

import pytest

from orchestrator import host
from orchestrator.catalog.facts import read_data
from orchestrator.catalog.host_packages import by_hand, packages_of
from orchestrator.checks.host import install_remedy, package_check
from orchestrator.errors import HostError
from orchestrator.lab import host_setup
from orchestrator.verbs import bundle as bundle_verb
from orchestrator.verbs.bundle import Wanted

PROGRAMS = read_data("host_packages.yml")


@pytest.fixture(params=["dnf", "zypper", "pacman"])
def manager(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A host of another package manager that has nothing labctl calls."""
    monkeypatch.setattr(host, "package_manager", lambda: request.param)
    monkeypatch.setattr(shutil, "which", lambda program, path=None: None)
    return str(request.param)


@pytest.mark.parametrize("program", PROGRAMS)
def test_each_name_says_how_it_is_known_and_each_program_what_to_do_by_hand(program: str) -> None:
    entry = PROGRAMS[program]
    names = {name: entry[name] for name in entry if name != "by_hand"}
    assert set(names) <= set(get_args(host.PackageManager))
    assert {one["checked"] for one in names.values()} <= {"a", "b", "executed"}
    assert entry["by_hand"]


def test_the_file_is_read_as_it_is_written() -> None:
    assert packages_of("ssh", "dnf") == ("openssh-clients",)
    assert packages_of("mmdebstrap", "pacman") == ()
    assert "docs.docker.com" in by_hand("docker")


def test_another_package_manager_installs_under_its_own_names(manager: host.PackageManager) -> None:
    assert packages_of("docker", manager)
    assert install_remedy("docker") == host.install_command(manager, packages_of("docker", manager))


def test_a_missing_program_is_repaired_under_the_hosts_own_name(manager: str) -> None:
    outcome = package_check("host.ssh", "SSH client", ["ssh", "-V"], "ssh").evaluate()
    assert outcome.status == "failed"
    assert outcome.repair
    assert outcome.repair.packages == packages_of("ssh", manager)


def test_without_a_known_package_manager_doctor_says_what_to_install_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "package_manager", lambda: "none")
    monkeypatch.setattr(shutil, "which", lambda program, path=None: None)
    outcome = package_check("host.ip", "Program ip", ["ip", "-V"], "ip").evaluate()
    assert (outcome.status, outcome.remedy, outcome.repair) == ("failed", "install by hand: iproute2", None)


def test_a_provision_asks_no_other_package_manager_for_debians_build_tools(manager: str) -> None:
    assert host_setup._build_packages() == []


def test_who_is_not_root_is_asked_for_no_build_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "package_manager", lambda: "apt")
    monkeypatch.setattr(shutil, "which", lambda program, path=None: None)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert "mmdebstrap" in host_setup._build_packages()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert host_setup._build_packages() == []


def test_a_build_that_this_host_has_no_package_for_says_where_it_can_be_done(manager: str) -> None:
    with pytest.raises(HostError, match="this host lacks mmdebstrap, apt-get") as refused:
        bundle_verb.build(Wanted("1.37.2", None), agree=lambda question: True, emit=lambda event: None)
    assert "labctl bundle import FILE" in refused.value.fix
