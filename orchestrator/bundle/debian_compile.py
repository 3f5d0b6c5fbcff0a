"""The compiler of Debian's Kubernetes source: runs in the build root beside the other steps, its result is cached."""

from __future__ import annotations

import shutil
from pathlib import Path

from orchestrator.bundle import programs
from orchestrator.bundle.background import Background
from orchestrator.bundle.recipe import Recipe

# Seconds on 2 cores, measured.
SECONDS = 270.0
_LIMIT = 3600.0
# The same date in every build: that of the source package's last patch.
_DATE = "SOURCE_DATE_EPOCH=1749418827"
_OWN_PROGRAMS = ("debian/programs", "programs")


def compiled_id(inputs: Recipe) -> str:
    """The id of what the compiler makes: it outlives changes of packages and images."""
    also = (inputs.kubernetes, inputs.source, inputs.suite, inputs.architecture, inputs.compiler)
    return f"compiled-{inputs.kubernetes}-{inputs.digest(inputs.files_below('debian', 'programs'), also)}"


class Compiler(Background):
    """The compiler inside the build root; no process when the cache has its result."""

    def begin_inside(self) -> None:
        """Fetch the source, apply Debian's patches and begin to compile, all in the background."""
        if programs.stored(self.cache, compiled_id(self.inputs)):
            return
        top = self.root.build
        for part in _OWN_PROGRAMS:
            shutil.copytree(self.inputs.directory / part, top / "programs", dirs_exist_ok=True)
        shutil.copyfile(self.inputs.directory / "debian" / "compile.sh", top / "compile.sh")
        source = self.inputs.source
        script = (
            f"cd /build; apt-get -q source --download-only {source}; "
            # apt has checked the sums against Debian's signed index; the patches are applied by hand because the
            # Debian revision is of no interest to the build.
            f"dpkg-source --no-check --skip-patches -x {source}_*.dsc source; cd source; "
            "while read -r name; do patch -p1 -s < debian/patches/$name; done < debian/patches/series; "
            f"bash /build/compile.sh /build/source /build/out {self.inputs.kubernetes} /build/programs"
        )
        self.spawn(self.root.argv(["/bin/sh", "-euc", script], (_DATE,)))

    def finish(self, detail: list[str]) -> Path:
        """Wait for the end and keep the programs; raises HostError with the log when the compiler failed."""
        name = compiled_id(self.inputs)
        if self.process is None:
            found = programs.stored(self.cache, name)
            assert found is not None
            return found
        self.wait(detail, self._stage, _LIMIT)
        self.root.script(
            "cd /build/source/build/pause/linux; chmod -R a+rX /build/out; "
            "gcc -Os -Wall -static -s -DVERSION=v3.2-labctl -o /build/out/pause pause.c"
        )
        place = programs.keep(self.cache, name, self.root.build / "out")
        # The sources and the compiler's cache are the bulk of the root.
        self.root.script("rm -rf /build/source /build/gocache /build/go")
        return place

    def _stage(self) -> str:
        """The last stage that compile.sh announced."""
        marks = [line[3:] for line in self.log.read_text(errors="replace").splitlines() if line.startswith("== ")]
        return marks[-1] if marks else "source"
