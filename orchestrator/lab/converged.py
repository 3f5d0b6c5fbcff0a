"""Whether the roles would read today what they read when they last brought a lab to its plan."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from orchestrator import paths
from orchestrator.errors import LabError
from orchestrator.lab.inventory import inventory_document
from orchestrator.lab.observed_lab import ObservedLab
from orchestrator.lab.package_source import planned_bundle, source_access
from orchestrator.paths import LabDir, write_private

# What Ansible reads besides the inventory.
_TREES = ("roles", "playbooks", "plugins")
_IGNORED = {"__pycache__", "tests", "molecule"}


def is_unchanged(observed: ObservedLab) -> bool:
    """Whether nothing of that has changed; False when the last run did not come to its end."""
    with suppress(FileNotFoundError, LabError):
        return observed.lab.directory.converged.read_text(encoding="ascii") == _digest(observed)
    return False


def forget(directory: LabDir) -> None:
    """The roles are about to run: until they have, nothing is known of the lab."""
    directory.converged.unlink(missing_ok=True)


def remember(observed: ObservedLab) -> None:
    """The roles have run to their end."""
    with suppress(LabError):  # the bundle was taken away meanwhile
        write_private(observed.lab.directory.converged, _digest(observed))


def files_of(*trees: Path) -> Iterator[Path]:
    """The files below these directories that Ansible may read, in a fixed order."""
    for tree in trees:
        for path in sorted(tree.rglob("*")):
            if path.is_file() and not _IGNORED & set(path.parts):
                yield path


def sum_of(file: Path) -> str:
    """A line for a digest: the file's name and content."""
    return f"{file.name} {hashlib.sha256(file.read_bytes()).hexdigest()}\n"


def _digest(observed: ObservedLab) -> str:
    plan, directory = observed.lab.plan, observed.lab.directory
    bundle = planned_bundle(plan)
    files = [bundle.path / "manifest.json", bundle.key_file, *files_of(*map(paths.data, _TREES))]
    files += [file for file in (directory.node_key, directory.root_password) if file.exists()]
    files += [Path(plan.owner) / plan.ca] if plan.ca else []
    digest = hashlib.sha256("".join(map(sum_of, files)).encode())
    digest.update(json.dumps(inventory_document(observed), sort_keys=True).encode())
    digest.update(json.dumps(asdict(source_access(plan, directory)), sort_keys=True).encode())
    return digest.hexdigest()
