"""The real bundle: a node whose only package source it is gets all it needs, and nothing that was tampered with."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from orchestrator import bundle, debian_mirror, paths, proc
from orchestrator.bundle import BundleInfo, Recipe, images, manifest, pieces, recipes
from orchestrator.bundle.root import BuildRoot
from orchestrator.events import discard
from orchestrator.model import BundleOrigin
from tests.package_managers import dnf_root, private_apt

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(os.geteuid() != 0, reason="making a Debian root in a test takes root"),
]


@dataclass(frozen=True)
class Expected:
    """What a bundle has to hold: the packages a node asks for, and the versions they show."""

    origin: BundleOrigin
    minor: str
    version: str
    revision: str
    packages: tuple[str, ...]
    rpms: tuple[str, ...]
    shown: dict[str, str]
    coredns: bool

    @property
    def recipe(self) -> Recipe:
        return recipes.load(self.origin, self.minor)


CONTROL_PLANE = frozenset({"kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd"})
BUNDLES = (
    Expected(
        origin="modules",
        minor="1.37",
        version="1.37.2",
        revision="1+labctl1",
        packages=("kubeadm", "containerd.io"),
        rpms=("kubeadm", "containerd.io"),
        shown={
            "containerd --version": "2.4.2",
            "runc --version": "libseccomp: 2.5",
            "crictl --version": "v1.37.0",
            "ctr --version": "2.4.2",
        },
        coredns=True,
    ),
    Expected(
        origin="debian",
        minor="",
        version="1.20.2",
        revision="1",
        packages=("kubeadm", "docker.io"),
        rpms=("kubeadm", "docker-ce", "docker-ce-cli"),
        shown={"dockerd --version": "20.10"},
        coredns=False,
    ),
)


@pytest.fixture(scope="module", params=BUNDLES, ids=lambda one: one.version)
def expected(request: pytest.FixtureRequest) -> Expected:
    found: Expected = request.param
    return found


@pytest.fixture(scope="module")
def built(expected: Expected) -> BundleInfo:
    return bundle.build(paths.cache_dir(), expected.recipe, discard, "bundle")


@pytest.fixture(scope="module")
def work(expected: Expected, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp(expected.version)


@pytest.fixture(scope="module")
def served(built: BundleInfo) -> Iterator[bundle.Served]:
    with bundle.serve(built, "127.0.0.1", 0) as server:
        yield server


@pytest.fixture(scope="module")
def debian_node(expected: Expected, built: BundleInfo, served: bundle.Served, work: Path) -> Iterator[BuildRoot]:
    """A Debian root made of nothing but the bundle's own repository."""
    root = BuildRoot(work / "debian", work / "debian.log")
    source = f"deb [signed-by={built.key_file}] {served.apt_url} ./"
    argv = [
        "mmdebstrap",
        "--mode=root",
        "--variant=apt",
        f"--include={','.join(expected.packages)},systemd-sysv",
        "labctl",
    ]
    proc.run([*argv, str(root.path), source], timeout=300)
    yield root
    root.remove()


@pytest.fixture(scope="module")
def dnf_node(built: BundleInfo, served: bundle.Served, work: Path) -> Iterator[BuildRoot]:
    with dnf_root(work / "dnf", built, served) as root:
        yield root


def twisted(built: BundleInfo, target: Path, change: str) -> BundleInfo:
    """A copy of the bundle's apt repository in which one byte of one file differs."""
    shutil.copytree(built.path / "apt", target / "apt", copy_function=os.link)
    path = next((target / "apt").glob(change))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()
    path.write_bytes(content)
    return replace(built, path=target)


def test_bundle_is_what_its_manifest_says(expected: Expected, built: BundleInfo) -> None:
    assert bundle.verify(built) == []
    assert built.kubernetes == expected.version
    assert built.id == expected.recipe.id
    assert not built.has_calico
    assert built.has_coredns == expected.coredns


def test_archive_holds_every_image_of_the_manifest(expected: Expected, built: BundleInfo) -> None:
    with built.open(manifest.ALL_IMAGES) as archive:
        assert images.references(archive) == list(built.images) == list(expected.recipe.references)


def test_the_workers_archive_leaves_out_what_only_the_control_plane_runs(built: BundleInfo) -> None:
    with built.open(manifest.WORKER_IMAGES) as archive:
        left_out = set(built.images) - set(images.references(archive))
    assert {ref.split("/")[-1].split(":")[0] for ref in left_out} == CONTROL_PLANE
    assert built.sha256_of(manifest.WORKER_IMAGES)


def test_kubectl_runs_on_this_host(expected: Expected, built: BundleInfo) -> None:
    assert f"v{expected.version}" in proc.run([str(built.kubectl), "version", "--client"]).stdout


def test_debian_node_gets_everything_from_the_bundle_alone(expected: Expected, debian_node: BuildRoot) -> None:
    assert debian_node.read(["kubeadm", "version", "--output=short"]).strip() == f"v{expected.version}"
    assert debian_node.read(["kubelet", "--version"]).strip() == f"Kubernetes v{expected.version}"
    for command, shown in expected.shown.items():
        assert shown in debian_node.read(command.split()), command
    assert (debian_node.path / "opt/cni/bin/bridge").is_file()
    drop_in = next(debian_node.path.glob("*/*/*/kubelet.service.d/10-kubeadm.conf"), None) or next(
        debian_node.path.glob("usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf")
    )
    assert "/var/lib/kubelet/kubeadm-flags.env" in drop_in.read_text()
    assert debian_node.read(["systemctl", "is-enabled", "kubelet"]).strip() == "enabled"


def test_everything_a_node_may_ask_for_can_be_installed(
    expected: Expected, built: BundleInfo, served: bundle.Served, tmp_path: Path
) -> None:
    apt = private_apt(tmp_path, served.apt_url, built.key_file)
    proc.run([*apt, "update", "-qq"])
    for wanted in ([*expected.recipe.node_packages, "kubeadm", "kubernetes-cni"], expected.packages):
        simulated = proc.run([*apt, "install", "--simulate", "--no-install-recommends", *wanted])
        assert f"Inst kubeadm ({expected.version}-{expected.revision}" in simulated.stdout


def test_every_package_of_the_bundle_can_be_unpacked(built: BundleInfo) -> None:
    packages = sorted((built.path / "apt").glob("*.deb"))
    assert len(packages) > 100
    for package in packages:
        assert proc.run(["dpkg-deb", "--contents", str(package)], timeout=120).stdout, package.name


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


def test_dnf_installs_signed_packages_with_all_checks_on(expected: Expected, dnf_node: BuildRoot) -> None:
    dnf_node.run(["dnf", "--assumeyes", "--releasever=9", "install", *expected.rpms])
    assert dnf_node.read(["rpm", "-q", "--qf", "%{VENDOR}", expected.rpms[0]]) == "labctl"
    assert dnf_node.read(["/usr/bin/kubeadm", "version", "--output=short"]).strip() == f"v{expected.version}"
    installed = dnf_node.read(["rpm", "-qa"]).split()
    assert f"kubelet-{expected.version}-{expected.revision}.x86_64" in installed
    assert any(name.startswith("containerd.io-") for name in installed)
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
    listed = {file.path for file in built.files}
    split = {name for name in listed if pieces.is_split(built.path / name)}
    assert on_disk == listed - split | pieces.names(built.path, split) | {manifest.MANIFEST}
