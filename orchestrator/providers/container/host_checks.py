"""What labs of containers need of this host, as checks for `labctl doctor`: its kernel, and a Docker engine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from orchestrator import host
from orchestrator.checks.host import HostCheck, Once, package_check, package_names, read_text
from orchestrator.checks.model import Outcome, Repair, failed, not_applicable, passed
from orchestrator.model import Plan
from orchestrator.providers.container import engine, preflight
from orchestrator.spec import Spec

# Without these no systemd node, no pod network and no mount works.
NEEDED_CAPABILITIES = frozenset(
    ("CHOWN", "DAC_OVERRIDE", "FOWNER", "SETUID", "SETGID", "SYS_ADMIN", "NET_ADMIN", "SYS_CHROOT", "MKNOD")
)
NEEDED_CONTROLLERS = ("cpu", "cpuset", "memory", "pids")


def host_checks(spec: Spec, existing: Plan | None) -> tuple[HostCheck, ...]:
    """The checks for a lab of containers."""
    info = Once(_engine_info)

    def bridge_filter() -> Outcome:
        if not spec.lab.kubernetes.enabled:
            return not_applicable("the lab has no Kubernetes")
        return evaluate_module("br_netfilter", Path("/proc/sys/net/bridge").is_dir())

    def of_engine(evaluate: Callable[[dict[str, Any]], Outcome]) -> Callable[[], Outcome]:
        return lambda: evaluate(facts) if (facts := info()) else not_applicable("no Docker engine runs")

    return (
        HostCheck(
            "host.cgroup_controllers",
            "cgroup controllers",
            lambda: evaluate_controllers(
                parse_controllers(read_text("/proc/cgroups"), read_text("/sys/fs/cgroup/cgroup.controllers"))
            ),
        ),
        HostCheck("host.capabilities", "Capabilities", lambda: evaluate_capabilities(host.missing_capabilities())),
        HostCheck("host.br_netfilter", "Kernel module br_netfilter", bridge_filter),
        HostCheck(
            "host.overlay",
            "File system overlay",
            lambda: evaluate_module("overlay", "\toverlay\n" in read_text("/proc/filesystems")),
        ),
        package_check("host.iptables", "Program iptables", ["iptables", "--version"], "iptables"),
        HostCheck("engine.docker", "Docker engine", _evaluate_engine),
        HostCheck("engine.access", "Right to use Docker's socket", _evaluate_access),
        HostCheck(
            "engine.storage",
            "Docker's storage driver",
            of_engine(lambda facts: evaluate_storage_driver(str(facts.get("Driver", "")))),
            "warning",
        ),
        HostCheck("engine.cgroup", "Docker's cgroup mode", of_engine(_evaluate_cgroup)),
    )


def parse_controllers(v1: str, v2: str) -> tuple[str, ...]:
    """Controllers of /proc/cgroups that are enabled, and those of a v2 cgroup.controllers file."""
    rows = [line.split() for line in v1.splitlines() if line and not line.startswith("#")]
    return tuple(sorted({row[0] for row in rows if len(row) == 4 and row[3] == "1"} | set(v2.split())))


def evaluate_controllers(available: Collection[str]) -> Outcome:
    """Whether the cgroup controllers exist that the kubelet insists on."""
    missing = [one for one in NEEDED_CONTROLLERS if one not in available]
    expected = ", ".join(NEEDED_CONTROLLERS)
    if missing:
        remedy = (
            "boot with cgroup_enable=memory" if "memory" in missing else "use a kernel with these cgroup controllers"
        )
        return failed(f"without {', '.join(missing)}", expected, remedy)
    return passed("all available", expected)


def evaluate_capabilities(missing: Collection[str]) -> Outcome:
    """Whether processes started here may have the capabilities that container nodes need."""
    lacking = [one for one in missing if one in NEEDED_CAPABILITIES]
    expected = f"{len(NEEDED_CAPABILITIES)} that container nodes cannot do without"
    if lacking:
        remedy = "run labctl outside this sandbox, or give it these capabilities"
        return failed(f"without {', '.join(lacking)}", expected, remedy)
    return passed(
        f"all available; {', '.join(missing)} missing, done without" if missing else "all available", expected
    )


def evaluate_module(name: str, is_loaded: bool) -> Outcome:
    """Whether the kernel has a module, which no container node may load by itself."""
    remedy = f"modprobe {name}; echo {name} | sudo tee /etc/modules-load.d/{name}.conf"
    return passed("loaded", name) if is_loaded else failed("not loaded", name, remedy)


def evaluate_storage_driver(driver: str) -> Outcome:
    """Whether the engine's storage driver is any but vfs, which copies every layer of every node."""
    if driver == "vfs":
        return failed(driver, "overlay2", 'put {"storage-driver": "overlay2"} into /etc/docker/daemon.json')
    return passed(driver or "unknown", "anything but vfs")


def _engine_info() -> dict[str, Any] | None:
    running = engine.running()
    return engine.info(running[0]) if running else None


def _evaluate_engine() -> Outcome:
    expected = "an engine that runs or that labctl can start"
    if problem := engine.obstacle():
        missing = shutil.which("dockerd", path=host.SYSTEM_PATH) is None
        repair = Repair(packages=names) if missing and (names := package_names("docker")) else None
        return failed(problem.message, expected, problem.fix, repair)
    running = engine.running()
    text = f"answers at {running[0]}" if running else "not running; labctl starts it when a lab needs it"
    return passed(text, expected)


def _evaluate_access() -> Outcome:
    socket, expected = Path(engine.SYSTEM_SOCKET), "root, or the socket's group"
    if os.geteuid() == 0:
        return passed("root", expected)
    if not socket.exists():
        return passed("no system socket", expected)
    if os.access(socket, os.R_OK | os.W_OK):
        return passed(f"may use {socket}", expected)
    return failed(f"may not use {socket}", expected, "sudo usermod -aG docker $USER, then log in again")


def _evaluate_cgroup(info: dict[str, Any]) -> Outcome:
    if problems := preflight.engine_problems(info):
        return failed("; ".join(problem.what for problem in problems), "a rootful engine", problems[0].fix)
    text = f"driver {info.get('CgroupDriver', '?')}, version {info.get('CgroupVersion', '?')}"
    return passed(text, "a rootful engine with the memory controller")
