"""What the role containerd promises about a node."""

import json
import re
import tomllib

import pytest

SOCKET = "unix:///run/containerd/containerd.sock"
OWN_DROP_INS = {"/etc/systemd/system/containerd.service.d/" + name for name in ("http-proxy.conf", "ca.conf")}
# The plugins that are the kubelet's way in, of containerd 1.x and of 2.x.
CRI = {"io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime", "io.containerd.cri.v1.images"}
# What the checks ask the node, in one go: its files, what containerd runs with, and what it would start with.
FACTS = """
systemctl show -p DropInPaths containerd.service
grep -hs '^imports' /etc/containerd/config.toml
grep -hs 'endpoint:' /etc/crictl.yaml
command -v kubeadm
echo ==
sudo crictl info 2>/dev/null || sudo crictl info 2>&1 | tail -n 1
echo ==
containerd config dump 2>&1
"""


def skip_unless_used(lab_vars):
    if lab_vars.get("container_runtime", "containerd") != "containerd":
        pytest.skip("not applicable: this lab runs on Docker")


@pytest.fixture(scope="module")
def facts(host, lab_vars):
    skip_unless_used(lab_vars)
    parts = re.split("^==$", host.run(FACTS).stdout, flags=re.MULTILINE)
    files, running, configuration = (part.strip() for part in parts)
    log = [line for line in configuration.splitlines() if not line.startswith("time=")]
    return {"files": files, "running": running, "configuration": "\n".join(log)}


@pytest.fixture
def crictl(facts):
    """The facts of a node that has crictl, or ought to."""
    if "/kubeadm" not in facts["files"]:
        pytest.skip("not applicable: crictl comes with the packages of Kubernetes")
    return facts


def state_of(facts):
    """What crictl tells of the containerd that runs."""
    # Of crictl's log line the message, and of its chain of causes the last.
    answer = re.sub(r'^time=.* msg="|.*desc = |[\\"]', "", facts["running"])
    assert facts["running"].startswith("{"), f"crictl info: {answer or 'no answer'}"
    return json.loads(facts["running"])


def find(tree, name):
    """The first value of this name in nested tables, None without one."""
    if not isinstance(tree, dict):
        return None
    return tree[name] if name in tree else next(filter(None, (find(value, name) for value in tree.values())), None)


def systemd_cgroup(tree):
    return (((find(tree, "runtimes") or {}).get("runc") or {}).get("options") or {}).get("SystemdCgroup", False)


def planned_driver(lab_vars):
    return lab_vars.get("containerd_cgroup_driver", "systemd") == "systemd"


def test_containerd_runs_and_starts_at_boot(host, lab_vars):
    skip_unless_used(lab_vars)
    script = "systemctl is-active containerd.service; systemctl is-enabled containerd.service; true"
    state = host.check_output(script).split()
    assert state == ["active", "enabled"], f"containerd.service is {' and '.join(state) or 'unknown'}"


def test_containerd_has_the_planned_cgroup_driver(host, lab_vars):
    skip_unless_used(lab_vars)
    systemd = lab_vars.get("containerd_cgroup_driver", "systemd") == "systemd"
    text = host.check_output("sudo cat /etc/containerd/config.toml")
    assert f"SystemdCgroup = {str(systemd).lower()}" in text


def test_images_of_the_lab_are_imported(host, lab_vars):
    skip_unless_used(lab_vars)
    script = (
        "cat /var/lib/labctl/images-* 2>/dev/null | sort -u; echo; sudo ctr -n k8s.io images list --quiet | sort -u"
    )
    expected, _, found = host.check_output(script).partition("\n\n")
    if not expected.strip():
        pytest.skip("not applicable: images are pulled when needed")
    missing = set(expected.split()) - set(found.split())
    assert not missing, f"images gone: {', '.join(sorted(missing))}"


def test_containerd_would_start_again_with_the_planned_values(facts, lab_vars):
    try:
        tables = tomllib.loads(facts["configuration"])
    except tomllib.TOMLDecodeError:
        pytest.fail(f"it would not start again: {facts['configuration'].splitlines()[-1]}")
    imports = "".join(f"; config.toml has {line}" for line in re.findall("^imports.*", facts["files"], re.MULTILINE))
    off = sorted(CRI & set(tables.get("disabled_plugins", [])))
    assert not off, f"disabled_plugins holds {', '.join(off)}: the kubelet would find no runtime{imports}"
    systemd = systemd_cgroup(tables)
    assert systemd is planned_driver(lab_vars), f"SystemdCgroup is {str(systemd).lower()} in the end{imports}"
    planned = lab_vars.get("containerd_sandbox_image", "registry.k8s.io/pause:3.2")
    image = find(tables, "sandbox") or find(tables, "sandbox_image")
    assert image == planned, f"the pause image is {image} instead of {planned}{imports}"


def test_containerd_runs_with_the_planned_cgroup_driver(crictl, lab_vars):
    systemd = systemd_cgroup(state_of(crictl).get("config"))
    assert systemd is planned_driver(lab_vars), f"it runs with SystemdCgroup = {str(systemd).lower()}"


def test_no_foreign_drop_in_changes_the_unit(facts):
    (line,) = re.findall("^DropInPaths=(.*)", facts["files"], re.MULTILINE)
    # What is in service.d is for every service of the system.
    foreign = [path for path in line.split() if path not in OWN_DROP_INS and "/service.d/" not in path]
    assert not foreign, f"containerd.service is changed by {', '.join(foreign)}"


def test_crictl_reaches_the_runtime(crictl):
    endpoints = re.findall(r"^(?:runtime|image)-endpoint: (\S+)", crictl["files"], re.MULTILINE)
    assert endpoints == [SOCKET] * 2, f"/etc/crictl.yaml names {', '.join(endpoints) or 'no socket'}, not {SOCKET}"
    runtime = condition_of(crictl, "RuntimeReady")
    assert runtime["status"], f"it is not ready: {runtime.get('message') or 'without a reason'}"


def test_the_runtime_has_a_pod_network(crictl, lab_vars):
    if lab_vars.get("cluster_cni", "none") == "none":
        pytest.skip("not applicable: this lab has no pod network of its own")
    network = condition_of(crictl, "NetworkReady")
    assert network["status"], network.get("message") or "containerd has loaded no pod network"


def condition_of(facts, kind):
    return next(one for one in state_of(facts)["status"]["conditions"] if one["type"] == kind)
