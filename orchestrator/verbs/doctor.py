"""`labctl doctor`: is this host ready for the lab that is asked for, and what puts it right."""

from __future__ import annotations

import datetime
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from orchestrator import bundle, doctor, host, paths
from orchestrator.doctor import Check, Finding, Repair, Result
from orchestrator.doctor.checks import Needs, needs
from orchestrator.doctor.probes import Once
from orchestrator.errors import HostError, LabError
from orchestrator.events import Emit, Note, discard
from orchestrator.lab import observe
from orchestrator.lab import planning as plans
from orchestrator.model import Observed, Plan, ProviderName
from orchestrator.plan import select
from orchestrator.providers import registry
from orchestrator.providers.container import engine
from orchestrator.providers.vagrant import boxes, virtualbox
from orchestrator.providers.vagrant import preflight as vagrant_preflight
from orchestrator.spec import Spec
from orchestrator.spec.rules import offsets
from orchestrator.verify.report import CheckResult, Report

Agree = Callable[[str], bool]

SCHEMA = "labctl/doctor/v1"
SLOW_SECONDS = 15.0


@dataclass(frozen=True)
class Diagnosis:
    """All results, taken at `at` (seconds since the epoch) within `seconds`."""

    at: float
    seconds: float
    results: tuple[Result, ...]

    @property
    def ok(self) -> bool:
        """Whether a lab can be made here; warnings do not stop one."""
        return not any(result.status in ("failed", "error") for result in self.results)

    def as_dict(self) -> dict[str, Any]:
        """The one document `labctl/doctor/v1`."""
        started = datetime.datetime.fromtimestamp(self.at, tz=datetime.UTC)
        checks = []
        for result in self.results:
            body = asdict(result)
            del body["repair"]
            checks.append({**body, "seconds": round(result.seconds, 4), "repairable": result.repair is not None})
        return {
            "schema": SCHEMA,
            "time": started.isoformat(timespec="seconds"),
            "seconds": round(self.seconds, 3),
            "ok": self.ok,
            "checks": checks,
        }

    def as_report(self) -> Report:
        """The same in the shape of a verify report, for its HTML and JUnit forms."""
        results = tuple(
            CheckResult(
                id=result.id,
                layer="host",
                node="this host",
                status=result.status,
                severity="warning" if result.status == "warning" else "error",
                title=result.title,
                evidence=f"{result.found}; required: {result.required}" if result.required else result.found,
                remedy=result.fix,
                seconds=result.seconds,
            )
            for result in self.results
        )
        return Report(lab="this host", at=self.at, seconds=self.seconds, results=results)


def diagnose(asked: Spec) -> Diagnosis:
    """Ask everything at once. Starts nothing and writes nothing."""
    at, began = time.time(), time.monotonic()
    results = doctor.run_checks(checks_for(asked))
    return Diagnosis(at, time.monotonic() - began, results)


def checks_for(asked: Spec) -> tuple[Check, ...]:
    """The checks of the host, and those that ask providers, sources and the cache."""
    directory = plans.directory_of(asked)
    existing = observe.existing_plan(directory)
    provider = _likely(asked, existing)
    own = existing.network.subnet if existing else ""
    lab = needs(asked, provider, registry.provider(provider).traits.sizing, offsets(asked.lab), own)
    observed = Once(lambda: observe.observe(asked, directory))
    info = Once(_engine_info)
    slow = SLOW_SECONDS
    return (
        *doctor.host_checks(lab, directory.root.parent, observe.offline()),
        Check("provider.choice", "A provider for the lab", lambda: _choice(asked, existing, observed()), seconds=slow),
        Check("provider.host_only_range", "VirtualBox's host-only range", lambda: _range(lab)),
        Check("provider.box", "Box of the machines", lambda: _box(lab, existing)),
        Check("engine.docker", "Docker engine", lambda: _engine(lab)),
        Check("engine.access", "Right to use Docker's socket", lambda: _access(lab)),
        Check("engine.storage", "Docker's storage driver", lambda: _storage(lab, info()), "warning"),
        Check("engine.cgroup", "Docker's cgroup mode", lambda: _cgroup(lab, info())),
        Check("source.packages", "Source of packages and images", lambda: _source(lab, observed()), seconds=slow),
        Check("cache.bundles", "Bundles in the cache", _bundles),
        Check("plan.possible", "The plan", lambda: _possible(asked, observed()), seconds=slow),
        Check("state.lost_labs", "Labs whose directory is gone", _lost, "warning", slow),
    )


