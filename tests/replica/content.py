"""Fills the folders of a replica, one per host, with what a bundle made of Go modules has."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import shutil
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from orchestrator import catalog, debian_mirror
from orchestrator.bundle import BundleInfo
from orchestrator.bundle.manifest import ALL_IMAGES
from orchestrator.bundle.registry import Reference
from orchestrator.bundle.root import BuildRoot
from tests.replica.server import RELEASES

# The community's names and versions for what the bundle calls VERSION-1+labctl1.
KUBERNETES = ("cri-tools", "kubeadm", "kubectl", "kubelet", "kubernetes-cni")
DOCKER = ("containerd.io", "docker-ce", "docker-ce-cli")
REVISION = {"kubernetes": "1.1", "docker": "1~debian.12~bookworm"}
# Debian's package, which the bundle has, stands in for Docker's own: cut in two as Docker cuts it, with Docker's epoch.
STANDS_IN = {"docker-ce": "docker.io", "docker-ce-cli": "docker.io"}
EPOCHS = {"docker-ce": "5:", "docker-ce-cli": "5:"}
_RENAMED = (
    "sed -i -E 's/^Package: .*/Package: {name}/; /^(Conflicts|Source|Built-Using|Pre-Depends|Recommends|Suggests):/d; "
    "s/^Depends: .*/Depends: {depends}/' DEBIAN/control; rm DEBIAN/md5sums; "
)
CUTS = {
    "docker-ce": _RENAMED.format(
        name="docker-ce",
        depends="adduser, containerd.io, docker-ce-cli, iptables, libc6, libdevmapper1.02.1, libsystemd0, tini",
    )
    + "rm usr/bin/docker",
    "docker-ce-cli": _RENAMED.format(name="docker-ce-cli", depends="libc6")
    + "cd DEBIAN; rm conffiles p*; cd ..; mv usr/bin/docker .; rm -r etc lib usr; mkdir -p usr/bin; mv docker usr/bin/",
}
# What kubeadm asks for and the bundle has with its own, later version inside.
AS_KUBEADM_ASKS = {"etcd": "3.7.0-0", "coredns": "v1.14.6"}
INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
TOOLS = ("apt-utils", "createrepo-c", "gnupg", "rpm", "zstd")


def fill(content: BundleInfo, site: Path, work: Path) -> dict[str, str]:
    """Fill `site`; returns the fingerprints of the keys that sign, by repository."""
    minor = content.kubernetes.rpartition(".")[0]
    root = BuildRoot(work / "root", work / "replica.log")
    mirror = debian_mirror.find()
    assert mirror is not None
    root.create(mirror, "bookworm", TOOLS)
    try:
        keys = {name: _key(root, name) for name in ("kubernetes", "docker")}
        kubernetes = site / "pkgs.k8s.io" / "core:" / "stable:" / f"v{minor}"
        _apt(root, content, "kubernetes", KUBERNETES, ".", kubernetes / "deb")
        shutil.copyfile(root.build / "kubernetes.asc", kubernetes / "deb" / "Release.key")
        docker = site / "download.docker.com" / "linux" / "debian"
        _apt(root, content, "docker", DOCKER, "dists/bookworm", docker)
        shutil.copyfile(root.build / "docker.asc", docker / "gpg")
        _rpm(root, content, "kubernetes", KUBERNETES, kubernetes / "rpm")
        shutil.copyfile(root.build / "kubernetes.asc", kubernetes / "rpm" / "repodata" / "repomd.xml.key")
        centos = site / "download.docker.com" / "linux" / "centos"
        _rpm(root, content, "docker", DOCKER, centos / "9" / "x86_64" / "stable")
        shutil.copyfile(root.build / "docker.asc", centos / "gpg")
        _cri_dockerd(root, content, site)
        keys |= _other_keys(root, site)
    finally:
        root.remove()
    _images(content, site)
    return keys


def _other_keys(root: BuildRoot, site: Path) -> dict[str, str]:
    """Beside the hosts, for faults: a stranger's key, and one whose time is over; their fingerprints."""
    keys = {
        "stranger": _key(root, "stranger"),
        "expired": _key(root, "expired", "--faked-system-time=20240101T000000!"),
    }
    (site / "faults").mkdir(parents=True)
    for name in keys:
        shutil.copyfile(root.build / f"{name}.asc", site / "faults" / f"{name}.asc")
    return keys


