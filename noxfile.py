"""What `./test` runs: one session per kind of test, all in the environment that the launcher made."""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nox

sys.path.insert(0, str(Path(__file__).resolve().parent))

from tests import host_state
from tests.selection.parts import PARTS

nox.options.default_venv_backend = "none"
nox.options.stop_on_first_error = False
nox.options.sessions = [
    "lint",
    "unit",
    "bundle",
    "e2e",
    "replica",
    "scenarios",
    "fault_scenarios",
    "molecule",
    "virtualbox",
]

# What the cases of a session of `./test` may take, in minutes; the labs they need come on top.
SCENARIO_MINUTES = 5
FAULT_MINUTES = 5
MOLECULE_MINUTES = 6

# Programs on the host that real labs and their tests need, and the Debian packages that have them.
HOST_TOOLS = {
    "chromium": "chromium",
    "dockerd": "docker.io",
    "iptables": "iptables",
    "mmdebstrap": "mmdebstrap",
    "qemu-system-x86_64": "qemu-system-x86",
    "puttygen": "putty-tools",
    "ssh": "openssh-client",
    "tmux": "tmux",
    "vagrant": "vagrant",
}
# The drifts and drills of `./test` run on it one after the other; the resolvers of its own are for drift to replace.
SCENARIO_LAB = """\
version: 1
name: scenarios
provider: container
workers: {count: 2}
network: {subnet: auto, resolvers: [1.1.1.1, 8.8.8.8]}
"""


def install_host_tools(session: nox.Session) -> None:
    """Install what is missing, as `labctl provision --yes` would; where that cannot be, tests skip and say why."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    missing = [package for program, package in HOST_TOOLS.items() if shutil.which(program, path=path) is None]
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        quiet = {"DEBIAN_FRONTEND": "noninteractive"}
        session.run("apt-get", "update", "-qq", external=True, env=quiet)
        session.run("apt-get", "install", "-qq", "--no-install-recommends", *missing, external=True, env=quiet)


@contextmanager
def unchanged_host(session: nox.Session) -> Iterator[None]:
    """Provide the host's tools; fail the session when it leaves a daemon, container, machine, mount, link or rule."""
    install_host_tools(session)
    before = host_state.running_parts()
    try:
        yield
    finally:
        if left := host_state.wait_for_differences_to_end(before):
            session.error("left behind on this host:\n" + "\n".join(left))


@nox.session
def lint(session: nox.Session) -> None:
    """Style and types of code, playbooks and roles, with nothing skipped."""
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    session.run("yamllint", "--strict", ".")
    # The lab's own inventory is an error where there is no lab, and linting needs none.
    without_lab = {
        "ANSIBLE_INVENTORY": "tests/data/inventory.yml",
    }
    session.run(
        "ansible-playbook",
        "--syntax-check",
        "playbooks/site.yml",
        "playbooks/reset.yml",
        "playbooks/upgrade.yml",
        env=without_lab,
    )
    session.run("ansible-lint", "--offline", "--strict", "--profile", "production", env=without_lab)


@nox.session
def unit(session: nox.Session) -> None:
    """Decisions, contracts and golden files: no network, no machine, no Ansible run."""
    # What the command line promises depends on what the host has.
    install_host_tools(session)
    session.run("pytest", "tests/unit", "tests/contract", "-n2", "--timeout=120", *session.posargs)


@nox.session
def bundle(session: nox.Session) -> None:
    """The offline bundle, built if it is not cached, and the providers, on real containers."""
    with unchanged_host(session):
        session.run("pytest", "tests/integration", "-m", "not full_only", "--timeout=1800", *session.posargs)


@nox.session
def e2e(session: nox.Session) -> None:
    """Whole labs as a user makes them."""
    with unchanged_host(session):
        session.run("pytest", "tests/e2e", "-m", "not full_only", "--timeout=1800", *session.posargs)


@nox.session
def replica(session: nox.Session) -> None:
    """Labs from the community's repositories, replicated in a network namespace, and what goes wrong on the way."""
    with unchanged_host(session):
        session.run("pytest", "tests/replica", "--timeout=1800", *session.posargs)


@nox.session
def scenarios(session: nox.Session) -> None:
    """Drifts and drills on one lab: those whose inputs changed first, then the oldest results."""
    labctl = str(Path("labctl").resolve())
    with unchanged_host(session), tempfile.TemporaryDirectory() as home:
        file = Path(home, "lab.yml")
        file.write_text(SCENARIO_LAB, encoding="utf-8")
        on_lab = (f"--lab={file}", "--yes", "--progress=plain")
        fits = (f"--minutes={SCENARIO_MINUTES}", "--timeout=1800", *session.posargs)
        try:
            session.run(labctl, "provision", *on_lab, external=True)
            existing = {"LABCTL_DRIFT_LAB": home, "LABCTL_DRILLS_HOME": home}
            session.run(
                "pytest",
                "tests/drift",
                "tests/drills",
                "-m",
                "not docker and not book and not full_only",
                *fits,
                env=existing,
            )
        finally:
            session.run(labctl, "destroy", *on_lab, external=True)


@nox.session
def fault_scenarios(session: nox.Session) -> None:
    """Faults on labs of their own, chosen like drifts and drills."""
    with unchanged_host(session):
        fits = (f"--minutes={FAULT_MINUTES}", "--timeout=1800", *session.posargs)
        session.run("pytest", "tests/faults", "-m", "not kills", *fits)


@nox.session
def molecule(session: nox.Session) -> None:
    """Each role alone, in the scenarios on containers: `./test molecule [-- ROLE...]`."""
    named = "tests/molecule/test_scenarios.py::test_a_role_passes_its_scenario_on_containers"
    chosen = [f"{named}[{role}]" for role in session.posargs] or [named, f"--minutes={MOLECULE_MINUTES}"]
    with unchanged_host(session):
        # A scenario waits for its nodes more than half of its time.
        session.run("pytest", "-n3", *chosen)


@nox.session
def virtualbox(session: nox.Session) -> None:
    """VirtualBox' own programs: box, Vagrantfile, refusals, machines found, stopped and removed."""
    with unchanged_host(session):
        session.run("pytest", "tests/virtualbox", "-m", "not full_only", "--timeout=1800", *session.posargs)


@nox.session
def full(session: nox.Session) -> None:
    """All cases of one part: `./test full PART [--minutes N]`; the next call goes on where this one stopped."""
    parser = argparse.ArgumentParser(prog="./test full")
    parser.add_argument("part", choices=[part.name for part in PARTS])
    parser.add_argument("--minutes", type=float, default=60.0)
    options, for_pytest = parser.parse_known_args([one for one in session.posargs if one != "--"])
    part = next(part for part in PARTS if part.name == options.part)
    minutes = min(options.minutes, 60.0)
    processes = ("-n3",) if part.name == "molecule" else ()
    with unchanged_host(session):
        chosen = (f"--part={part.name}", f"--minutes={minutes:g}", "--timeout=3600", *processes, *for_pytest)
        session.run("pytest", *part.paths, *chosen, env=dict(part.environment))
