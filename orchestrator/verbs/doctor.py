"""`labctl doctor`: is this host ready for a lab, and what repairs it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from orchestrator import bundle, doctor, host, paths
from orchestrator.checks.host import HostCheck, Once, run_host_checks
from orchestrator.checks.model import DOCTOR, Outcome, Report, failed, not_applicable, passed
from orchestrator.doctor import evaluators, probes
from orchestrator.errors import HostError, LabError
from orchestrator.events import Emit, Note, discard
from orchestrator.lab import observe, planning
from orchestrator.model import Plan, ProviderName
from orchestrator.observed import Observed
from orchestrator.providers import registry
from orchestrator.spec import Spec
from orchestrator.spec.rules import offsets

Agree = Callable[[str], bool]

# Seconds for a check that waits for all that planning looks at.
SLOW_SECONDS = 15.0


def diagnose(spec: Spec) -> Report:
    """The results of all checks, run at once. Starts nothing and writes nothing."""
    at, began = time.time(), time.monotonic()
    results = run_host_checks(checks_for(spec))
    return Report("this host", at, time.monotonic() - began, results, DOCTOR)


def checks_for(spec: Spec) -> tuple[HostCheck, ...]:
    """The checks of the host, of what its provider needs, and of what only the whole of labctl knows."""
    directory = planning.directory_of(spec)
    existing = observe.existing_plan(directory)
    provider, choice = _choose_provider(spec, existing)
    requirements = doctor.requirements(
        spec,
        registry.provider(provider).traits.sizing,
        offsets(spec.lab),
        existing.network.subnet if existing else "",
    )
    observed = Once(lambda: observe.observe(spec, directory))
    return (
        *doctor.host_checks(requirements, directory.root.parent, host.offline()),
        HostCheck("provider.choice", "A provider for the lab", lambda: choice),
        *registry.host_checks(provider, spec, existing),
        *_lab_checks(spec, observed),
    )


def _choose_provider(spec: Spec, existing: Plan | None) -> tuple[ProviderName, Outcome]:
    """The provider that the checks are about, and whether this host can run it."""
    expected, requested = "a provider that this host can run", spec.lab.provider
    states = registry.states()
    try:
        name, why = registry.choose(requested, states, existing.provider if existing else None)
    except LabError as problem:
        automatic = [state.name for state in states if not state.only_named]
        name = next((state.name for state in states if state.name == requested), automatic[-1])
        return name, failed(problem.message, expected, problem.fix)
    return name, passed(f"{name}: {why}", expected)


def _lab_checks(spec: Spec, observed: Callable[[], Observed]) -> tuple[HostCheck, ...]:
    def source() -> Outcome:
        if not spec.lab.kubernetes.enabled:
            return not_applicable("the lab has no Kubernetes")
        return evaluators.package_source(observed())

    def bundles() -> Outcome:
        infos = bundle.list_bundles(paths.cache_dir())
        sizes = {info.path / file.path: file.size for info in infos for file in info.files}
        return evaluators.bundle_files(len(sizes), probes.damaged_files(sizes))

    return (
        HostCheck("source.packages", "Source of packages and images", source, timeout=SLOW_SECONDS),
        HostCheck("cache.bundles", "Bundles in the cache", bundles),
        HostCheck("plan.possible", "The plan", lambda: _evaluate_plan(spec, observed()), timeout=SLOW_SECONDS),
        HostCheck("state.lost_labs", "Labs whose directory is gone", _evaluate_lost_labs, "warning", SLOW_SECONDS),
    )


def _evaluate_plan(spec: Spec, observed: Observed) -> Outcome:
    expected = "a plan without refusals"
    try:
        plan = planning.decide(spec, observed)
    except LabError as problem:
        text = "; ".join(each.what for each in problem.problems) or problem.message
        remedy = problem.fix or next((each.fix for each in problem.problems if each.fix), "labctl plan")
        return failed(text, expected, remedy)
    version = f", Kubernetes {plan.kubernetes.version}" if plan.kubernetes else ""
    return passed(f"{len(plan.nodes)} nodes with {plan.provider}{version}", expected)


def _evaluate_lost_labs() -> Outcome:
    expected = "no lab without its directory"
    lost = [(provider, lab) for provider, lab in registry.find_labs() if _is_gone(Path(lab.owner))]
    if not lost:
        return passed("none", expected)
    text = "; ".join(f"{lab.name} ({provider}) of {lab.owner}" for provider, lab in lost)
    return failed(text, expected, f"labctl destroy --id {lost[0][1].uuid}")


def _is_gone(folder: Path) -> bool:
    """Whether a folder is not there; one that only its owner may look at is."""
    try:
        return not folder.is_dir()
    except PermissionError:
        return False


def repair(report: Report, agree: Agree, emit: Emit = discard) -> bool:
    """Do the safe repairs the user agrees to; whether anything was done. Raises HostError when one fails."""
    repairs = [result.repair for result in report.results if result.repair and result.status != "ok"]
    packages = tuple(dict.fromkeys(name for one in repairs for name in one.packages))
    files = tuple(dict.fromkeys(path for one in repairs for path in one.remove))
    installs = bool(packages) and _agrees_to_install(packages, agree)
    if installs:
        emit(Note(phase="host", text=f"installing on this host: {', '.join(packages)}"))
        host.install_packages(packages)
    removes = bool(files) and agree(f"Remove {', '.join(files)}?")
    if removes:
        for file in files:
            _remove(file)
        emit(Note(phase="host", text=f"removed {', '.join(files)}"))
    return installs or removes


def _agrees_to_install(packages: tuple[str, ...], agree: Agree) -> bool:
    command = host.install_command(host.package_manager(), packages)
    return agree(f"Install {', '.join(packages)} with `{command}`?")


def _remove(file: str) -> None:
    try:
        Path(file).unlink(missing_ok=True)
    except OSError as problem:
        raise HostError(f"{file} cannot be removed: {problem.strerror}", fix=f"sudo rm {file}") from problem
