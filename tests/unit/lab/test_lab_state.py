"""A lab's state on disk: what is lost is found again or said, and what the host refuses is put into words."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator import spec
from orchestrator.cli import main
from orchestrator.errors import ExitCode, ProviderError, SpecError
from orchestrator.lab import journal, planning
from orchestrator.lab.state import lab_identity, open_lab, save_plan, saved_plan
from orchestrator.observed import Observed
from orchestrator.paths import LabDir
from orchestrator.providers.base import LabIdentity
from orchestrator.providers.container import node_spec as container_spec
from tests.unit.providers.test_container_spec import PLAN


@pytest.fixture
def directory(tmp_path: Path) -> LabDir:
    """The state of a lab that was provisioned once."""
    found = LabDir.beside(tmp_path / "lab.yml", PLAN.name)
    save_plan(found, replace(PLAN, owner=str(tmp_path)))
    return found


@pytest.mark.parametrize("damage", ["", "{", '{"schema": "labctl/plan/v99"}', "\0" * 100])
def test_a_lost_or_damaged_plan_is_read_from_its_copy(directory: LabDir, damage: str) -> None:
    directory.plan.unlink()
    if damage:
        directory.plan.write_text(damage)
    assert saved_plan(directory).uuid == PLAN.uuid
    assert open_lab(directory.root.parent.parent / "lab.yml").plan.nodes == PLAN.nodes


def test_without_its_identity_a_lab_is_who_its_plan_says(directory: LabDir) -> None:
    directory.identity.unlink()
    assert lab_identity(directory, PLAN.name).uuid == PLAN.uuid
    for file in (directory.plan, directory.plan_copy):
        file.write_text("{")
    assert lab_identity(directory, PLAN.name).uuid != PLAN.uuid


def test_machines_of_a_lab_whose_state_is_gone_are_not_left_running_beside_a_new_one(tmp_path: Path) -> None:
    owner = str(tmp_path)
    lost = LabIdentity(PLAN.name, "an-older-uuid", owner)
    new = replace(PLAN, owner=owner)
    with pytest.raises(ProviderError, match="its state directory is gone") as refused:
        planning.refuse_orphans(new, LabDir(tmp_path / ".labctl" / PLAN.name), [lost])
    assert refused.value.fix.startswith("labctl destroy")
    others = [replace(lost, owner="/somewhere/else"), replace(lost, name="another"), replace(lost, uuid=PLAN.uuid)]
    planning.refuse_orphans(new, LabDir(tmp_path / ".labctl" / PLAN.name), others)


def test_a_journal_that_is_no_text_is_no_obstacle(directory: LabDir) -> None:
    directory.journal.write_bytes(bytes(range(128, 256)) * 8)
    assert journal.unfinished(directory) is None


@pytest.mark.parametrize(
    ("number", "file", "words"),
    [
        (errno.ENOSPC, "/lab/.labctl/a/plan.json", "free space"),
        (errno.EROFS, "/lab/.labctl/a/lock", "make it writable"),
        (errno.EACCES, "/lab/.labctl/a/lock", "make it writable"),
        (errno.EEXIST, "/lab/.labctl/a/runs", "rm /lab/.labctl/a/runs"),
        (errno.ENOENT, "/lab/.labctl/a/journal.jsonl", "labctl destroy"),
    ],
)
def test_what_the_file_system_refuses_is_the_hosts_matter_and_has_a_fix(
    number: int, file: str, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(**_: Any) -> None:
        raise OSError(number, "refused", file)

    monkeypatch.setattr(main.labctl, "main", failing)
    assert main.invoke(["status"]) == ExitCode.HOST
    said = capsys.readouterr().err
    assert file in said
    assert words in said
    assert "bug" not in said


def test_a_file_that_labctl_itself_should_have_is_still_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(**_: Any) -> None:
        raise FileNotFoundError(errno.ENOENT, "No such file", "/usr/lib/python3/orchestrator/_data/ansible.cfg")

    monkeypatch.setattr(main.labctl, "main", failing)
    assert main.invoke(["status"]) == ExitCode.BUG


@pytest.mark.parametrize(
    ("running", "endpoint", "there"),
    [
        (True, {"IPAddress": PLAN.control_plane.address}, True),
        (True, {"IPAddress": ""}, False),
        (True, None, False),
        (False, {"IPAMConfig": {"IPv4Address": PLAN.control_plane.address}}, True),
        (False, {"IPAMConfig": None}, False),
    ],
)
def test_a_container_is_on_the_labs_network_under_its_own_address_or_not(
    running: bool, endpoint: dict[str, Any] | None, there: bool
) -> None:
    networks = {container_spec.network_name(PLAN): endpoint} if endpoint else {"other": {"IPAddress": "10.0.0.2"}}
    found = {"State": {"Running": running}, "NetworkSettings": {"Networks": networks}}
    assert container_spec.is_on_network(PLAN, PLAN.control_plane, found) is there


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read"),
        (b"not PEM\n", "holds no certificate"),
        (b"-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n", "holds a private key"),
        (b"\xff\xfe", "is no text"),
    ],
    ids=["missing", "not PEM", "with its key", "binary"],
)
def test_a_company_ca_that_machines_could_not_use_is_refused(
    observe: Callable[..., Observed], tmp_path: Path, content: bytes | None, words: str
) -> None:
    (tmp_path / "lab.yml").write_text("version: 1\nprofile: bare\nca: company.pem\n")
    if content is not None:
        (tmp_path / "company.pem").write_bytes(content)
    with pytest.raises(SpecError, match=words) as refused:
        planning.decide(spec.load(tmp_path / "lab.yml"), replace(observe(), owner=str(tmp_path)))
    assert refused.value.fix


def test_the_password_of_a_proxy_is_in_no_decision(observe: Callable[..., Observed], tmp_path: Path) -> None:
    (tmp_path / "lab.yml").write_text("version: 1\nprofile: bare\nhttp_proxy: http://me:hunter2@proxy:3128\n")
    plan = planning.decide(spec.load(tmp_path / "lab.yml"), observe())
    assert plan.http_proxy == "http://me:hunter2@proxy:3128"
    assert not [decision for decision in plan.decisions if "hunter2" in decision.value]
