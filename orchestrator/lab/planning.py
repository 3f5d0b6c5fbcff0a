"""`labctl plan`: load lab.yml, observe, decide. Nothing is started and nothing is written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from orchestrator import catalog, spec
from orchestrator.errors import ProviderError, SpecError
from orchestrator.lab.observe import existing_plan, observe
from orchestrator.lab.state import lab_file
from orchestrator.model import Observed, Plan
from orchestrator.paths import LabDir
from orchestrator.plan import plan as make_plan
from orchestrator.providers.base import LabIdentity
from orchestrator.spec import Override, Spec


def load(file: Path | None, overrides: Sequence[Override] = ()) -> Spec:
    """The Spec of the given file, of ./lab.yml, or of no file. Raises SpecError; a named file must exist.

    Where nobody says how many workers there are, a lab that exists has as many as it has: it may have been scaled.
    """
    asked = _load(file, overrides)
    there = existing_plan(directory_of(asked))
    if there is None or asked.is_explicit("workers.count") or there.provider == "static":
        return asked
    if len(there.workers) == asked.lab.workers.count:
        return asked
    kept = Override("workers.count", len(there.workers), "the lab has them already")
    return _load(file, (*overrides, kept))


def _load(file: Path | None, overrides: Sequence[Override]) -> Spec:
    path = lab_file(file)
    if file is None and not path.exists():
        return replace(spec.load(None, overrides), file=None)
    return spec.load(path, overrides)


def directory_of(asked: Spec) -> LabDir:
    """Where the state of this lab lies, or will lie."""
    return LabDir.beside(lab_file(asked.file), asked.lab.name)


def decide(asked: Spec, observed: Observed | None = None) -> Plan:
    """The plan for this host as it is now. Raises SpecError or HostError with every problem."""
    planned = make_plan(asked, catalog.load(), observed or observe(asked, directory_of(asked)))
    if planned.ca:
        _refuse_no_certificate(Path(planned.owner) / planned.ca)
    return planned


def _refuse_no_certificate(file: Path) -> None:
    """Raise SpecError unless this is a PEM file with certificates and nothing that a machine must not get."""
    try:
        text = file.read_text(encoding="ascii")
    except (OSError, ValueError) as problem:
        why = problem.strerror if isinstance(problem, OSError) else "it is no text"
        raise SpecError(f"ca: {file} cannot be read: {why}", fix="name a PEM file, relative to lab.yml") from None
    if "-----BEGIN CERTIFICATE-----" not in text or "PRIVATE KEY-----" in text:
        what = "holds a private key" if "PRIVATE KEY-----" in text else "holds no certificate in PEM"
        raise SpecError(f"ca: {file} {what}", fix=f"openssl x509 -in {file} -out ca.pem   # and name that")


def refuse_orphans(plan: Plan, directory: LabDir, known: Iterable[LabIdentity]) -> None:
    """Raise ProviderError when this lab has machines and nothing is known of it: its state was deleted or destroyed.

    Their key is lost with it, and a new lab beside them would leave them running for ever.
    """
    if existing_plan(directory) is not None:
        return
    for lab in known:
        if (lab.name, lab.owner) == (plan.name, plan.owner) and lab.uuid != plan.uuid:
            raise ProviderError(
                f"the lab {lab.name} of {lab.owner} has machines, but its state directory is gone: {directory.root}",
                fix="labctl destroy   (removes what is left of it; then labctl provision makes it anew)",
            )


def refuse_fewer(plan: Plan, directory: LabDir) -> None:
    """Raise SpecError when the plan leaves machines of the lab out: they go in order, or not at all."""
    there = existing_plan(directory)
    names = {node.name for node in plan.nodes}
    if there and (over := [node.name for node in there.nodes if node.name not in names]):
        raise SpecError(
            f"the lab has {', '.join(over)}, which provision would leave behind: it never removes a machine",
            fix=f"labctl scale --workers {len(plan.workers)}   (drains and removes them)",
        )
