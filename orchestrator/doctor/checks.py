"""The checks of the host itself, which labs of every provider need."""

from __future__ import annotations

import locale
import os
import platform
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator import host, operating_system, paths
from orchestrator.checks.host import HostCheck, Once, evaluate_program, package_check, read_text
from orchestrator.checks.model import Outcome, failed, not_applicable, passed
from orchestrator.model import NO_INOTIFY, Inotify
from orchestrator.observed import Sizing
from orchestrator.spec import Spec

from . import evaluators, probes, wsl

UNLIMITED = Inotify(2**31, 2**31)
PROCESS_IDS, OPEN_FILES, INODES = 16384, 4096, 100_000
TEMPORARY_MB, LAB_STATE_MB = 500, 100
PYTHON = (3, 11)


@dataclass(frozen=True)
class Requirements:
    """What a lab takes of the host; memory and disk in MB, `ports` with what each is for.

    `own_subnet` is the network of a lab that exists already, empty for a new one.
    """

    nodes: int
    memory: int
    disk: int
    cpus: int
    ports: dict[int, str]
    ports_explicit: bool
    subnet: str
    pod_cidr: str
    service_cidr: str
    own_subnet: str = ""
    inotify: Inotify = NO_INOTIFY


def requirements(spec: Spec, sizing: Sizing, offsets: dict[str, int], own_subnet: str = "") -> Requirements:
    """What a lab takes; `offsets` are those of its nodes in the subnet, `sizing` is the provider's."""
    lab = spec.lab
    workers, kubernetes = lab.workers.count, lab.kubernetes.enabled
    if sizing.machine_memory:
        memory = lab.control_plane.memory + workers * lab.workers.memory
    elif kubernetes:
        memory = min(lab.control_plane.memory, sizing.memory_control_plane)
        memory += workers * min(lab.workers.memory, sizing.memory_worker)
    else:
        memory = (workers + 1) * sizing.memory_bare
    per_node = sizing.disk_node if kubernetes else sizing.disk_bare
    return Requirements(
        nodes=workers + 1,
        memory=memory,
        disk=per_node * (workers + 1) + sizing.disk_lab,
        cpus=sizing.minimum_cpus if kubernetes else 1,
        ports={lab.network.ssh_port_base + offset - 10: f"SSH of {name}" for name, offset in offsets.items()},
        ports_explicit=spec.is_explicit("network.ssh_port_base"),
        # A default that is in use moves on, as `auto` does.
        subnet="auto" if spec.is_default("network.subnet") else lab.network.subnet,
        pod_cidr=lab.kubernetes.pod_cidr,
        service_cidr=lab.kubernetes.service_cidr,
        own_subnet=own_subnet,
        # The nodes of a lab that is there have theirs already.
        inotify=NO_INOTIFY if own_subnet else sizing.inotify(1, workers, kubernetes),
    )


def host_checks(lab: Requirements, state: Path, offline: bool) -> tuple[HostCheck, ...]:
    """Every check that looks at the host alone; `state` is the `.labctl` directory beside lab.yml."""
    return (
        *_machine_checks(lab),
        *_storage_checks(lab, state),
        *_limit_checks(lab),
        *_environment_checks(lab, offline),
        package_check("host.ssh", "SSH client", ["ssh", "-V"], "ssh", (7, 6)),
        package_check("host.ssh_keygen", "SSH key generator", ["ssh-keygen", "-?"], "ssh"),
        _on_linux(package_check("host.ip", "Program ip", ["ip", "-V"], "ip")),
        *_network_checks(lab),
        *_state_checks(state),
        *wsl.checks(lab.memory),
    )


def _on_linux(check: HostCheck) -> HostCheck:
    """The check, not applicable on a system whose kernel is not Linux."""
    if operating_system.current().is_linux:
        return check
    outcome = not_applicable("this host is not Linux")
    return replace(check, evaluate=lambda: outcome)


def _machine_checks(lab: Requirements) -> tuple[HostCheck, ...]:
    memory, system = Once(host.memory), operating_system.current()
    fewer, more_cpus = "set fewer workers (--workers N), or less memory for each", "take a machine with more CPUs"
    python = "install Python 3.11 or later"
    return (
        HostCheck("host.system", "System and processor", lambda: evaluators.system(system)),
        HostCheck(
            "host.python", "Python", lambda: evaluate_program("Python", platform.python_version(), PYTHON, python)
        ),
        HostCheck("host.cpus", "CPUs", lambda: evaluators.at_least(host.cpus(), lab.cpus, "CPUs", more_cpus)),
        HostCheck(
            "host.memory",
            f"Memory for {lab.nodes} nodes",
            lambda: evaluators.at_least(memory().get("MemTotal", 0), lab.memory, "MB", fewer),
        ),
        HostCheck(
            "host.swap",
            "Swap",
            lambda: evaluators.swap(memory().get("SwapTotal", 0), memory().get("SwapFree", 0)),
            "warning",
        ),
    )


