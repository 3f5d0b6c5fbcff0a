"""`bundle build`: makes a bundle from its recipe, or takes an intact one from the cache."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from orchestrator import debian_mirror, host, proc
from orchestrator.bundle import compilers, manifest, packages, packing, sharing
from orchestrator.bundle.community import Fetched, Fetcher
from orchestrator.bundle.known import Known
from orchestrator.bundle.manifest import BundleInfo
from orchestrator.bundle.progress import Progress
from orchestrator.bundle.recipe import Recipe
from orchestrator.bundle.root import BuildRoot, required_host_tools, system_problem, user_problem
from orchestrator.bundle.upstream import TRUST_SETTING
from orchestrator.checks.host import install_remedy
from orchestrator.errors import HostError, LockedError, Problem
from orchestrator.events import Emit, Note, Step

# In the cache: what was seen when it was fetched first.
KNOWN = "known.json"
_PATIENCE = 1800.0
_TICK = 1.5


def preflight(cache: Path, inputs: Recipe) -> list[Problem]:
    """Everything on this host that keeps a bundle from being built; an empty list means that it can be."""
    if problem := system_problem():
        return [problem]
    problems = [
        Problem(f"the program {program} is missing", "bundle build", install_remedy(program))
        for program in required_host_tools()
        if shutil.which(program) is None and not Path("/usr/sbin", program).exists()
    ]
    if not problems and (problem := user_problem()):
        problems.append(problem)
    free = shutil.disk_usage(cache).free
    if free < inputs.disk:
        what = f"only {free // 10**6} MB are free in {cache}, building the bundle needs {inputs.disk // 10**6} MB"
        problems.append(Problem(what, "bundle build", "LABCTL_CACHE=<directory on a larger disk> labctl bundle build"))
    if inputs.origin == "community" and host.offline():
        what = "LABCTL_OFFLINE is set, and this bundle is fetched from the community"
        problems.append(Problem(what, "bundle build", "unset LABCTL_OFFLINE"))
    if debian_mirror.find() is None:
        fix = f"{debian_mirror.SETTING}=<URL of a Debian mirror> labctl bundle build"
        problems.append(Problem("no Debian mirror is known to build from", "bundle build", fix))
    return problems


@contextlib.contextmanager
def locked(cache: Path, emit: Emit, phase_name: str, limit: float = _PATIENCE) -> Iterator[None]:
    """Hold the one lock of all bundles, waiting up to `limit` seconds while another process builds or imports.

    The other one most likely makes what is wanted here. Raises LockedError when it does not end.
    """
    from filelock import FileLock, Timeout

    store = manifest.store(cache)
    store.mkdir(parents=True, exist_ok=True, mode=0o755)
    lock = FileLock(store / ".lock")
    deadline = time.monotonic() + limit
    while True:
        try:
            lock.acquire(timeout=min(_TICK, limit))
            break
        except Timeout:
            if time.monotonic() >= deadline:
                raise LockedError(
                    f"another labctl is building or importing a bundle in {store}",
                    fix="wait until it has ended, then run the command again",
                ) from None
            emit(Step(phase=phase_name, name="bundle", detail="another labctl is at work on bundles, waiting for it"))
    try:
        yield
    finally:
        lock.release()


def build(cache: Path, inputs: Recipe, emit: Emit, phase_name: str, known: Known | None = None) -> BundleInfo:
    """The bundle of a recipe: from the cache when it is intact, else built (1 to 11 minutes on 2 cores).

    Raises HostError when the host lacks something or a step fails (the log is named).
    A bundle appears in the cache only when it is complete; what was compiled or fetched before a cut is kept. `known`
    has what was seen at earlier fetches, and what the user confirms now.
    """
    known = known or Known(cache / KNOWN)
    with locked(cache, emit, phase_name):
        present = manifest.store(cache) / inputs.id
        if present.exists():
            progress = Progress(emit, phase_name, {"check": compilers.SUMS})
            try:
                with progress.step("check"):
                    info = manifest.load(present)
                    manifest.require_intact(info)
            except manifest.BrokenBundleError as error:
                emit(Note(phase=phase_name, text=f"{error.message}; building it anew"))
                shutil.rmtree(present)
            else:
                emit(
                    Step(
                        phase=phase_name,
                        name="bundle",
                        status="ok",
                        detail=f"{info.id} is in the cache and intact",
                        remaining=0,
                    )
                )
                return info
        problems = preflight(cache, inputs)
        if problems:
            raise HostError("the bundle cannot be built on this host", fix=problems[0].fix, problems=problems)
        return _build(cache, inputs, known, emit, phase_name)


def _build(cache: Path, inputs: Recipe, known: Known, emit: Emit, phase_name: str) -> BundleInfo:
    work = cache / "build"
    log = cache / "logs" / f"bundle-{inputs.id}.log"
    log.parent.mkdir(exist_ok=True)
    log.unlink(missing_ok=True)
    root = BuildRoot(work / "root", log)
    progress = Progress(emit, phase_name, {})
    if work.exists():  # what a killed build left behind
        _clear(root, work, progress)
    work.mkdir()
    try:
        staged = _assemble(cache, inputs, known, root, progress)
        if saved := sharing.share(cache, manifest.load(staged)):
            progress.note(f"{saved // 10**6} MB lie on the disk once for several bundles")
        final = manifest.store(cache) / inputs.id
        staged.rename(final)
        return manifest.load(final)
    except proc.ProcessFailed as error:
        raise HostError(f"building the bundle failed: {error}", fix=f"tail -n 40 {log}", log=log) from error
    except OSError as error:
        raise HostError(f"building the bundle failed: {error}", fix=f"df -h {cache}", log=log) from error
    finally:
        _clear(root, work, progress)


def _clear(root: BuildRoot, work: Path, progress: Progress) -> None:
    with progress.step("clean up"):
        root.remove()
        shutil.rmtree(work, ignore_errors=True)


def _assemble(cache: Path, inputs: Recipe, known: Known, root: BuildRoot, progress: Progress) -> Path:
    progress.plan.update(compilers.steps(cache, inputs))
    mirror = debian_mirror.find()
    assert mirror is not None  # preflight has seen to it
    progress.note(f"building bundle {inputs.id}, packages from {mirror.url}, log {root.log}")
    if inputs.upstream and (trusted := os.environ.get(TRUST_SETTING)):
        progress.note(f"{TRUST_SETTING}: certificates and keys are those of {trusted}")
    compiler = compilers.compiler(root, cache, inputs)
    try:
        # The compiler leaves the disk and the network idle; all that does not need its result is done meanwhile.
        compiler.begin()
        with progress.step("build root"):
            root.create(mirror, inputs.suite, inputs.compiler)
        compiler.begin_inside()
        with progress.step("tools"):
            root.run(["apt-get", "install", "--yes", "--no-install-recommends", *inputs.tools])
        with progress.step("download"):
            closures = packages.closures(root, packing.wanted(inputs))
        fetched = Fetched()
        if inputs.upstream:
            with progress.step("fetch") as detail:
                fetched = Fetcher(root, inputs, cache, known, progress.note).fetch(detail.append)
        compiled = root.build / "compiled"
        if inputs.kubernetes:
            with progress.step("compile") as detail:
                compiled = compiler.finish(detail)
            compilers.forget_old_programs(cache)
    except BaseException:
        compiler.end()
        raise
    return packing.pack(inputs, root, closures, compiled, fetched, progress)
