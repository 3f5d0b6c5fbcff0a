"""Mounts and ports in the plan: what this host allows, what each provider can, and what stays as it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from orchestrator import catalog
from orchestrator.errors import ExitCode, LabError
from orchestrator.host_access import Forward, Mount
from orchestrator.model import Plan
from orchestrator.observed import BusyPort, HostFolder, Observed, ProviderState
from orchestrator.plan import plan
from orchestrator.spec import Override, parse

Observe = Callable[..., Observed]

DATA = HostFolder("/home/reader/data")
MOUNT = "mounts: [{host: ../data, node: /data}]"
PORT = "ports: [{port: 30080, host: 8080}]"
VIRTUAL = {"providers": (ProviderState("libvirt", ready=True), ProviderState("virtualbox", ready=True))}
STATIC = f"provider: static\nworkers: {{count: 0}}\nstatic: {{hosts: ['root@192.168.56.10 SHA256:{'A' * 43}']}}\n"


def planned(text: str, observed: Observed, *overrides: Override) -> Plan:
    """The plan of a lab.yml whose mounts, if it has any, are the observed folders."""
    loaded = parse(text, overrides=overrides)
    return plan(loaded, catalog.load(), replace(observed, folders=observed.folders[: len(loaded.lab.mounts)]))


def reasons(of: Plan, field: str) -> list[tuple[str, str]]:
    return [(one.value, one.reason) for one in of.decisions if one.field.startswith(f"{field}.")]


def test_a_mount_is_on_every_machine_and_read_only(observe: Observe) -> None:
    made = planned(f"workers: {{count: 1}}\n{MOUNT}", observe(folders=(DATA,)))
    assert made.mounts == (Mount("/home/reader/data", "/data", ("m-k8s", "w1-k8s"), writable=False),)
    assert reasons(made, "mounts") == [("/home/reader/data at /data of m-k8s, w1-k8s (read-only)", "lab.yml:2")]


def test_a_port_leads_from_loopback_to_the_control_plane(observe: Observe) -> None:
    made = planned(PORT, observe())
    assert made.forwards == (Forward("m-k8s", 30080, 8080, "127.0.0.1"),)
    assert reasons(made, "ports") == [("127.0.0.1:8080 to m-k8s:30080", "lab.yml:1")]


def test_the_plan_says_who_else_reaches_an_open_port(observe: Observe) -> None:
    made = planned("ports: [{node: w1-k8s, port: 80, host: 8080, address: 0.0.0.0}]", observe())
    assert reasons(made, "ports") == [
        ("0.0.0.0:8080 to w1-k8s:80", "lab.yml:1; other machines that reach this host reach it too")
    ]


def test_the_plan_says_that_a_virtual_machine_has_a_copy(observe: Observe) -> None:
    made = planned(f"provider: virtualbox\n{MOUNT}", observe(folders=(DATA,), **VIRTUAL))
    assert reasons(made, "mounts")[0][1] == "lab.yml:2; a copy, which `labctl provision` refreshes"


WRONG = [
    pytest.param(
        MOUNT,
        {"folders": (HostFolder("/home/reader/data", is_folder=False, exists=False),)},
        "lab.yml:1 mounts.0.host",
        "../data does not exist (/home/reader/data)",
        "mkdir -p /home/reader/data",
        id="missing",
    ),
    pytest.param(
        MOUNT,
        {"folders": (HostFolder("/home/reader/data", is_folder=False),)},
        "lab.yml:1 mounts.0.host",
        "../data is no folder (/home/reader/data)",
        "the folder that it is in",
        id="file",
    ),
    pytest.param(
        "mounts: [{host: /, node: /data}]",
        {"folders": (HostFolder("/"),)},
        "lab.yml:1 mounts.0.host",
        "/ is the whole of this host",
        "a folder below it",
        id="root",
    ),
    *(
        pytest.param(
            MOUNT,
            {"folders": (HostFolder(path),)},
            "lab.yml:1 mounts.0.host",
            "holds /home/reader/lab/.labctl, where the lab's keys are",
            "a folder of its own",
            id=f"secrets-{path}",
        )
        for path in ("/home/reader/lab", "/home/reader/lab/.labctl/k8s-lab")
    ),
    pytest.param(
        "workers: {count: 2}\nmounts:\n  - {host: d, node: /data, nodes: [w3-k8s, w2-k8s]}",
        {"folders": (DATA,)},
        "lab.yml:3 mounts.0",
        "w3-k8s is no machine of the lab",
        "the lab has m-k8s, w1-k8s, w2-k8s;",
        id="mount-on-no-machine",
    ),
    pytest.param(
        "workers: {count: 0}\nports: [{node: w1-k8s, port: 80, host: 8080}]",
        {},
        "lab.yml:2 ports.0",
        "w1-k8s is no machine of the lab",
        "the lab has m-k8s;",
        id="port-of-no-machine",
    ),
    pytest.param(
        "provider: virtualbox\nmounts: [{host: d, node: /data, writable: true}]",
        {"folders": (DATA,), **VIRTUAL},
        "lab.yml:2 mounts.0.writable",
        "machines of virtualbox get a copy of d; what they write never comes back",
        "labctl cp",
        id="writable-copy",
    ),
    pytest.param(
        f"provider: libvirt\n{PORT}",
        VIRTUAL,
        "lab.yml:2 ports",
        "reaches machines of libvirt at their own addresses",
        "remove `ports` and use 192.168.56.10:30080",
        id="libvirt-port",
    ),
    pytest.param(
        f"{STATIC}{MOUNT}",
        {"folders": (DATA,), "providers": (ProviderState("static", ready=True),)},
        "lab.yml:4 mounts",
        "labctl did not make the machines of static",
        "labctl cp",
        id="static-mount",
    ),
    pytest.param(
        f"{STATIC}{PORT}",
        {"providers": (ProviderState("static", ready=True),)},
        "lab.yml:4 ports",
        "forwards no port to them",
        "use 192.168.56.10:30080",
        id="static-port",
    ),
    pytest.param(
        "ports: [{port: 80, host: 60101}]",
        {},
        "lab.yml:1 ports.0.host",
        "60101 leads to SSH of w1-k8s already",
        "another port",
        id="ssh-port",
    ),
    pytest.param(
        "ports: [{port: 80, host: 60443}]",
        {},
        "lab.yml:1 ports.0.host",
        "60443 leads to the API server already",
        "another port",
        id="api-port",
    ),
]


@pytest.mark.parametrize(("text", "facts", "where", "what", "fix"), WRONG)
def test_it_is_refused_with_the_reason_and_a_fix(
    text: str, facts: dict[str, Any], where: str, what: str, fix: str, observe: Observe
) -> None:
    with pytest.raises(LabError) as caught:
        planned(text, observe(**facts))
    assert caught.value.exit_code == ExitCode.USAGE
    (problem,) = caught.value.problems
    assert problem.where == where
    assert what in problem.what
    assert fix in problem.fix


@pytest.mark.parametrize("holder", ["", "lab other of /home/other"])
def test_a_port_of_this_host_that_somebody_has_is_named_with_the_holder(holder: str, observe: Observe) -> None:
    with pytest.raises(LabError) as caught:
        planned(PORT, observe(busy_ports=(BusyPort(8080, holder),)))
    assert caught.value.exit_code == ExitCode.HOST
    (problem,) = caught.value.problems
    assert problem.where == "lab.yml:1 ports.0.host"
    assert problem.what == f"port 8080 is held by {holder or 'another program'}"


def test_what_is_only_rendered_asks_for_no_folder(observe: Observe) -> None:
    gone = HostFolder("/home/reader/data", is_folder=False, exists=False)
    made = plan(parse(MOUNT), catalog.load(), observe(folders=(gone,)), "render")
    assert made.mounts[0].host == "/home/reader/data"


class TestAnExistingLab:
    def existing(self, observe: Observe, text: str = f"workers: {{count: 1}}\n{MOUNT}\n{PORT}") -> Observed:
        return observe(existing=planned(text, observe(folders=(DATA,))), folders=(DATA,))

    @pytest.mark.parametrize(
        ("text", "field", "before", "after"),
        [
            (PORT, "mounts", "/home/reader/data at /data of m-k8s (read-only)", "none"),
            (MOUNT, "ports", "127.0.0.1:8080 to m-k8s:30080", "none"),
            (f"{MOUNT}\nports: [{{port: 30080, host: 8081}}]", "ports", ":8080 to m-k8s:30080", ":8081 to m-k8s:30080"),
            (f"mounts: [{{host: d, node: /other}}]\n{PORT}", "mounts", "/data of m-k8s", "/other of m-k8s"),
        ],
    )
    def test_keeps_what_its_machines_were_made_with(
        self, text: str, field: str, before: str, after: str, observe: Observe
    ) -> None:
        with pytest.raises(LabError) as caught:
            planned(f"workers: {{count: 1}}\n{text}", self.existing(observe))
        (problem,) = caught.value.problems
        assert f" {field}" in problem.where or problem.where.startswith(field)
        assert before in problem.what.partition("it cannot become")[0]
        assert after in problem.what.partition("it cannot become")[2]
        assert "`labctl destroy --yes` first" in problem.fix

    def test_gets_none_later_either(self, observe: Observe) -> None:
        with pytest.raises(LabError, match="cannot work") as caught:
            planned(f"workers: {{count: 1}}\n{MOUNT}", self.existing(observe, "workers: {count: 1}"))
        assert "the lab exists with none" in caught.value.problems[0].what

    def test_gives_a_new_worker_those_of_all_machines(self, observe: Observe) -> None:
        made = planned(f"{MOUNT}\n{PORT}", self.existing(observe), Override("workers.count", 2, "--workers"))
        assert made.mounts[0].nodes == ("m-k8s", "w1-k8s", "w2-k8s")

    def test_takes_those_of_a_worker_that_only_an_option_adds(self, observe: Observe) -> None:
        port = "ports: [{node: w4-k8s, port: 80, host: 8080}]"
        made = planned(port, observe(), Override("workers.count", 4, "--workers"))
        assert made.forwards[0].node == "w4-k8s"

    def test_lets_those_of_a_worker_go_with_it(self, observe: Observe) -> None:
        extra = f"{MOUNT}\nports: [{{port: 30080, host: 8080}}, {{node: w1-k8s, port: 80, host: 8081}}]"
        observed = self.existing(observe, f"workers: {{count: 1}}\n{extra}")
        made = planned(f"workers: {{count: 0}}\n{MOUNT}\n{PORT}", observed)
        assert [one.node for one in made.forwards] == ["m-k8s"]
