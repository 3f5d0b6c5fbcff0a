"""The lab as a context of the user's own kubeconfig: merged into it, updated, and removed."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.errors import LabError, SpecError
from orchestrator.events import Emit, Note
from orchestrator.lab.kubectl import kubeconfig_path
from orchestrator.lab.result import Result
from orchestrator.lab.state import Lab
from orchestrator.lab.yaml_text import dump_yaml, load_yaml
from orchestrator.paths import LabDir, write_private

# Marks the entries of a lab: kubectl keeps extensions that it does not know.
EXTENSION = "labctl"
SECTIONS = {"clusters": "cluster", "contexts": "context", "users": "user"}
LOCK_SECONDS = 3.0
OTHER_FILE = "kubeconfig --merge --into FILE"


@dataclass(frozen=True)
class ContextChange(Result):
    """A change of the user's kubeconfig; `context` is None when the file has nothing of the lab.

    `backup` is the copy of the file before the lab was merged into it.
    """

    path: Path
    context: str | None
    changed: bool
    backup: Path | None = None
    schema = "labctl/kubeconfig/v1"


def user_kubeconfig() -> Path:
    """The user's own kubeconfig."""
    return Path.home() / ".kube" / "config"


def merge_context(lab: Lab, file: Path, *, context: str = "") -> ContextChange:
    """Add the lab to `file` as a context named after it and make that the current one.

    Raises SpecError, the file untouched, when it is no kubeconfig, belongs to another user, or has an entry of that
    name which is not this lab's.
    """
    name = context or lab.plan.name
    lab_document = _read(kubeconfig_path(lab))
    target = file.resolve()
    with _locked(target):
        document, exists = _read(target), target.exists()
        _refuse_foreign(document, name, lab.plan.uuid, file)
        before = dump_yaml(document)
        merged_mark = _mark(document, lab.plan.uuid)
        mark = {"uuid": lab.plan.uuid, "previous": document.get("current-context") or "", "made": not exists}
        _remove_entries(document, lab.plan.uuid)
        _add_entries(document, lab_document, name, mark | merged_mark)
        document["current-context"] = name
        changed = not exists or dump_yaml(document) != before
        # One copy, of the file as it was without the lab.
        backup = _back_up(target) if exists and changed and not merged_mark else None
        if changed:
            write_private(target, dump_yaml(document))
    write_private(_record(lab.directory), json.dumps({"file": str(file.absolute()), "context": name}) + "\n")
    return ContextChange(file, name, changed, backup)


def unmerge_context(lab: Lab, file: Path) -> ContextChange:
    """Remove the lab from `file`; clusters that it creates later are not merged either. Raises as `merge_context`."""
    change = _remove_lab(lab.plan.uuid, file)
    if _merged_file(lab.directory)[0] == file.absolute():
        _record(lab.directory).unlink()
    return change


def refresh(lab: Lab, emit: Emit, phase: str) -> None:
    """Update a merged context: a cluster that was created again has new keys."""
    file, context = _merged_file(lab.directory)
    if file is None:
        return
    try:
        if merge_context(lab, file, context=context).changed:
            emit(Note(phase=phase, text=f"updated the context {context} in {file}"))
    except LabError as problem:
        emit(Note(phase=phase, text=f"the lab's context was not updated: {problem.message}"))


def remove_context(uuid: str, directory: LabDir, emit: Emit, phase: str) -> None:
    """Remove a lab that is destroyed from the user's kubeconfig; a failure is emitted as a note."""
    file = _merged_file(directory)[0] or user_kubeconfig()
    try:
        if (change := _remove_lab(uuid, file)).changed:
            emit(Note(phase=phase, text=f"removed the context {change.context} from {file}"))
    except LabError as problem:
        emit(Note(phase=phase, text=f"the lab's context was not removed: {problem.message}"))


def _record(directory: LabDir) -> Path:
    return directory.root / "merged.json"


def _merged_file(directory: LabDir) -> tuple[Path | None, str]:
    """The file and context that this lab was merged into, as its state has them."""
    try:
        record = json.loads(_record(directory).read_text(encoding="utf-8"))
        return Path(record["file"]), str(record.get("context", ""))
    except (FileNotFoundError, KeyError, TypeError, ValueError):
        return None, ""


def _remove_lab(uuid: str, file: Path) -> ContextChange:
    target = file.resolve()
    if not target.exists():
        return ContextChange(file, None, changed=False)
    with _locked(target):
        document = _read(target)
        mark = _mark(document, uuid)
        names = _remove_entries(document, uuid)
        if not names:
            return ContextChange(file, None, changed=False)
        if document.get("current-context") in names:
            existing = {item["name"] for item in document["contexts"]}
            document["current-context"] = mark["previous"] if mark.get("previous") in existing else ""
        if mark.get("made") and not any(document[section] for section in SECTIONS):
            target.unlink()
        else:
            write_private(target, dump_yaml(document))
        return ContextChange(file, names[0], changed=True)


