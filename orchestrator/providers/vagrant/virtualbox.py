"""VirtualBox seen without Vagrant, through VBoxManage: machines by the identity in their extra data, ports, removal."""

from __future__ import annotations

import ipaddress
import re
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote

from orchestrator import host, operating_system, proc
from orchestrator.checks.host import HostCheck
from orchestrator.checks.model import Outcome, failed, passed
from orchestrator.errors import HostError, Problem, ProviderError
from orchestrator.events import Emit
from orchestrator.model import Plan, ProviderName
from orchestrator.observed import Sizing
from orchestrator.providers.base import LabIdentity, Provider
from orchestrator.providers.vagrant import box_build, virtualbox_driver
from orchestrator.providers.vagrant.host_checks import VIRTUALIZATION, common_checks, cpu_flags, program_check
from orchestrator.providers.vagrant.hypervisor import Hypervisor, Machine, MachineState, foreign_machine
from orchestrator.providers.vagrant.preflight import INSTALL_VAGRANT
from orchestrator.providers.vagrant.provider import VagrantProvider
from orchestrator.spec import Spec

PROGRAM = "VBoxManage"
NETWORKS_CONF = Path("/etc/vbox/networks.conf")
# What VirtualBox allows on Linux, macOS and Solaris from 6.1.28 on without a configuration file (its manual, 6.7).
ALLOWED = (ipaddress.IPv4Network("192.168.56.0/21"),)
# Bytes: a file system's 255 without `.vbox-prev`, `-disk001.vmdk` and the like that VirtualBox appends.
LONGEST_NAME = 230
HOST_KEYS = "labctl/host-keys"
_FOLDER = "Default machine folder:"
_VM = re.compile(r'"(?P<name>.*)" \{(?P<id>[0-9a-f-]+)\}$')
_EXTRA = re.compile(r"Key: labctl/(?P<key>[\w-]+), Value: (?P<value>.*)$")
_INFO = re.compile(r'(?P<key>[\w()]+)="?(?P<value>.*?)"?$')
_STATES: dict[str, MachineState] = {
    "running": "running",
    "starting": "running",
    "poweroff": "stopped",
    "saved": "stopped",
    "aborted": "stopped",
    "paused": "stopped",
}


def make() -> Provider:
    """The provider."""
    return VagrantProvider(VirtualBox())


def allowed_ranges(text: str) -> tuple[ipaddress.IPv4Network, ...]:
    """Host-only ranges that a networks.conf allows (`* 10.0.0.0/8 192.168.1.0/24`); IPv6 ones are left out."""
    words = [word for line in text.splitlines() if line.startswith("*") for word in line[1:].split()]
    return tuple(ipaddress.IPv4Network(word, strict=False) for word in words if ":" not in word)


def range_problem(subnet: str, conf: str | None, *, free: bool) -> Problem | None:
    """Why VirtualBox would refuse a host-only network; `conf` is networks.conf, `free` a host without the rule."""
    network = ipaddress.IPv4Network(subnet)
    try:
        allowed = ALLOWED if conf is None else allowed_ranges(conf)
    except ValueError as error:
        return Problem(f"{NETWORKS_CONF} cannot be read: {error}", str(NETWORKS_CONF), "correct the line")
    if free or any(network.subnet_of(item) for item in allowed):
        return None
    listed = ", ".join(map(str, allowed)) or "nothing"
    return Problem(
        f"VirtualBox does not allow the host-only network {subnet}: {NETWORKS_CONF} allows {listed}"
        if conf is not None
        else f"VirtualBox allows host-only networks in 192.168.56.0/21 only, not {subnet}",
        "network.subnet",
        f"add the line `* {subnet}` to {NETWORKS_CONF} (as root), or take a subnet of 192.168.56.0/21",
    )


def room_problem(folder: str, free: int, needed: int) -> Problem | None:
    """Why machines have no room in VirtualBox' folder; both sizes in MB."""
    if free >= needed:
        return None
    what = f"{folder}, where VirtualBox keeps machines, has {free} MB free; the lab's may take {needed} MB"
    return Problem(what, "VirtualBox", "free space there, or: VBoxManage setproperty machinefolder DIR")


def name_problems(plan: Plan) -> list[Problem]:
    """Names that cannot be a folder's, which VirtualBox makes for every machine."""
    what = "the machine's name {!r} has {} bytes; VirtualBox makes a folder and files of it, which have room for {}"
    return [
        Problem(what.format(node.display_name, size, LONGEST_NAME), "names.suffix", "a shorter suffix")
        for node in plan.nodes
        if (size := len(node.display_name.encode())) > LONGEST_NAME
    ]


