"""`labctl kubeconfig --merge`: the lab as a context of the user's own kubeconfig, and out of it again."""

from __future__ import annotations

import io
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.errors import LabError, SpecError
from orchestrator.events import Emit, Note
from orchestrator.lab.kubectl import kubeconfig_path
from orchestrator.lab.state import Lab
from orchestrator.paths import LabDir, write_private

# The mark by which an entry is known as that of a lab: kubectl keeps extensions that it does not know.
EXTENSION = "labctl"
LISTS = {"clusters": "cluster", "contexts": "context", "users": "user"}
LOCK_SECONDS = 3.0


@dataclass(frozen=True)
class Merged:
    """A change of the user's kubeconfig: the file, the context, the copy of what was there before (None: no file)."""

    file: Path
    context: str
    backup: Path | None
    changed: bool


def user_file() -> Path:
    """The user's own kubeconfig."""
    return Path.home() / ".kube" / "config"


def merge(lab: Lab, file: Path, *, context: str = "") -> Merged:
    """Put the lab into `file` as a context named after it and make that the current one.

    Raises SpecError, the file untouched, when it is no kubeconfig, not the user's own, or has an entry of that
    name which is not this lab's.
    """
    name = context or lab.plan.name
    own = _read(kubeconfig_path(lab))
    target = file.resolve()
    with _locked(target):
        document = _read(target)
        _refuse_foreign(document, name, lab.plan.uuid, file)
        before = _text(document)
        previous = document.get("current-context") or ""
        kept = _marks(document, lab.plan.uuid)
        mark = {"uuid": lab.plan.uuid, "previous": kept.get("previous", previous), "made": not target.exists()}
        mark["made"] = kept.get("made", mark["made"])
        _remove(document, lab.plan.uuid)
        _add(document, own, name, mark)
        document["current-context"] = name
        changed = _text(document) != before or not target.exists()
        # One copy, of the file as it was without the lab.
        backup = _keep(target) if changed and not kept else None
        if changed:
            write_private(target, _text(document))
    write_private(_note(lab.directory), json.dumps({"file": str(file.absolute()), "context": name}) + "\n")
    return Merged(file, name, backup, changed)


def unmerge(uuid: str, file: Path) -> Merged | None:
    """Take everything of the lab with this id out of `file`; None when nothing of it is there. Raises as `merge`."""
    target = file.resolve()
    if not target.exists():
        return None
    with _locked(target):
        document = _read(target)
        mark = _marks(document, uuid)
        names = _remove(document, uuid)
        if not names:
            return None
        if document.get("current-context") in names:
            there = {item["name"] for item in document["contexts"]}
            document["current-context"] = mark["previous"] if mark.get("previous") in there else ""
        if mark.get("made") and not any(document.get(key) for key in LISTS):
            target.unlink()
            return Merged(file, names[0], None, changed=True)
        write_private(target, _text(document))
        return Merged(file, names[0], None, changed=True)


def leave(lab: Lab, file: Path) -> Merged | None:
    """`unmerge` on the user's wish: later clusters of this lab stay out as well."""
    done = unmerge(lab.plan.uuid, file)
    if merged_file(lab.directory) == file.absolute():
        _note(lab.directory).unlink()
    return done


def merged_file(directory: LabDir) -> Path | None:
    """The file that this lab was merged into, as its state remembers it."""
    try:
        return Path(json.loads(_note(directory).read_text(encoding="utf-8"))["file"])
    except (FileNotFoundError, KeyError, TypeError, ValueError):
        return None


def refresh(lab: Lab, emit: Emit, phase: str) -> None:
    """Bring a merged context up to date: a cluster that was made anew has new keys."""
    if (file := merged_file(lab.directory)) is None:
        return
    try:
        context = str(json.loads(_note(lab.directory).read_text(encoding="utf-8")).get("context", ""))
        if merge(lab, file, context=context).changed:
            emit(Note(phase=phase, text=f"updated the context {context} in {file}"))
    except LabError as problem:
        emit(Note(phase=phase, text=f"the lab's context was not updated: {problem.message}"))


def forget(uuid: str, directory: LabDir, emit: Emit, phase: str) -> None:
    """Take a lab that goes out of the user's kubeconfig; what cannot be done is said and stops nothing."""
    file = merged_file(directory) or user_file()
    try:
        if done := unmerge(uuid, file):
            emit(Note(phase=phase, text=f"removed the context {done.context} from {file}"))
    except LabError as problem:
        emit(Note(phase=phase, text=f"the lab's context was not removed: {problem.message}"))


# Inside.


def _note(directory: LabDir) -> Path:
    return directory.root / "merged.json"


