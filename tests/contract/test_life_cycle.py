"""What snapshot, upgrade, status and phases promise without a machine: refusals, previews, the journal."""

from __future__ import annotations

import json
import os
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.events import Event, Note, PhaseEnded, PhaseStarted
from orchestrator.lab import journal, node_status
from orchestrator.lab.lock import exclusive_lock
from orchestrator.lab.pending import begin_operation
from orchestrator.lab.phases import PHASES
from orchestrator.lab.snapshots import Snapshot, list_snapshots, write_record
from orchestrator.lab.state import Lab, save_plan
from orchestrator.model import StaticHost
from tests.contract.test_everyday import lab, labctl

__all__ = ["lab"]

ROOT = Path(__file__).resolve().parents[2]


def saved(lab: Lab, name: str, created: float = 1_700_000_000.0) -> Snapshot:
    """A snapshot as a save records it."""
    made = Snapshot(name, f"{name}.0123abcd", created, 700 * 2**20, cluster=True, plan=lab.plan)
    write_record(lab.directory, made)
    return made


def refused(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    assert done.returncode == code, done.stderr
    assert "fix:" in done.stderr
    for word in words:
        assert word in done.stderr


@pytest.mark.parametrize("name", ["Upper", "two words", "-dash", "x" * 41, "a/b", "dot.dot", ""])
def test_a_snapshot_name_that_is_none_is_refused(lab: Lab, name: str) -> None:
    refused(labctl(lab, "snapshot", "save", "--dry-run", "--", name), 2, "is not a name")


def test_a_taken_name_is_refused_with_both_ways_out(lab: Lab) -> None:
    saved(lab, "before")
    refused(labctl(lab, "snapshot", "save", "before"), 2, "'before' already", "labctl snapshot delete before")


@pytest.mark.parametrize("verb", ["restore", "delete"])
def test_an_unknown_snapshot_is_answered_with_those_that_exist(lab: Lab, verb: str) -> None:
    refused(labctl(lab, "snapshot", verb, "x", "--yes"), 2, "no snapshot 'x'", "labctl snapshot save x")
    saved(lab, "one")
    saved(lab, "two")
    refused(labctl(lab, "snapshot", verb, "x", "--yes"), 2, "one of: one, two")


def test_snapshots_are_listed_oldest_first(lab: Lab) -> None:
    assert "labctl snapshot save NAME" in labctl(lab, "snapshot", "list").stdout
    saved(lab, "new", 1_700_000_100.0)
    saved(lab, "old", 1_600_000_000.0)
    (lab.directory.root / "snapshots" / "half.json").write_text('{"name": "half"')
    listed = json.loads(labctl(lab, "snapshot", "list", "--output", "json").stdout)
    assert [each["name"] for each in listed["snapshots"]] == ["old", "new"]
    assert listed["snapshots"][0]["machines"] == ["m-k8s", "w1-k8s"]
    assert "700 MB" in labctl(lab, "snapshot", "list").stdout


def test_restore_and_delete_say_what_they_would_do_and_ask(lab: Lab) -> None:
    kept = replace(lab.plan, nodes=(lab.plan.control_plane,))
    write_record(lab.directory, replace(saved(lab, "one"), plan=kept))
    would = json.loads(labctl(lab, "snapshot", "restore", "one", "--dry-run", "--output", "json").stdout)["would"]
    assert would[0].startswith("restore m-k8s to ")
    assert would[1] == "remove w1-k8s, which the snapshot does not have"
    for verb in ("restore", "delete"):
        done = labctl(lab, "snapshot", verb, "one")
        assert done.returncode == 2
        assert "--yes" in done.stderr
    assert [each.name for each in list_snapshots(lab.directory)] == ["one"]


def test_machines_that_labctl_did_not_make_are_not_saved(lab: Lab) -> None:
    hosts = tuple(StaticHost("me", node.address, 22, "SHA256:x") for node in lab.plan.nodes)
    save_plan(lab.directory, replace(lab.plan, provider="static", static_hosts=hosts))
    refused(labctl(lab, "snapshot", "save", "x"), 2, "labctl did not make these machines")


def test_a_lab_whose_provision_was_killed_is_not_saved(lab: Lab) -> None:
    begun = {"event": "RunStarted", "verb": "provision", "pid": 2**22 + 1, "at": time.time()}
    lab.directory.journal.write_text(json.dumps(begun) + "\n")
    refused(labctl(lab, "snapshot", "save", "x"), 4, "incomplete", "labctl provision")


@pytest.mark.parametrize("verb", ["provision --yes", "start", "halt", "reset --yes", "snapshot save x"])
def test_until_a_killed_restore_is_finished_every_command_names_it(lab: Lab, verb: str) -> None:
    begin_operation(lab.directory, "snapshot restore", "labctl snapshot restore one")
    refused(labctl(lab, *verb.split()), 4, "interrupted", "fix: labctl snapshot restore one")
    assert "unfinished: labctl snapshot restore one" in labctl(lab, "status").stdout


def test_a_snapshot_is_locked_out_like_every_change(lab: Lab) -> None:
    saved(lab, "one")
    for verb in ("save x", "restore one --yes", "delete one --yes"):
        with exclusive_lock(lab.directory, "scale"):
            done = labctl(lab, "snapshot", *verb.split())
        assert done.returncode == 8, done.stderr
        assert f"`labctl scale` is working on this lab: process {os.getpid()}" in done.stderr


def test_completion_offers_the_labs_snapshots(lab: Lab) -> None:
    from click.shell_completion import ShellComplete

    from orchestrator.cli.main import labctl as command

    saved(lab, "before-lunch")
    complete = ShellComplete(command, {}, "labctl", "_LABCTL_COMPLETE")
    args = ["snapshot", "restore", "--lab", str(Path(lab.plan.owner) / "lab.yml")]
    assert [item.value for item in complete.get_completions(args, "bef")] == ["before-lunch"]


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("1.19.16", ["never goes back", "labctl snapshot restore"]),
        ("1.20.1", ["never goes back"]),
        ("1.22.17", ["from one minor to the next", "--kubernetes 1.21"]),
        ("2.0.0", ["from one minor to the next"]),
        ("newest", ["not a version"]),
        ("1.21.3", ["1.21.3", "bundle"]),
    ],
    ids=["downgrade", "older patch", "skipped minor", "next major", "no version", "no source has it"],
)
def test_an_upgrade_that_cannot_be_is_refused(lab: Lab, version: str, words: list[str]) -> None:
    refused(labctl(lab, "upgrade", "--kubernetes", version, "--yes"), 2, *words)


