"""What counts as left behind on a host."""

from __future__ import annotations

import subprocess
import sys

from tests import host_state

SLEEPER = "import time; time.sleep(60)  # labctl"


def test_a_process_that_this_run_started_counts() -> None:
    with subprocess.Popen([sys.executable, "-c", SLEEPER]) as sleeper:
        try:
            assert any(line.startswith(f"{sleeper.pid} ") for line in host_state.snapshot()["processes"])
        finally:
            sleeper.kill()


def test_appeared_and_vanished_lines_are_differences() -> None:
    before, after = {"links": ["eth0", "lo"]}, {"links": ["lc0", "lo"], "mounts": ["/"]}
    assert host_state.differences(before, after) == ["links: + lc0", "links: - eth0"]


def test_what_runs_is_looked_at_and_the_users_files_are_not() -> None:
    parts = set(host_state.running_parts())
    assert {"daemons", "docker", "iptables", "links", "machines", "mounts"} <= parts
    assert not {"home", "package sources"} & parts
