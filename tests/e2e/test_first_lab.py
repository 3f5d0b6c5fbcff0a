"""The README's first command, from an empty directory to a proven cluster and back to nothing."""

from __future__ import annotations

import json
import re
import stat
import subprocess

import pytest

from tests import host_state
from tests.book.reader import minor_of, type_book
from tests.book.rows import read_rows
from tests.e2e.conftest import CHECKOUT, User, poll
from tests.e2e.network_policy import require_enforcement
from tests.selection.labs import record_lab

pytestmark = pytest.mark.real

NODES = ["m-k8s", "w1-k8s", "w2-k8s", "w3-k8s"]


def test_provision_ends_with_a_report_in_which_nothing_failed(first_lab: User) -> None:
    report = json.loads((first_lab.home / "first.json").read_text())["verify"]
    assert report["ok"]
    assert report["summary"]["ok"] > 100
    assert {check["node"] for check in report["checks"]} >= set(NODES)
    record_lab(first_lab.home, __file__)


def test_kubectl_on_the_host_shows_all_nodes_ready_with_their_lab_addresses(first_lab: User) -> None:
    path = first_lab.run("kubeconfig").stdout.strip()
    answer = subprocess.run(
        [str(first_lab.state / "bin" / "kubectl"), "--kubeconfig", path, "get", "nodes", "-o", "json"],
        # kubectl keeps a discovery cache in the user's home, which is the user's.
        env={**first_lab.environment, "HOME": str(first_lab.home)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    nodes = json.loads(answer.stdout)["items"]
    assert sorted(node["metadata"]["name"] for node in nodes) == NODES
    for node in nodes:
        conditions = {condition["type"]: condition["status"] for condition in node["status"]["conditions"]}
        assert conditions["Ready"] == "True"
    addresses = {a["address"] for n in nodes for a in n["status"]["addresses"] if a["type"] == "InternalIP"}
    assert addresses == {"192.168.56.10", "192.168.56.101", "192.168.56.102", "192.168.56.103"}


def test_a_second_provision_runs_no_role_and_checks_everything(first_lab: User) -> None:
    before = set((first_lab.state / "runs").iterdir())
    done = first_lab.json("provision", "--yes")
    assert done["changed"] == dict.fromkeys(NODES, 0)
    assert done["verify"]["ok"]
    built = json.loads((first_lab.home / "first.json").read_text())["verify"]["checks"]
    assert sorted(check["id"] for check in done["verify"]["checks"]) == sorted(check["id"] for check in built)
    assert set((first_lab.state / "runs").iterdir()) == before


def test_every_role_finds_nothing_to_do_on_any_node(first_lab: User) -> None:
    done = first_lab.json("provision", "--yes", "--full")
    assert done["changed"] == dict.fromkeys(NODES, 0)
    assert done["verify"]["ok"]


def test_services_answer_by_name_from_pods_of_every_node(first_lab: User) -> None:
    checks = {
        check["id"]: check["status"]
        for check in json.loads((first_lab.home / "first.json").read_text())["verify"]["checks"]
        if check["layer"] in ("dns", "workload", "network")
    }
    assert checks
    assert "failed" not in checks.values()


def test_a_network_policy_denies_and_stops_denying(first_lab: User) -> None:
    require_enforcement(first_lab, shop="w1-k8s", customer="w2-k8s")


def test_ssh_runs_a_command_on_a_node_and_passes_its_exit_code(first_lab: User) -> None:
    assert first_lab.run("ssh", "w2-k8s", "--", "hostname").stdout.strip() == "w2-k8s"
    assert first_lab.run("ssh", "w2-k8s", "--", "exit 7").returncode == 7


def test_ssh_to_an_unknown_node_names_those_that_exist(first_lab: User) -> None:
    done = first_lab.run("ssh", "w9-k8s")
    assert done.returncode == 2
    assert "w9-k8s" in done.stderr
    assert "m-k8s, w1-k8s, w2-k8s, w3-k8s" in done.stderr


def test_status_shows_machines_and_nodes(first_lab: User) -> None:
    status = first_lab.json("status")
    assert [machine["state"] for machine in status["machines"]] == ["running"] * 4
    assert [machine["node"] for machine in status["machines"]] == ["Ready"] * 4
    planned = json.loads((first_lab.state / "plan.json").read_text())["kubernetes"]["version"]
    assert {machine["version"] for machine in status["machines"]} == {f"v{planned}"}


def test_the_inventory_script_works_with_a_bare_path(first_lab: User) -> None:
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(first_lab.home), "LABCTL_LAB_DIR": str(first_lab.state)}
    script = str(CHECKOUT / "inventory" / "lab.py")
    listed = subprocess.run([script, "--list"], env=environment, capture_output=True, text=True, timeout=60, cwd="/")
    assert listed.returncode == 0, listed.stderr
    document = json.loads(listed.stdout)
    assert document["control_plane"]["hosts"] == ["m-k8s"]
    assert document["workers"]["hosts"] == NODES[1:]
    ping = subprocess.run(
        [str(CHECKOUT / ".venv/bin/ansible"), "-i", script, "workers", "-m", "ansible.builtin.ping"],
        env={**environment, "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"), "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=120,
        cwd="/",
    )
    assert ping.stdout.count("SUCCESS") == 3, ping.stdout + ping.stderr


def test_nothing_secret_is_in_logs_events_or_artefacts(first_lab: User) -> None:
    key = first_lab.state.joinpath("ssh", "id_ed25519").read_text().splitlines()[1]
    kubeconfig = first_lab.state.joinpath("kubeconfig").read_text()
    client_key = re.search(r"client-key-data: (\S{40})", kubeconfig)
    assert client_key
    token = re.compile(r"\b[a-z0-9]{6}\.[a-z0-9]{16}\b")
    places = [first_lab.state / "runs", first_lab.state / "journal.jsonl", first_lab.state / "reports"]
    files = [f for place in places for f in ([place] if place.is_file() else place.rglob("*")) if f.is_file()]
    assert files
    for file in files:
        text = file.read_text(errors="replace")
        assert key not in text, file
        assert client_key[1] not in text, file
        assert not token.search(text), file


def test_the_state_is_readable_by_its_owner_alone(first_lab: User) -> None:
    assert stat.S_IMODE(first_lab.state.stat().st_mode) == 0o700
    assert stat.S_IMODE(first_lab.state.joinpath("kubeconfig").stat().st_mode) == 0o600
    assert stat.S_IMODE(first_lab.state.joinpath("ssh", "id_ed25519").stat().st_mode) == 0o600


def test_no_bootstrap_token_is_left_in_the_cluster(first_lab: User) -> None:
    secrets = first_lab.kubectl("-n", "kube-system", "get", "secrets", "-o", "name")
    assert "bootstrap-token" not in secrets


def test_the_book_is_typed_and_shows_what_the_book_shows(first_lab: User) -> None:
    type_book(first_lab, minor_of(first_lab), [row for row in read_rows() if row.run == "test"])


def test_verify_finds_a_stopped_kubelet_and_provision_heals_it(first_lab: User) -> None:
    assert first_lab.run("ssh", "w3-k8s", "--", "sudo systemctl stop kubelet").returncode == 0
    broken = first_lab.run("verify", "--output", "json")
    assert broken.returncode == 6
    failed = [c for c in json.loads(broken.stdout)["checks"] if c["status"] == "failed"]
    assert any(check["node"] == "w3-k8s" and "kubelet" in check["id"] for check in failed)
    healed = first_lab.json("provision", "--yes")
    assert healed["verify"]["ok"]
    assert healed["changed"]["w3-k8s"] >= 1
    assert healed["changed"]["w1-k8s"] == 0


def test_a_killed_machine_is_brought_back_by_provision(first_lab: User) -> None:
    assert first_lab.run("ssh", "w1-k8s", "--", "sudo systemctl poweroff --force --force").returncode in (0, 255)
    poll(
        "the machine is down",
        lambda: first_lab.json("status")["machines"][1]["state"] != "running",
    )
    assert first_lab.run("verify").returncode == 6
    assert first_lab.json("provision", "--yes")["verify"]["ok"]


def test_destroy_leaves_the_host_as_it_was(first_lab: User, host_before: dict[str, list[str]]) -> None:
    done = first_lab.run("destroy", "--yes")
    assert done.returncode == 0, done.stderr
    assert not (first_lab.home / ".labctl").exists()
    assert host_state.differences(host_before, host_state.snapshot()) == []


def test_destroying_again_says_that_there_is_nothing(first_lab: User) -> None:
    done = first_lab.run("destroy", "--yes")
    assert done.returncode == 0
    assert "nothing to destroy" in done.stdout
