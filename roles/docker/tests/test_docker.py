"""What the role docker promises about a node."""

import json

import pytest


def skip_unless_used(lab_vars):
    if lab_vars.get("container_runtime", "docker") != "docker":
        pytest.skip("not applicable: this lab runs on containerd")


def test_docker_runs_and_starts_at_boot(host, lab_vars):
    skip_unless_used(lab_vars)
    state = host.check_output("systemctl is-active docker.service; systemctl is-enabled docker.service; true").split()
    assert state == ["active", "enabled"], f"docker.service is {' and '.join(state) or 'unknown'}"


def test_docker_has_the_planned_cgroup_driver(host, lab_vars):
    skip_unless_used(lab_vars)
    expected = lab_vars.get("docker_cgroup_driver", "systemd")
    # stderr is left out: sudo complains there of a host name it cannot look up, which is another check's finding
    found = host.check_output("sudo docker info --format '{{.CgroupDriver}} {{.Driver}}' 2>/dev/null || true")
    assert found == f"{expected} overlay2"


def test_container_logs_are_bounded(host, lab_vars):
    skip_unless_used(lab_vars)
    settings = json.loads(host.check_output("cat /etc/docker/daemon.json 2>/dev/null || echo '{}'"))
    assert settings.get("log-opts", {}).get("max-size"), "/etc/docker/daemon.json does not bound container logs"


def test_images_of_the_lab_are_loaded(host, lab_vars):
    skip_unless_used(lab_vars)
    script = (
        "cat /var/lib/labctl/images-* 2>/dev/null | sort -u; echo; "
        "sudo docker image ls --format '{{.Repository}}:{{.Tag}}' | sort -u"
    )
    expected, _, found = host.check_output(script).partition("\n\n")
    if not expected.strip():
        pytest.skip("not applicable: images are pulled when needed")
    missing = set(expected.split()) - set(found.split())
    assert not missing, f"images gone: {', '.join(sorted(missing))}"
