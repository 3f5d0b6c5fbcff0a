"""What labs of virtual machines need of this host, as checks for `labctl doctor`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from orchestrator.checks.host import HostCheck, evaluate_program, program_output, read_text
from orchestrator.checks.model import Outcome, failed, passed
from orchestrator.model import Plan
from orchestrator.providers.vagrant import boxes, preflight, virtualbox
from orchestrator.spec import Spec

_GET_VIRTUALBOX = "install VirtualBox: https://www.virtualbox.org/wiki/Linux_Downloads"
_GET_LIBVIRT = "install libvirt and its clients with your package manager"


def virtualbox_checks(spec: Spec, existing: Plan | None) -> tuple[HostCheck, ...]:
    """The checks for a lab of VirtualBox machines."""
    return (
        *_common_checks(existing),
        _program("provider.virtualbox", "VirtualBox", ["VBoxManage", "--version"], (6, 1, 28), _GET_VIRTUALBOX),
        HostCheck(
            "provider.host_only_range", "VirtualBox's host-only range", lambda: _evaluate_range(spec.lab.network.subnet)
        ),
    )


def libvirt_checks(spec: Spec, existing: Plan | None) -> tuple[HostCheck, ...]:
    """The checks for a lab of libvirt machines."""
    return (
        *_common_checks(existing),
        _program("provider.libvirt", "libvirt", ["virsh", "--version"], (7, 0), _GET_LIBVIRT),
    )


def _common_checks(existing: Plan | None) -> tuple[HostCheck, ...]:
    return (
        HostCheck(
            "host.virtualization",
            "Hardware virtualization",
            lambda: evaluate_virtualization(_cpu_flags(), Path("/dev/kvm").exists()),
            "warning",
        ),
        _program("provider.vagrant", "Vagrant", ["vagrant", "--version"], (2, 2, 19), preflight.INSTALL_VAGRANT),
        HostCheck("provider.box", "Box of the machines", lambda: _evaluate_box(existing)),
    )


def _program(identity: str, title: str, argv: Sequence[str], minimum: tuple[int, ...], remedy: str) -> HostCheck:
    return HostCheck(identity, title, lambda: evaluate_program(title, program_output(argv), minimum, remedy))


def _cpu_flags() -> list[str]:
    lines = read_text("/proc/cpuinfo").splitlines()
    return next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])


def evaluate_virtualization(flags: Collection[str], has_kvm: bool) -> Outcome:
    """Whether the processor's flags or KVM's device say that it has hardware virtualization."""
    found = ", ".join([*sorted({"vmx", "svm"} & set(flags)), *(["/dev/kvm"] if has_kvm else [])])
    if found:
        return passed(found, "VT-x or AMD-V")
    remedy = "switch virtualization on in the firmware, or take provider: container"
    return failed("none", "VT-x or AMD-V", remedy)


def _evaluate_range(subnet: str) -> Outcome:
    if subnet == "auto":
        return passed("a subnet inside the allowed range is selected")
    conf = virtualbox.NETWORKS_CONF
    problem = virtualbox.range_problem(subnet, conf.read_text(encoding="utf-8") if conf.exists() else None, free=False)
    expected = "a subnet that VirtualBox allows"
    return failed(problem.what, expected, problem.fix) if problem else passed(subnet, expected)


def _evaluate_box(existing: Plan | None) -> Outcome:
    if existing is None:
        names = [box.name for box in boxes.stored()]
        return passed(f"stored: {', '.join(names)}" if names else "none stored; the plan says where it comes from")
    problem = boxes.obstacle(existing, preflight.boxes_of_vagrant(existing))
    return failed(problem.what, "a box", problem.fix) if problem else passed("available", "a box")
