"""What `./test` runs: one session per kind of proof, all in the environment that the launcher made."""

import os
import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nox
from nox.command import CommandFailed

nox.options.default_venv_backend = "none"
nox.options.stop_on_first_error = False
nox.options.sessions = [
    "lint",
    "unit",
    "bundle",
    "e2e",
    "samples",
    "faults_sample",
    "molecule",
    "vms_sample",
    "vms_lab",
]

STARTED = time.monotonic()
# For all of `./test`; continuous integration stops it at 90 minutes.
WHOLE_SECONDS = 75 * 60
# How many times as long as `vms_sample` the session `vms_lab` takes: 4.4 was measured where machines are emulated.
LAB_PER_SAMPLE = 5
# What `vms_sample` took in this run, in seconds; empty where it was not asked for.
sample_took: list[float] = []


# Programs on the host that real labs and their proofs need, and the Debian packages that have them.
HOST_TOOLS = {
    "chromium": "chromium",
    "dockerd": "docker.io",
    "iptables": "iptables",
    "mmdebstrap": "mmdebstrap",
    "puttygen": "putty-tools",
    "ssh": "openssh-client",
    "tmux": "tmux",
    "vagrant": "vagrant",
}


def install_host_tools(session: nox.Session) -> None:
    """Install what is missing, as `labctl provision --yes` would; where that cannot be, tests skip and say why."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    missing = [package for program, package in HOST_TOOLS.items() if shutil.which(program, path=path) is None]
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        quiet = {"DEBIAN_FRONTEND": "noninteractive"}
        session.run("apt-get", "update", "-qq", external=True, env=quiet)
        session.run("apt-get", "install", "-qq", "--no-install-recommends", *missing, external=True, env=quiet)


def prove(session: nox.Session, directory: str, timeout: int, *arguments: str) -> None:
    """Run the tests of a directory that need the host's tools; `timeout` bounds each test, in seconds."""
    install_host_tools(session)
    session.run("pytest", directory, *arguments, f"--timeout={timeout}", *session.posargs)


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
    prove(session, "tests/unit", 120, "tests/contract", "-n", "2")


@nox.session
def bundle(session: nox.Session) -> None:
    """The offline bundle, built if it is not cached, and the providers, on real containers."""
    prove(session, "tests/integration", 1800)


@nox.session
def e2e(session: nox.Session) -> None:
    """Whole labs as a user makes them."""
    prove(session, "tests/e2e", 1800)


def scenarios(*, vm: bool) -> list[str]:
    """The roles whose scenario runs on a virtual machine, or on containers."""
    files = sorted(Path("molecule").glob("*/molecule.yml"))
    return [file.parent.name for file in files if ("shared_vm" in file.read_text()) == vm]


def run_scenarios(session: nox.Session, roles: list[str], at_once: int, **env: str) -> None:
    """Run the scenarios of these roles; the logs lie in .nox."""

    def test(role: str) -> bool:
        log, started = Path(".nox", f"molecule-{role}.log"), time.monotonic()
        argv = ("molecule", "test", "--no-command-borders", "-s", role)
        try:
            with log.open("w") as sink:
                session.run(*argv, stdout=sink, stderr=sink, env={"NO_COLOR": "1", **env})
        except CommandFailed:
            session.log(f"{role}: FAILED after {time.monotonic() - started:.0f} s")
            return False
        session.log(f"{role}: ok in {time.monotonic() - started:.0f} s")
        return True

    Path(".nox").mkdir(exist_ok=True)
    with ThreadPoolExecutor(at_once) as pool:
        failed = [role for role, good in zip(roles, pool.map(test, roles), strict=True) if not good]
    for role in failed:
        session.warn("\n".join(Path(".nox", f"molecule-{role}.log").read_text().splitlines()[-80:]))
    if failed:
        session.error(f"failed: {', '.join(failed)}")


@nox.session
def molecule(session: nox.Session) -> None:
    """Each role alone, in the scenarios on containers: `./test molecule [-- ROLE...]`."""
    install_host_tools(session)
    # A scenario waits for its nodes more than half of its time.
    run_scenarios(session, session.posargs or scenarios(vm=False), 3)


