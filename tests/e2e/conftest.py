"""A whole lab as a user makes it: the launcher, an empty directory, no options but --yes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass
class User:
    """Somebody at a shell in `home`, with labctl at hand."""

    home: Path
    labctl: tuple[str, ...] = (str(CHECKOUT / "labctl"),)

    def run(self, *args: str, timeout: float = 1500) -> subprocess.CompletedProcess[str]:
        """Run labctl with these arguments and return what it left."""
        return subprocess.run(
            [*self.labctl, *args], cwd=self.home, env=self.environment, capture_output=True, text=True, timeout=timeout
        )

    def good(self, *args: str) -> str:
        """Run labctl, which must succeed; what it printed."""
        done = self.run(*args)
        assert done.returncode == 0, done.stderr[-4000:] + done.stdout[-2000:]
        return done.stdout

    def json(self, *args: str) -> dict[str, Any]:
        """Run labctl with --output json and return the document; the command must succeed."""
        done = self.run(*args, "--output", "json")
        assert done.returncode == 0, done.stderr[-3000:]
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    def kubectl(self, *args: str) -> str:
        """Run the lab's kubectl with the lab's kubeconfig, as a user types it."""
        done = self.run("kubectl", "--", *args, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "LABCTL_OFFLINE": "1"}

    @property
    def state(self) -> Path:
        return self.home / ".labctl" / "k8s-lab"


@pytest.fixture(scope="module")
def first_lab(tmp_path_factory: pytest.TempPathFactory, host_before: dict[str, list[str]]) -> Iterator[User]:
    """The lab of the README's first command: four nodes, removed afterwards whatever happened.

    The provider is named, so that a host with VirtualBox or KVM proves the same lab as any other.
    """
    user = User(tmp_path_factory.mktemp("first-lab"))
    done = user.run("provision", "--provider", "container", "--yes", "--output", "json", "--progress", "plain")
    print(done.stderr[-6000:])
    try:
        assert done.returncode == 0, f"{done.stderr[-4000:]}\n{done.stdout[-4000:]}"
        (user.home / "first.json").write_text(done.stdout)
        yield user
    finally:
        user.run("destroy", "--yes", timeout=300)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@contextmanager
def provisioned(user: User, lab_yml: str) -> Iterator[None]:
    """A lab of this lab.yml in the user's folder, removed at the end of the block whatever happened."""
    (user.home / "lab.yml").write_text(lab_yml)
    try:
        user.good("provision", "--yes", "--progress", "plain")
        yield
    finally:
        user.run("destroy", "--yes", timeout=300)


def poll(what: str, condition: Any, seconds: float = 60) -> None:
    """Wait until `condition()` is true, at most `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.5)
    pytest.fail(f"not within {seconds:.0f} s: {what}")
