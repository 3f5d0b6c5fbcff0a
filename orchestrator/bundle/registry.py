"""Images from public registries: found by tag, taken by digest, their layers kept by content and shared by bundles."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from orchestrator.bundle.download import Downloads
from orchestrator.errors import HostError

_INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
_MANIFESTS = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
_ACCEPT = ", ".join((*_INDEXES, *_MANIFESTS))
# Docker Hub answers under another name than the one that its images carry.
_HUB, _HUB_HOST = "docker.io", "registry-1.docker.io"
_FOREVER = 1e9


@dataclass(frozen=True)
class Reference:
    """An image by name: `registry` as its references write it, `repository` there, `tag`."""

    registry: str
    repository: str
    tag: str

    @classmethod
    def parse(cls, text: str) -> Reference:
        """A reference in full (quay.io/calico/node:v3) or Docker Hub's short form (nginx:1)."""
        name, _, tag = text.rpartition(":")
        first, _, rest = name.partition("/")
        if not rest or not ("." in first or ":" in first or first == "localhost"):
            first, rest = _HUB, name if "/" in name else f"library/{name}"
        return cls(first, rest, tag)

    def __str__(self) -> str:
        return f"{self.registry}/{self.repository}:{self.tag}"


@dataclass(frozen=True)
class Blob:
    """A piece of an image: `digest` is its sha256 as hex digits, `size` in bytes."""

    digest: str
    size: int


@dataclass(frozen=True)
class Image:
    """An image as its registry describes it for this processor; `digest` is that of what the tag names."""

    reference: Reference
    digest: str
    config: Blob
    layers: tuple[Blob, ...]

    @property
    def blobs(self) -> tuple[Blob, ...]:
        return (self.config, *self.layers)


def blob_path(blobs: Path, digest: str) -> Path:
    """Where a blob lies in the folder of all blobs."""
    return blobs / "sha256" / digest


@dataclass
class Registries:
    """Access to registries; `hosts` maps the registry of a reference to the base URL that stands for it."""

    downloads: Downloads
    architecture: str
    hosts: Mapping[str, str] = field(default_factory=dict)
    _tokens: dict[str, tuple[str, float]] = field(default_factory=dict)

    def find(self, text: str) -> Image:
        """The image that a reference names now. Raises HostError when there is none, or none for this processor."""
        reference = Reference.parse(text)
        digest, body = self._manifest(reference, reference.tag)
        if body.get("mediaType") in _INDEXES or "manifests" in body:
            fitting = [entry for entry in body["manifests"] if _is_for(entry, self.architecture)]
            if not fitting:
                raise HostError(f"{reference} has no image for {self.architecture}", fix="labctl catalog")
            _, body = self._manifest(reference, fitting[0]["digest"])
        return Image(reference, digest, _blob(body["config"]), tuple(_blob(layer) for layer in body["layers"]))

    def take(self, reference: Reference, blob: Blob, blobs: Path, tick: Callable[[int], None]) -> None:
        """Download a blob of an image unless the folder `blobs` has it; `tick` is told bytes."""
        target = blob_path(blobs, blob.digest)
        if target.exists():
            tick(blob.size)
            return
        url, what = self._url(reference, "blobs", f"sha256:{blob.digest}"), f"a layer of {reference}"
        self.downloads.fetch(url, target, what, blob.digest, headers=self._authorized(reference), tick=tick)

    def _manifest(self, reference: Reference, name: str) -> tuple[str, dict[str, Any]]:
        """The digest and content of a manifest or index. Raises HostError for one that is not what its digest says."""
        url, what = self._url(reference, "manifests", name), f"the image {reference}"
        answer = self.downloads.read(url, what, {"Accept": _ACCEPT, **self._authorized(reference)})
        digest = hashlib.sha256(answer.body).hexdigest()
        if name.startswith("sha256:") and name != f"sha256:{digest}":
            raise HostError(f"{url} has the digest sha256:{digest}: {what} is not used", fix="repeat the command")
        try:
            body: dict[str, Any] = json.loads(answer.body)
            if "manifests" not in body and not ("config" in body and "layers" in body):
                raise ValueError("it describes no image")
        except ValueError as error:
            raise HostError(f"{url} does not describe an image: {error}", fix=f"curl -I {url}") from None
        return digest, body

    def _url(self, reference: Reference, kind: str, name: str) -> str:
        host, prefix = self._place(reference.registry)
        return f"{host}/v2/{prefix}{reference.repository}/{kind}/{name}"

    def _place(self, registry: str) -> tuple[str, str]:
        """Scheme with host, and what comes before the repositories there, with a slash at its end unless empty."""
        base = self.hosts.get(registry) or f"https://{_HUB_HOST if registry == _HUB else registry}"
        scheme, _, rest = base.partition("://")
        host, _, prefix = rest.strip("/").partition("/")
        return f"{scheme}://{host}", f"{prefix}/" if prefix else ""

    def _authorized(self, reference: Reference) -> dict[str, str]:
        """The header with a token for reading this repository, where the registry wants one."""
        key = f"{reference.registry}/{reference.repository}"
        token, until = self._tokens.get(key, ("", 0.0))
        if time.monotonic() >= until:
            token, lasts = self._token(reference)
            self._tokens[key] = token, time.monotonic() + lasts
        return {"Authorization": f"Bearer {token}"} if token else {}

    def _token(self, reference: Reference) -> tuple[str, float]:
        """A token and the seconds to use it, as the registry's own challenge says how to get it; empty for none.

        Source: the token authentication of the distribution specification.
        """
        host, prefix = self._place(reference.registry)
        answer = self.downloads.read(f"{host}/v2/", f"the image {reference}", also={401})
        challenge = answer.headers.get("WWW-Authenticate", "") if answer.status == 401 else ""
        if not challenge.lower().startswith("bearer "):
            return "", _FOREVER
        fields = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        query = {"service": fields.get("service", ""), "scope": f"repository:{prefix}{reference.repository}:pull"}
        told = self.downloads.read(f"{fields['realm']}?{urlencode(query)}", f"a token for {reference}")
        body = json.loads(told.body)
        # By the specification 60 seconds where nothing is said; half of it leaves time for the request.
        return str(body.get("token") or body.get("access_token") or ""), float(body.get("expires_in", 60)) / 2


def _is_for(entry: Mapping[str, Any], architecture: str) -> bool:
    platform = entry.get("platform", {})
    return bool(platform.get("os") == "linux" and platform.get("architecture") == architecture)


def _blob(entry: Mapping[str, Any]) -> Blob:
    algorithm, _, digest = str(entry["digest"]).partition(":")
    if algorithm != "sha256" or not re.fullmatch("[0-9a-f]{64}", digest):
        raise HostError(f"an image has a layer with the digest {entry['digest']}, which is no sha256", fix="repeat")
    return Blob(digest, int(entry["size"]))