def parse_info(text: str) -> dict[str, str]:
    """`VBoxManage showvminfo --machinereadable` as key and value, quotes removed."""
    found = (_INFO.match(line) for line in text.splitlines())
    return {match["key"]: match["value"] for match in found if match}


def ssh_port(info: dict[str, str]) -> int:
    """The port of the forward with the id "ssh", 0 when there is none."""
    for key, value in info.items():
        fields = value.split(",")
        if key.startswith("Forwarding(") and fields[0] == "ssh" and len(fields) == 6:
            return int(fields[3])
    return 0


def machine_of(key: str, extra: str, info: str) -> Machine | None:
    """A virtual machine from its extra data and information; None for one of somebody else."""
    fields = {m["key"]: m["value"] for line in extra.splitlines() if (m := _EXTRA.match(line))}
    if not {"uuid", "name", "node", "owner"} <= fields.keys():
        return None
    facts = parse_info(info)
    return Machine(
        id=key,
        node=fields["node"],
        lab=LabIdentity(fields["name"], fields["uuid"], unquote(fields["owner"])),
        state=_STATES.get(facts.get("VMState", ""), "broken"),
        cpus=int(facts.get("cpus", 0)),
        memory=int(facts.get("memory", 0)),
        ssh_port=ssh_port(facts),
        host_keys=tuple(filter(None, fields.get("host-keys", "").split(";"))),
    )


