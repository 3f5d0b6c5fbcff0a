"""The compiler of a bundle build: runs beside the other steps, keeps its result in a cache of its own."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from orchestrator import proc
from orchestrator.bundle import manifest
from orchestrator.bundle.recipe import Recipe
from orchestrator.bundle.root import BuildRoot
from orchestrator.errors import HostError

_SUMS = "sums.json"
_LIMIT = 3600.0
# The same date in every build: that of the source package's last patch.
_DATE = "SOURCE_DATE_EPOCH=1749418827"


def _place(cache: Path, inputs: Recipe) -> Path:
    return cache / "compiled" / inputs.compiled_id


def stored(cache: Path, inputs: Recipe) -> Path | None:
    """The directory of programs compiled before from the same inputs, or None; a damaged one is removed."""
    place = _place(cache, inputs)
    try:
        sums = json.loads((place / _SUMS).read_text(encoding="utf-8"))
        if sums and all(manifest.file_sha256(place / name) == value for name, value in sums.items()):
            return place
    except (OSError, ValueError, AttributeError):
        pass
    shutil.rmtree(place, ignore_errors=True)
    return None


@dataclass
class Compiler:
    """A running compiler: `pid` leads its process group, `log` has its output."""

    root: BuildRoot
    inputs: Recipe
    pid: int
    log: Path
    started: float
    ended: bool = False

    @classmethod
    def start(cls, root: BuildRoot, inputs: Recipe) -> Compiler:
        """Fetch the source, apply Debian's patches and begin to compile, all in the background."""
        top = root.build
        shutil.copytree(inputs.directory / "programs", top / "programs")
        shutil.copyfile(inputs.directory / "compile.sh", top / "compile.sh")
        script = (
            f"cd /build; apt-get -q source --download-only {inputs.source}; "
            # apt has checked the sums against Debian's signed index; the patches are applied by hand because the
            # Debian revision is of no interest to the build.
            f"dpkg-source --no-check --skip-patches -x {inputs.source}_*.dsc source; cd source; "
            "while read -r name; do patch -p1 -s < debian/patches/$name; done < debian/patches/series; "
            f"bash /build/compile.sh /build/source /build/out {inputs.kubernetes} /build/programs"
        )
        log = root.log.with_suffix(".compile.log")
        log.unlink(missing_ok=True)
        pid = proc.spawn(root.argv(["/bin/sh", "-euc", script], (_DATE,)), log=log)
        return cls(root, inputs, pid, log, time.monotonic())

    def finish(self, cache: Path, detail: list[str]) -> Path:
        """Wait for the end and keep the programs; raises HostError with the log when the compiler failed."""
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.ended = True
                break
            if time.monotonic() - self.started > _LIMIT:
                self.end()
                raise HostError(
                    f"compiling Kubernetes took more than {_LIMIT / 60:.0f} minutes",
                    fix=f"tail {self.log}",
                    log=self.log,
                )
            detail.append(self._stage())
            time.sleep(0.2)
        if os.waitstatus_to_exitcode(status) != 0:
            lines = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
            cause = lines[-1] if lines else "no output"
            raise HostError(f"compiling Kubernetes failed: {cause}", fix=f"tail -n 40 {self.log}", log=self.log)
        return self._keep(cache)

    def _stage(self) -> str:
        """The last stage that compile.sh announced."""
        marks = [line[3:] for line in self.log.read_text(errors="replace").splitlines() if line.startswith("== ")]
        return marks[-1] if marks else "source"

    def _keep(self, cache: Path) -> Path:
        self.root.script(
            "cd /build/source/build/pause/linux; chmod -R a+rX /build/out; "
            "gcc -Os -Wall -static -s -DVERSION=v3.2-labctl -o /build/out/pause pause.c"
        )
        place = _place(cache, self.inputs)
        fresh = place.with_name(f".{place.name}")
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.copytree(self.root.build / "out", fresh)
        sums = {item.name: manifest.file_sha256(item) for item in sorted(fresh.iterdir())}
        (fresh / _SUMS).write_text(json.dumps(sums, indent=1), encoding="utf-8")
        # One set of programs is enough: older inputs will not come back.
        for old in place.parent.glob("compiled-*"):
            shutil.rmtree(old)
        fresh.rename(place)
        # The sources and the compiler's cache are the bulk of the root.
        self.root.script("rm -rf /build/source /build/gocache /build/go")
        return place

    def end(self) -> None:
        """End the compiler and all it started; without effect when it has ended."""
        if not self.ended:
            self.ended = True
            proc.end_group(self.pid)
            os.waitpid(self.pid, 0)
