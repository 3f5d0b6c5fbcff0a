"""labctl as a wheel outside any checkout: a single-node lab from a mirror, interrupted, continued, removed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator import bundle, paths
from tests import host_state
from tests.e2e.conftest import CHECKOUT, User
from tests.web import Site, serving

pytestmark = pytest.mark.real

LAB = """\
version: 1
name: single
provider: container
workers: {count: 0}
network: {subnet: auto}
packages: {source: mirror, mirror: {url: "%s"}}
"""


def own_address() -> str:
    """An address of this host that its nodes reach too. Connecting a datagram socket chooses one and sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError as problem:
            pytest.skip(f"this host has no address but loopback: {problem}")
        return str(probe.getsockname()[0])


@pytest.fixture(scope="module")
def mirror() -> Iterator[Site]:
    """A plain web server with the files of a bundle that labctl built."""
    built = bundle.build(paths.cache_dir(), lambda _: None, "bundle")
    with serving(built.path, own_address()) as site:
        yield site


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The command of a labctl that was built as a wheel and installed into an environment of its own."""
    place = tmp_path_factory.mktemp("installed")
    source = place / "source"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=CHECKOUT,
        capture_output=True,
        check=True,
    )
    for name in listed.stdout.decode().split("\0"):
        if name and (CHECKOUT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, source / name)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(place / "dist"), str(source)]
    subprocess.run(build, check=True, capture_output=True, timeout=300)
    shutil.rmtree(source)
    subprocess.run([sys.executable, "-m", "venv", str(place / "venv")], check=True, timeout=120)
    wheel = next((place / "dist").glob("*.whl"))
    pip = [str(place / "venv/bin/python"), "-m", "pip", "install", "-q", "--no-compile", "-c"]
    subprocess.run([*pip, str(CHECKOUT / "constraints.txt"), str(wheel)], check=True, timeout=600)
    return (str(place / "venv" / "bin" / "labctl"),)


@pytest.fixture(scope="module")
def single(
    installed: tuple[str, ...],
    mirror: Site,
    tmp_path_factory: pytest.TempPathFactory,
    host_before: dict[str, list[str]],
) -> Iterator[User]:
    """A directory with the lab.yml of a single-node lab, the lab removed afterwards whatever happened."""
    user = User(tmp_path_factory.mktemp("single"), installed)
    (user.home / "lab.yml").write_text(LAB % mirror.url)
    try:
        yield user
    finally:
        user.run("destroy", "--yes", timeout=300)


def test_the_wheel_carries_roles_playbooks_images_and_the_inventory(installed: tuple[str, ...]) -> None:
    code = "from orchestrator import paths; print(paths.data('roles'), paths.data('playbooks', 'site.yml'))"
    python = str(Path(installed[0]).with_name("python"))
    done = subprocess.run([python, "-c", code], cwd="/", capture_output=True, text=True, check=True)
    assert str(CHECKOUT) not in done.stdout
    for name in ("images/node", "images/bundle", "inventory/lab.py", "Vagrantfile.j2", "ansible.cfg"):
        code = f"from orchestrator import paths; print(paths.data({name!r}))"
        subprocess.run([python, "-c", code], cwd="/", capture_output=True, text=True, check=True)


def test_ctrl_c_in_the_middle_ends_cleanly_and_the_next_run_ends_verified(single: User) -> None:
    process = subprocess.Popen(
        [*single.labctl, "provision", "--yes", "--progress", "jsonl"],
        cwd=single.home,
        env=single.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Whoever runs the tests in the background has Ctrl-C ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stderr is not None
    said: list[str] = []
    reached = threading.Event()
    for line in process.stderr:
        said.append(line)
        if not reached.is_set() and '"Step"' in line and "docker" in line:
            reached.set()
            os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=120) == 130, "".join(said[-20:])
    assert reached.is_set()
    assert "interrupted" in said[-1]
    assert "Traceback" not in "".join(said)
    done = single.json("provision", "--yes")
    assert done["verify"]["ok"]


def test_packages_and_images_came_from_the_mirror(single: User, mirror: Site) -> None:
    source = single.json("plan")["source"]
    assert (source["kind"], source["url"]) == ("mirror", mirror.url)
    for path in ("/apt/InRelease", "/key.asc", "/images.tar"):
        assert path in mirror.asked
    assert any(path.startswith("/apt/kubelet_") for path in mirror.asked)


def test_a_single_node_lab_runs_pods_on_its_control_plane(single: User) -> None:
    nodes = json.loads(single.kubectl("get", "nodes", "-o", "json"))["items"]
    assert [node["metadata"]["name"] for node in nodes] == ["m-k8s"]
    assert "taints" not in nodes[0]["spec"]


def test_the_installed_labctl_leaves_nothing_behind(single: User, host_before: dict[str, list[str]]) -> None:
    assert single.run("destroy", "--yes").returncode == 0
    assert host_state.differences(host_before, host_state.snapshot()) == []
