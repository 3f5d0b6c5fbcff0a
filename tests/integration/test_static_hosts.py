"""The static provider on real machines of somebody else: containers that carry no mark of labctl.

Roles are not run on them: containers share a kernel, and the roles would act on the one of this host.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator import host, proc
from orchestrator.errors import ProviderError
from orchestrator.events import discard
from orchestrator.model import Plan, StaticHost
from orchestrator.paths import LabDir
from orchestrator.providers import container_spec as spec
from orchestrator.providers import engine, node_image, ssh_access
from orchestrator.providers.base import LabIdentity
from orchestrator.providers.static import StaticProvider, fingerprint
from tests.integration.test_container_nodes import bare_plan

pytestmark = pytest.mark.real


@dataclass
class Strangers:
    """Two machines and the key their owner has for them."""

    plan: Plan
    directory: LabDir
    owners_key: Path

    def ssh(self, node: int, key: Path, command: str) -> proc.Result:
        place = self.plan.static_hosts[node]
        words = ["-i", str(key), "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=no", "-o", "BatchMode=yes"]
        known = ["-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-F", "/dev/null"]
        return proc.run(["ssh", *words, *known, f"{place.user}@{place.address}", command], check=False)


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Strangers]:
    home = tmp_path_factory.mktemp("static")
    key = home / "owners_key"
    proc.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)])
    made = bare_plan(home, "mine", "192.168.249.0", 62700)
    opened = engine.open_engine(discard, "test")
    api: Any = opened.api
    image = node_image.ensure(api, discard, "test")
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text(encoding="ascii"))
    granted = spec.grantable(host.missing_capabilities(), last, str(api.version()["Version"]))
    network = {key: value for key, value in spec.network_arguments(made).items() if key != "labels"}
    ids: list[str] = []
    hosts = []
    try:
        api.create_network(**network)
        for node in made.nodes:
            private, public = ssh_access.new_host_key()
            config = spec.container_config(made, node, image, granted, public)
            del config["Labels"]
            ids.append(api.create_container_from_config(config, name=f"stranger-{node.name}-{made.uuid[:8]}")["Id"])
            owners = key.with_suffix(".pub").read_text(encoding="ascii").strip()
            for archive in (spec.authorized_keys(owners), spec.host_key_files(private, public)):
                api.put_archive(ids[-1], "/", archive)
            api.start(ids[-1])
            hosts.append(StaticHost("vagrant", node.address, 22, fingerprint(public)))
        plan = replace(made, provider="static", static_hosts=tuple(hosts), static_key=str(key), uuid=str(uuid.uuid4()))
        directory = LabDir.beside(home / "lab.yml", plan.name)
        directory.create()
        directory.plan.write_text(plan.as_json(), encoding="utf-8")
        there = Strangers(plan, directory, key)
        deadline = time.monotonic() + 60
        while not all(there.ssh(index, key, "true").ok for index in range(2)):
            assert time.monotonic() < deadline, "the strangers' machines do not come up"
            time.sleep(0.3)
        yield there
    finally:
        for container in ids:
            api.remove_container(container, force=True, v=True)
        for volume in api.volumes()["Volumes"] or ():
            if volume["Name"].startswith(f"mine-{made.uuid[:8]}-"):
                api.remove_volume(volume["Name"], force=True)
        api.remove_network(network["name"])
        opened.close(discard, "test")


def test_the_labs_key_is_let_in_once_and_only_where_the_fingerprint_is_right(strangers: Strangers) -> None:
    provider, plan = StaticProvider(), strangers.plan
    assert provider.preflight(plan) == []
    nodes = provider.create(plan, strangers.directory, discard, "create")
    assert [(node.state, node.ssh_host) for node in nodes] == [("running", n.address) for n in plan.nodes]
    again: list[Any] = []
    provider.create(plan, strangers.directory, again.append, "create")
    assert {step.status for step in again} == {"ok"}
    for index in range(2):
        assert strangers.ssh(index, strangers.directory.private_key, "sudo -n id -un").stdout.strip() == "root"


def test_another_host_key_is_refused_by_name(strangers: Strangers) -> None:
    wrong = replace(strangers.plan.static_hosts[1], fingerprint="SHA256:" + "A" * 43)
    plan = replace(strangers.plan, static_hosts=(strangers.plan.static_hosts[0], wrong))
    problems = StaticProvider().preflight(plan)
    assert len(problems) == 1
    assert problems[0].where.startswith("w1-k8s")
    assert "another host key" in problems[0].what
    with pytest.raises(ProviderError, match="another host key"):
        StaticProvider().create(plan, strangers.directory, discard, "create")


def test_a_machine_that_is_off_is_said_so(strangers: Strangers) -> None:
    off = replace(strangers.plan.static_hosts[1], port=9)
    plan = replace(strangers.plan, static_hosts=(strangers.plan.static_hosts[0], off))
    assert "does not answer" in StaticProvider().preflight(plan)[0].what
    assert [node.state for node in StaticProvider().nodes(plan)] == ["running", "stopped"]


def test_destroy_takes_the_labs_key_away_and_leaves_the_machines(strangers: Strangers) -> None:
    plan = strangers.plan
    StaticProvider().create(plan, strangers.directory, discard, "create")
    StaticProvider().destroy(LabIdentity(plan.name, plan.uuid, plan.owner), discard, "destroy")
    for index in range(2):
        assert not strangers.ssh(index, strangers.directory.private_key, "true").ok
        assert strangers.ssh(index, strangers.owners_key, "hostname").ok
