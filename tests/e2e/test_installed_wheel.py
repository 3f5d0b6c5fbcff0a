"""labctl as a wheel that a clean account installs with pipx: a lab from an imported bundle, interrupted, removed.

The account installs and plans with no rights at all. Its command makes the lab as root, as `sudo labctl` does: a
user without rights has no Docker on this host.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator import bundle, paths
from orchestrator.events import discard
from tests import host_state
from tests.e2e.conftest import CHECKOUT, User
from tests.source_tree import copy_source_tree
from tests.web import Site, serving

pytestmark = pytest.mark.real

FALLBACK = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["hatch"]["version"]["fallback-version"]
LAB = """\
version: 1
name: single
provider: container
workers: {count: 0}
network: {subnet: auto}
packages: {source: bundle}
"""


@pytest.fixture(scope="module")
def offered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A plain web server with the export of a bundle that labctl built."""
    place = tmp_path_factory.mktemp("offered")
    built = bundle.build(paths.cache_dir(), next(iter(bundle.available())), discard, "bundle")
    bundle.export_bundle(built, place / "lab.tar.gz", discard)
    with serving(place) as site:
        yield site


@dataclass(frozen=True)
class Account:
    """A user account of this host, made for the tests: its name and its home, empty but for what is installed."""

    name: str
    home: Path

    def run(self, *argv: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
        """Run a command as the user logs in: with no variable of ours but pip's settings."""
        pip = {key: value for key, value in os.environ.items() if key.startswith("PIP_")}
        environment = {**pip, "HOME": str(self.home), "PATH": "/usr/local/bin:/usr/bin:/bin", "LABCTL_OFFLINE": "1"}
        argv = ("runuser", "--user", self.name, "--", "env", "-i", *(f"{k}={v}" for k, v in environment.items()), *argv)
        return subprocess.run(argv, cwd=self.home, capture_output=True, text=True, timeout=timeout)

    def good(self, *argv: str) -> str:
        done = self.run(*argv)
        assert done.returncode == 0, f"{argv}: {done.stdout[-2000:]}{done.stderr[-3000:]}"
        return done.stdout


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    """A clean account: no group but its own, nothing in its home, no environment of this checkout."""
    if os.geteuid() != 0:
        pytest.skip("making a user account takes root")
    name = "labctl-e2e"
    subprocess.run(["userdel", "--remove", name], capture_output=True)
    subprocess.run(["useradd", "--create-home", "--skel", "/dev/null", name], check=True, capture_output=True)
    try:
        yield Account(name, Path("/home") / name)
    finally:
        subprocess.run(["userdel", "--remove", name], check=True, capture_output=True)


@pytest.fixture(scope="module")
def installed(account: Account, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The command that `pipx install FILE` of a wheel, built from a ZIP's files, gave to the account."""
    place = tmp_path_factory.mktemp("installed")
    source = copy_source_tree(CHECKOUT, place / "source")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(place / "dist"), str(source)]
    subprocess.run(build, check=True, capture_output=True, timeout=300)
    shutil.rmtree(source)
    (wheel,) = (place / "dist").glob("*.whl")
    shutil.copy(wheel, account.home)
    # pipx as a distribution's package would bring it: not in the environment of what it installs.
    account.good("python3", "-m", "venv", "tools")
    account.good("tools/bin/pip", "install", "--quiet", "pipx")
    account.good("tools/bin/pipx", "install", wheel.name)
    return (str(account.home / ".local" / "bin" / "labctl"),)


@pytest.fixture(scope="module")
def single(
    installed: tuple[str, ...],
    offered: Site,
    tmp_path_factory: pytest.TempPathFactory,
    host_before: dict[str, list[str]],
) -> Iterator[User]:
    """A directory with the lab.yml of a single-node lab, the lab removed afterwards whatever happened."""
    user = User(tmp_path_factory.mktemp("single"), installed)
    (user.home / "lab.yml").write_text(LAB)
    taken = user.run("bundle", "import", f"{offered.url}/lab.tar.gz")
    assert taken.returncode == 0, taken.stderr
    try:
        yield user
    finally:
        user.run("destroy", "--yes", timeout=300)


def test_the_wheel_carries_roles_playbooks_images_and_the_inventory(
    account: Account, installed: tuple[str, ...]
) -> None:
    python = str(Path(installed[0]).resolve().with_name("python"))
    for name in ("roles", "playbooks/site.yml", "images/node", "images/bundle", "drills", "inventory/lab.py",
                 "Vagrantfile.j2", "ansible.cfg"):  # fmt: skip
        code = f"from orchestrator import paths; print(paths.data({name!r}))"
        assert account.good(python, "-c", code).startswith(str(account.home))


def test_the_command_of_a_user_without_rights_knows_its_version(account: Account, installed: tuple[str, ...]) -> None:
    assert account.good(*installed, "--version") == f"labctl, version {FALLBACK}\n"


def test_a_user_without_rights_learns_what_a_lab_takes(account: Account, installed: tuple[str, ...]) -> None:
    done = account.run(*installed, "plan")
    assert done.returncode == 3, done.stderr
    assert "provider (default): container: " in done.stderr
    assert "fix:" in done.stderr


def test_ctrl_c_in_the_middle_ends_cleanly_and_the_next_run_ends_verified(single: User) -> None:
    process = subprocess.Popen(
        [*single.labctl, "provision", "--yes", "--no-bake", "--progress", "jsonl"],
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


def test_packages_and_images_came_from_the_imported_bundle(single: User, offered: Site) -> None:
    source = single.json("plan")["source"]
    assert source["bundle_id"] == next(iter(bundle.available())).id
    assert offered.asked == ["/lab.tar.gz"]


def test_a_single_node_lab_runs_pods_on_its_control_plane(single: User) -> None:
    nodes = json.loads(single.kubectl("get", "nodes", "-o", "json"))["items"]
    assert [node["metadata"]["name"] for node in nodes] == ["m-k8s"]
    assert "taints" not in nodes[0]["spec"]


def test_the_installed_labctl_leaves_nothing_behind(single: User, host_before: dict[str, list[str]]) -> None:
    assert single.run("destroy", "--yes").returncode == 0
    assert host_state.differences(host_before, host_state.snapshot()) == []
