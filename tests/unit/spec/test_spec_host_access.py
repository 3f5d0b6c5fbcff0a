"""`mounts` and `ports` of lab.yml: what is refused before this host is looked at, each with line, entry and fix."""

from __future__ import annotations

import pytest

from orchestrator.errors import SpecError
from orchestrator.spec import parse
from orchestrator.spec.rules import MANAGED


def mount(entry: str) -> str:
    return f"workers: {{count: 2}}\nmounts:\n  - {entry}\n"


def two_mounts(one: str, other: str) -> str:
    return f"mounts:\n  - {{host: a, node: {one}}}\n  - {{host: b, node: {other}}}\n"


BAD = [
    pytest.param(mount("./data"), "lab.yml:3 mounts.0", "must be a block of keys", "{host: ..., node: ...}", id="text"),
    pytest.param("mounts: {host: a}", "lab.yml:1 mounts", "must be a list", "[first, second]", id="no-list"),
    pytest.param(mount("{host: a}"), "lab.yml:3 mounts.0", "has no `node`", "{host: ..., node: ...}", id="no-node"),
    pytest.param(
        mount("{host: a, node: /data, writeable: true}"),
        "lab.yml:3 mounts.0.writeable",
        "unknown key",
        "did you mean `writable`?",
        id="misspelt",
    ),
    pytest.param(
        mount("{host: '', node: /data}"), "lab.yml:3 mounts.0.host", "is empty", "such as ./data", id="empty-host"
    ),
    pytest.param(
        mount("{host: a, node: data}"), "lab.yml:3 mounts.0.node", "not an absolute path", "/data", id="relative"
    ),
    pytest.param(mount("{host: a, node: /}"), "lab.yml:3 mounts.0.node", "cannot be a mount's place", "/data", id="/"),
    pytest.param(
        mount("{host: a, node: /data/../etc}"),
        "lab.yml:3 mounts.0.node",
        "cannot be a mount's place",
        "/data",
        id="upwards",
    ),
    pytest.param(
        mount("{host: a, node: /data, nodes: []}"),
        "lab.yml:3 mounts.0.nodes",
        "is empty",
        "leave the key out",
        id="no-nodes",
    ),
    pytest.param(
        mount("{host: a, node: /etc/kubernetes}"),
        "lab.yml:3 mounts.0.node",
        "/etc/kubernetes would hide /etc (the node's settings)",
        "/data",
        id="kubernetes",
    ),
    pytest.param(
        mount("{host: a, node: /var/lib}"),
        "lab.yml:3 mounts.0.node",
        "would hide /var/lib/kubelet (the kubelet's data)",
        "/data",
        id="above-a-managed-one",
    ),
    pytest.param(
        two_mounts("/data", "/data"),
        "lab.yml:3 mounts.1.node",
        "/data and /data (mounts.0) are the same place on the same machine",
        "a folder of its own",
        id="same-place",
    ),
    pytest.param(
        two_mounts("/data", "/data/more"),
        "lab.yml:3 mounts.1.node",
        "one inside the other",
        "a folder of its own",
        id="inside",
    ),
    pytest.param("ports: [{host: 8080}]", "lab.yml:1 ports.0", "has no `port`", "{port: ..., host: ...}", id="no-port"),
    pytest.param(
        "ports: [{port: 80, host: 80}]", "lab.yml:1 ports.0.host", "80 is below 1024", "1024", id="privileged"
    ),
    pytest.param("ports: [{port: 0, host: 8080}]", "lab.yml:1 ports.0.port", "0 is below 1", "1 or more", id="port-0"),
    pytest.param(
        "ports: [{port: 80, host: 8080, address: localhost}]",
        "lab.yml:1 ports.0.address",
        "'localhost' is not an IPv4 address",
        "1.1.1.1",
        id="name-for-address",
    ),
    pytest.param(
        "ports:\n  - {port: 80, host: 8080}\n  - {port: 81, host: 8080}",
        "lab.yml:3 ports.1.host",
        "8080 is the port of ports.0 already",
        "its own port",
        id="host-port-twice",
    ),
]


@pytest.mark.parametrize(("text", "where", "what", "fix"), BAD)
def test_it_is_refused_with_its_line_and_a_fix(text: str, where: str, what: str, fix: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse(text)
    (problem,) = caught.value.problems
    assert problem.where == where
    assert what in problem.what
    assert fix in problem.fix


@pytest.mark.parametrize("place", MANAGED)
def test_nothing_is_mounted_over_what_a_node_is_made_of(place: str) -> None:
    for target in (place, f"{place}/below"):
        with pytest.raises(SpecError) as caught:
            parse(mount(f"{{host: a, node: {target}}}"))
        assert f"{target} would hide" in caught.value.problems[0].what


@pytest.mark.parametrize("target", ["/data", "/srv/a/b", "/mnt/x", "/opt/tools", "/home/vagrant/work", "/var/www"])
def test_a_folder_of_its_own_is_accepted(target: str) -> None:
    assert parse(mount(f"{{host: a, node: {target}}}")).lab.mounts[0].node == target


def test_one_place_on_different_machines_is_no_conflict() -> None:
    lab = parse("mounts: [{host: a, node: /d, nodes: [m-k8s]}, {host: b, node: /d, nodes: [w1-k8s, w2-k8s]}]").lab
    assert [entry.host for entry in lab.mounts] == ["a", "b"]
