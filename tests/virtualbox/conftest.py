"""A reader with VirtualBox' real userland and labctl's box: everything but the kernel driver."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator import paths
from tests.e2e.conftest import User
from tests.virtualbox import userland
from tests.virtualbox.userland import Userland

LAB = """\
version: 1
name: book
provider: virtualbox
profile: bare
workers: {count: 0}
network: {subnet: 192.168.63.0/24}
names: {suffix: " (Übung 1)"}
virtualbox: {group: "/k8s-SgMST-1.13.1(github_SysNet4Admin)"}
"""
# As VirtualBox has it.
MACHINE = "m-k8s (Übung 1)"


@dataclass(frozen=True)
class Reader:
    """Somebody with a lab.yml whose provider is VirtualBox."""

    user: User
    virtualbox: Userland

    def labctl(self, *args: str, driver: bool = True, timeout: float = 1500) -> subprocess.CompletedProcess[str]:
        """Run labctl with VirtualBox and Vagrant on the PATH, and with the stand-in for the driver or without."""
        path = f"{self.virtualbox.programs}:{os.environ['PATH']}"
        within = (*self.virtualbox.within, f"--wdns={self.home}") if driver else ()
        argv = [*within, *self.user.labctl, *args]
        environment = {**self.user.environment, "PATH": path}
        return subprocess.run(argv, cwd=self.home, env=environment, capture_output=True, text=True, timeout=timeout)

    def good(self, *args: str) -> str:
        """Run labctl, which must succeed; what it printed."""
        done = self.labctl(*args)
        assert done.returncode == 0, done.stderr[-4000:] + done.stdout[-2000:]
        return done.stdout

    @property
    def home(self) -> Path:
        return self.user.home

    @contextmanager
    def provisioned(self, *bundle: str) -> Iterator[Reader]:
        """The lab of lab.yml, verified, from what `bundle build` makes; first.json has what provision said."""
        # The machines' network leads nowhere else.
        done = self.user.run("bundle", "build", *bundle, "--yes")
        assert done.returncode == 0, done.stderr
        try:
            (self.home / "first.json").write_text(self.good("provision", "--yes", "--output", "json"), encoding="utf-8")
            yield self
        finally:
            self.labctl("destroy", "--yes")

    def registered(self) -> list[str]:
        """Names of the machines that VirtualBox has, the masters of Vagrant's linked clones aside."""
        names = [line.split('"')[1] for line in self.virtualbox.manage("list", "vms").splitlines()]
        return [name for name in names if not name.startswith("labctl-debian-12")]

    def shown(self, machine: str) -> dict[str, str]:
        """What showvminfo says of a machine."""
        text = self.virtualbox.manage("showvminfo", machine, "--machinereadable")
        pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
        return {name.strip('"'): value.strip('"') for name, _, value in pairs}


@pytest.fixture(scope="session")
def box() -> Path:
    """The box, built where the cache has none of this recipe."""
    done = subprocess.run(
        [*User(Path("/")).labctl, "box", "build", "--provider", "virtualbox", "--yes", "--output", "json"],
        env={**os.environ, "LABCTL_OFFLINE": "1"},
        cwd="/tmp",
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return Path(json.loads(done.stdout)["path"])


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory, box: Path) -> Iterator[Reader]:
    home = tmp_path_factory.mktemp("reader")
    (home / "lab.yml").write_text(LAB, encoding="utf-8")
    programs = tmp_path_factory.mktemp("programs")
    with userland.running(userland.root(), programs, (home, paths.cache_dir())) as virtualbox:
        yield Reader(User(home), virtualbox)
