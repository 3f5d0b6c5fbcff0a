"""The pod network of a lab that leaves it to its user, as `kubernetes.cni: none` does, and what to say without one."""

from __future__ import annotations

from orchestrator.checks.model import Report
from orchestrator.errors import SpecError
from orchestrator.lab.kubectl import read_objects
from orchestrator.lab.state import Lab
from orchestrator.model import KubernetesPlan, Plan
from orchestrator.verify.conditions import NOT_INSTALLED, none_installed

INSTALL = "labctl kubectl -- apply -f MANIFEST, then: labctl verify"


def phrase(kubernetes: KubernetesPlan) -> str:
    """The pod network as the end of a sentence about the cluster."""
    return "without a pod network" if kubernetes.cni == "none" else f"with {kubernetes.cni}"


def is_left_to_user(plan: Plan) -> bool:
    """Whether the lab leaves its pod network to its user."""
    return plan.kubernetes is not None and plan.kubernetes.cni == "none"


def notice(plan: Plan) -> tuple[str, str]:
    """What the user of a lab without a pod network has to know, and the next command."""
    cidr = plan.network.pod_cidr
    text = f"{NOT_INSTALLED}; the nodes become Ready once you install one with the pod CIDR {cidr}"
    return text, f"next: {INSTALL}"


def found_missing(report: Report) -> bool:
    """Whether checks did not apply because there is no pod network."""
    return any(result.evidence == NOT_INSTALLED for result in report.select("not_applicable"))


def require_pod_network(lab: Lab, purpose: str) -> None:
    """Raise SpecError, `purpose` saying what cannot be, when the nodes of the lab wait for a pod network.

    A cluster that does not answer is for others to report.
    """
    if not is_left_to_user(lab.plan):
        return
    nodes, _ = read_objects(lab, "nodes")
    if none_installed(nodes):
        raise SpecError(f"{purpose}: {NOT_INSTALLED}", fix=INSTALL)