class VirtualBox(Hypervisor):
    """The VirtualBox of this user."""

    name: ClassVar[ProviderName] = "virtualbox"
    sizing: ClassVar[Sizing] = Sizing(disk_lab=2000, disk_node=6000, disk_bare=3000, minimum_cpus=2)
    programs: ClassVar[dict[str, str]] = {
        PROGRAM: "install VirtualBox: https://www.virtualbox.org/wiki/Linux_Downloads",
        "vagrant": INSTALL_VAGRANT,
    }
    adapters: ClassVar[str] = "vboxnet"

    def obstacle(self) -> Problem | None:
        """What keeps the kernel driver from this user."""
        return virtualbox_driver.problem()

    def is_emulated(self) -> bool:
        """Whether only software can run machines here: VirtualBox takes the processor's virtualization."""
        return virtualbox_driver.is_native() and not VIRTUALIZATION & set(cpu_flags())

    def host_checks(self, spec: Spec, existing: Plan | None) -> Sequence[HostCheck]:
        get = self.programs["VBoxManage"]
        return (
            *common_checks(existing),
            program_check("provider.virtualbox", "VirtualBox", ["VBoxManage", "--version"], (6, 1, 28), get),
            HostCheck("provider.virtualbox_driver", "VirtualBox's kernel driver", virtualbox_driver.evaluate),
            HostCheck("provider.virtualization", "Processor free for VirtualBox", virtualbox_driver.evaluate_kvm),
            HostCheck(
                "provider.host_only_range",
                "VirtualBox's host-only range",
                lambda: evaluate_range(spec.lab.network.subnet),
            ),
        )

    def missing_packages(self, guest: str) -> list[str]:
        """Debian packages to build the machines' box."""
        return box_build.tools_for(guest, self.name) if host.package_manager() == "apt" else []

    def open(self, emit: Emit, phase: str) -> None:
        """Make sure that VBoxManage answers. Raises HostError with what it says (kernel modules, for example)."""
        result = self._manage("list", "hostonlyifs", check=False)
        if not result.ok:
            raise HostError(f"VirtualBox does not answer: {result.tail}", fix="sudo /sbin/vboxconfig")

    def answers(self) -> bool:
        """Whether VBoxManage is installed and works."""
        return shutil.which(PROGRAM) is not None and self._manage("list", "vms", check=False).ok

    def machines(self, uuid: str | None = None) -> list[Machine]:
        """Machines by the identity in their extra data."""
        if shutil.which(PROGRAM) is None:
            return []
        found = []
        for _, key in self._listed():
            extra = self._manage("getextradata", key, "enumerate", check=False)
            if "labctl/uuid" not in extra.stdout or (uuid or "") not in extra.stdout:
                continue
            info = self._manage("showvminfo", key, "--machinereadable", check=False)
            machine = machine_of(key, extra.stdout, info.stdout)
            if machine is not None and uuid in (None, machine.lab.uuid):
                found.append(machine)
        return found

    def pin(self, machine: Machine, host_keys: Sequence[str]) -> None:
        """Keep public host keys in the machine's extra data."""
        self._manage("setextradata", machine.id, HOST_KEYS, ";".join(host_keys))

    def owns_subnet(self, plan: Plan) -> bool:
        """Whether one of VirtualBox's own adapters has the lab's subnet: machines of several labs may share it."""
        subnet = ipaddress.IPv4Network(plan.network.subnet)
        networks = (ipaddress.IPv4Network(n.cidr) for n in host.networks() if n.interface.startswith(self.adapters))
        return any(network.overlaps(subnet) for network in networks)

    def problems(self, plan: Plan) -> list[Problem]:
        """The host-only range rule, and names that are too long or that other machines have."""
        # The rule is VirtualBox' on Linux and macOS; in WSL2 it is Windows' own.
        free = operating_system.current().is_wsl
        conf = NETWORKS_CONF.read_text(encoding="utf-8", errors="replace") if NETWORKS_CONF.exists() else None
        problem = range_problem(plan.network.subnet, conf, free=free)
        found = [*([problem] if problem else []), *name_problems(plan)]
        if not self.answers():
            return found
        own = {machine.id for machine in self.machines(plan.uuid)}
        if problem := self._room_problem(plan, len(plan.nodes) - len(own)):
            found.append(problem)
        names = {node.display_name for node in plan.nodes}
        rename = 'VBoxManage modifyvm "{0}" --name "{0}-old", or set names.suffix in lab.yml'.format
        foreign = [name for name, key in self._listed() if name in names and key not in own]
        return [
            *found,
            *(foreign_machine(name, "VirtualBox", rename(name)) for name in foreign),
        ]

    def _room_problem(self, plan: Plan, machines: int) -> Problem | None:
        """Why so many more machines have no room where VirtualBox keeps them, which need not be where the lab is."""
        said = self._manage("list", "systemproperties", check=False).stdout
        folder = next((line.partition(":")[2].strip() for line in said.splitlines() if _FOLDER in line), "")
        if not folder:
            return None
        place = next(path for path in (Path(folder), *Path(folder).parents) if path.is_dir())
        size = self.sizing.disk_node if plan.kubernetes else self.sizing.disk_bare
        return room_problem(folder, shutil.disk_usage(place).free // 2**20, machines * size)

    def stop(self, machine: Machine, seconds: float) -> None:
        """Press the machine's power button; switch it off after `seconds`."""
        self._manage("controlvm", machine.id, "acpipowerbutton", check=False)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            info = parse_info(self._manage("showvminfo", machine.id, "--machinereadable", check=False).stdout)
            if info.get("VMState") != "running":
                return
            time.sleep(0.5)
        self._manage("controlvm", machine.id, "poweroff", check=False)

    def remove(self, machine: Machine) -> None:
        """Remove a machine with its disks."""
        if machine.state == "running":
            self._manage("controlvm", machine.id, "poweroff", check=False)
        deadline = time.monotonic() + 20
        while True:
            # The session of a machine that was just switched off stays locked for a moment.
            result = self._manage("unregistervm", machine.id, "--delete", check=False)
            if result.ok or "OBJECT_NOT_FOUND" in result.stderr:
                return
            if time.monotonic() > deadline:
                raise ProviderError(
                    f"{machine.node}: VirtualBox does not remove it: {result.tail}", fix="labctl destroy"
                )
            time.sleep(0.5)

    def close(self, emit: Emit, phase: str) -> None:
        """Nothing was started. Host-only adapters are shared by all machines of this user and stay."""

    def _listed(self) -> list[tuple[str, str]]:
        """Name and id of every registered machine."""
        lines = self._manage("list", "vms").stdout.splitlines()
        return [(match["name"], match["id"]) for line in lines if (match := _VM.match(line))]

    def _manage(self, *words: str, check: bool = True) -> proc.Result:
        return proc.run([PROGRAM, *words], check=check, timeout=120)


def evaluate_range(subnet: str) -> Outcome:
    """Whether VirtualBox allows the machines' network on this host."""
    if subnet == "auto":
        return passed("a subnet inside the allowed range is selected")
    problem = range_problem(
        subnet, NETWORKS_CONF.read_text(encoding="utf-8") if NETWORKS_CONF.exists() else None, free=False
    )
    expected = "a subnet that VirtualBox allows"
    return failed(problem.what, expected, problem.fix) if problem else passed(subnet, expected)