@pytest.mark.parametrize("version", ["1.20.2", "v1.20.2", "1.20"])
def test_an_upgrade_to_what_the_lab_has_does_nothing(lab: Lab, version: str) -> None:
    done = labctl(lab, "upgrade", "--kubernetes", version)
    assert done.returncode == 0, done.stderr
    assert "nothing to do" in done.stdout
    assert not lab.directory.journal.exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--until", "lunch"], ["no such phase", "machines, prepare, runtime"]),
        (["--from", "verify", "--until", "runtime"], ["comes after"]),
    ],
    ids=["unknown", "backwards"],
)
def test_phases_that_make_no_sense_are_refused(lab: Lab, options: list[str], words: list[str]) -> None:
    refused(labctl(lab, "provision", "--yes", *options), 2, *words)


def test_the_phases_are_in_help_docs_and_completion(lab: Lab) -> None:
    help_ = " ".join(labctl(lab, "provision", "--help").stdout.split())
    page = (ROOT / "docs" / "how-to" / "everyday.md").read_text(encoding="utf-8")
    for name, does in PHASES.items():
        assert name in help_
        assert f"| {name} | {does} |" in page


def test_the_journal_keeps_inputs_phases_and_results_of_a_run(lab: Lab) -> None:
    said: list[Event] = []
    with journal.recorded(lab.directory, "provision", said.append, {"from": "machines"}) as emit:
        journal.record_inputs(lab.directory, "plan", {"kubernetes": "1.20.2"})
        emit(PhaseStarted(phase="create", title="Create 2 machines"))
        emit(PhaseEnded(phase="create"))
        journal.record_result(lab.directory, "converge", {"changed": {"m-k8s": 3}})
    entries = [json.loads(line) for line in lab.directory.journal.read_text().splitlines()]
    kinds = ["RunStarted", "PhaseInputs", "PhaseStarted", "PhaseEnded", "PhaseResult", "RunEnded"]
    assert [entry["event"] for entry in entries] == kinds
    assert entries[0]["inputs"] == {"from": "machines"}
    assert entries[4]["result"] == {"changed": {"m-k8s": 3}}
    run = journal.last_run(lab.directory)
    assert run is not None
    assert (run.verb, run.result, run.phases) == ("provision", "ok", ("create",))
    assert not [event for event in said if isinstance(event, Note)]


def test_status_says_what_it_knows_of_a_lab_that_is_off(lab: Lab) -> None:
    saved(lab, "one")
    text = labctl(lab, "status").stdout
    assert "verify: never" in text
    assert "snapshots: one" in text
    document = json.loads(labctl(lab, "status", "--output", "json").stdout)
    assert document["certificate_days"] is None
    assert document["verified"] is None
    assert document["snapshots"] == ["one"]


def test_a_look_into_a_node_tells_what_changed_since_the_last_verify() -> None:
    lines = [
        "changed /etc/docker/daemon.json",
        "unit kubelet active 900",
        "unit docker active 1100",
        "unit containerd inactive 1050",
        "sysctl net.ipv4.ip_forward 0",
        "sysctl net.bridge.bridge-nf-call-iptables 1",
        "cert /etc/kubernetes/pki/apiserver.crt 864000",
        "cert /etc/kubernetes/pki/ca.crt 8640000",
        "noise",
    ]
    look = node_status.parse_status("w1-k8s", lines, 1000, kubernetes=True)
    assert look.changes == (
        "/etc/docker/daemon.json changed",
        "docker was restarted",
        "containerd is inactive",
        "net.ipv4.ip_forward is 0",
    )
    assert node_status.first_expiry([look], now=432000) == (5.0, "w1-k8s: /etc/kubernetes/pki/apiserver.crt")
    assert node_status.parse_status("w1-k8s", lines[1:], 0, kubernetes=True).changes == ()


# What only shows something, asks before each thing it does, or runs the user's own words.
CHANGES_NOTHING = {
    "plan", "verify", "status", "kubectl", "ssh", "exec", "console", "logs", "completion", "inventory", "catalog",
    "doctor", "list", "snapshot list", "bundle info", "bundle verify", "box list", "cache list",
    "image list", "image pull", "watch pod", "packages list", "packages serve",
}  # fmt: skip


def test_whatever_changes_something_can_say_first_what_it_would_do() -> None:
    import click

    from orchestrator.cli.main import labctl as top

    def without(command: click.Command, path: str) -> list[str]:
        if isinstance(command, click.Group):
            names = command.list_commands(click.Context(command))
            inside = {name: command.get_command(click.Context(command), name) for name in names}
            return [found for name, one in inside.items() if one for found in without(one, f"{path} {name}".strip())]
        return [] if any("--dry-run" in option.opts for option in command.params) else [path]

    lacking = {path for path in without(top, "") if path.split()[0] != "drill"}
    assert lacking == CHANGES_NOTHING