def _likely(asked: Spec, existing: Plan | None) -> ProviderName:
    """The provider the lab will most likely have, told from names alone: sizes and applicability follow from it."""
    if existing:
        return existing.provider
    if asked.lab.provider != "auto":
        return asked.lab.provider
    return select(asked.lab.provider, registry.states()).state.name


def _choice(asked: Spec, existing: Plan | None, observed: Observed) -> Finding:
    try:
        name, why = registry.choose(asked.lab.provider, observed.providers, existing.provider if existing else None)
    except LabError as problem:
        return doctor.bad(problem.message, "a provider that this host can run", problem.fix)
    return doctor.good(f"{name}: {why}", "a provider that this host can run")


def _range(lab: Needs) -> Finding:
    if lab.provider != "virtualbox":
        return doctor.not_applicable(f"the lab's provider is {lab.provider}")
    if lab.subnet == "auto":
        return doctor.good("a subnet inside the allowed range is chosen")
    conf = virtualbox.NETWORKS_CONF
    text = conf.read_text(encoding="utf-8") if conf.exists() else None
    problem = virtualbox.range_problem(lab.subnet, text, free=False)
    wanted = "a subnet that VirtualBox allows"
    return doctor.bad(problem.what, wanted, problem.fix) if problem else doctor.good(lab.subnet, wanted)


def _box(lab: Needs, existing: Plan | None) -> Finding:
    if not lab.machines:
        return doctor.not_applicable(f"the lab's provider is {lab.provider}")
    if existing is None:
        names = [box.name for box in boxes.stored()]
        return doctor.good(f"stored: {', '.join(names)}" if names else "none stored; the plan says where it comes from")
    problem = boxes.obstacle(existing, vagrant_preflight.boxes_of_vagrant(existing))
    return doctor.bad(problem.what, "a box", problem.fix) if problem else doctor.good("there", "a box")


def _engine(lab: Needs) -> Finding:
    if not lab.containers:
        return doctor.not_applicable(f"the lab's provider is {lab.provider}")
    problem = engine.obstacle()
    if problem is not None:
        missing = shutil.which("dockerd", path=host.SYSTEM_PATH) is None
        repair = Repair(packages=tuple(engine.docker_packages())) if missing else None
        return doctor.bad(problem.message, "an engine that runs or that labctl can start", problem.fix, repair)
    there = engine.running()
    text = "not running; labctl starts it when a lab needs it" if there is None else f"answers at {there[0]}"
    return doctor.good(text, "an engine that runs or that labctl can start")


def _access(lab: Needs) -> Finding:
    if not lab.containers:
        return doctor.not_applicable(f"the lab's provider is {lab.provider}")
    if os.geteuid() == 0:
        return doctor.good("root", "root, or the socket's group")
    socket = Path(engine.SYSTEM_SOCKET)
    if not socket.exists():
        return doctor.good("no system socket", "root, or the socket's group")
    if os.access(socket, os.R_OK | os.W_OK):
        return doctor.good(f"may use {socket}", "root, or the socket's group")
    fix = "sudo usermod -aG docker $USER, then log in again"
    return doctor.bad(f"may not use {socket}", "root, or the socket's group", fix)


def _engine_info() -> dict[str, Any] | None:
    """The answer of `docker info`; None when no engine runs."""
    there = engine.running()
    return engine.info(there[0]) if there else None


def _storage(lab: Needs, info: dict[str, Any] | None) -> Finding:
    if not lab.containers or info is None:
        return doctor.not_applicable("no Docker engine runs" if lab.containers else f"provider {lab.provider}")
    return judge_storage(str(info.get("Driver", "")))


def judge_storage(driver: str) -> Finding:
    """The storage driver; vfs copies every layer of every node."""
    if driver == "vfs":
        return doctor.bad(driver, "overlay2", 'put {"storage-driver": "overlay2"} into /etc/docker/daemon.json')
    return doctor.good(driver or "unknown", "anything but vfs")


