"""What a drill does to the lab's nodes: runs its playbooks, and takes away what it brought."""

from __future__ import annotations

import shlex
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from orchestrator.drills import Drill
from orchestrator.drills.catalogue import names
from orchestrator.errors import ConvergeError, ProviderError
from orchestrator.events import Emit, Event, PhaseEnded, PhaseStarted, Step
from orchestrator.lab.node_commands import run_on_nodes
from orchestrator.lab.observed_lab import observe_lab
from orchestrator.lab.playbooks import run_playbook
from orchestrator.lab.state import Lab

# Where a drill's objects live, and where it keeps what it takes away from a node.
NAMESPACE = "drill"
SAVED = "/var/lib/labctl-drill"
BENCH = "/root/drill"  # files that a student works with
ADMIN = "/etc/kubernetes/admin.conf"

PLAYBOOK_SECONDS = 180.0

# A pod cannot be made before its namespace has its service account.
_PREPARE = f"""\
set -e; install -d -m 700 {SAVED}
[ -e {ADMIN} ] || exit 0
export KUBECONFIG={ADMIN}
kubectl create namespace {NAMESPACE} 2>/dev/null || true
for i in $(seq 100); do kubectl -n {NAMESPACE} get serviceaccount default >/dev/null 2>&1 && exit 0; sleep 0.2; done
exit 1
"""
# Kubernetes lets a deleted namespace lie for 5 seconds: the sooner it is told, the less is waited for in the end.
_BEGIN_SWEEP = f"""\
[ -e {ADMIN} ] || exit 0
export KUBECONFIG={ADMIN}
kubectl --request-timeout=5s delete namespace {NAMESPACE} --ignore-not-found --wait=false >/dev/null 2>&1
exit 0
"""
_SWEEP = f"""\
rm -rf {SAVED} {BENCH}
[ -e {ADMIN} ] || exit 0
export KUBECONFIG={ADMIN}
kubectl get namespace {NAMESPACE} >/dev/null 2>&1 || exit 0
kubectl -n {NAMESPACE} delete deployments,statefulsets,daemonsets,pods --all --force --grace-period=0 >/dev/null 2>&1
kubectl delete namespace {NAMESPACE} --ignore-not-found --timeout=60s >/dev/null
"""


def prepare(lab: Lab) -> None:
    """Make the drill's namespace and its place for what it takes away. Raises ProviderError."""
    _on_every_node(lab, _PREPARE, "prepare the drill")


def put_back(lab: Lab, drill: Drill, emit: Emit, *, told_as: str) -> None:
    """Undo what the drill did and remove its objects. Raises ConvergeError or ProviderError."""
    # In vain where the playbook has to bring the API server back: the namespace is deleted again below.
    with ThreadPoolExecutor(1) as beside:
        beside.submit(_on_every_node, lab, _BEGIN_SWEEP, "delete the drill's namespace")
        if drill.playbook("restore").exists():
            play(lab, drill, "restore", emit, told_as=told_as)
    _on_every_node(lab, _SWEEP, "remove the drill's traces")


def play(lab: Lab, drill: Drill, name: str, emit: Emit, *, told_as: str = "") -> None:
    """Run one of the drill's playbooks; its tasks are shown, or only `told_as`, which gives nothing away.

    The directory of a run that succeeded is removed, so that none pile up. Raises ConvergeError.
    """
    about = names(lab.plan)
    environment = {
        "KUBECONFIG": ADMIN,
        "SAVED": SAVED,
        "WORKER": about["worker"],
        "WORKER_ADDRESS": about["worker_address"],
        "FIRST_WORKER": about["first_worker"],
        "CONTROL_PLANE": about["control_plane"],
        "CONTROL_PLANE_ADDRESS": about["control_plane_address"],
    }
    variables = {f"drill_{key}": value for key, value in about.items()} | {"drill_environment": environment}
    try:
        done = run_playbook(
            observe_lab(lab),
            drill.playbook(name),
            emit=_as_one_phase(emit, told_as),
            deadline=PLAYBOOK_SECONDS,
            extra_vars=variables,
        )
    except ConvergeError as problem:
        again = {"inject": f"labctl drill start {drill.slug}", "restore": "labctl drill reset"}.get(name, "")
        raise ConvergeError(
            f"{drill.slug}: {name}: {problem.message}",
            fix=f"{again or 'the same command again'}; or labctl drill reset, then labctl provision",
            log=problem.log,
        ) from None
    shutil.rmtree(done.directory, ignore_errors=True)


def _as_one_phase(emit: Emit, told_as: str) -> Emit:
    """An `Emit` for the plays of a drill, which are steps of its one phase."""

    def tell(event: Event) -> None:
        if isinstance(event, PhaseStarted | PhaseEnded):
            return
        if told_as and isinstance(event, Step) and event.status not in ("failed", "unreachable"):
            # A task's name says what is being broken, and its node where: both are for the student to find.
            event = replace(event, name=told_as, node="", status="running")
        emit(event)

    return tell


def _on_every_node(lab: Lab, script: str, what: str) -> None:
    command = f"sudo -H sh -c {shlex.quote(script)}"
    answers = run_on_nodes(lab, "all", command, timeout=120)
    bad = [answer for answer in answers.nodes if answer.code != 0]
    if bad:
        words = (bad[0].error or bad[0].stderr or bad[0].stdout).strip().splitlines()
        raise ProviderError(
            f"{bad[0].node}: could not {what}: {words[-1] if words else 'no word'}", fix="labctl verify"
        )
