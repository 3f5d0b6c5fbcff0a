"""The replica that all tests share, filled once, and the root in which packages are fetched from it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from orchestrator import bundle, catalog, debian_mirror, paths
from orchestrator.bundle import manifest, recipes
from orchestrator.bundle.root import BuildRoot
from orchestrator.events import discard
from tests.replica import content, network, server
from tests.replica.network import Namespace
from tests.replica.server import HOSTS, Fault, Replica

ROOT = Path(__file__).resolve().parents[2]
RELAY = 8000


@dataclass
class Internet:
    """A namespace with the replica in it, and the file by which labctl is told whom to trust there."""

    namespace: Namespace
    replica: Replica
    trust: Path
    work: Path
    keys: dict[str, str]
    settings: dict[str, str] = field(default_factory=dict)

    def run(
        self, *command: str, settings: Mapping[str, str] | None = None, timeout: float = 900
    ) -> subprocess.CompletedProcess[str]:
        """Run a command there as a user whom nothing keeps from looking outside; an empty setting is left out."""
        given = {"LABCTL_TRUST": str(self.trust), **self.settings, **(settings or {})}
        argv, environment = self.namespace.argv(*command), network.environment(given)
        return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=timeout, cwd=ROOT)

    @contextmanager
    def fault(self, pattern: str, answer: Callable[[Any], None], times: int = 10**6) -> Iterator[None]:
        """Something goes wrong for the length of the block."""
        self.replica.faults = [Fault(pattern, answer, times)]
        try:
            yield
        finally:
            self.replica.faults = []


@pytest.fixture(scope="session")
def site() -> Path:
    """The folders of the replica with the keys' fingerprints, kept in the cache by what they are made of."""
    if os.geteuid() != 0:
        pytest.skip("a network namespace takes root")
    made_of = bundle.build(paths.cache_dir(), recipes.load("modules", "1.37"), discard, "bundle")
    key = manifest.file_sha256(Path(content.__file__))[:12]
    place = paths.cache_dir() / "replica" / f"{made_of.id}-{key}"
    if not (place / "keys.json").exists():
        shutil.rmtree(place.parent, ignore_errors=True)
        place.mkdir(parents=True)
        work = place / "work"
        work.mkdir()
        keys = content.fill(made_of, place / "site", work)
        shutil.rmtree(work)
        (place / "keys.json").write_text(json.dumps(keys), encoding="utf-8")
    return place


@contextmanager
def served(
    site: Path,
    work: Path,
    *,
    address: str = "127.0.0.1",
    names: tuple[str, ...] = HOSTS,
    since: int = -400,
    with_mirror: bool = True,
    **replica_facts: Any,
) -> Iterator[Internet]:
    """The replica in a namespace of its own, under `names`; the certificate is valid from `since` days from now on.

    Without a mirror nothing of Debian is there either. `replica_facts` are those of Replica.
    """
    keys = json.loads((site / "keys.json").read_text(encoding="utf-8"))
    authority, certificate, key = network.certificates(work, (*HOSTS, server.MIRROR), since)
    trust = work / "trust.yml"
    trust.write_text(f"ca: {authority}\nkeys: {json.dumps(keys)}\n", encoding="utf-8")
    mirror = debian_mirror.find()
    assert mirror is not None
    with ExitStack() as stack:
        namespace = stack.enter_context(network.isolated(work, names, address))
        replica = Replica(site / "site", **replica_facts)
        secured = server.secured(namespace.listen(address, 443), certificate, key)
        stack.callback(server.run(server.Server(secured, replica)))
        if with_mirror:
            relay = type("Relay", (server.Relay,), {"base": mirror.url})
            stack.callback(server.run(server.Server(namespace.listen("127.0.0.1", RELAY), replica, relay)))
        settings = {"LABCTL_DEBIAN_MIRROR": f"http://127.0.0.1:{RELAY}"}
        yield Internet(namespace, replica, trust, work, keys, settings)


@pytest.fixture(scope="module")
def internet(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Internet]:
    with served(site, tmp_path_factory.mktemp("internet")) as made:
        yield made


@pytest.fixture(scope="session")
def root(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A build root with the tools of a community bundle, as every build makes one for itself."""
    inputs, mirror = bundle.community(bundle.Wish("1.37.2", "rocky-9"), catalog.load()), debian_mirror.find()
    assert mirror is not None
    work = tmp_path_factory.mktemp("root")
    made = BuildRoot(work / "root", work / "root.log")
    made.create(mirror, inputs.suite, inputs.tools)
    yield made.path
    made.remove()


Fetch = Callable[..., dict[str, Any]]


def start_fetch(internet: Internet, root: Path, cache: Path) -> subprocess.Popen[bytes]:
    """The same in the background, with nobody in between: the returned process is the one that fetches."""
    environment = network.environment({"LABCTL_TRUST": str(internet.trust), **internet.settings})
    text = json.dumps({"root": str(root), "cache": str(cache)})
    argv = internet.namespace.argv(str(ROOT / ".venv/bin/python"), "-m", "tests.replica.fetch", text)
    return subprocess.Popen(argv, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def fetch_in(internet: Internet, root: Path, cache: Path, environment: Mapping[str, str], **job: Any) -> dict[str, Any]:
    """What `tests.replica.fetch` says inside the namespace."""
    text = json.dumps({"root": str(root), "cache": str(cache), **job})
    command = (str(ROOT / ".venv/bin/python"), "-m", "tests.replica.fetch", text)
    done = internet.run(*command, settings=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
