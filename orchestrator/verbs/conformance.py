"""`labctl conformance`: run the conformance suite of the lab's own Kubernetes version on the lab."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator import bundle, paths, proc
from orchestrator.bundle import BundleInfo
from orchestrator.checks.model import CONFORMANCE, Report, Result
from orchestrator.checks.specs import chosen_specs, results_of
from orchestrator.errors import HostError, SpecError, VerifyError
from orchestrator.events import Emit, Note, phase
from orchestrator.lab.journal import changing
from orchestrator.lab.kubectl import kubeconfig_path, kubectl_argv, read_objects, run_kubectl
from orchestrator.lab.observed_lab import observe_lab, require_running
from orchestrator.lab.state import Lab
from orchestrator.lab.suite_images import load_images
from orchestrator.lab.suite_progress import SuiteProgress, listening
from orchestrator.lab.verification import verify_lab

PROCESSES = 4
# The suite deletes what it made when it is interrupted; what it does not manage in this time is deleted here.
_GRACE = 60.0
_LIMIT = 6 * 3600.0
_NAMESPACES = 300
# The images of the suite under the names that the bundle gives them; all others are the lab's own.
_REGISTRIES = "promoterE2eRegistry: labctl-e2e\ngcEtcdRegistry: labctl-e2e\n"


@dataclass(frozen=True)
class Selection:
    """Which specs to run, by regular expressions over their names, and how many at a time."""

    focus: str = ""
    skip: str = ""
    processes: int = PROCESSES


@dataclass(frozen=True)
class _Pass:
    """The specs of one call of Ginkgo: those that may run side by side, or those that must run alone."""

    name: str
    labels: str
    processes: int
    specs: tuple[str, ...]


def require_suite(lab: Lab) -> BundleInfo:
    """The conformance suite of the lab's version. Raises SpecError where there can be none, HostError."""
    kubeconfig_path(lab)
    version = lab.plan.kubernetes.version if lab.plan.kubernetes else ""
    if found := bundle.find_suite(paths.cache_dir(), version):
        return found
    known = [recipe.kubernetes for recipe in bundle.suites()]
    if version not in known:
        raise SpecError(
            f"there is no conformance suite of Kubernetes {version}, which {lab.plan.name} has",
            fix=f"a lab of {', '.join(known)}, or labctl bundle import FILE with the suite of {version}",
        )
    raise HostError(
        f"the conformance suite of Kubernetes {version}, with its images, is not in {paths.cache_dir()}",
        fix=f"labctl bundle build --conformance --kubernetes {version}   (or labctl bundle import FILE)",
    )


def preview(lab: Lab, selection: Selection) -> list[str]:
    """What `conformance` would do. Raises as it does for a missing suite and for specs that there are none of."""
    suite = require_suite(lab)
    passes = _passes(lab, suite, selection)
    lines = [f"verify {lab.plan.name}", f"load {len(suite.images)} images of {suite.id} into nodes that lack them"]
    lines += [f"run {len(one.specs)} specs, {one.name}" for one in passes]
    return [*lines, "delete the namespaces that specs leave behind"]


def conformance(lab: Lab, selection: Selection, emit: Emit) -> Report:
    """The report of the suite; interrupted, it cleans up and raises KeyboardInterrupt.

    Raises VerifyError for a lab that is not healthy, SpecError for a selection without a spec, HostError.
    """
    began, at = time.monotonic(), time.time()
    suite = require_suite(lab)
    with terminated_as_interrupted(), changing(lab.directory, "conformance", emit, {"focus": selection.focus}) as emit:
        passes = _passes(lab, suite, selection)
        observed = observe_lab(lab)
        require_running(observed.nodes, "the suite needs every machine")
        _require_healthy(verify_lab(observed, emit=emit))
        with phase(emit, "images", "Load the images of the suite"):
            loaded = load_images(lab, suite, observed.nodes)
            emit(Note(phase="images", text=f"loaded into {', '.join(loaded)}" if loaded else "every node has them"))
        results: list[Result] = []
        with without_leftovers(lab, emit):
            for one in passes:
                with phase(emit, "conformance", f"Run {len(one.specs)} specs, {one.name}"):
                    results += _run(lab, suite, one, selection, emit)
    logs = f"logs: {directory_of(lab)}"
    return Report(lab.plan.name, at, time.monotonic() - began, tuple(results), CONFORMANCE, (logs,))


def directory_of(lab: Lab) -> Path:
    """Where the logs and Ginkgo's own reports of the last run lie."""
    return lab.directory.root / "conformance"


