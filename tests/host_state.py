"""What this host looks like, in words: taken before and after a lab, the two must not differ."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from pathlib import Path

from orchestrator import proc

# A process of the test run itself, of the kernel, or of whoever watches this machine is not a trace of a lab.
_OURS = re.compile(r"(dockerd|containerd|docker-proxy|runc|kubelet|etcd|kube-|sshd|ssh: |ansible|dnsmasq|labctl)")

# What a session of tests starts and has to end, by the name of its program.
_DAEMONS = re.compile(
    r"(dockerd|containerd|docker-proxy|runc|kubelet|etcd|kube-|dnsmasq|libvirtd|virtlogd|virtqemud|qemu-|VBox)"
)
# Of a snapshot, what runs or is attached to the kernel; files of the user are for the tests of `destroy`.
_RUNNING = (
    "links",
    "network namespaces",
    "mounts",
    "iptables",
    "ip6tables",
    "nft",
    "docker",
    "runtime",
    "forwarding",
    "cgroups",
    "daemons",
    "machines",
)
SETTLE_SECONDS = 30.0

_GROUPS = {"docker", "kubepods", "labctl", "machine"}


def snapshot(docker_host: str | None = None) -> dict[str, list[str]]:
    """Containers, volumes, networks, links, mounts, rules, processes, package sources and home, as sorted lines."""
    return {
        "links": _json_names(["ip", "-j", "link"], "ifname"),
        "network namespaces": _lines(["ip", "netns", "list"]),
        "routes": _lines(["ip", "route"]),
        "mounts": sorted(line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()),
        "iptables": _rules("iptables-save"),
        "ip6tables": _rules("ip6tables-save"),
        "nft": _lines(["nft", "list", "ruleset"]),
        "processes": _processes(),
        "docker": _docker(docker_host),
        "package sources": _tree(Path("/etc/apt")),
        "home": _home(),
        "runtime": _runtime(),
        "forwarding": [Path("/proc/sys/net/ipv4/ip_forward").read_text().strip()],
        "cgroups": _cgroups(),
        "daemons": _daemons(),
        "machines": _machines(),
    }


def _machines() -> list[str]:
    """Machines and networks of libvirt; `default` comes with its package, which a test may install."""
    return sorted(str(path) for path in Path("/etc/libvirt/qemu").glob("**/*.xml") if path.name != "default.xml")


def running_parts() -> dict[str, list[str]]:
    """Daemons, containers, machines, mounts, links and rules, as sorted lines."""
    now = snapshot()
    return {part: now[part] for part in _RUNNING}


def wait_for_differences_to_end(before: dict[str, list[str]]) -> list[str]:
    """Return what still differs after half a minute: the kernel removes links and groups a moment later."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while (left := differences(before, snapshot())) and time.monotonic() < deadline:
        time.sleep(1)
    return left


def differences(before: dict[str, list[str]], after: dict[str, list[str]]) -> list[str]:
    """One line per thing that appeared or vanished."""
    found = []
    for part, lines in before.items():
        had, has = set(lines), set(after[part])
        found += [f"{part}: + {line}" for line in after[part] if line not in had]
        found += [f"{part}: - {line}" for line in lines if line not in has]
    return found


def _runtime() -> list[str]:
    """What labs keep while they run; the directory of shared connections itself is every lab's, and stays."""
    return sorted(str(path) for path in Path("/run/labctl").rglob("*") if path != Path("/run/labctl/ssh"))


def _lines(argv: list[str]) -> list[str]:
    try:
        return sorted(line for line in proc.run(argv, check=False).stdout.splitlines() if line.strip())
    except FileNotFoundError:
        return []


def _json_names(argv: list[str], key: str) -> list[str]:
    return sorted(str(entry[key]) for entry in json.loads(proc.run(argv).stdout))


def _rules(program: str) -> list[str]:
    return [re.sub(r"\[\d+:\d+\]", "", line) for line in _lines([program]) if not line.startswith("#")]


def _processes() -> list[str]:
    """Processes of ours that this run started or that nobody waits for; somebody else's work has a shell above it."""
    commands = _commands()
    parents = {pid: _parent(pid) for pid in commands}
    found = []
    for pid, command in commands.items():
        if not _OURS.search(command) or "pytest" in command or "nox" in command:
            continue
        chain = [pid]
        while (parent := parents.get(chain[-1], 0)) > 1:
            chain.append(parent)
        if os.getpid() in chain or _OURS.search(commands.get(chain[-1], "")):
            found.append(f"{pid} {command}")
    return sorted(found)


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return 0


def _commands() -> dict[int, str]:
    """The begin of the command line of every process but this one, by process id."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue
        if command:
            found[int(entry.name)] = command[:160]
    return found


def _daemons() -> list[str]:
    found = [
        f"{pid} {command}" for pid, command in _commands().items() if _DAEMONS.match(Path(command.split()[0]).name)
    ]
    return sorted(found)


def _docker(host: str | None) -> list[str]:
    """Everything a running Docker has; nothing when none runs, which is how a fresh machine starts."""
    if not Path("/var/run/docker.sock").exists():
        return []
    found = []
    for noun, form in (("container", "{{.Names}}"), ("volume", "{{.Name}}"), ("network", "{{.Name}}")):
        argv = ["docker", noun, "ls", *(["-a"] if noun == "container" else []), "--format", form]
        found += [f"{noun} {line}" for line in _lines(argv)]
    return found


def _tree(root: Path) -> list[str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return [f"{path} {hashlib.sha256(path.read_bytes()).hexdigest()}" for path in files]


def _home() -> list[str]:
    """Files of the home directory, caches aside: labctl's is documented, the others are not labctl's."""
    home = Path.home()
    skipped = {".cache", ".pyenv", ".cargo", ".rustup", ".npm", ".local"}
    found = []
    for path in home.iterdir():
        if path.name in skipped:
            continue
        found += [str(path), *(str(inner) for inner in path.rglob("*"))] if path.is_dir() else [str(path)]
    return sorted(found)


def _cgroups() -> list[str]:
    roots = [path for path in Path("/sys/fs/cgroup").glob("*") if path.is_dir()]
    return sorted(str(path) for root in roots for path in root.glob("*/") if path.name in _GROUPS)
