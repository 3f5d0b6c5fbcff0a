#!/usr/bin/python3
"""Fills, lists and empties the registry of a lab; runs on the node that has it, with nothing but Python.

`push NAME...` reads an archive of `docker save` or of an OCI layout from standard input, `pull NAME` writes one.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import http.client
import io
import json
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

DIRECTORY = "/var/lib/labctl-registry"
ADDRESS_FILE = "/etc/labctl-registry/address"
PROGRAM = "/usr/local/sbin/labctl-registry"
CONFIGURATION = "/etc/labctl-registry/config.yml"
HUB = "docker.io"
# Registries with a folder of their own in this one; the names of all others are kept together in OTHERS.
HOSTS = ("quay.io", "registry.k8s.io", "ghcr.io", "gcr.io")
OTHERS = "other"
NAME = re.compile(r"[a-z0-9]+((\.|__?|-+|/)[a-z0-9]+)*:[\w][\w.-]{0,127}", re.ASCII)
LABEL = "labctl.image"
# The most that the registry gives at once.
PAGE = 1000
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
MANIFESTS = (MANIFEST, "application/vnd.docker.distribution.manifest.v2+json")
LAYER = "application/vnd.oci.image.layer.v1.tar"
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
PACKED = {b"\x1f\x8b": "+gzip", b"\x28\xb5": "+zstd"}
EXPORT = {
    "docker": ["docker", "save"],
    "containerd": ["ctr", "--namespace", "k8s.io", "images", "export", "-"],
}


class Refused(Exception):
    """What cannot be done, in a sentence."""


def parse(name: str) -> tuple[str, str]:
    """An image's name as runtimes read it -> its repository here, and its tag."""
    if "@" in name:
        raise Refused(f"{name} names a digest; name a tag")
    path, tag = name.rsplit(":", 1) if ":" in name.rpartition("/")[2] else (name, "latest")
    host, slash, rest = path.partition("/")
    if not slash or not (set(".:") & set(host) or host == "localhost"):
        host, rest = HUB, path
    if not NAME.fullmatch(f"{rest}:{tag}"):
        raise Refused(f"{name} is no name of an image: small letters, digits, and . _ - / between them, then :TAG")
    if host == HUB:
        return (rest if "/" in rest else f"library/{rest}"), tag
    return f"{host if host in HOSTS else OTHERS}/{rest}", tag


def full_name(repository: str, tag: str) -> str:
    """The name under which runtimes find a repository; `*` stands for any registry that has no folder of its own."""
    host, _, rest = repository.partition("/")
    if host in HOSTS:
        return f"{repository}:{tag}"
    return f"*/{rest}:{tag}" if host == OTHERS else f"{HUB}/{repository}:{tag}"


