"""`labctl image`: push people's own images into the registry of the lab, list, pull and remove them."""

from __future__ import annotations

import json
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from orchestrator import proc
from orchestrator.errors import HostError, SpecError
from orchestrator.lab.node_access import running_node
from orchestrator.lab.result import Result
from orchestrator.lab.state import Lab
from orchestrator.providers import ssh_access

# An image of some GB over the SSH of an emulated machine.
_SECONDS = 3600.0
_PROGRAM = "sudo /usr/local/sbin/labctl-registry-images"


@dataclass(frozen=True)
class StoredImage:
    """An image of the registry: its name, bytes of its layers, and what it is where the name misleads."""

    name: str
    size: int
    digest: str
    note: str


@dataclass(frozen=True)
class Images(Result):
    """All images of the registry, by name."""

    images: tuple[StoredImage, ...]
    schema = "labctl/image-list/v1"


@dataclass(frozen=True)
class Pushed(Result):
    """The names under which pods find what was pushed; `warning` says which nodes would not look for them."""

    pushed: tuple[str, ...]
    warning: str = ""
    schema = "labctl/image-push/v1"


@dataclass(frozen=True)
class Pulled(Result):
    """The file that an image was written to, its size in bytes."""

    image: str
    file: str
    size: int
    schema = "labctl/image-pull/v1"


@dataclass(frozen=True)
class Removed(Result):
    """The images that the registry does not have any more."""

    removed: tuple[str, ...]
    schema = "labctl/image-remove/v1"


def require_registry(lab: Lab) -> None:
    """Raise SpecError for a lab without a registry."""
    if not lab.plan.registry:
        raise SpecError(
            f"the lab {lab.plan.name} has no registry",
            fix="write `registry: true` into lab.yml, then: labctl provision",
        )


def list_images(lab: Lab) -> Images:
    """All images of the registry. Raises SpecError for a lab without one, ProviderError, HostError."""
    found = json.loads(_on_node(lab, "list").stdout)
    return Images(tuple(StoredImage(one["name"], one["size"], one["digest"], one["is"]) for one in found))


def push(lab: Lab, source: str, name: str = "") -> Pushed:
    """Store an image file, or an image of this host's Docker, under its own name or another one.

    Raises SpecError for a lab without a registry and what is neither file nor image, ProviderError, HostError.
    """
    require_registry(lab)
    with _archive(source) as file:
        # What is built for a Docker lab is named after the reference, whatever else the archive says.
        names = [name or source] if file != Path(source) or name else []
        done = _on_node(lab, "push", *names, stdin=file)
    pushed = tuple(done.stdout.split())
    return Pushed(pushed, _warning(lab, pushed))


def preview_push(lab: Lab, source: str, name: str = "") -> list[str]:
    """What `push` would do. Raises as `push` does for what is known before."""
    require_registry(lab)
    with _archive(source, dry=True):
        return [f"store {source} as {name or 'the names it has'} in the registry on {lab.plan.control_plane.name}"]


def pull(lab: Lab, name: str, target: Path) -> Pulled:
    """Write an image into a file that `docker load` takes, which appears only when it is whole.

    Raises SpecError for a lab without a registry, ProviderError, HostError for an unknown image and an existing file.
    """
    require_registry(lab)
    if target.exists():
        raise HostError(f"{target} exists and is not replaced", fix=f"rm {target}, or another name")
    fresh = target.with_name(f".{target.name}.part")
    # The shell writes what ssh says: an image of some GB is not for memory.
    script = f"{shlex.join(_ssh(lab, 'pull', name))} > {shlex.quote(str(fresh))}"
    try:
        proc.run(["sh", "-c", script], timeout=_SECONDS)
        fresh.replace(target)
    except proc.ProcessFailed as problem:
        raise _refusal(problem) from None
    except OSError as problem:
        raise HostError(f"{target} cannot be written: {problem}", fix=f"df -h {target.parent}") from problem
    finally:
        fresh.unlink(missing_ok=True)
    return Pulled(name, str(target), target.stat().st_size)


def remove(lab: Lab, names: Sequence[str]) -> Removed:
    """Remove images and give their space back. Raises as `list_images`, HostError for an unknown image."""
    return Removed(tuple(_on_node(lab, "remove", *names).stdout.split()))


def preview_remove(lab: Lab, names: Sequence[str]) -> list[str]:
    """What `remove` would do. Raises SpecError for a lab without a registry."""
    require_registry(lab)
    return [f"remove {name} from the registry on {lab.plan.control_plane.name}" for name in names]


def _on_node(lab: Lab, *arguments: str, stdin: Path | None = None) -> proc.Result:
    """The output of the registry's own program on the control plane."""
    require_registry(lab)
    try:
        return proc.run(_ssh(lab, *arguments), timeout=_SECONDS, stdin=stdin)
    except proc.ProcessFailed as problem:
        raise _refusal(problem) from None


def _ssh(lab: Lab, *arguments: str) -> list[str]:
    node = running_node(lab, lab.plan.control_plane.name)
    return ssh_access.ssh_argv(lab.directory, node, command=(f"{_PROGRAM} {shlex.join(arguments)}",))


def _refusal(problem: proc.ProcessFailed) -> HostError:
    said = problem.result.tail
    if "does not answer" in said or "not found" in said:
        return HostError(said, fix="labctl verify, then: labctl provision")
    return HostError(said, fix="labctl image list shows what there is" if "has no" in said else "labctl image --help")


def _warning(lab: Lab, pushed: Sequence[str]) -> str:
    kubernetes = lab.plan.kubernetes
    unseen = [name for name in pushed if not name.startswith("docker.io/")]
    if not unseen or kubernetes is None or kubernetes.runtime != "docker":
        return ""
    return f"Docker asks the lab's registry for images of docker.io alone, so no pod finds {', '.join(unseen)}"


@contextmanager
def _archive(source: str, *, dry: bool = False) -> Iterator[Path]:
    """The file itself, or an image of this host's Docker as a file for as long as the block lasts."""
    if Path(source).is_file():
        yield Path(source)
        return
    if source.startswith(("/", "./", "../", "~")) or source.endswith((".tar", ".tgz", ".tar.gz")):
        raise SpecError(f"there is no file {source}", fix="docker save IMAGE -o FILE, then: labctl image push FILE")
    if shutil.which("docker") is None:
        raise HostError(
            f"{source} is no file, and this host has no docker to take the image from",
            fix="save it as a file where it is (docker save, podman save), then: labctl image push FILE",
        )
    with tempfile.TemporaryDirectory(prefix="labctl-image-") as directory:
        file = Path(directory, "image.tar")
        argv = ["docker", "image", "inspect", source] if dry else ["docker", "save", "--output", str(file), source]
        try:
            proc.run(argv, timeout=_SECONDS)
        except proc.ProcessFailed as problem:
            raise HostError(
                f"this host's Docker cannot give the image {source}: {problem.result.tail}",
                fix=f"docker image ls {source}; or labctl image push FILE",
            ) from None
        yield file
