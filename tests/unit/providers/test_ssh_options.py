"""Every SSH connection of a lab has the same options: only its key, only pinned host keys, no agent."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator import runner
from orchestrator.model import Node
from orchestrator.paths import LabDir
from orchestrator.providers import ssh_access
from orchestrator.ssh_options import for_ansible, login_options

NODE = Node("w1-k8s", "running", ssh_host="127.0.0.1", ssh_port=60101, ssh_user="vagrant")


@pytest.fixture
def lab(tmp_path: Path) -> LabDir:
    return LabDir(tmp_path / "my labs" / "k8s-lab")


def test_ssh_the_exported_config_and_ansible_have_the_same_login_options(tmp_path: Path) -> None:
    lab = LabDir(tmp_path)
    argv = ssh_access.ssh_argv(lab, NODE)
    config = ssh_access.ssh_config(lab, [NODE])
    ansible = for_ansible(lab.private_key, lab.known_hosts)
    for name, value in login_options(lab.private_key, lab.known_hosts).items():
        assert f"{name}={value}" in argv
        assert f"    {name} {value}\n" in config
        assert f"-o {name}={value}" in ansible


def test_a_path_with_a_blank_is_one_value_for_openssh_and_for_ansible(lab: LabDir) -> None:
    key, known = lab.private_key, lab.known_hosts
    assert {f'IdentityFile="{key}"', f'UserKnownHostsFile="{known}"'} <= set(ssh_access.ssh_argv(lab, NODE))
    assert f'    IdentityFile "{key}"\n' in ssh_access.ssh_config(lab, [NODE])
    assert f"'UserKnownHostsFile=\"{known}\"'" in for_ansible(key, known)


def test_a_config_has_the_address_of_every_node(lab: LabDir) -> None:
    block = ssh_access.ssh_config(lab, [NODE]).partition("Host w1-k8s\n")[2]
    assert block.startswith("    HostName 127.0.0.1\n    Port 60101\n    User vagrant\n")


def test_the_users_own_key_needs_neither_the_labs_key_nor_its_agent_setting(lab: LabDir) -> None:
    assert not {"IdentityFile", "IdentityAgent"} & set(login_options(None, lab.known_hosts))


def test_a_run_of_ansible_insists_on_pinned_host_keys(tmp_path: Path) -> None:
    assert runner._environment(tmp_path)["ANSIBLE_HOST_KEY_CHECKING"] == "True"
