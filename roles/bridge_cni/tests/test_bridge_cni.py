"""What the role bridge_cni promises about a node's pod network."""

import json
import re

import pytest


@pytest.fixture(autouse=True)
def _where_it_is_the_network(lab_vars):
    if "bridge_cni_pod_cidr" not in lab_vars:
        pytest.skip("not applicable: another network connects the pods")


def _configuration(host):
    text = host.check_output("cat /etc/cni/net.d/10-labctl-bridge.conflist 2>/dev/null || true")
    assert text, "/etc/cni/net.d/10-labctl-bridge.conflist is missing"
    return json.loads(text)


def test_the_runtime_finds_this_network_first(host):
    first = host.check_output(r"ls /etc/cni/net.d/ 2>/dev/null | grep -E '\.(conf|conflist|json)$' | head -n 1 || true")
    assert first == "10-labctl-bridge.conflist", f"the first network is {first or 'none'}"
    subnet = _configuration(host)["plugins"][0]["ipam"]["ranges"][0][0]["subnet"]
    address = host.check_output("ip -4 -o addr show dev cni0 2>/dev/null || true")
    if address:
        assert subnet.rsplit(".", 1)[0] in address, f"cni0 has another network than {subnet}: {address}"


def test_the_plugins_are_executable(host):
    command = "for name in bridge host-local portmap loopback; do [ -x /opt/cni/bin/$name ] || echo $name; done"
    missing = host.check_output(command).split()
    assert not missing, f"missing in /opt/cni/bin: {', '.join(missing)}"


def test_every_other_node_has_its_route(host):
    text = host.check_output(
        "sed -n '/<<.ROUTES/,/^ROUTES/p' /usr/local/sbin/labctl-bridge-cni 2>/dev/null; ip -4 route show proto 76"
    )
    expected = set(re.findall(r"^(\S+/\d+) (\d\S+)$", text, re.MULTILINE))
    present = set(re.findall(r"^(\S+/\d+) via (\S+) ", text, re.MULTILINE))
    assert expected == present, f"routes missing: {sorted(expected - present)}, stale: {sorted(present - expected)}"


def test_pods_are_forwarded_and_keep_their_address_inside_the_pod_network(host, lab_vars):
    pods = lab_vars["bridge_cni_pod_cidr"]
    rules = host.check_output("{ iptables -w -S; iptables -w -t nat -S; } 2>&1").splitlines()
    expected = {
        "-A FORWARD -j LABCTL-FORWARD",
        f"-A LABCTL-FORWARD -s {pods} -j ACCEPT",
        f"-A LABCTL-FORWARD -d {pods} -j ACCEPT",
        f"-A LABCTL-MASQUERADE -d {pods} -j RETURN",
        "-A LABCTL-MASQUERADE -j MASQUERADE",
    }
    assert not expected - set(rules), f"missing: {'; '.join(sorted(expected - set(rules)))}"
    assert any(re.match(r"-A POSTROUTING -s \S+ -j LABCTL-MASQUERADE$", rule) for rule in rules), "nothing masquerades"


def test_the_network_comes_back_at_boot(host):
    state = host.check_output("systemctl is-enabled labctl-bridge-cni.service 2>&1 || true")
    assert state == "enabled", state
