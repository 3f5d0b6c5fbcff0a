"""Why a lab of virtual machines could not be made on this host: every reason at once, before anything starts."""

from __future__ import annotations

import shutil

from orchestrator import host, proc
from orchestrator.errors import Problem
from orchestrator.model import Plan
from orchestrator.providers.container.private_engine import SYSTEM_PATH
from orchestrator.providers.networks import overlap_problems
from orchestrator.providers.vagrant import box_build, boxes
from orchestrator.providers.vagrant.hypervisor import Hypervisor

# What a lab by libvirt calls on the host, and the Debian packages that have it.
_PROGRAMS = {
    "vagrant": "vagrant-libvirt",
    "virsh": "libvirt-clients",
    "libvirtd": "libvirt-daemon-system",
    "dnsmasq": "dnsmasq-base",
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
}
INSTALL_VAGRANT = "install Vagrant: https://developer.hashicorp.com/vagrant/install"


def problems(plan: Plan, hypervisor: Hypervisor) -> list[Problem]:
    """All reasons."""
    found = []
    if shutil.which("vagrant") is None:
        return [Problem("Vagrant is not installed", "this host", vagrant_fix(plan.provider))]
    if plan.provider == "libvirt" and not has_plugin("vagrant-libvirt"):
        fix = f"{vagrant_fix('libvirt')}   (or: vagrant plugin install vagrant-libvirt)"
        found.append(Problem("Vagrant has no plugin for libvirt", "Vagrant", fix))
    found += hypervisor.problems(plan)
    found += box_problems(plan)
    there = hypervisor.machines(plan.uuid)
    if plan.provider == "virtualbox":
        own = {machine.ssh_port for machine in there}
        if there and plan.kubernetes:
            own.add(plan.kubernetes.api_port)
        found += [busy(port, what) for port, what in forwards(plan) if port not in own and not host.port_is_free(port)]
    if not there and not hypervisor.owns_subnet(plan):
        found += overlap_problems(plan, host.networks())
    return found


def missing_packages(guest: str) -> list[str]:
    """Debian packages that a lab by libvirt needs and this host lacks, those to build its box among them."""
    names = [package for program, package in _PROGRAMS.items() if shutil.which(program, path=SYSTEM_PATH) is None]
    if _PROGRAMS["vagrant"] not in names and not has_plugin("vagrant-libvirt"):
        names.append(_PROGRAMS["vagrant"])
    if boxes.buildable(guest, "libvirt") and boxes.find(guest, "libvirt") is None:
        names += box_build.missing_tools()
    return list(dict.fromkeys(names))


def forwards(plan: Plan) -> list[tuple[int, str]]:
    """Every forward on 127.0.0.1, with what it leads to."""
    wanted = [(node.ssh_port, f"SSH of {node.name}") for node in plan.nodes]
    return [*wanted, (plan.kubernetes.api_port, "the API server")] if plan.kubernetes else wanted


def busy(port: int, what: str) -> Problem:
    """A forward that somebody else holds."""
    return Problem(
        f"port {port} on 127.0.0.1, the forward to {what}, is in use",
        "kubernetes.api_port" if what == "the API server" else "network.ssh_port_base",
        f"ss -ltnp 'sport = :{port}' names the program; or choose other ports in lab.yml",
    )


def vagrant_fix(provider: str) -> str:
    """How Vagrant, with the plugin a provider needs, is had here."""
    if provider == "libvirt" and host.package_manager() == "apt":
        return host.install_command("apt", list(_PROGRAMS.values()))
    return INSTALL_VAGRANT


def has_plugin(name: str) -> bool:
    """Whether Vagrant has a plugin."""
    listed = proc.run(["vagrant", "plugin", "list", "--machine-readable"], check=False, timeout=120)
    return name in listed.stdout


def boxes_of_vagrant(plan: Plan) -> tuple[str, ...]:
    """Names of boxes that Vagrant has for this provider; asked only when it matters."""
    if boxes.choose(plan).sha256:
        return ()
    listed = proc.run(["vagrant", "box", "list"], check=False, timeout=120).stdout
    rows = (line.split() for line in listed.splitlines() if f"({plan.provider}," in line)
    return tuple(row[0] for row in rows)


def box_problems(plan: Plan) -> list[Problem]:
    """No box, or one that changed in the cache; a box that can be built here is none."""
    stored = boxes.find(plan.guest, plan.provider)
    if stored is not None and boxes.damaged(stored):
        fix = "labctl box build" if boxes.buildable(plan.guest, plan.provider) else "labctl box import it again"
        return [Problem(f"{stored.path} is not the box that was taken in: its sha256 changed", "box", fix)]
    problem = boxes.obstacle(plan, boxes_of_vagrant(plan))
    if problem is None:
        return []
    if boxes.buildable(plan.guest, plan.provider):
        return box_build.problems()
    return [problem]
