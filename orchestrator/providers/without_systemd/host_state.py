"""What a Docker engine, or libvirt, changes on its host, noted before it starts and undone after it stopped."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from orchestrator import proc
from orchestrator.providers.without_systemd import nft

CGROUP = "/labctl"
# Where libvirt puts its machines when no service manager has a slice for them.
LIBVIRT_CGROUP = "/machine"
BRIDGE_PREFIX = "lc-"
SYSCTLS = (
    "net/ipv4/ip_forward",
    "net/ipv6/conf/all/forwarding",
    "net/ipv6/conf/default/forwarding",
    "net/bridge/bridge-nf-call-iptables",
    "net/bridge/bridge-nf-call-ip6tables",
)
# Fixed places outside its own directories where dockerd and containerd leave something.
PATHS = (
    "/etc/docker/key.json",
    "/etc/docker",
    "/run/docker/plugins",
    "/run/docker",
    "/run/containerd/s",
    "/run/containerd",
)
FAMILIES = {"iptables": "ip", "ip6tables": "ip6"}
UNMOUNT_SECONDS = 5.0
_ENV = {"PATH": "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"}


@dataclass(frozen=True)
class FirewallUser:
    """How a daemon's firewall rules are known: how names of its chains and bridges begin, and what it does besides."""

    chains: str
    bridges: tuple[str, ...] = ()
    drops_forwarding: bool = False  # sets the policy of FORWARD to DROP


DOCKER = FirewallUser("DOCKER", (BRIDGE_PREFIX,), drops_forwarding=True)
# No bridges: those of containers belong to an engine, which may be running while libvirt is cleaned up after.
LIBVIRT = FirewallUser("LIBVIRT_")


@dataclass(frozen=True)
class HostBefore:
    """The host before the engine started: sysctl values, rulesets (command -> its -save text), paths that existed."""

    sysctls: Mapping[str, str]
    rules: Mapping[str, str]
    paths: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> HostBefore:
        """Read back what `as_dict` gave."""
        return cls(dict(data["sysctls"]), dict(data["rules"]), tuple(data["paths"]))


@dataclass(frozen=True)
class Table:
    """One table of an iptables-save text: chains with their policy (`-` for one made by somebody), and rules."""

    chains: Mapping[str, str]
    rules: tuple[str, ...]

    @property
    def blank(self) -> bool:
        """Whether it is as the kernel makes it: base chains that accept, and nothing else."""
        return not self.rules and all(policy == "ACCEPT" for policy in self.chains.values())


def parse_rules(text: str) -> dict[str, Table]:
    """Tables of an iptables-save text by name, counters dropped."""
    tables: dict[str, Table] = {}
    name = ""
    chains: dict[str, str] = {}
    rules: list[str] = []
    for line in text.splitlines():
        if line.startswith("*"):
            name, chains, rules = line[1:].strip(), {}, []
        elif line.startswith(":"):
            chain, policy = line[1:].split()[:2]
            chains[chain] = policy
        elif line.startswith("-A "):
            rules.append(line)
        elif line == "COMMIT":
            tables[name] = Table(dict(chains), tuple(rules))
    return tables


def undo(before: str, now: str, user: FirewallUser = DOCKER) -> list[list[str]]:
    """The iptables arguments that take one's own chains and jumps out of `now` and set policies as in `before`.

    Rules of anybody else, also those added since, are left alone.
    """
    then, commands = parse_rules(before), []
    for name, table in parse_rules(now).items():
        old = then.get(name, Table({}, ()))
        made = [chain for chain in table.chains if chain.startswith(user.chains) and chain not in old.chains]
        theirs = [rule for rule in table.rules if rule not in old.rules and _of_ours(rule, made, user.bridges)]
        commands += [["-t", name, "-D", *shlex.split(rule)[1:]] for rule in theirs]
        commands += [["-t", name, "-F", chain] for chain in made]
        commands += [["-t", name, "-X", chain] for chain in made]
        if (
            user.drops_forwarding
            and name == "filter"
            and table.chains.get("FORWARD") == "DROP"
            and old.chains.get("FORWARD", "ACCEPT") == "ACCEPT"
        ):
            commands.append(["-t", name, "-P", "FORWARD", "ACCEPT"])
    return commands


def _of_ours(rule: str, chains: Iterable[str], bridges: tuple[str, ...]) -> bool:
    words = rule.split()
    if words[1] in chains:
        return False  # flushed with its chain
    target = words[words.index("-j") + 1] if "-j" in words else ""
    return target in chains or any(word.startswith(bridges) for word in words)