def call(method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> http.client.HTTPResponse:
    """The answer of the registry. Raises Refused when it does not answer or says no; HTTPError 404 passes through."""
    address = Path(ADDRESS_FILE).read_text(encoding="ascii").strip()
    url = path if "://" in path else f"http://{address}/v2/{path}"
    request = urllib.request.Request(url, data=body, method=method, headers=headers or {})
    # A proxy of the node's environment does not lead to the node itself.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        answer: http.client.HTTPResponse = opener.open(request, timeout=120)
    except urllib.error.HTTPError as problem:
        if problem.code == 404:
            raise
        raise Refused(f"the registry says {problem.code}: {problem.read(300).decode(errors='replace')}") from None
    except OSError as problem:
        raise Refused(f"the registry at {address} does not answer: {getattr(problem, 'reason', problem)}") from None
    return answer


def read(path: str, accept: str = "*/*") -> bytes:
    with call("GET", path, headers={"Accept": accept}) as answer:
        return answer.read()


def manifest_of(repository: str, tag: str) -> tuple[bytes, str] | None:
    """The manifest of an image with its media type; None when the registry lacks it."""
    try:
        with call("GET", f"{repository}/manifests/{tag}", headers={"Accept": ", ".join(MANIFESTS)}) as answer:
            return answer.read(), answer.headers["Content-Type"]
    except urllib.error.HTTPError:
        return None


def digest_of(stream: BinaryIO) -> tuple[str, int]:
    """Digest and size of what is left in a stream, which is at its start again."""
    digest = hashlib.sha256()
    while chunk := stream.read(1 << 20):
        digest.update(chunk)
    size = stream.tell()
    stream.seek(0)
    return f"sha256:{digest.hexdigest()}", size


def send_blob(repository: str, stream: BinaryIO) -> dict[str, Any]:
    """Store a blob unless the registry has it; its descriptor without a media type."""
    digest, size = digest_of(stream)
    try:
        call("HEAD", f"{repository}/blobs/{digest}").close()
    except urllib.error.HTTPError:
        with call("POST", f"{repository}/blobs/uploads/", b"") as answer:
            place = answer.headers["Location"]
        mark = "&" if "?" in place else "?"
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        call("PUT", f"{place}{mark}digest={digest}", stream, headers).close()
    return {"digest": digest, "size": size}


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Be the only one who changes the registry: what is stored while space is given back could go with it."""
    with Path(DIRECTORY, ".lock").open("w", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class Archive:
    """An archive of images on disk: of `docker save`, of an OCI layout, or both in one."""

    def __init__(self, file: BinaryIO) -> None:
        try:
            self.tar = tarfile.open(fileobj=file)  # noqa: SIM115 - it lives as long as the command
            self.members = {item.name.removeprefix("./"): item for item in self.tar if item.isfile()}
        except tarfile.TarError:
            raise Refused("this is no archive of images: make one with docker save") from None

    def open(self, name: str) -> BinaryIO:
        found = self.tar.extractfile(self.members[name]) if name in self.members else None
        if found is None:
            raise Refused(f"the archive lacks {name}: it is damaged or no archive of images")
        return found  # type: ignore[return-value]

    def json(self, name: str) -> Any:
        return json.load(self.open(name))

    def images(self) -> list[dict[str, Any]]:
        """Each image as `names`, the file of its `config` and those of its `layers`."""
        if "manifest.json" in self.members:
            return [
                {"names": one["RepoTags"] or [], "config": one["Config"], "layers": one["Layers"]}
                for one in self.json("manifest.json")
            ]
        if "index.json" not in self.members:
            raise Refused("this is no archive of images: it has neither manifest.json nor index.json")
        return [self._of_layout(entry) for entry in self.json("index.json")["manifests"]]

    def _of_layout(self, entry: dict[str, Any]) -> dict[str, Any]:
        names = [entry.get("annotations", {}).get("org.opencontainers.image.ref.name", "")]
        body = self.json(_blob(entry))
        while body.get("mediaType", entry["mediaType"]) in INDEXES:
            built = [(one, one.get("platform", {}).get("architecture")) for one in body["manifests"]]
            fitting = [one for one, architecture in built if architecture == ARCHITECTURE]
            if not fitting:
                raise Refused(f"the archive has no image for {ARCHITECTURE}")
            entry = fitting[0]
            body = self.json(_blob(entry))
        # Of some tools it is a tag alone, which names nothing.
        names = [name for name in names if "/" in name or ":" in name]
        return {"names": names, "config": _blob(body["config"]), "layers": [_blob(one) for one in body["layers"]]}


def _blob(descriptor: dict[str, Any]) -> str:
    return "blobs/" + descriptor["digest"].replace(":", "/")


def store(archive: Archive, image: dict[str, Any], name: str, label: str = "") -> None:
    """Put one image of an archive under a name, with a label that says what it is where one is given."""
    repository, tag = parse(name)
    layers = []
    for file in image["layers"]:
        with archive.open(file) as stream:
            kind = LAYER + PACKED.get(stream.read(2), "")
            stream.seek(0)
            layers.append({"mediaType": kind, **send_blob(repository, stream)})
    config = archive.open(image["config"]).read()
    if label:
        body = json.loads(config)
        body["config"] = {**(body.get("config") or {})}
        body["config"]["Labels"] = {**(body["config"].get("Labels") or {}), LABEL: label}
        config = json.dumps(body).encode()
    described = {"mediaType": CONFIG, **send_blob(repository, io.BytesIO(config))}
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": described, "layers": layers}
    headers = {"Content-Type": MANIFEST}
    call("PUT", f"{repository}/manifests/{tag}", json.dumps(manifest).encode(), headers).close()


def push(names: list[str]) -> None:
    """Store the image of standard input under these names, without any under its own; print the names."""
    with tempfile.TemporaryFile(dir=DIRECTORY) as file:
        shutil.copyfileobj(sys.stdin.buffer, file, 1 << 20)
        file.seek(0)
        archive = Archive(file)
        images = archive.images()
        if names and len(images) != 1:
            raise Refused(f"the archive has {len(images)} images; one name is for an archive of one")
        if unnamed := [one for one in images if not (names or one["names"])]:
            raise Refused(f"{len(unnamed)} images of the archive have no name: give one with --as NAME")
        for image in images:
            for name in names or image["names"]:
                store(archive, image, name)
                print(full_name(*parse(name)))


def fill(runtime: str, images: list[dict[str, Any]]) -> None:
    """Store images that the node's runtime has, each under names that the registry lacks yet; print the names."""
    missing = [(one, name) for one in images for name in one["names"] if not manifest_of(*parse(name))]
    for image in {one["image"]: one for one, _ in missing}.values():
        own = full_name(*parse(image["image"]))
        # Docker knows its images by the short names, containerd by the whole ones.
        reference = image["image"] if runtime == "docker" else own
        with tempfile.TemporaryFile(dir=DIRECTORY) as file:
            done = subprocess.run([*EXPORT[runtime], reference], stdout=file, stderr=subprocess.PIPE, check=False)
            if done.returncode:
                raise Refused(f"{runtime} cannot export {reference}: {done.stderr.decode(errors='replace').strip()}")
            file.seek(0)
            archive = Archive(file)
            for name in (name for one, name in missing if one["image"] == image["image"]):
                label = "" if full_name(*parse(name)) == own else f"{image['image']}, {image['about']}"
                store(archive, archive.images()[0], name, label)
                print(full_name(*parse(name)))


def repositories() -> list[str]:
    """The names of all repositories, those without a tag included; the registry gives a page at a time."""
    found: list[str] = []
    while True:
        after = f"&last={urllib.parse.quote(found[-1], safe='')}" if found else ""
        page = json.loads(read(f"_catalog?n={PAGE}{after}"))["repositories"]
        found += page
        if len(page) < PAGE:
            return found


def listing() -> list[dict[str, Any]]:
    """Every image with its size in bytes, its digest, and what its label says it is."""
    found = []
    for repository in repositories():
        try:
            tags = json.loads(read(f"{repository}/tags/list"))["tags"] or []
        except urllib.error.HTTPError:  # all its tags were removed
            continue
        for tag in tags:
            if not (answer := manifest_of(repository, tag)):
                continue
            manifest = json.loads(answer[0])
            config = json.loads(read(f"{repository}/blobs/{manifest['config']['digest']}"))
            labels = (config.get("config") or {}).get("Labels") or {}
            found.append(
                {
                    "name": full_name(repository, tag),
                    "size": sum(layer["size"] for layer in manifest["layers"]),
                    "digest": f"sha256:{hashlib.sha256(answer[0]).hexdigest()}",
                    "is": labels.get(LABEL, ""),
                }
            )
    return sorted(found, key=lambda one: one["name"])


def existing(name: str) -> tuple[str, str, bytes, str]:
    """Repository, tag, manifest and its media type. Raises Refused for an image that is not there."""
    repository, tag = parse(name)
    if not (answer := manifest_of(repository, tag)):
        raise Refused(f"the registry has no {full_name(repository, tag)}")
    return repository, tag, *answer


def pull(name: str) -> None:
    """Write an image to standard output, as `docker save` would."""
    repository, tag, text, _ = existing(name)
    manifest = json.loads(text)
    blobs = [manifest["config"], *manifest["layers"]]
    spoken = full_name(repository, tag).removeprefix("*/")
    table = [{"Config": _blob(blobs[0]), "RepoTags": [spoken], "Layers": [_blob(one) for one in blobs[1:]]}]
    with tarfile.open(fileobj=sys.stdout.buffer, mode="w|") as tar:
        for blob in {one["digest"]: one for one in blobs}.values():
            with call("GET", f"{repository}/blobs/{blob['digest']}") as answer:
                _add(tar, _blob(blob), blob["size"], answer)
        body = json.dumps(table).encode()
        _add(tar, "manifest.json", len(body), io.BytesIO(body))


def _add(tar: tarfile.TarFile, name: str, size: int, stream: Any) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = size
    tar.addfile(entry, stream)


def remove(names: list[str]) -> None:
    """Remove images and give their space back; print the names."""
    found = [existing(name) for name in names]
    for repository, tag, _, _ in found:
        call("DELETE", f"{repository}/manifests/{tag}").close()
        print(full_name(repository, tag))
    argv = [PROGRAM, "garbage-collect", "--delete-untagged", CONFIGURATION]
    done = subprocess.run(argv, capture_output=True, check=False)
    if done.returncode:
        raise Refused(f"their space is not free yet: {done.stderr.decode(errors='replace').strip()[-300:]}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list")
    for command, count in (("push", "*"), ("pull", 1), ("remove", "+"), ("fill", 2)):
        commands.add_parser(command).add_argument("names", nargs=count)
    given = parser.parse_args()
    try:
        if given.command == "list":
            print(json.dumps(listing()))
        elif given.command == "pull":
            pull(given.names[0])
        else:
            with alone():
                if given.command == "fill":
                    fill(given.names[0], json.loads(given.names[1]))
                else:
                    {"push": push, "remove": remove}[given.command](given.names)
    except (Refused, urllib.error.HTTPError) as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
