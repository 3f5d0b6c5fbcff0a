"""What the community publishes, fetched for one bundle: packages, images and manifests; and its teaching program."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.bundle import images, packages, programs
from orchestrator.bundle.background import Background
from orchestrator.bundle.download import Downloads, logins
from orchestrator.bundle.known import Known
from orchestrator.bundle.manifest import CALICO, file_sha256
from orchestrator.bundle.packages import Closure
from orchestrator.bundle.recipe import Archive, Recipe, Upstream
from orchestrator.bundle.registry import Blob, Image, Reference, Registries
from orchestrator.bundle.root import BuildRoot
from orchestrator.bundle.upstream_packages import PackageFetcher

# Seconds on 2 cores for the one program; what is fetched is reckoned with 10 MB a second.
SECONDS = 20.0
FETCH_SECONDS = 60.0
_AT_ONCE = 4


def compiled_id(inputs: Recipe) -> str:
    """The id of the programs of the teaching images."""
    return f"programs-{inputs.digest(inputs.files_below('programs'), (inputs.suite, inputs.architecture))}"


class Compiler(Background):
    """The compiler of the teaching images' program, in the build root; no process when the cache has its result."""

    def begin_inside(self) -> None:
        """Begin to compile."""
        if programs.stored(self.cache, compiled_id(self.inputs)):
            return
        shutil.copytree(self.inputs.directory / "programs", self.root.build / "programs")
        script = "; ".join(
            f"cd /build/programs/{place.name}; go build -trimpath -ldflags '-s -w' -o /build/out/{place.name} ."
            for place in sorted((self.inputs.directory / "programs").iterdir())
        )
        environment = ("CGO_ENABLED=0", "GOCACHE=/build/gocache")
        self.spawn(self.root.argv(["/bin/sh", "-euc", script], environment))

    def finish(self, detail: list[str]) -> Path:
        """Wait for the end and keep the programs; raises HostError with the log."""
        name = compiled_id(self.inputs)
        if self.process is not None:
            self.wait(detail, lambda: "programs of the teaching images", 600)
            self.root.script("chmod -R a+rX /build/out")
            programs.keep(self.cache, name, self.root.build / "out")
        found = programs.stored(self.cache, name)
        assert found is not None
        return programs.merge([found], self.root.build / "compiled")


@dataclass(frozen=True)
class Fetched:
    """What was fetched of the community; `programs` are files to pack beside the compiled ones."""

    debs: Closure = field(default_factory=lambda: Closure({}))
    rpms: Mapping[str, str] = field(default_factory=dict)
    images: images.Fetched = field(default_factory=images.Fetched)
    calico: Path | None = None
    programs: Mapping[str, Path] = field(default_factory=dict)

    @property
    def digests(self) -> dict[str, str]:
        """The sha256 of what each image's tag named."""
        return {str(image.reference): image.digest for image in self.images.images}

    @property
    def components(self) -> dict[str, str]:
        """The versions that are not the guest's own."""
        version = packages.versions(self.debs).get("containerd.io") or self.rpms.get("containerd.io")
        return {"containerd": packages.upstream_version(version)} if version else {}


@dataclass
class Fetcher:
    """Fetches one upstream into a build root; `say` takes sentences about waiting, `known` remembers what was seen."""

    root: BuildRoot
    inputs: Recipe
    cache: Path
    known: Known
    say: Callable[[str], None]
    downloads: Downloads = field(init=False)

    def __post_init__(self) -> None:
        addresses = self.upstream.addresses
        self.downloads = Downloads(self.say, addresses.ca, logins(addresses.netrc))

    @property
    def upstream(self) -> Upstream:
        assert self.inputs.upstream is not None
        return self.inputs.upstream

    def fetch(self, tick: Callable[[str], None]) -> Fetched:
        """Fetch everything; `tick` takes what is being done. Raises HostError that says what is wrong."""
        tick("packages")
        fetcher = PackageFetcher(self.root, self.upstream, self.inputs.kubernetes, self.downloads, self.say)
        debs, rpms = fetcher.fetch()
        kubeadm, kubectl = (fetcher.program(name, debs) for name in ("kubeadm", "kubectl"))
        tick("images")
        calico = self._calico()
        fetched = self._images(kubeadm, calico, tick)
        made = {"kubectl": self.root.path / kubectl.lstrip("/"), **self._cri_dockerd()}
        return Fetched(debs, rpms, fetched, calico, made)

    def _images(self, kubeadm: str, calico: Path | None, tick: Callable[[str], None]) -> images.Fetched:
        """Fetch the images that `kubeadm`, a program inside the root, and the manifests name."""
        version = f"--kubernetes-version=v{self.inputs.kubernetes}"
        wanted = self.root.read([kubeadm, "config", "images", "list", version]).split()
        wanted += [*self.upstream.images, *(images_in(calico.read_text(encoding="utf-8")) if calico else ())]
        addresses = self.upstream.addresses
        named = {Reference.parse(text).registry for text in wanted}
        hosts = {name: addresses.of_host(name) for name in named if addresses.url or name in addresses.hosts}
        registries = Registries(self.downloads, self.inputs.architecture, hosts)
        found = [self._unchanged(registries.find(reference)) for reference in wanted]
        # Layers that several images share are fetched once.
        of_blob = {blob: image for image in reversed(found) for blob in image.blobs}
        total, have, lock = sum(blob.size for blob in of_blob), 0, threading.Lock()
        blobs = self.cache / "blobs"

        def count(size: int) -> None:
            nonlocal have
            with lock:
                have += size
                tick(f"{have // 10**6} of {total // 10**6} MB")

        def take(blob: Blob) -> None:
            registries.take(of_blob[blob].reference, blob, blobs, count)

        pool = ThreadPoolExecutor(_AT_ONCE)
        try:
            list(pool.map(take, of_blob))
        finally:
            pool.shutdown(cancel_futures=True)
        for image in found:
            self.known.remember(str(image.reference), image.digest)
        return images.Fetched(tuple(found), blobs)

    def _unchanged(self, image: Image) -> Image:
        """The image, unless its tag named another one when labctl saw it first."""
        self.known.require(str(image.reference), image.digest, f"the image {image.reference}")
        return image

    def _calico(self) -> Path | None:
        """The manifest of the pod network, None where there is none."""
        archive = self.upstream.calico
        return self._archive(archive, self.root.build / CALICO) if archive else None

    def _cri_dockerd(self) -> dict[str, Path]:
        """cri-dockerd out of its archive, for labs with Docker."""
        archive = self.upstream.cri_dockerd
        if archive is None:
            return {}
        file = self._archive(archive, self.root.build / "cri-dockerd.tgz")
        self.root.script(f"tar -xzf /build/{file.name} -C /build --strip-components=1 cri-dockerd/cri-dockerd")
        return {"cri-dockerd": self.root.build / "cri-dockerd"}

    def _archive(self, archive: Archive, target: Path) -> Path:
        """A file whose sum the catalog or the user has. Raises HostError for one that nobody has confirmed."""
        what, url = archive.name, self.upstream.addresses.place(archive.url)
        expected = archive.sha256 or self.upstream.addresses.sums.get(archive.name) or self.known.get(archive.name)
        self.downloads.fetch(url, target, what, expected)
        if not expected:
            self.known.confirm(what, file_sha256(target), url)
        return target


def images_in(manifest: str) -> list[str]:
    """The references of images in a manifest of Kubernetes, each once."""
    return list(dict.fromkeys(re.findall(r"^\s*(?:- )?image: [\"']?([^\s\"']+)", manifest, re.MULTILINE)))
