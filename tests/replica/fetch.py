"""Fetches one bundle's worth from the community in a root that is there: `python -m tests.replica.fetch JOB`.

Runs inside the namespace, as labctl does; JOB is JSON, the answer too: what was fetched, or labctl's message.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from orchestrator import bundle, catalog
from orchestrator.addresses import Addresses
from orchestrator.bundle import download, recipe
from orchestrator.bundle.community import Fetcher
from orchestrator.bundle.known import Known
from orchestrator.bundle.root import BuildRoot
from orchestrator.errors import HostError

# Seconds: what takes a minute at a user's takes a moment here.
PATIENCE = 3.0


def fetch(job: dict[str, Any]) -> dict[str, Any]:
    """Fetch what the job names and say how it went."""
    download._OVER = PATIENCE
    root, cache = BuildRoot(Path(job["root"]), Path(job["root"]).with_name("fetch.log")), Path(job["cache"])
    said: list[str] = []
    for place in ("keys", "debs", "rpms", "trees", "el", "dnf", "rpmdb"):
        shutil.rmtree(root.build / place, ignore_errors=True)
    for name in ("hosts", "resolv.conf"):
        shutil.copyfile(Path("/etc") / name, root.path / "etc" / name)
    for place in ("sources.list.d", "auth.conf.d"):
        shutil.rmtree(root.path / "etc" / "apt" / place, ignore_errors=True)
        (root.path / "etc" / "apt" / place).mkdir()
    root.script(
        "mkdir -p /build/debs; rm -rf /var/lib/apt/lists/*k8s* /var/lib/apt/lists/*docker* /var/lib/apt/lists/partial/*"
    )
    addresses = Addresses(**job["addresses"]) if job.get("addresses") else bundle.trusted()
    wish = bundle.Wish("1.37.2", job.get("guest", "debian-12"), job.get("runtime", "containerd"), "bridge_cni")
    inputs = bundle.community(wish, catalog.load(), addresses)
    assert isinstance(inputs, recipe.Recipe)
    fetcher = Fetcher(root, inputs, cache, Known(cache / "known.json", job.get("accepted", {})), said.append)
    fetcher.downloads.sleep = lambda seconds: None
    try:
        fetched = fetcher.fetch(lambda text: None)
    except HostError as error:
        return {"message": error.message, "fix": error.fix, "said": said}
    versions = {**{name: file.split("_")[1] for name, file in fetched.debs.files.items()}, **fetched.rpms}
    return {"digests": fetched.digests, "packages": versions, "components": fetched.components, "said": said}


if __name__ == "__main__":
    print(json.dumps(fetch(json.loads(sys.argv[1]))))
