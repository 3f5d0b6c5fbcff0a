"""Package sources at work: make sure the planned one exists, and open it to the nodes while they need it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator import bundle, paths
from orchestrator.errors import HostError
from orchestrator.events import Emit, Note, phase
from orchestrator.model import Plan, SourceAccess
from orchestrator.paths import LabDir
from orchestrator.workflows import lab as labs


def ensure(plan: Plan, emit: Emit) -> None:
    """Build the planned bundle when it is yet to be built; a bundle whose content changed is refused."""
    source = plan.source
    if source.kind != "bundle" or source.bundle_id is None:
        return
    if source.build_bundle:
        with phase(emit, "bundle", "Build the offline bundle from Debian's source package (once)"):
            bundle.build(paths.cache_dir(), emit, "bundle")
    with phase(emit, "bundle", "Check the offline bundle"):
        found = bundle.find(paths.cache_dir(), source.bundle_id)
        problems = bundle.verify(found)
        if problems:
            raise HostError(
                f"the bundle {found.id} in {found.path} is damaged",
                problems=problems,
                fix="labctl bundle build   (makes a damaged bundle anew)",
            )


@contextmanager
def serving(plan: Plan, directory: LabDir, emit: Emit) -> Iterator[SourceAccess]:
    """How the nodes reach packages and images for the length of the block; a bundle is served over HTTP meanwhile."""
    source = plan.source
    reached = SourceAccess(source.apt_url or "", source.apt_suite, source.rpm_url or "", key_url=source.key_url or "")
    if source.kind == "community":
        yield reached
        return
    if source.kind == "mirror":
        key = directory.root / "mirror-key.asc"
        manifest = bundle.fetch_mirror(source.url or "", source.key_url or "", key)
        yield _with_key(reached, str(key), source.image_archive_url or "", manifest.image_archive_sha256)
        return
    found = bundle.find(paths.cache_dir(), source.bundle_id or "")
    with bundle.serve(found, plan.network.gateway, bundle_port(source.url or "")) as server:
        emit(Note(phase="converge", text=f"serving packages to the nodes at {source.url}"))
        key = labs.write_private_copy(found.path / "key.asc", directory.root / "bundle-key.asc")
        yield _with_key(reached, str(key), f"{source.url}/images.tar", found.image_archive_sha256)
        del server


def _with_key(reached: SourceAccess, key: str, archive: str, sha256: str) -> SourceAccess:
    return SourceAccess(reached.apt_url, reached.apt_suite, reached.rpm_url, key, "", archive, sha256 if archive else "")


def bundle_port(url: str) -> int:
    """The port in the URL that the plan gave the nodes."""
    from urllib.parse import urlsplit

    return urlsplit(url).port or 80
