"""The repository as an Ansible collection: it is built, installed without a network, and its roles run by full name."""

from __future__ import annotations

import hashlib
import os
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest
import yaml

from orchestrator import proc

pytestmark = pytest.mark.real

ROOT = Path(__file__).resolve().parents[2]
MANIFEST = ROOT / "tests" / "data" / "calico-3.17-shaped.yaml"
# One role per thing that has to be found in the collection: a module, an action, another role of it.
PLAYBOOK = f"""
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {{name: labctl.cluster.br_netfilter}}
    - ansible.builtin.include_role: {{name: labctl.cluster.docker}}
      vars: {{docker_packages: [base-files]}}
    - ansible.builtin.include_role: {{name: labctl.cluster.calico}}
      vars:
        calico_version: 3.17.6
        calico_pod_cidr: 172.16.0.0/16
        calico_manifest: {MANIFEST}
        calico_manifest_sha256: {hashlib.sha256(MANIFEST.read_bytes()).hexdigest()}
"""


def run(*argv: str, cwd: Path, **env: str) -> str:
    # Neither in `cwd` nor in a home directory is a configuration that would find the checkout.
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return proc.run([*argv], cwd=cwd, timeout=300, env={"PATH": path, "HOME": str(cwd), **env}).stdout


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("built")
    run("ansible-galaxy", "collection", "build", str(ROOT), "--output-path", str(directory), cwd=directory)
    return next(directory.glob("labctl-cluster-*.tar.gz"))


def test_the_archive_holds_the_roles_and_nothing_of_the_rest(archive: Path) -> None:
    with tarfile.open(archive) as files:
        top = {name.split("/")[0] for name in files.getnames()}
    assert top == {"FILES.json", "LICENSE", "MANIFEST.json", "README.md", "meta", "playbooks", "plugins", "roles"}


def test_the_collection_has_the_version_of_the_program() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    version = project["tool"]["hatch"]["version"]["fallback-version"]
    # Collections have semantic versions, which write a pre-release with a hyphen.
    assert yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))["version"] == version.replace(
        ".dev", "-dev"
    )


def test_its_roles_run_by_their_full_names_where_nothing_else_is(archive: Path, tmp_path: Path) -> None:
    collections = tmp_path / "collections"
    run("ansible-galaxy", "collection", "install", str(archive), "--offline", "-p", str(collections), cwd=tmp_path)
    (tmp_path / "play.yml").write_text(PLAYBOOK, encoding="utf-8")
    # In check mode: the roles look at this machine, and change nothing.
    argv = ("ansible-playbook", "--check", "--inventory=localhost,", "--connection=local", "play.yml")
    interpreter = {"ANSIBLE_PYTHON_INTERPRETER": sys.executable, "ANSIBLE_COLLECTIONS_PATH": str(collections)}
    output = run(*argv, cwd=tmp_path, **interpreter)
    assert "failed=0" in output
    for role, task in (("br_netfilter", "Configure modules"), ("container_engine", "Configure"), ("calico", "Adapt")):
        assert f"[labctl.cluster.{role} : {task}" in output