def _storage_checks(lab: Requirements, state: Path) -> tuple[HostCheck, ...]:
    cache = paths.cache_dir()
    space = "free some space there, or name another place: LABCTL_CACHE=DIR"

    def free(directory: Path, minimum: int, remedy: str, place: Path) -> Outcome:
        return evaluators.at_least(host.disk_free(directory), minimum, "MB", remedy, f"free under {place}")

    def cache_directory() -> Outcome:
        expected = "a cache that can be written"
        if probes.is_writable(cache):
            return passed(str(cache), expected)
        return failed(f"{cache} cannot be written", expected, "LABCTL_CACHE=DIR")

    def temporary_directory() -> Outcome:
        place = Path(os.environ.get("TMPDIR", "/tmp"))
        if not probes.is_writable(place):
            return failed(f"{place} cannot be written", "a place to write", "export TMPDIR=DIR")
        if not probes.runs_programs(place):
            return failed(f"{place} is mounted noexec", "a place to run programs from", "export TMPDIR=DIR")
        return free(place, TEMPORARY_MB, "free some space", place)

    return (
        HostCheck(
            "host.disk_cache", "Disk for the cache and the machines", lambda: free(cache, lab.disk, space, cache)
        ),
        HostCheck(
            "host.disk_lab",
            "Disk for the lab's state",
            lambda: free(state, LAB_STATE_MB, "free some space", state.parent),
        ),
        HostCheck(
            "host.inodes",
            "Inodes for the cache",
            lambda: evaluators.at_least(probes.free_inodes(cache), INODES, "inodes free", space),
            "warning",
        ),
        HostCheck("host.cache", "Cache directory", cache_directory),
        HostCheck("host.tmp", "Temporary directory", temporary_directory),
        HostCheck(
            "host.runtime_path", "Length of socket paths", lambda: evaluators.runtime_path(str(paths.runtime_dir()))
        ),
    )


def _limit_checks(lab: Requirements) -> tuple[HostCheck, ...]:
    limit, in_use = Once(lambda: host.inotify_limit() or UNLIMITED), Once(host.inotify_in_use)
    on_linux = (
        HostCheck(
            "host.inotify_instances",
            "inotify instances",
            lambda: evaluators.inotify("instances", limit().instances, in_use().instances, lab.inotify.instances),
        ),
        HostCheck(
            "host.inotify_watches",
            "inotify watches",
            lambda: evaluators.inotify("watches", limit().watches, in_use().watches, lab.inotify.watches),
        ),
        HostCheck(
            "host.process_ids",
            "Process ids",
            lambda: evaluators.at_least(
                probes.number("/proc/sys/kernel/pid_max"),
                PROCESS_IDS,
                "ids",
                host.sysctl_command("kernel.pid_max", PROCESS_IDS),
            ),
        ),
    )
    return (
        *map(_on_linux, on_linux),
        HostCheck(
            "host.open_files",
            "Open files",
            lambda: evaluators.at_least(probes.open_files(), OPEN_FILES, "for each program", f"ulimit -n {OPEN_FILES}"),
        ),
    )


def _environment_checks(lab: Requirements, offline: bool) -> tuple[HostCheck, ...]:
    def encoding() -> Outcome:
        value = os.environ.get("LC_ALL") or os.environ.get("LC_CTYPE") or os.environ.get("LANG", "")
        return evaluators.locale(value, "utf-8" if sys.flags.utf8_mode else locale.getpreferredencoding(False))

    return (
        HostCheck(
            "host.clock",
            "Clock",
            lambda: evaluators.clock(time.time(), probes.newest_file(Path(paths.__file__).parent)),
        ),
        HostCheck("host.locale", "Locale", encoding, "warning"),
        HostCheck(
            "host.resolver",
            "Name servers",
            lambda: evaluators.resolver(read_text("/etc/resolv.conf"), offline),
            "warning",
        ),
        HostCheck("host.proxy", "Proxy settings", lambda: evaluators.proxy(os.environ, lab.subnet)),
    )


def _network_checks(lab: Requirements) -> tuple[HostCheck, ...]:
    networks, services = Once(host.networks), "kubernetes.service_cidr"

    def ports() -> Outcome:
        if lab.own_subnet:
            return not_applicable("the lab has its ports already")
        return evaluators.ports(lab.ports, host.listening_ports(), lab.ports_explicit)

    def overlap(name: str, title: str, what: str, cidr: str, field: str) -> HostCheck:
        return HostCheck(
            f"network.{name}", title, lambda: evaluators.overlap(what, cidr, networks(), field, lab.own_subnet)
        )

    return (
        HostCheck("network.ports", "Ports of the SSH forwards", ports),
        overlap("subnet", "The lab's subnet", "the subnet", lab.subnet, "network.subnet"),
        overlap("pods", "The pods' network", "the pod network", lab.pod_cidr, "kubernetes.pod_cidr"),
        overlap("services", "The Services' network", "the Service network", lab.service_cidr, services),
    )


def _state_checks(state: Path) -> tuple[HostCheck, ...]:
    def directories() -> Outcome:
        if problems := probes.damaged_states(state):
            return failed("; ".join(problems), "readable, and the user's alone", "labctl provision")
        return passed("none damaged")

    return (
        HostCheck(
            "state.locks",
            "Notes of lock holders",
            lambda: evaluators.stale("note of a holder that is gone", probes.dead_holders(state)),
            "warning",
        ),
        HostCheck(
            "state.half_written",
            "Half-written files",
            lambda: evaluators.stale("half-written file", probes.half_written(state)),
            "warning",
        ),
        HostCheck("state.directories", "State directories", directories),
    )