def boot_id() -> str:
    """The id of the running boot: records from another one say nothing about processes or kernel state."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()


def observe() -> HostBefore:
    """The host as it is now."""
    sysctls = {}
    for name in SYSCTLS:
        with contextlib.suppress(OSError):
            sysctls[name] = Path("/proc/sys", name).read_text(encoding="utf-8").strip()
    rules = {command: _saved(command) for command in FAMILIES}
    return HostBefore(sysctls, rules, tuple(path for path in PATHS if Path(path).exists()))


def _saved(command: str) -> str:
    if shutil.which(f"{command}-save", path=_ENV["PATH"]) is None:
        return ""
    return proc.run([f"{command}-save"], check=False, env=_ENV).stdout


def clean(before: HostBefore, *, directories: tuple[Path, ...]) -> None:
    """Undo what a stopped engine left: mounts, bridges, firewall chains, sysctls, cgroups, files.

    Firewall and sysctls stay when another dockerd runs by now, and sysctls when libvirt does: they are in use by it.
    """
    unmount_below(directories)
    if not _runs("dockerd"):
        _remove_bridges()
        for command, family in FAMILIES.items():
            _clean_rules(command, family, before.rules.get(command, ""), DOCKER)
        if not _runs("libvirtd"):
            _set_back(before.sysctls)
        for place in PATHS:
            if place not in before.paths:
                _remove(Path(place))
    _remove_cgroups(CGROUP)


def clean_libvirt(before: HostBefore) -> None:
    """Undo what a stopped libvirtd left: firewall chains, control groups, and forwarding unless an engine forwards."""
    for command, family in FAMILIES.items():
        _clean_rules(command, family, before.rules.get(command, ""), LIBVIRT)
    if not _runs("dockerd"):
        _set_back(before.sysctls)
    _remove_cgroups(LIBVIRT_CGROUP)


def _set_back(sysctls: Mapping[str, str]) -> None:
    for name, value in sysctls.items():
        path = Path("/proc/sys", name)
        with contextlib.suppress(OSError):
            if path.read_text(encoding="utf-8").strip() != value:
                path.write_text(value + "\n", encoding="utf-8")


def _clean_rules(command: str, family: str, before: str, user: FirewallUser) -> None:
    now = _saved(command)
    for arguments in undo(before, now, user):
        proc.run([command, "-w", "5", *arguments], check=False, env=_ENV)
    if not now or "nf_tables" not in proc.run([command, "--version"], check=False, env=_ENV).stdout:
        return
    existed = parse_rules(before)
    for name, table in parse_rules(_saved(command)).items():
        if name not in existed and table.blank:
            nft.delete_table(family, name)


def mounts_below(mountinfo: str, directories: tuple[Path, ...]) -> list[str]:
    """Mount points under the directories, deepest first, from the text of /proc/self/mountinfo."""
    points = [re.sub(r"\\(\d{3})", lambda m: chr(int(m[1], 8)), line.split()[4]) for line in mountinfo.splitlines()]
    found = [point for point in points if any(Path(point).is_relative_to(root) for root in directories)]
    return sorted(found, key=lambda point: point.count("/"), reverse=True)


def unmount_below(directories: tuple[Path, ...]) -> None:
    """Unmount everything under the directories; what stays busy is detached in the end."""
    # What a killed process had open keeps a mount busy until the kernel is done with it.
    deadline = time.monotonic() + UNMOUNT_SECONDS
    while points := mounts_below(Path("/proc/self/mountinfo").read_text(encoding="utf-8"), directories):
        late = time.monotonic() > deadline
        for point in points:
            proc.run(["umount", *(["--lazy"] if late else []), point], check=False, env=_ENV)
        if late:
            return
        time.sleep(0.05)


def _runs(program: str) -> bool:
    """Whether a program of this name (15 characters at most) runs in this network namespace."""
    for comm in Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):
            same_namespace = Path(comm.parent, "ns/net").readlink() == Path("/proc/self/ns/net").readlink()
            if same_namespace and comm.read_text(encoding="utf-8").strip() == program:
                return True
    return False


def _remove_bridges() -> None:
    for link in Path("/sys/class/net").glob(f"{BRIDGE_PREFIX}*"):
        proc.run(["ip", "link", "delete", link.name], check=False, env=_ENV)


def _remove_cgroups(name: str) -> None:
    """Remove a group with those in it, in every hierarchy, unless something still runs in one of them."""
    base = Path("/sys/fs/cgroup")
    roots = [base / name[1:], *(path / name[1:] for path in base.iterdir() if path.is_dir())]
    for root in (root for root in roots if root.is_dir()):
        groups = [Path(directory) for directory, _, _ in os.walk(root, topdown=False)]
        with contextlib.suppress(OSError):
            if not any((group / "cgroup.procs").read_text(encoding="ascii") for group in groups):
                for group in groups:
                    group.rmdir()


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink()