def _read(file: Path) -> dict[str, Any]:
    """The kubeconfig in a file, comments kept; an empty one when there is no file."""
    from ruamel.yaml.error import YAMLError

    try:
        if file.exists() and file.stat().st_uid != os.getuid():
            raise SpecError(f"{file} belongs to another user; it was not touched", fix="kubeconfig --merge --into FILE")
        text = file.read_text(encoding="utf-8")
        document = _yaml().load(text)
    except FileNotFoundError:
        document = None
    except (YAMLError, UnicodeDecodeError) as problem:
        what = str(problem).replace("\n", " ")[:120]
        raise SpecError(f"{file} is not valid YAML; it was not touched: {what}", fix=f"repair {file}") from None
    except OSError as problem:
        raise SpecError(f"{file} cannot be read: {problem.strerror}", fix=f"ls -l {file}") from None
    if document is None:
        document = _yaml().load("apiVersion: v1\nkind: Config\npreferences: {}\n")
    lists = isinstance(document, dict) and all(_is_list(document.get(key), part) for key, part in LISTS.items())
    if not lists or document.get("kind", "Config") != "Config":
        raise SpecError(f"{file} is not a kubeconfig; it was not touched", fix="kubeconfig --merge --into FILE")
    return dict_of(document)


def dict_of(document: Any) -> dict[str, Any]:
    """The document with its three lists in place."""
    for key in LISTS:
        if document.get(key) is None:
            document[key] = []
    made: dict[str, Any] = document
    return made


def _is_list(items: Any, part: str) -> bool:
    return items is None or (
        isinstance(items, list)
        and all(isinstance(item, dict) and "name" in item and isinstance(item.get(part), dict) for item in items)
    )


def _yaml() -> Any:
    from ruamel.yaml import YAML

    yaml = YAML(typ="rt", pure=True)
    yaml.preserve_quotes = True
    yaml.width = 1 << 20
    return yaml


def _text(document: Any) -> str:
    out = io.StringIO()
    _yaml().dump(document, out)
    return out.getvalue()


def _mark_of(item: dict[str, Any], part: str) -> dict[str, Any]:
    for extension in item[part].get("extensions") or []:
        if extension.get("name") == EXTENSION and isinstance(extension.get("extension"), dict):
            found: dict[str, Any] = extension["extension"]
            return found
    return {}


def _marks(document: dict[str, Any], uuid: str) -> dict[str, Any]:
    marks = (_mark_of(item, "context") for item in document["contexts"])
    return next((dict(mark) for mark in marks if mark.get("uuid") == uuid), {})


def _refuse_foreign(document: dict[str, Any], name: str, uuid: str, file: Path) -> None:
    for key, part in LISTS.items():
        for item in document[key]:
            if item["name"] == name and _mark_of(item, part).get("uuid") != uuid:
                raise SpecError(
                    f"{file} has a {part} {name} that is not this lab's; it was not touched",
                    fix="labctl kubeconfig --merge --context ANOTHER-NAME",
                )


def _remove(document: dict[str, Any], uuid: str) -> list[str]:
    """Take the lab's entries out; the names of its contexts, or of what was left of it."""
    gone: list[str] = []
    for key, part in LISTS.items():
        mine = [item for item in document[key] if _mark_of(item, part).get("uuid") == uuid]
        for item in mine:
            document[key].remove(item)
            gone.append(item["name"])
    return gone


def _add(document: dict[str, Any], own: dict[str, Any], name: str, mark: dict[str, Any]) -> None:
    for key, part in LISTS.items():
        body = dict(own[key][0][part])
        if part == "context":
            body |= {"cluster": name, "user": name}
        body["extensions"] = [{"name": EXTENSION, "extension": dict(mark)}]
        document[key].append({"name": name, part: body})


def _keep(target: Path) -> Path | None:
    """Keep the file as it is beside itself; None when there is none."""
    if not target.exists():
        return None
    backup = target.with_name(f"{target.name}.labctl-{time.strftime('%Y%m%d-%H%M%S')}")
    shutil.copy2(target, backup)
    backup.chmod(0o600)
    return backup


@contextmanager
def _locked(target: Path) -> Iterator[None]:
    """Hold the lock file that kubectl takes for its own changes."""
    lock = target.with_name(f"{target.name}.lock")
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL, 0o600))
            break
        except FileExistsError:
            if time.monotonic() > deadline:
                raise SpecError(
                    f"{target} is being changed by another program: {lock} is there",
                    fix=f"wait for kubectl to end; if none runs: rm {lock}",
                ) from None
            time.sleep(0.05)
        except OSError as problem:
            raise SpecError(f"{target.parent} cannot be written: {problem.strerror}", fix="--into FILE") from None
    try:
        yield
    finally:
        with suppress(FileNotFoundError):
            lock.unlink()
