"""`bundle build`: makes a bundle from its recipe, or takes an intact one from the cache."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator import debian_mirror, host, proc
from orchestrator.bundle import compilers, images, manifest, packages, repos, sharing
from orchestrator.bundle.community import Fetched, Fetcher
from orchestrator.bundle.known import Known
from orchestrator.bundle.manifest import BundleInfo
from orchestrator.bundle.recipe import Recipe
from orchestrator.bundle.root import BuildRoot, required_host_tools, user_problem
from orchestrator.bundle.rpms import build_rpms
from orchestrator.bundle.upstream import TRUST_SETTING
from orchestrator.errors import HostError, LockedError, Problem
from orchestrator.events import Emit, Event, Note, Step

# In the cache: what was seen when it was fetched first.
KNOWN = "known.json"
_TICK = 1.5
_PATIENCE = 1800.0


def preflight(cache: Path, inputs: Recipe) -> list[Problem]:
    """Everything on this host that keeps a bundle from being built; an empty list means that it can be."""
    problems = []
    for program, package in required_host_tools().items():
        if shutil.which(program) is None and not Path("/usr/sbin", program).exists():
            problems.append(Problem(f"the program {program} is missing", "bundle build", f"apt-get install {package}"))
    if not problems and (problem := user_problem()):
        problems.append(problem)
    free = shutil.disk_usage(cache).free
    if free < inputs.disk:
        what = f"only {free // 10**6} MB are free in {cache}, building the bundle needs {inputs.disk // 10**6} MB"
        problems.append(Problem(what, "bundle build", "LABCTL_CACHE=<directory on a larger disk> labctl bundle build"))
    if os.uname().machine != "x86_64":
        problems.append(Problem(f"bundles are built on x86_64 only, this is {os.uname().machine}", "bundle build"))
    if inputs.origin == "community" and host.offline():
        what = "LABCTL_OFFLINE is set, and this bundle is fetched from the community"
        problems.append(Problem(what, "bundle build", "unset LABCTL_OFFLINE"))
    if debian_mirror.find() is None:
        fix = f"{debian_mirror.SETTING}=<URL of a Debian mirror> labctl bundle build"
        problems.append(Problem("no Debian mirror is known to build from", "bundle build", fix))
    return problems


@dataclass
class Progress:
    """Says at least every two seconds, from a thread of its own, which step runs and how long the rest will take.

    `plan` has the steps still to come with the seconds each is expected to take; on a slower or busier
    machine the estimate grows by what the steps so far have shown.
    """

    emit: Emit
    phase: str
    plan: dict[str, float]
    started: float = field(default_factory=time.monotonic)
    _expected: float = 0.0
    _taken: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, event: Event) -> None:
        with self._lock:
            self.emit(event)

    def note(self, text: str) -> None:
        self.send(Note(phase=self.phase, text=text))

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[list[str]]:
        """Frame a step; the yielded list's last entry is shown as detail."""
        began = time.monotonic()
        expected = self.plan.pop(name, 0.0)
        detail: list[str] = [""]
        done = threading.Event()

        def remaining() -> float:
            slower = max(self._taken / self._expected, 1.0) if self._expected else 1.0
            return max(expected * slower - (time.monotonic() - began), 1.0) + sum(self.plan.values()) * slower

        def tick() -> None:
            while not done.wait(_TICK):
                text = f"{detail[-1]} {time.monotonic() - began:.0f} s".strip()
                self.send(Step(phase=self.phase, name=name, detail=text, remaining=remaining()))

        self.send(Step(phase=self.phase, name=name, remaining=remaining()))
        ticker = threading.Thread(target=tick, daemon=True)
        ticker.start()
        status = "failed"
        try:
            yield detail
            status = "ok"
        finally:
            done.set()
            ticker.join()
            seconds = time.monotonic() - began
            self._expected, self._taken = self._expected + expected, self._taken + seconds
            left = sum(self.plan.values())
            self.send(Step(phase=self.phase, name=name, status=status, detail=f"{seconds:.1f} s", remaining=left))


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
        final = manifest.store(cache) / inputs.id
        staged.rename(final)
        info = manifest.load(final)
        if saved := sharing.share(cache, info):
            progress.note(f"{saved // 10**6} MB lie on the disk once for several bundles")
        return info
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
            closures = packages.closures(root, _wanted(inputs))
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
    return _pack(inputs, root, closures, compiled, fetched, progress)


def _wanted(inputs: Recipe) -> dict[str, tuple[str, ...]]:
    """The lists of Debian packages to resolve: for the nodes, for own packages made of Debian's, for each image."""
    from_debs = {name for twin in inputs.rpms for name in twin.debs}
    for package in inputs.packages:
        references = {**package.files, **package.deb_files, **package.rpm_files}.values()
        from_debs |= {reference.split(":")[1] for reference in references if reference.startswith("deb:")}
    nodes = ("?essential", *inputs.node_packages) if inputs.node_packages else ()
    wanted = {"nodes": nodes, "parts": tuple(sorted(from_debs))}
    if inputs.images:
        wanted["base"] = inputs.base_packages
    return wanted | {image.ref: image.packages for image in inputs.images if image.packages}


def _pack(
    inputs: Recipe,
    root: BuildRoot,
    closures: dict[str, packages.Closure],
    compiled: Path,
    fetched: Fetched,
    progress: Progress,
) -> Path:
    staged = root.path.parent / inputs.id
    staged.mkdir()
    for name, program in fetched.programs.items():
        shutil.copyfile(program, compiled / name)
    if fetched.calico:
        shutil.copyfile(fetched.calico, staged / manifest.CALICO)
    with progress.step("packages") as detail:
        work = repos.fill_apt(root, closures["nodes"], fetched.debs)
        debs = packages.build_debs(root, inputs, compiled, closures["parts"], work)
        rpms = build_rpms(root, inputs, compiled, closures["parts"], detail.append)
    with progress.step("sign"):
        fingerprint = repos.make_key(root, staged / "key.asc")
        repos.index_apt(root, work, staged / "apt")
        repos.index_rpm(root, staged / "rpm")
    if inputs.images:
        with progress.step("images") as detail:
            layers = root.path.parent / "layers"
            images.build(root, inputs, closures, compiled, fetched.images, layers, staged, detail.append)
    with progress.step("sums"):
        if inputs.kubernetes:
            (staged / "bin").mkdir()
            shutil.copyfile(compiled / "kubectl", staged / "bin" / "kubectl")
            (staged / "bin" / "kubectl").chmod(0o755)
        info = BundleInfo(
            id=inputs.id,
            path=staged,
            kubernetes=inputs.kubernetes,
            packages={**packages.versions(closures["nodes"]), **packages.versions(fetched.debs), **debs},
            rpms={**fetched.rpms, **rpms},
            images=(*fetched.digests, *inputs.references),
            files=manifest.describe(staged),
            key_fingerprint=fingerprint,
            components={**inputs.versions, **fetched.components},
            digests=fetched.digests,
            guest=inputs.upstream.guest if inputs.upstream else "",
        )
        manifest.write(info)
    return staged
