"""What the role registry promises about the machine that has the registry."""

import json
import re

import pytest


@pytest.fixture(autouse=True)
def _where_it_is(lab_vars):
    if "registry_address" not in lab_vars or "control_plane" not in lab_vars.get("group_names", ["control_plane"]):
        pytest.skip("not applicable: this machine has no registry")


def test_the_registry_runs_and_starts_at_boot(host):
    unit = "labctl-registry.service"
    state = host.check_output(f"systemctl is-active {unit}; systemctl is-enabled {unit}; true").split()
    assert state == ["active", "enabled"], f"{unit} is {' and '.join(state) or 'unknown'}"


def test_the_registry_answers_on_the_labs_network_alone(host, lab_vars):
    address, port = lab_vars["registry_address"], lab_vars.get("registry_port", 5000)
    listening = host.check_output(f"ss -Hltn 'sport = :{port}'").split("\n")
    places = {line.split()[3] for line in listening if line}
    assert places == {f"{address}:{port}"}, f"port {port} is open at {', '.join(sorted(places)) or 'no address'}"
    answer = host.check_output(f"curl --noproxy '*' --silent --max-time 10 http://{address}:{port}/v2/ || echo $?")
    assert answer.strip() == "{}", f"http://{address}:{port}/v2/ says {answer or 'nothing'}"


def test_the_registry_has_the_images_of_the_lab(host, lab_vars):
    listed = json.loads(host.check_output("sudo /usr/local/sbin/labctl-registry-images list"))
    found = {image["name"] for image in listed}
    wanted = {_full(name) for image in lab_vars.get("registry_images", []) for name in image["names"]}
    assert not wanted - found, f"images gone: {', '.join(sorted(wanted - found))}"


def _full(name):
    """The name as the registry lists it: that of Docker Hub in full."""
    path = name if re.search(r"/", name) else f"library/{name}"
    return f"docker.io/{path}" if ":" in path else f"docker.io/{path}:latest"