def _require_healthy(report: Report) -> None:
    if not report.ok:
        first = (*report.problems, *report.select("not_run"))[0]
        raise VerifyError(
            f"{report.subject} is not healthy, the suite would fail for it: {first.place}: {first.title}",
            fix="labctl verify shows all of it, labctl provision repairs; then: labctl conformance",
        )


def _passes(lab: Lab, suite: BundleInfo, selection: Selection) -> list[_Pass]:
    """The calls of Ginkgo with the specs of each, those without any left out. Raises SpecError."""
    directory = directory_of(lab)
    directory.mkdir(exist_ok=True, mode=0o700)
    serial = "one at a time, because they need the cluster for themselves"
    kinds = (
        _Pass(f"{selection.processes} at a time", "Conformance && !Serial", selection.processes, ()),
        _Pass(serial, "Conformance && Serial", 1, ()),
    )
    found = []
    for kind in kinds:
        listing = directory / "chosen.xml"
        listing.unlink(missing_ok=True)
        argv = [str(suite.program("e2e.test")), "--ginkgo.dry-run", "--ginkgo.no-color", f"--kubeconfig={listing}"]
        argv += [f"--ginkgo.{option}" for option in (*_choice(kind, selection), f"junit-report={listing}")]
        try:
            proc.run(argv, timeout=120, cwd=directory)
        except proc.ProcessFailed as problem:
            raise SpecError(
                f"the suite cannot choose its specs: {problem.result.tail}",
                fix="--focus and --skip are regular expressions of Go; quote them",
            ) from None
        if specs := chosen_specs(listing):
            found.append(_Pass(kind.name, kind.labels, kind.processes, specs))
    if not found:
        raise SpecError(
            f"no conformance spec fits --focus {selection.focus!r}", fix="labctl conformance --focus sig-network"
        )
    return found


def _choice(one: _Pass, selection: Selection) -> list[str]:
    options = [f"label-filter={one.labels}"]
    options += [f"focus={selection.focus}"] if selection.focus else []
    return options + ([f"skip={selection.skip}"] if selection.skip else [])


def _run(lab: Lab, suite: BundleInfo, one: _Pass, selection: Selection, emit: Emit) -> tuple[Result, ...]:
    """Run the specs of a pass and return their results; the log and Ginkgo's report stay in the lab's state."""
    directory = directory_of(lab)
    name = "serial" if "&& Serial" in one.labels else "parallel"
    junit, registries, log = directory / f"{name}.xml", directory / "registries.yaml", directory / f"{name}.log"
    for old in (junit, log):
        old.unlink(missing_ok=True)
    registries.write_text(_REGISTRIES, encoding="utf-8")
    progress = SuiteProgress(emit, "conformance", len(one.specs))
    with listening(progress) as url:
        argv = [str(suite.program("ginkgo")), "run", "--no-color", f"--procs={one.processes}", "--timeout=24h"]
        argv += [f"--{option}" for option in _choice(one, selection)]
        argv += [f"--junit-report={junit.name}", f"--output-dir={directory}", str(suite.program("e2e.test")), "--"]
        argv += [
            "--provider=skeleton",
            f"--kubeconfig={kubeconfig_path(lab)}",
            f"--kubectl-path={kubectl_argv(lab)[0]}",
        ]
        argv += [f"--progress-report-url={url}", "--disable-log-dump"]
        environment = {"KUBE_TEST_REPO_LIST": str(registries), "KUBECONFIG": str(kubeconfig_path(lab))}
        done = proc.stream(
            proc.with_parent_death_signal(*argv),
            lambda line: None,
            timeout=_LIMIT,
            log=log,
            check=False,
            env=environment,
            cwd=directory,
            grace=_GRACE,
        )
    if not junit.exists():
        raise HostError(f"the suite ended without a report: {done.tail}", fix=f"tail -n 40 {log}", log=log)
    return results_of(one.specs, junit)


@contextmanager
def without_leftovers(lab: Lab, emit: Emit) -> Iterator[None]:
    """Delete, at the end of the block however it ends, the namespaces of specs that were not there before it."""
    before = set(_namespaces(lab))
    try:
        yield
    finally:
        left = [name for name in _namespaces(lab) if name not in before]
        if left:
            emit(Note(phase="conformance", text=f"deleting {len(left)} namespaces that specs left behind"))
            wait = f"--timeout={_NAMESPACES}s"
            run_kubectl(
                lab, "delete", "namespace", *left, "--ignore-not-found", wait, timeout=_NAMESPACES + 20, check=False
            )


def _namespaces(lab: Lab) -> list[str]:
    """The namespaces that the framework of the suite made."""
    found, _problem = read_objects(lab, "namespaces", "--selector=e2e-framework")
    return [item["metadata"]["name"] for item in found]


@contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """Clean up after SIGTERM as after Ctrl-C."""

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
