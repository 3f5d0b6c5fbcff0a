"""What the role docker promises about a node."""

import json

import pytest

REMEDY = "labctl provision"
RESTART = "labctl exec -- sudo systemctl restart docker"


def skip_unless_used(lab_vars):
    if lab_vars.get("container_runtime", "docker") != "docker":
        pytest.skip("not applicable: this lab runs on containerd")


@pytest.mark.check(id="docker.running", layer="runtime", severity="error", remedy=RESTART)
def test_docker_runs_now_and_at_boot(host, lab_vars):
    skip_unless_used(lab_vars)
    state = host.check_output("systemctl is-active docker.service; systemctl is-enabled docker.service; true").split()
    assert state == ["active", "enabled"], f"docker.service is {' and '.join(state) or 'unknown'}"


@pytest.mark.check(id="docker.cgroup_driver", layer="runtime", severity="error", remedy=REMEDY)
def test_docker_has_the_wanted_cgroup_driver(host, lab_vars):
    skip_unless_used(lab_vars)
    wanted = lab_vars.get("docker_cgroup_driver", "systemd")
    # stderr is left out: sudo complains there of a host name it cannot look up, which is another check's finding
    found = host.check_output("sudo docker info --format '{{.CgroupDriver}} {{.Driver}}' 2>/dev/null || true")
    assert found == f"{wanted} overlay2"


@pytest.mark.check(id="docker.logs_bounded", layer="runtime", severity="warning", remedy=REMEDY)
def test_container_logs_are_bounded(host, lab_vars):
    skip_unless_used(lab_vars)
    settings = json.loads(host.check_output("cat /etc/docker/daemon.json 2>/dev/null || echo '{}'"))
    assert settings.get("log-opts", {}).get("max-size"), "/etc/docker/daemon.json does not bound container logs"


@pytest.mark.check(id="docker.images", layer="runtime", severity="error", remedy=REMEDY)
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
