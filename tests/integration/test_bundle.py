"""The real bundle: a node whose only package source it is gets all it needs, and nothing that was tampered with."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator import bundle, debian_mirror, paths, proc
from orchestrator.bundle import BundleInfo, images, manifest, recipe
from orchestrator.bundle.root import BuildRoot
from orchestrator.events import discard

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(os.geteuid() != 0, reason="making a Debian root in a test takes root"),
]


@pytest.fixture(scope="module")
def built() -> BundleInfo:
    return bundle.build(paths.cache_dir(), discard, "bundle")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bundle")


@pytest.fixture(scope="module")
def served(built: BundleInfo) -> Iterator[bundle.Served]:
    with bundle.serve(built, "127.0.0.1", 0) as server:
        yield server


@pytest.fixture(scope="module")
def debian_node(built: BundleInfo, served: bundle.Served, work: Path) -> Iterator[BuildRoot]:
    """A Debian root made of nothing but the bundle's own repository."""
    root = BuildRoot(work / "debian", work / "debian.log")
    source = f"deb [signed-by={built.key_file}] {served.apt_url} ./"
    argv = ["mmdebstrap", "--mode=root", "--variant=apt", "--include=kubeadm,docker.io,systemd-sysv", "labctl"]
    proc.run([*argv, str(root.path), source], timeout=300)
    yield root
    root.remove()


@pytest.fixture(scope="module")
def dnf_node(built: BundleInfo, served: bundle.Served, work: Path) -> Iterator[BuildRoot]:
    """A Debian root with Debian's dnf, its only repository the bundle's."""
    mirror = debian_mirror.find()
    assert mirror is not None
    root = BuildRoot(work / "dnf", work / "dnf.log")
    root.create(mirror, "bookworm", ["dnf", "gnupg", "rpm"])
    shutil.copyfile(built.key_file, root.path / "etc" / "key.asc")
    repositories = root.path / "etc" / "yum.repos.d"
    repositories.mkdir(parents=True, exist_ok=True)
    (repositories / "labctl.repo").write_text(
        f"[labctl]\nname=labctl\nbaseurl={served.rpm_url}\nenabled=1\ngpgcheck=1\nrepo_gpgcheck=1\ngpgkey=file:///etc/key.asc\n"
    )
    yield root
    root.remove()


def private_apt(directory: Path, url: str, key: Path) -> list[str]:
    """apt-get with package sources, state and cache of its own below a directory."""
    for part in ("etc/apt/apt.conf.d", "etc/apt/preferences.d", "state/lists/partial", "cache/archives/partial"):
        (directory / part).mkdir(parents=True)
    (directory / "etc/apt/sources.list").write_text(f"deb [signed-by={key}] {url} ./\n")
    (directory / "status").touch()
    settings = {
        "Dir::Etc": directory / "etc/apt",
        "Dir::State": directory / "state",
        "Dir::State::status": directory / "status",
        "Dir::Cache": directory / "cache",
        "APT::Sandbox::User": "root",
        "Acquire::Retries": "0",
    }
    return ["apt-get", *(f"-o{name}={value}" for name, value in settings.items()), "--yes"]


def twisted(built: BundleInfo, target: Path, change: str) -> BundleInfo:
    """A copy of the bundle's apt repository in which one byte of one file differs."""
    shutil.copytree(built.path / "apt", target / "apt", copy_function=os.link)
    path = next((target / "apt").glob(change))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()
    path.write_bytes(content)
    return replace(built, path=target)


def test_bundle_is_what_its_manifest_says(built: BundleInfo) -> None:
    assert bundle.verify(built) == []
    assert built.kubernetes == "1.20.2"
    assert built.id == bundle.build_id()
    assert not built.has_calico
    assert not built.has_coredns


def test_archive_holds_every_image_of_the_manifest(built: BundleInfo) -> None:
    assert images.references(built.image_archive) == list(built.images) == list(recipe.load().references)


def test_the_workers_archive_leaves_out_what_only_the_control_plane_runs(built: BundleInfo) -> None:
    left_out = set(built.images) - set(images.references(built.path / manifest.WORKER_IMAGES))
    assert {ref.split("/")[-1].split(":")[0] for ref in left_out} == {
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "etcd",
    }
    assert built.sha256_of(manifest.WORKER_IMAGES)


