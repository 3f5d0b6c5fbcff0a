"""Why a lab of virtual machines could not be made on this host: every reason at once, before anything starts."""

from __future__ import annotations

import shutil

from orchestrator import host, proc
from orchestrator.errors import Problem
from orchestrator.model import Plan
from orchestrator.providers.conflicts import folder_problems, overlap_problems, port_problems
from orchestrator.providers.vagrant import box_build, boxes
from orchestrator.providers.vagrant.hypervisor import Hypervisor

INSTALL_VAGRANT = "install Vagrant: https://developer.hashicorp.com/vagrant/install"


def problems(plan: Plan, hypervisor: Hypervisor) -> list[Problem]:
    """All reasons."""
    fix = hypervisor.programs["vagrant"]
    if shutil.which("vagrant") is None:
        return [Problem("Vagrant is not installed", "this host", fix)]
    found = []
    if hypervisor.plugin and not has_plugin(hypervisor.plugin):
        fix = f"{fix}   (or: vagrant plugin install {hypervisor.plugin})"
        found.append(Problem(f"Vagrant has no plugin for {hypervisor.name}", "Vagrant", fix))
    if plan.mounts and shutil.which("rsync") is None:
        fix = host.install_command(host.package_manager(), ["rsync"])
        found.append(Problem("rsync, which copies the mounts into virtual machines, is not installed", "mounts", fix))
    found += folder_problems(plan)
    found += hypervisor.problems(plan)
    found += box_problems(plan)
    existing = hypervisor.machines(plan.uuid)
    if hypervisor.forwards:
        own = {machine.ssh_port for machine in existing}
        if existing:
            own |= {*plan.host_ports} - {node.ssh_port for node in plan.nodes}
        found += port_problems(plan, own, host.port_is_free)
    if not existing and not hypervisor.owns_subnet(plan):
        found += overlap_problems(plan, host.networks())
    return found


def has_plugin(name: str) -> bool:
    """Whether Vagrant has a plugin."""
    listed = proc.run(["vagrant", "plugin", "list", "--machine-readable"], check=False, timeout=120)
    return name in listed.stdout


def box_problems(plan: Plan) -> list[Problem]:
    """No box, or one that changed in the cache; a box that can be built here is none."""
    if plan.box:
        problem = boxes.obstacle(plan, boxes.names_in_vagrant(plan))
        return [problem] if problem else []
    stored = boxes.find(plan.guest, plan.provider)
    if stored is not None and boxes.damaged(stored):
        fix = (
            boxes.build_command(plan.provider)
            if boxes.buildable(plan.guest, plan.provider)
            else "labctl box import it again"
        )
        return [Problem(f"{stored.path} is not the box that was taken in: its sha256 changed", "box", fix)]
    problem = boxes.obstacle(plan, boxes.names_in_vagrant(plan))
    if problem and boxes.buildable(plan.guest, plan.provider):
        return box_build.problems()
    return [problem] if problem else []
