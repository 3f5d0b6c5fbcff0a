"""A lab of 1.36.1 with a workload that never stops answering, and the bundles of the versions that follow."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import CHECKOUT, User

FIRST, PATCH, NEXT = "1.36.1", "1.36.3", "1.37.2"
LAB = """\
version: 1
name: upgraded
provider: container
workers: {count: 2}
network: {subnet: auto}
"""
SHOP = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  replicas: 3
  selector: {matchLabels: {app: shop}}
  strategy: {rollingUpdate: {maxUnavailable: 0}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      containers:
        - name: shop
          image: labctl/whoami:1
          imagePullPolicy: Never
          readinessProbe: {httpGet: {path: /, port: 80}, periodSeconds: 1}
          # Nobody sends anything here any more by the time it ends.
          lifecycle: {preStop: {sleep: {seconds: 10}}}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: shop}
spec:
  minAvailable: 2
  selector: {matchLabels: {app: shop}}
---
apiVersion: v1
kind: Service
metadata: {name: shop}
spec:
  type: NodePort
  selector: {app: shop}
  ports: [{port: 80, nodePort: 30080}]
"""


class Operator(User):
    """Somebody with a lab called `upgraded`."""

    def versions(self) -> set[str]:
        """The versions that the kubelets report."""
        rows = self.kubectl(
            "get", "nodes", "-o", r"jsonpath={range .items[*]}{.status.nodeInfo.kubeletVersion}{'\n'}{end}"
        )
        return set(rows.split())

    def killed_after(self, seconds: float, *args: str) -> bool:
        """Run labctl and end it with SIGKILL after some seconds; whether it still ran then."""
        running = subprocess.Popen(
            [*self.labctl, *args],
            cwd=self.home,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            running.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            running.send_signal(signal.SIGKILL)
            running.wait()
            return True
        return False


def build(version: str, labctl: Path) -> None:
    """Make the bundle of a version, unless the cache has it."""
    done = subprocess.run(
        [str(labctl), "bundle", "build", "--kubernetes", version, "--yes", "--progress", "plain"],
        cwd=labctl.parent, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The bundles of all three versions; the first is pinned here, in a copy of the checkout."""
    for version in (PATCH, NEXT):
        build(version, CHECKOUT / "labctl")
    copy = tmp_path_factory.mktemp("pinned") / "labctl"
    shutil.copytree(
        CHECKOUT, copy, symlinks=True, ignore=shutil.ignore_patterns(".venv", ".nox", ".git", "__pycache__")
    )
    subprocess.run([str(copy / "labctl"), "bundle", "pin", FIRST], cwd=copy, check=True, capture_output=True)
    build(FIRST, copy / "labctl")


@pytest.fixture(scope="module")
def lab(bundles: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    user = Operator(tmp_path_factory.mktemp("upgraded"))
    (user.home / "lab.yml").write_text(LAB)
    try:
        user.good("provision", "--kubernetes", FIRST, "--yes")
        (user.home / "shop.yml").write_text(SHOP)
        user.kubectl("apply", "-f", str(user.home / "shop.yml"))
        user.kubectl("rollout", "status", "deployment/shop", "--timeout=120s")
        yield user
    finally:
        user.run("destroy", "--yes", timeout=600)
