"""What labs of virtual machines need of this host, as checks for `labctl doctor`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from orchestrator import operating_system
from orchestrator.checks.host import HostCheck, evaluate_program, program_output, read_text
from orchestrator.checks.model import Outcome, failed, not_applicable, passed
from orchestrator.model import Plan
from orchestrator.providers.vagrant import boxes, preflight

VIRTUALIZATION = {"vmx", "svm"}


def common_checks(existing: Plan | None) -> tuple[HostCheck, ...]:
    """The checks for machines of Vagrant, whichever hypervisor runs them."""
    return (
        HostCheck(
            "host.virtualization",
            "Hardware virtualization",
            _evaluate_processor,
            "warning",
        ),
        program_check("provider.vagrant", "Vagrant", ["vagrant", "--version"], (2, 2, 19), preflight.INSTALL_VAGRANT),
        HostCheck("provider.box", "Box of the machines", lambda: _evaluate_box(existing)),
    )


def program_check(identity: str, title: str, argv: Sequence[str], minimum: tuple[int, ...], remedy: str) -> HostCheck:
    """The check that a program is installed and new enough."""
    return HostCheck(identity, title, lambda: evaluate_program(title, program_output(argv), minimum, remedy))


def _evaluate_processor() -> Outcome:
    if not operating_system.current().is_linux:
        return not_applicable("only Linux tells it")
    return evaluate_virtualization(cpu_flags(), Path("/dev/kvm").exists())


def cpu_flags() -> list[str]:
    """What the processor of this Linux host can do, by the kernel's names."""
    lines = read_text("/proc/cpuinfo").splitlines()
    return next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])


def evaluate_virtualization(flags: Collection[str], has_kvm: bool) -> Outcome:
    """Whether the processor's flags or KVM's device say that it has hardware virtualization."""
    found = ", ".join([*sorted(VIRTUALIZATION & set(flags)), *(["/dev/kvm"] if has_kvm else [])])
    if found:
        return passed(found, "VT-x or AMD-V")
    remedy = "switch virtualization on in the firmware, or take provider: container"
    return failed("none", "VT-x or AMD-V", remedy)


def _evaluate_box(existing: Plan | None) -> Outcome:
    if existing is None:
        names = [box.name for box in boxes.stored()]
        return passed(f"stored: {', '.join(names)}" if names else "none stored; the plan says where it comes from")
    problem = boxes.obstacle(existing, boxes.names_in_vagrant(existing))
    return failed(problem.what, "a box", problem.fix) if problem else passed("available", "a box")
