"""Who people are on the nodes, and how root's password is kept."""

from __future__ import annotations

import stat
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator import proc
from orchestrator.errors import HostError
from orchestrator.lab import node_access
from orchestrator.lab.root_password import keep_root_password
from orchestrator.lab.state import Lab, save_plan, save_source_access
from orchestrator.model import Node, SourceAccess
from orchestrator.paths import LabDir
from tests.unit.providers.test_container_spec import PLAN


class FakeProvider:
    """A provider all of whose machines run."""

    def nodes(self, plan: object) -> list[Node]:
        return [Node(node.name, "running") for node in PLAN.nodes]


@pytest.fixture
def directory(tmp_path: Path) -> LabDir:
    found = LabDir.beside(tmp_path / "lab.yml", PLAN.name)
    save_plan(found, PLAN)
    return found


@pytest.mark.parametrize(
    ("login", "begun", "user"), [("no", True, "vagrant"), ("key", True, "root"), ("password", False, "vagrant")]
)
def test_people_are_root_where_the_plan_says_so_once_the_roles_have_begun(
    directory: LabDir, monkeypatch: pytest.MonkeyPatch, login: str, begun: bool, user: str
) -> None:
    monkeypatch.setattr(node_access, "open_provider", lambda name: nullcontext(FakeProvider()))
    if begun:
        save_source_access(directory, SourceAccess("", "", ""))
    lab = Lab(directory, replace(PLAN, root_login=login))
    assert {node.ssh_user for node in node_access.running_nodes(lab, "all")} == {user}


def test_a_password_is_kept_as_a_hash_that_only_its_owner_reads(directory: LabDir) -> None:
    keep_root_password(directory, "vagrant")
    kept = directory.root_password.read_text(encoding="ascii")
    assert kept == proc.run(["openssl", "passwd", "-6", "-salt", kept.split("$")[2], "vagrant"]).stdout.strip()
    assert stat.S_IMODE(directory.root_password.stat().st_mode) == 0o600


def test_the_same_password_stays_and_another_one_replaces_it(directory: LabDir) -> None:
    def kept(password: str | None) -> str:
        keep_root_password(directory, password)
        return directory.root_password.read_text(encoding="ascii")

    first = kept("vagrant")
    assert kept("vagrant") == first
    assert kept("another") != first


def test_a_password_that_is_taken_back_is_locked_and_one_that_never_was_is_nothing(directory: LabDir) -> None:
    keep_root_password(directory, None)
    assert not directory.root_password.exists()
    keep_root_password(directory, "vagrant")
    keep_root_password(directory, None)
    assert directory.root_password.read_text(encoding="ascii") == "*"


def test_a_host_without_openssl_is_told_to_install_it(directory: LabDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(HostError, match=r"openssl, which hashes book\.root_password") as refused:
        keep_root_password(directory, "vagrant")
    assert "openssl" in refused.value.fix
    assert "vagrant" not in f"{refused.value}"