def test_kubectl_runs_on_this_host(built: BundleInfo) -> None:
    assert "v1.20.2" in proc.run([str(built.kubectl), "version", "--client", "--short"]).stdout


def test_debian_node_gets_everything_from_the_bundle_alone(debian_node: BuildRoot) -> None:
    assert debian_node.read(["kubeadm", "version", "--output=short"]).strip() == "v1.20.2"
    assert debian_node.read(["kubelet", "--version"]).strip() == "Kubernetes v1.20.2"
    assert "20.10" in debian_node.read(["dockerd", "--version"])
    assert (debian_node.path / "opt/cni/bin/bridge").is_file()
    drop_in = debian_node.path / "etc/systemd/system/kubelet.service.d/10-kubeadm.conf"
    assert "/var/lib/kubelet/kubeadm-flags.env" in drop_in.read_text()
    assert debian_node.read(["systemctl", "is-enabled", "kubelet"]).strip() == "enabled"


def test_everything_a_node_may_ask_for_can_be_installed(
    built: BundleInfo, served: bundle.Served, tmp_path: Path
) -> None:
    apt = private_apt(tmp_path, served.apt_url, built.key_file)
    proc.run([*apt, "update", "-qq"])
    wanted = [*recipe.load().node_packages, "kubeadm", "kubelet", "kubectl", "kubernetes-cni"]
    simulated = proc.run([*apt, "install", "--simulate", "--no-install-recommends", *wanted])
    assert "Inst kubeadm (1.20.2-1" in simulated.stdout


@pytest.mark.parametrize("change", ["kubectl_*.deb", "Packages*"])
def test_tampered_repository_is_refused(built: BundleInfo, tmp_path: Path, change: str) -> None:
    with bundle.serve(twisted(built, tmp_path / "twisted", change), "127.0.0.1", 0) as server:
        apt = private_apt(tmp_path, server.apt_url, built.key_file)
        updated = proc.run([*apt, "update", "-qq"], check=False)
        loaded = proc.run([*apt, "install", "--download-only", "kubectl"], check=False)
    assert not loaded.ok
    assert "Hash Sum mismatch" in updated.stderr + loaded.stderr or "Unable to locate" in loaded.stderr


def test_foreign_key_is_refused(built: BundleInfo, served: bundle.Served, tmp_path: Path) -> None:
    apt = private_apt(tmp_path, served.apt_url, debian_mirror.DEFAULT_KEYRING)
    assert not proc.run([*apt, "update", "-qq"], check=False).ok
    assert not proc.run([*apt, "install", "--download-only", "kubectl"], check=False).ok


def test_dnf_installs_signed_packages_with_all_checks_on(dnf_node: BuildRoot) -> None:
    dnf_node.run(["dnf", "--assumeyes", "--releasever=9", "install", "kubeadm", "docker-ce", "docker-ce-cli"])
    assert dnf_node.read(["/usr/bin/kubeadm", "version", "--output=short"]).strip() == "v1.20.2"
    installed = dnf_node.read(["rpm", "-qa"]).split()
    assert {"kubelet-1.20.2-1.x86_64", "containerd.io-1.6.20-1.x86_64"} <= set(installed)
    drop_in = dnf_node.path / "usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf"
    assert "/etc/sysconfig/kubelet" in drop_in.read_text()


def test_dnf_refuses_a_package_that_another_key_signed(dnf_node: BuildRoot) -> None:
    dnf_node.script("rm -rf /var/cache/dnf /var/lib/dnf/repos; rpm -e --nodeps --allmatches gpg-pubkey kubectl || true")
    dnf_node.script(
        "export GNUPGHOME=/tmp/foreign; mkdir -m 700 $GNUPGHOME; "
        "gpg --batch --quiet --passphrase '' --quick-generate-key somebody rsa3072 sign never; "
        "gpg --batch --armor --export > /etc/key.asc"
    )
    with pytest.raises(proc.ProcessFailed):
        dnf_node.run(["dnf", "--assumeyes", "--releasever=9", "install", "kubectl"])
    assert "kubectl" not in dnf_node.read(["rpm", "-qa"])


def test_served_bundle_lists_nothing_but_the_manifest(built: BundleInfo) -> None:
    on_disk = {path.relative_to(built.path).as_posix() for path in built.path.rglob("*") if path.is_file()}
    assert on_disk == {file.path for file in built.files} | {manifest.MANIFEST}