def _cgroup(lab: Needs, info: dict[str, Any] | None) -> Finding:
    if not lab.containers or info is None:
        return doctor.not_applicable("no Docker engine runs" if lab.containers else f"provider {lab.provider}")
    from orchestrator.providers.container import preflight as container_preflight

    found = f"driver {info.get('CgroupDriver', '?')}, version {info.get('CgroupVersion', '?')}"
    problems = container_preflight.engine_problems(info)
    if problems:
        return doctor.bad("; ".join(problem.what for problem in problems), "a rootful engine", problems[0].fix)
    return doctor.good(found, "a rootful engine with the memory controller")


def _source(lab: Needs, observed: Observed) -> Finding:
    if not lab.kubernetes:
        return doctor.not_applicable("the lab has no Kubernetes")
    return judge_source(observed)


def judge_source(observed: Observed) -> Finding:
    """Whether packages and images can be had at all: cached, reachable, or built here."""
    wanted = "a bundle in the cache, a source that answers, or what a bundle is built from"
    if observed.bundles:
        return doctor.good(f"{len(observed.bundles)} bundle(s) in the cache", wanted)
    if observed.mirror:
        return doctor.good(f"mirror {observed.mirror.id}", wanted)
    if observed.community_reachable:
        return doctor.good(observed.community_reason, wanted)
    if observed.buildable.possible:
        return doctor.good("none cached; a bundle can be built here", wanted)
    reasons = [observed.community_reason, observed.mirror_reason, observed.buildable.reason]
    return doctor.bad("; ".join(filter(None, reasons)) or "none", wanted, "labctl bundle import FILE")


def _bundles() -> Finding:
    found = bundle.list_bundles(paths.cache_dir())
    wrong = []
    for info in found:
        for file in info.files:
            path = info.path / file.path
            if not path.is_file():
                wrong.append(f"{path} is missing")
            elif path.stat().st_size != file.size:
                wrong.append(f"{path} has {path.stat().st_size} instead of {file.size} bytes")
    if wrong:
        more = f" and {len(wrong) - 2} more" if len(wrong) > 2 else ""
        return doctor.bad("; ".join(wrong[:2]) + more, "every file with its size", "labctl bundle build")
    if not found:
        return doctor.not_applicable("there is none")
    return doctor.good(f"{sum(len(info.files) for info in found)} files have their sizes", "every file with its size")


def _possible(asked: Spec, observed: Observed) -> Finding:
    wanted = "a plan without refusals"
    try:
        plan = plans.decide(asked, observed)
    except LabError as problem:
        text = "; ".join(each.what for each in problem.problems) or problem.message
        fix = problem.fix or next((each.fix for each in problem.problems if each.fix), "labctl plan")
        return doctor.bad(text, wanted, fix)
    version = f", Kubernetes {plan.kubernetes.version}" if plan.kubernetes else ""
    return doctor.good(f"{len(plan.nodes)} nodes with {plan.provider}{version}", wanted)


def _lost() -> Finding:
    found = [(name, one) for name, one in registry.find_labs() if not Path(one.owner).is_dir()]
    if not found:
        return doctor.good("none", "no lab without its directory")
    text = "; ".join(f"{one.name} ({name}) of {one.owner}" for name, one in found)
    return doctor.bad(text, "no lab without its directory", f"labctl destroy --id {found[0][1].uuid}")


def repair(diagnosis: Diagnosis, agree: Agree, emit: Emit = discard) -> bool:
    """Do the safe repairs the user agrees to; whether anything was done. Raises HostError when one fails."""
    repairs = [result.repair for result in diagnosis.results if result.repair and result.status != "ok"]
    packages = tuple(dict.fromkeys(name for one in repairs for name in one.packages))
    files = tuple(dict.fromkeys(path for one in repairs for path in one.remove))
    done = False
    if packages:
        command = host.install_command(host.package_manager(), packages)
        if agree(f"Install {', '.join(packages)} with `{command}`?"):
            emit(Note(phase="host", text=f"installing on this host: {', '.join(packages)}"))
            host.install_packages(packages)
            done = True
    if files and agree(f"Remove {_listed(files)}?"):
        for path in files:
            try:
                Path(path).unlink(missing_ok=True)
            except OSError as problem:
                raise HostError(f"{path} cannot be removed: {problem.strerror}", fix=f"sudo rm {path}") from problem
        emit(Note(phase="host", text=f"removed {_listed(files)}"))
        done = True
    return done


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
