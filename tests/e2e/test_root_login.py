"""Machines of the profile book without Kubernetes: root's password is for the nodes alone, and nowhere to be read."""

from __future__ import annotations

import json
import shlex
import subprocess
import tarfile
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import User, provisioned

pytestmark = pytest.mark.real

PASSWORD = "Canary-of-root"
LAB = f"""\
version: 1
name: k8s-lab
profile: book
provider: container
workers: {{count: 1}}
network: {{subnet: auto}}
kubernetes: {{enabled: false}}
packages: {{source: system}}
book: {{root_password: {PASSWORD}}}
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    user = User(tmp_path_factory.mktemp("root"))
    with provisioned(user, LAB):
        yield user


def answering(password: str, command: str) -> str:
    """The line that types a password wherever a command of ssh asks for one."""
    ask = f"printf '#!/bin/sh\\necho {password}\\n' >/tmp/ask; chmod +x /tmp/ask"
    return f"{ask}; export SSH_ASKPASS=/tmp/ask SSH_ASKPASS_REQUIRE=force; {command}; rc=$?; rm /tmp/ask; exit $rc"


def copied(lab: User, password: str) -> subprocess.CompletedProcess[str]:
    """The book's scp from a worker, with the control plane's address."""
    address = json.loads((lab.state / "plan.json").read_text())["nodes"][0]["address"]
    return lab.run("ssh", "w1-k8s", "--", answering(password, f"scp root@{address}:/etc/hostname /tmp/copied"))


def test_people_are_root(lab: User) -> None:
    assert lab.good("ssh", "m-k8s", "--", "whoami; pwd").split() == ["root", "/root"]
    assert "User root" in lab.good("export", "ssh-config")


def test_a_node_copies_from_another_with_the_password(lab: User) -> None:
    done = copied(lab, PASSWORD)
    assert done.returncode == 0, done.stderr
    assert lab.good("ssh", "w1-k8s", "--", "cat /tmp/copied").strip() == "m-k8s"


def test_another_password_does_not_do(lab: User) -> None:
    done = copied(lab, "somebody")
    assert done.returncode != 0
    assert "Permission denied" in done.stderr


def test_from_outside_no_password_is_asked_for(lab: User) -> None:
    node = lab.json("status")["machines"][0]
    host, port = node["ssh"].split(":")
    argv = ["ssh", "-F", "/dev/null", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
    argv += ["-o", "PubkeyAuthentication=no", "-p", port, f"root@{host}", "true"]
    done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=30)
    assert "Permission denied (publickey)" in done.stderr


def test_plan_and_status_say_that_there_is_a_password(lab: User) -> None:
    decisions = {one["field"]: one["value"] for one in lab.json("plan")["decisions"]}
    assert decisions["book.root_password"] == "***"
    assert "by the password in lab.yml" in lab.good("status")


def test_the_password_is_nowhere_but_in_lab_yml(lab: User) -> None:
    lab.good("logs")
    (archive,) = lab.home.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        texts = [file.read() for member in packed if (file := packed.extractfile(member))]
    texts += [path.read_bytes() for path in lab.home.rglob("*") if path.is_file() and path.name != "lab.yml"]
    assert not any(PASSWORD.encode() in text for text in texts)
    on_nodes = f"grep -rlF {shlex.quote(PASSWORD)} /etc /root /home /var/log /var/lib/dpkg 2>/dev/null; true"
    assert "/" not in lab.good("exec", "--", on_nodes), "a file of a node has it"


def test_chapter_two_pings_every_worker(lab: User) -> None:
    assert lab.good("ssh", "m-k8s", "--", "stat -c %a ping_2_nds.sh").strip() == "744"
    assert "3 received" in lab.good("ssh", "m-k8s", "--", "./ping_2_nds.sh")


def test_a_password_that_is_taken_back_is_locked(lab: User) -> None:
    (lab.home / "lab.yml").write_text("".join(line for line in LAB.splitlines(True) if "root_password" not in line))
    lab.good("provision", "--yes", "--progress", "plain")
    assert lab.good("ssh", "m-k8s", "--", "getent shadow root | cut -d: -f2").strip() == "*"
    address = json.loads((lab.state / "plan.json").read_text())["nodes"][0]["address"]
    done = lab.run("ssh", "w1-k8s", "--", f"scp -o BatchMode=yes root@{address}:/etc/hostname /tmp/by-key")
    assert done.returncode == 0, done.stderr