@nox.session
def molecule_vms(session: nox.Session) -> None:
    """The roles that change a kernel, on one virtual machine: `./test molecule_vms [-- ROLE...]`."""
    install_host_tools(session)
    machine = Path("molecule", "shared_vm", "machine.lab")
    lab = Path("molecule", "shared_vm", ".labctl", "molecule-vm").resolve()
    try:
        session.run("./labctl", "provision", f"--lab={machine}", "--yes", "--progress=plain", external=True)
        run_scenarios(session, session.posargs or scenarios(vm=True), 1, LABCTL_LAB_DIR=str(lab))
    finally:
        session.run("./labctl", "destroy", f"--lab={machine}", "--yes", "--progress=plain", external=True)


@nox.session
def life_cycle(session: nox.Session) -> None:
    """Phases, snapshots and upgrade of a real lab: `./test life_cycle`."""
    prove(session, "tests/life_cycle", 1800)


# What the samples of drift and drills break, one after the other: the resolvers of its own are for drift to replace.
SAMPLE_LAB = """\
version: 1
name: samples
provider: container
workers: {count: 2}
network: {subnet: auto, resolvers: [1.1.1.1, 8.8.8.8]}
"""


@nox.session
def samples(session: nox.Session) -> None:
    """One break and one drill of each kind on one lab, on every run: at most seven minutes with the lab."""
    install_host_tools(session)
    labctl = str(Path("labctl").resolve())
    with tempfile.TemporaryDirectory() as home:
        file = Path(home, "lab.yml")
        file.write_text(SAMPLE_LAB, encoding="utf-8")
        on_lab = (f"--lab={file}", "--yes", "--progress=plain")
        try:
            session.run(labctl, "provision", *on_lab, external=True)
            there = {"LABCTL_DRIFT_LAB": home, "LABCTL_DRILLS_HOME": home}
            chosen = ("-k", "representative or sample")
            session.run("pytest", "tests/drift", "tests/drills", *chosen, "--timeout=1800", *session.posargs, env=there)
        finally:
            session.run(labctl, "destroy", *on_lab, external=True)


@nox.session
def drift(session: nox.Session) -> None:
    """Every way to break a lab, found by verify under the right check: `./test drift`."""
    prove(session, "tests/drift", 3600, "-rs")


@nox.session
def faults_sample(session: nox.Session) -> None:
    """One fault of each kind, on every run: at most five minutes with the labs."""
    prove(session, "tests/faults", 1800, "-k", "representative")


@nox.session
def faults(session: nox.Session) -> None:
    """Every fault, done to real labs: healed by plain provision, or refused with a remedy that works."""
    prove(session, "tests/faults", 3600, "-rs")


@nox.session
def soak(session: nox.Session) -> None:
    """What only repetition proves, for a quiet machine and some hours: `./test soak`; results in bench/results."""
    prove(session, "tests/soak", 36000)


@nox.session
def drills(session: nox.Session) -> None:
    """Every drill, proved on a real lab: `./test drills`."""
    prove(session, "tests/drills", 3600, "-rs")


VMS = "tests/e2e_vm/test_virtual_machines.py"


@nox.session
def vms(session: nox.Session) -> None:
    """A cluster of virtual machines by libvirt and all that is proved on it; takes a quiet machine and an hour."""
    prove(session, VMS, 3600)


@nox.session
def vms_sample(session: nox.Session) -> None:
    """One virtual machine by libvirt, from building its box to nothing, on every run: at most ten minutes."""
    begun = time.monotonic()
    try:
        prove(session, "tests/e2e_vm/test_one_machine.py", 1800)
    finally:
        sample_took.append(time.monotonic() - begun)


@nox.session
def vms_lab(session: nox.Session) -> None:
    """The cluster of `vms` alone, through a reboot of its nodes; in a run of everything only where that is in time."""
    if sample_took:
        spent, needed = time.monotonic() - STARTED, LAB_PER_SAMPLE * sample_took[0]
        if spent + needed > WHOLE_SECONDS:
            session.skip(
                f"{spent / 60:.0f} minutes are spent and a lab of virtual machines takes about {needed / 60:.0f} here, "
                f"over the {WHOLE_SECONDS // 60} of all tests: run ./test vms"
            )
    prove(session, VMS, 3600, "-k", "not role and not selinux and not unified")
