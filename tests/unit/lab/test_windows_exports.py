"""What `export` and `kubeconfig` write for programs of Windows, read again by ssh and puttygen of this host."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path, PureWindowsPath
from xml.etree import ElementTree

import pytest

from orchestrator.cli.main import invoke
from orchestrator.errors import HostError, SpecError
from orchestrator.lab import windows
from orchestrator.lab.state import Lab, save_plan
from orchestrator.lab.windows import folder_of
from orchestrator.model import Node
from orchestrator.paths import LabDir, write_private
from orchestrator.providers.ssh_access import ensure_key, new_host_key, write_known_hosts
from orchestrator.verbs.export import ssh_config, superputty
from tests.unit.providers.test_container_spec import PLAN

KUBECONFIG = """\
apiVersion: v1
kind: Config
clusters: [{name: kubernetes, cluster: {server: "https://SERVER", certificate-authority-data: Q0E=}}]
contexts: []
users: []
"""


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """A lab on disk with keys of its own, whose nodes are reported as on 127.0.0.1."""
    plan = replace(PLAN, name="k8s-lab", owner=str(tmp_path))
    directory = LabDir.beside(tmp_path / "lab.yml", plan.name)
    save_plan(directory, plan)
    ensure_key(directory)
    host_key = new_host_key()[1]
    nodes = [Node(node.name, "running", ssh_port=node.ssh_port, host_keys=(host_key,)) for node in plan.nodes]
    write_known_hosts(directory, nodes)
    write_private(directory.kubeconfig, KUBECONFIG.replace("SERVER", "127.0.0.1:60443"))
    for verb in (ssh_config, superputty):
        monkeypatch.setattr(verb, "reported_nodes", lambda lab: nodes)
    monkeypatch.chdir(tmp_path)
    return Lab(directory, plan)


def lines_of(file: Path) -> list[str]:
    """The lines of a file that ends every one of them as Windows does."""
    text = file.read_bytes().decode()
    assert text.count("\n") == text.count("\r\n") > 0
    assert text.endswith("\r\n")
    return text.splitlines()


@pytest.mark.parametrize(
    ("to", "there", "expected", "is_there"),
    [
        (Path("/mnt/c/Users/Kim Lee/labs"), None, r"C:\Users\Kim Lee\labs", True),
        (Path("/mnt/d/labs"), r"E:\labs", r"E:\labs", False),
        (Path("/home/kim/out"), None, r"C:\labctl\k8s-lab", False),
        (Path("/mnt/c"), None, r"C:\labctl\k8s-lab", False),
        (None, r"D:\a b\c", r"D:\a b\c", False),
    ],
)
def test_a_folder_has_the_name_that_windows_gives_it(
    to: Path | None, there: str | None, expected: str, is_there: bool
) -> None:
    folder = folder_of("k8s-lab", to, there)
    assert (folder.there, folder.is_there) == (PureWindowsPath(expected), is_there)
    assert bool(folder.steps()) != is_there


@pytest.mark.parametrize(
    "there", ["labs", "/home/kim", r"C:labs", r"\\server\share", r"C:\a?b", "C:\\labs. ", "C:/labs"]
)
def test_a_folder_that_windows_cannot_have_is_refused(there: str) -> None:
    with pytest.raises(SpecError, match="Windows can have") as refused:
        folder_of("k8s-lab", None, there)
    assert r"--windows-folder 'C:\labctl\k8s-lab'" in refused.value.fix


def test_a_folder_of_linux_that_windows_cannot_name_is_refused_too() -> None:
    with pytest.raises(SpecError, match="Windows cannot have"):
        folder_of("k8s-lab", Path("/mnt/c/what?"), None)


def test_ssh_reads_every_host_key_and_port_of_the_config_for_windows(lab: Lab, tmp_path: Path) -> None:
    made = ssh_config.export_for_windows(lab, folder_of("k8s-lab", tmp_path / "out", r"C:\Kim Lee\k8s"))
    lines_of(made.config)
    for node in lab.plan.nodes:
        said = subprocess.run(
            ["ssh", "-G", "-F", made.config, node.name], capture_output=True, text=True, check=True, timeout=20
        ).stdout.splitlines()
        assert f"port {node.ssh_port}" in said
        assert "hostname 127.0.0.1" in said
        assert r"identityfile C:\Kim Lee\k8s\id_ed25519" in said
        assert not [line for line in said if "/dev/null" in line and line.startswith("globalknownhosts")]
        found = subprocess.run(
            ["ssh-keygen", "-F", f"[127.0.0.1]:{node.ssh_port}", "-f", made.known_hosts],
            capture_output=True,
            timeout=20,
        )
        assert found.returncode == 0


def test_the_key_for_windows_is_the_labs_and_nobody_elses_to_read(lab: Lab, tmp_path: Path) -> None:
    made = ssh_config.export_for_windows(lab, folder_of("k8s-lab", tmp_path / "out", None))
    derived = subprocess.run(["ssh-keygen", "-y", "-P", "", "-f", made.key], capture_output=True, text=True, timeout=20)
    assert derived.stdout.split()[:2] == lab.directory.public_key.read_text(encoding="ascii").split()[:2]
    assert made.key.stat().st_mode & 0o777 == 0o600
    assert any("icacls" in step and r'"C:\labctl\k8s-lab\id_ed25519"' in step for step in made.steps)


@pytest.mark.skipif(shutil.which("puttygen") is None, reason="puttygen is not installed (Debian: putty-tools)")
def test_puttygen_reads_the_key_for_putty_and_sessions_name_it_as_windows_does(lab: Lab, tmp_path: Path) -> None:
    made = superputty.export_superputty(lab, tmp_path, folder_of("k8s-lab", tmp_path / "out", r"C:\Kim Lee\k8s"))
    assert lines_of(made.key)[0].startswith("PuTTY-User-Key-File-")
    read = subprocess.run(
        ["puttygen", made.key, "-O", "public-openssh", "-o", "/dev/stdout"], capture_output=True, text=True, timeout=20
    )
    assert read.stdout.split()[:2] == lab.directory.public_key.read_text(encoding="ascii").split()[:2]
    lines_of(made.sessions)
    sessions = ElementTree.parse(made.sessions).getroot()
    assert {one.get("ExtraArgs") for one in sessions} == {r'-i "C:\Kim Lee\k8s\k8s-lab.ppk"'}
    assert [one.get("Port") for one in sessions] == [str(node.ssh_port) for node in lab.plan.nodes]
    assert made.steps[-1].endswith(r"C:\Kim Lee\k8s\k8s-lab.xml")


def test_kubectl_on_windows_is_led_to_the_forward(lab: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["kubeconfig", "--for", "windows", "--to", "out"]) == 0
    said = capsys.readouterr().out
    assert r"set KUBECONFIG=C:\labctl\k8s-lab\kubeconfig" in said
    assert "Windows has to reach" not in said
    assert any("https://127.0.0.1:60443" in line for line in lines_of(tmp_path / "out" / "kubeconfig"))


def test_an_api_server_without_a_forward_is_told(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    write_private(lab.directory.kubeconfig, KUBECONFIG.replace("SERVER", "192.168.56.10:6443"))
    assert invoke(["kubeconfig", "--for", "windows"]) == 0
    assert "Windows has to reach https://192.168.56.10:6443 itself" in capsys.readouterr().out


@pytest.mark.parametrize("verb", [["export", "ssh-config"], ["export", "superputty"], ["kubeconfig"]], ids=" ".join)
def test_a_dry_run_for_windows_writes_nothing(lab: Lab, verb: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(Path().rglob("*"))
    assert invoke([*verb, "--for", "windows", "--dry-run"]) == 0
    assert f"write {Path('k8s-lab-windows').resolve()}" in capsys.readouterr().out
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["kubeconfig", "--windows-folder", r"C:\x"], "goes with --for windows"),
        (["kubeconfig", "--to", "x"], "--to goes with --for windows"),
        (["kubeconfig", "--merge", "--for", "windows"], "either --for windows or --merge"),
        (["export", "ssh-config", "--windows-folder", r"C:\x"], "goes with --for windows"),
    ],
)
def test_options_of_windows_alone_are_refused_without_it(
    lab: Lab, options: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(options) == 2
    assert says in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HostError, match="file cannot be written"):
        windows.write_text(tmp_path / "file" / "text", "text\n")