def _key(root: BuildRoot, name: str, *options: str) -> str:
    """Make a key that is good for a year from now, or from what the options say, and return its fingerprint."""
    home = f"GNUPGHOME=/build/home-{name}"
    root.script(
        f"mkdir -m 700 /build/home-{name}; export {home}; "
        f"gpg --batch --quiet {' '.join(options)} --passphrase '' "
        f"--quick-generate-key '{name} of the replica' rsa3072 sign 1y; "
        f"gpg --batch --armor --export > /build/{name}.asc"
    )
    listing = root.read(["env", home, "gpg", "--batch", "--with-colons", "--list-keys"])
    return next(line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr:"))


def _apt(root: BuildRoot, content: BundleInfo, repository: str, names: Iterable[str], where: str, target: Path) -> None:
    """A signed apt repository: packages of the bundle in the community's versions; `where` is the index's place."""
    top = root.build / f"apt-{repository}"
    pool = top / ("amd64" if where == "." else "pool")
    pool.mkdir(parents=True)
    for name in names:
        package = next((content.path / "apt").glob(f"{STANDS_IN.get(name, name)}_*.deb"))
        shutil.copyfile(package, root.build / "one.deb")
        upstream = re.split(r"[-+]", package.name.split("_")[1])[0]
        version = f"{upstream}-{REVISION[repository]}"
        root.script(
            "rm -rf /build/one; dpkg-deb -R /build/one.deb /build/one; cd /build/one; "
            f"sed -i 's/^Version: .*/Version: {EPOCHS.get(name, '')}{version}/' DEBIAN/control; {CUTS.get(name, ':')}; "
            f"dpkg-deb -Zzstd -z1 --root-owner-group -b /build/one "
            f"/build/apt-{repository}/{pool.name}/{name}_{version}_amd64.deb"
        )
    index = "." if where == "." else f"{where}/stable/binary-amd64"
    home = f"export GNUPGHOME=/build/home-{repository}"
    root.script(
        f"cd /build/apt-{repository}; mkdir -p {index}; apt-ftparchive packages {pool.name} > /build/Packages; "
        f"mv /build/Packages {index}/Packages; gzip -9nk {index}/Packages; cd {where}; "
        "apt-ftparchive -o APT::FTPArchive::Release::Components=stable -o APT::FTPArchive::Release::Codename=bookworm "
        "-o APT::FTPArchive::Release::Suite=stable -o APT::FTPArchive::Release::Architectures=amd64 release . "
        f"> /build/Release; mv /build/Release Release; {home}; gpg --batch --yes --clearsign -o InRelease Release; "
        "gpg --batch --yes --armor --detach-sign -o Release.gpg Release"
    )
    shutil.copytree(top, target, dirs_exist_ok=True)
    shutil.rmtree(top)


def _rpm(root: BuildRoot, content: BundleInfo, repository: str, names: Iterable[str], target: Path) -> None:
    """A signed rpm repository with the rpms of the bundle, signed anew."""
    top = root.build / f"rpm-{repository}"
    top.mkdir()
    for name in names:
        package = next((content.path / "rpm").glob(f"{name}-[0-9]*.rpm"))
        shutil.copyfile(package, top / package.name)
    home, name = f"export GNUPGHOME=/build/home-{repository}", f"{repository} of the replica"
    root.script(
        f"cd /build/rpm-{repository}; {home}; "
        f"rpmsign --define '__gpg /usr/bin/gpg' --define '_gpg_name {name}' --addsign *.rpm; createrepo_c --quiet .; "
        "gpg --batch --yes --armor --detach-sign -o repodata/repomd.xml.asc repodata/repomd.xml"
    )
    shutil.copytree(top, target)
    shutil.rmtree(top)


def _cri_dockerd(root: BuildRoot, content: BundleInfo, site: Path) -> None:
    """The archive of cri-dockerd as GitHub has it among the files of a release, with the bundle's own program."""
    known = catalog.load()
    url = urlsplit(known.community.cri_dockerd.format(version=known.cri_dockerd_version))
    shutil.copyfile(next((content.path / "apt").glob("cri-dockerd_*.deb")), root.build / "one.deb")
    root.script(
        "mkdir /build/adapter; cd /build/adapter; dpkg-deb -x /build/one.deb one; mkdir cri-dockerd; "
        "mv one/usr/bin/cri-dockerd cri-dockerd; tar -czf /build/cri-dockerd.tgz cri-dockerd"
    )
    target = site / RELEASES / url.path.lstrip("/")
    target.parent.mkdir(parents=True)
    shutil.copyfile(root.build / "cri-dockerd.tgz", target)


def _images(content: BundleInfo, site: Path) -> None:
    """Every image of the bundle as its registry has it: index, manifest, configuration, compressed layers."""
    with content.open(ALL_IMAGES) as stream, tarfile.open(fileobj=stream) as archive:
        listing = json.load(_member(archive, "manifest.json"))
        layers: dict[str, dict[str, Any]] = {}
        for entry in listing:
            reference = _named(entry["RepoTags"][0])
            if reference.repository.startswith("labctl/"):
                continue
            place = site / reference.registry
            described = []
            for path in entry["Layers"]:
                if path not in layers:
                    layers[path] = _compressed(_member(archive, path), site)
                described.append(layers[path])
                _link(site, place, layers[path])
            config = _store(site, _member(archive, entry["Config"]).read(), "application/vnd.oci.image.config.v1+json")
            _link(site, place, config)
            manifest = _document(place, MANIFEST, {"config": config, "layers": described})
            platform = {"os": "linux", "architecture": "amd64"}
            other = {
                "mediaType": MANIFEST,
                "digest": f"sha256:{'0' * 64}",
                "size": 1,
                "platform": {"os": "linux", "architecture": "s390x"},
            }
            index = _document(place, INDEX, {"manifests": [other, {**manifest, "platform": platform}]})
            tags = place / "tags" / reference.repository
            tags.mkdir(parents=True, exist_ok=True)
            (tags / reference.tag).write_text(index["digest"], encoding="utf-8")
    shutil.rmtree(site / "layers")


def _named(text: str) -> Reference:
    reference = Reference.parse(text)
    tag = AS_KUBEADM_ASKS.get(reference.repository.rpartition("/")[2], reference.tag)
    return Reference(reference.registry, reference.repository, tag)


def _member(archive: tarfile.TarFile, name: str) -> BinaryIO:
    stream = archive.extractfile(name)
    assert stream is not None
    return stream  # type: ignore[return-value]


def _compressed(stream: BinaryIO, site: Path) -> dict[str, Any]:
    """A layer, compressed as registries have them."""
    part = site / "layers" / "part"
    part.parent.mkdir(exist_ok=True)
    with part.open("wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=1, mtime=0, filename="") as sink:
        shutil.copyfileobj(stream, sink, 1 << 20)
    digest = hashlib.file_digest(part.open("rb"), "sha256").hexdigest()
    part.rename(part.with_name(digest))
    size = part.with_name(digest).stat().st_size
    return {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": f"sha256:{digest}", "size": size}


def _store(site: Path, body: bytes, media_type: str) -> dict[str, Any]:
    digest = hashlib.sha256(body).hexdigest()
    (site / "layers").mkdir(exist_ok=True)
    (site / "layers" / digest).write_bytes(body)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(body)}


def _link(site: Path, place: Path, described: dict[str, Any]) -> None:
    """Put a blob where its registry has it."""
    digest = described["digest"].removeprefix("sha256:")
    target = place / "blobs" / digest
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        target.hardlink_to(site / "layers" / digest)


def _document(place: Path, media_type: str, fields: dict[str, Any]) -> dict[str, Any]:
    body = json.dumps({"schemaVersion": 2, "mediaType": media_type, **fields}).encode()
    digest = hashlib.sha256(body).hexdigest()
    (place / "manifests").mkdir(parents=True, exist_ok=True)
    (place / "manifests" / digest).write_bytes(body)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(body)}
