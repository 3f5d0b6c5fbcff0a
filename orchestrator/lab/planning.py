"""Planning for verbs: the Spec of lab.yml, the plan of this host, and what a plan must not do to an existing lab."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from orchestrator import catalog, spec
from orchestrator.errors import ProviderError, SpecError
from orchestrator.lab import claims
from orchestrator.lab.observe import existing_plan, observe
from orchestrator.lab.state import lab_file
from orchestrator.model import Plan
from orchestrator.observed import Observed
from orchestrator.paths import LabDir
from orchestrator.plan import plan as make_plan
from orchestrator.providers.base import LabIdentity
from orchestrator.spec import Override, Spec


def load(file: Path | None, overrides: Sequence[Override] = ()) -> Spec:
    """The Spec of the given file, of ./lab.yml, or of no file. Raises SpecError; a named file must exist.

    Where nobody says how many workers there are, an existing lab keeps its number: it may have been scaled.
    """
    loaded = _load(file, overrides)
    existing = existing_plan(directory_of(loaded))
    if existing is None or existing.static_hosts or loaded.is_explicit("workers.count"):
        return loaded
    if len(existing.workers) == loaded.lab.workers.count:
        return loaded
    kept = Override("workers.count", len(existing.workers), "the lab has them already")
    return _load(file, (*overrides, kept))


def _load(file: Path | None, overrides: Sequence[Override]) -> Spec:
    path = lab_file(file)
    if file is None and not path.exists():
        return replace(spec.load(None, overrides), file=None)
    return spec.load(path, overrides)


def directory_of(loaded: Spec) -> LabDir:
    """The state directory of this lab, which need not exist."""
    return LabDir.beside(lab_file(loaded.file), loaded.lab.name)


def decide(loaded: Spec, observed: Observed | None = None) -> Plan:
    """The plan for this host as it is now. Raises SpecError or HostError with every problem."""
    planned = make_plan(loaded, catalog.load(), observed or observe(loaded, directory_of(loaded)))
    if planned.ca:
        _check_certificate(Path(planned.owner) / planned.ca)
    return planned


def decide_and_claim(loaded: Spec, directory: LabDir) -> Plan:
    """The plan for a lab that is to be built, with its subnet and ports claimed; raises as `decide` does.

    A default or `auto` moves on when a lab planned at the same moment was faster; an explicit subnet is refused.
    """
    while True:
        plan = decide(loaded)
        existing = existing_plan(directory)
        if plan.static_hosts or claims.claim(plan, directory, keep=existing is not None):
            return plan


def _check_certificate(file: Path) -> None:
    """Raise SpecError unless this is a PEM file with certificates and without a private key."""
    try:
        text = file.read_text(encoding="ascii")
    except (OSError, ValueError) as problem:
        why = problem.strerror if isinstance(problem, OSError) else "it is no text"
        raise SpecError(f"ca: {file} cannot be read: {why}", fix="name a PEM file, relative to lab.yml") from None
    if "-----BEGIN CERTIFICATE-----" not in text or "PRIVATE KEY-----" in text:
        content = "holds a private key" if "PRIVATE KEY-----" in text else "holds no certificate in PEM"
        raise SpecError(f"ca: {file} {content}", fix=f"openssl x509 -in {file} -out ca.pem   # and name that")


def refuse_orphans(plan: Plan, directory: LabDir, known: Iterable[LabIdentity]) -> None:
    """Raise ProviderError when machines of this lab exist whose state directory, and with it their key, is lost.

    A new lab beside them would leave them running for ever.
    """
    if existing_plan(directory) is not None:
        return
    for lab in known:
        if (lab.name, lab.owner) == (plan.name, plan.owner) and lab.uuid != plan.uuid:
            raise ProviderError(
                f"the lab {lab.name} of {lab.owner} has machines, but its state directory is gone: {directory.root}",
                fix="labctl destroy   (removes what is left of it; then labctl provision creates a new lab)",
            )


def refuse_fewer(plan: Plan, directory: LabDir) -> None:
    """Raise SpecError when the plan leaves out machines of the lab, which only `scale` removes."""
    existing = existing_plan(directory)
    names = {node.name for node in plan.nodes}
    if existing and (over := [node.name for node in existing.nodes if node.name not in names]):
        raise SpecError(
            f"the lab has {', '.join(over)}, which lab.yml leaves out, and provision never removes a machine",
            fix=f"labctl scale --workers {len(plan.workers)}   (drains and removes them)",
        )