def _read(file: Path) -> dict[str, Any]:
    """The kubeconfig in a file, comments kept; an empty one when there is no file."""
    from ruamel.yaml.error import YAMLError

    try:
        if file.exists() and file.stat().st_uid != os.getuid():
            raise SpecError(f"{file} belongs to another user; it was not changed", fix=OTHER_FILE)
        document = load_yaml(file.read_text(encoding="utf-8")) if file.exists() else None
    except (YAMLError, UnicodeDecodeError) as problem:
        reason = str(problem).replace("\n", " ")[:120]
        raise SpecError(f"{file} is not valid YAML; it was not changed: {reason}", fix=f"repair {file}") from None
    except OSError as problem:
        raise SpecError(f"{file} cannot be read: {problem.strerror}", fix=f"ls -l {file}") from None
    if document is None:
        document = load_yaml("apiVersion: v1\nkind: Config\npreferences: {}\n")
    if not _is_kubeconfig(document):
        raise SpecError(f"{file} is not a kubeconfig; it was not changed", fix=OTHER_FILE)
    for section in SECTIONS:
        document[section] = document.get(section) or []
    kubeconfig: dict[str, Any] = document
    return kubeconfig


def _is_kubeconfig(document: Any) -> bool:
    if not isinstance(document, dict) or document.get("kind", "Config") != "Config":
        return False
    return all(
        isinstance(items := document.get(section) or [], list)
        and all(isinstance(item, dict) and "name" in item and isinstance(item.get(part), dict) for item in items)
        for section, part in SECTIONS.items()
    )


def _mark_of(item: dict[str, Any], part: str) -> dict[str, Any]:
    extensions = item[part].get("extensions") or []
    bodies = [one.get("extension") for one in extensions if one.get("name") == EXTENSION]
    return next((dict(body) for body in bodies if isinstance(body, dict)), {})


def _mark(document: dict[str, Any], uuid: str) -> dict[str, Any]:
    """The mark of the lab's context; empty when the file has none."""
    marks = (_mark_of(item, "context") for item in document["contexts"])
    return next((mark for mark in marks if mark.get("uuid") == uuid), {})


def _refuse_foreign(document: dict[str, Any], name: str, uuid: str, file: Path) -> None:
    for section, part in SECTIONS.items():
        for item in document[section]:
            if item["name"] == name and _mark_of(item, part).get("uuid") != uuid:
                raise SpecError(
                    f"{file} has a {part} {name} that is not this lab's; it was not changed",
                    fix="labctl kubeconfig --merge --context ANOTHER-NAME",
                )


def _remove_entries(document: dict[str, Any], uuid: str) -> list[str]:
    """Remove the lab's entries; returns their names, the context's among them."""
    removed: list[str] = []
    for section, part in SECTIONS.items():
        for item in [item for item in document[section] if _mark_of(item, part).get("uuid") == uuid]:
            document[section].remove(item)
            removed.append(item["name"])
    return removed


def _add_entries(document: dict[str, Any], lab: dict[str, Any], name: str, mark: dict[str, Any]) -> None:
    for section, part in SECTIONS.items():
        body = dict(lab[section][0][part])
        if part == "context":
            body |= {"cluster": name, "user": name}
        body["extensions"] = [{"name": EXTENSION, "extension": dict(mark)}]
        document[section].append({"name": name, part: body})


def _back_up(target: Path) -> Path:
    backup = target.with_name(f"{target.name}.labctl-{time.strftime('%Y%m%d-%H%M%S')}")
    shutil.copy2(target, backup)
    backup.chmod(0o600)
    return backup


@contextmanager
def _locked(target: Path) -> Iterator[None]:
    """Hold the lock file that kubectl takes for its own changes."""
    from filelock import SoftFileLock, Timeout

    lock = SoftFileLock(f"{target}.lock", timeout=LOCK_SECONDS, mode=0o600)
    try:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock.acquire()
    except Timeout:
        raise SpecError(
            f"another program is changing {target}: {lock.lock_file} exists",
            fix=f"wait for kubectl to end; if none runs: rm {lock.lock_file}",
        ) from None
    except OSError as problem:
        raise SpecError(f"{target.parent} cannot be written: {problem.strerror}", fix="--into FILE") from None
    try:
        yield
    finally:
        lock.release()
