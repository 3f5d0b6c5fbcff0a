"""`labctl watch`: the life of a pod in eight steps, as the cluster reports them."""

from __future__ import annotations

import codecs
import contextlib
import json
import os
import selectors
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator import proc
from orchestrator.errors import ProviderError, VerifyError
from orchestrator.lab.kubectl import kubectl_argv, kubectl_environment
from orchestrator.lab.result import Result
from orchestrator.lab.state import Lab

_CHUNK = 1 << 16


@dataclass(frozen=True)
class PodStep:
    """One step: who did what, what there is to see of it, and the seconds from the first step to its report."""

    number: int
    name: str
    what: str
    seen: str
    seconds: float


@dataclass(frozen=True)
class PodLife(Result):
    """The steps of one pod, in order; `existed` says that it was there before, so that the first ones came at once."""

    pod: str
    namespace: str
    existed: bool
    steps: tuple[PodStep, ...]
    schema = "labctl/watch/v1"


def _true_since(pod: Mapping[str, Any], condition: str) -> str:
    found = (one for one in pod["status"].get("conditions") or () if one["type"] == condition)
    return next((f"since {one['lastTransitionTime']}" for one in found if one["status"] == "True"), "")


def _sandbox(pod: Mapping[str, Any]) -> str:
    """Kubernetes reports it since 1.29; before, the address is the first sign of it."""
    told = _true_since(pod, "PodReadyToStartContainers")
    return told or ("with its address" if pod["status"].get("podIP") else "")


def _started(pod: Mapping[str, Any]) -> str:
    """The names of its containers when all of them have been started."""
    states = pod["status"].get("containerStatuses") or ()
    done = [one for one in states if {"running", "terminated"} & set(one["state"])]
    return ", ".join(one["name"] for one in done) if len(done) == len(pod["spec"]["containers"]) else ""


# Who does each step, and what; a function of the pod says that it is done and what there is to see of it.
_STEPS: tuple[tuple[str, str, Callable[[Mapping[str, Any]], str]], ...] = (
    ("requested", "the API server accepted it", lambda pod: f"uid {pod['metadata']['uid']}"),
    ("stored", "etcd has it", lambda pod: f"revision {pod['metadata']['resourceVersion']}"),
    ("scheduled", "the scheduler chose a node", lambda pod: str(pod["spec"].get("nodeName", ""))),
    ("seen", "the kubelet of that node took it on", lambda pod: str(pod["status"].get("startTime", ""))),
    ("sandbox", "the runtime made its sandbox", _sandbox),
    ("network", "the CNI plugin gave it an address", lambda pod: str(pod["status"].get("podIP", ""))),
    ("containers", "the runtime started its containers", _started),
    ("ready", "it is ready: Services send it requests", lambda pod: _true_since(pod, "Ready")),
)


def reached(pod: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Name, meaning and sight of the steps that a pod, as the API server describes it, has taken."""
    taken = []
    for name, what, look in _STEPS:
        seen = look(pod)
        if not seen:
            break
        taken.append((name, what, seen))
    return taken


def waiting(pod: Mapping[str, Any]) -> str:
    """Why a pod does not get on, in Kubernetes' words; empty when nothing says so."""
    for one in pod["status"].get("containerStatuses") or ():
        state = one["state"].get("waiting") or {}
        if state.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
            return f"{one['name']}: {state['reason']} {state.get('message', '')}".rstrip()
    for one in pod["status"].get("conditions") or ():
        if one["type"] == "PodScheduled" and one["status"] == "False":
            return f"{one.get('reason', '')} {one.get('message', '')}".strip()
    return ""


def watch_pod(
    lab: Lab,
    name: str,
    namespace: str,
    *,
    timeout: float,
    on_step: Callable[[PodStep], None],
    on_wait: Callable[[], None],
) -> PodLife:
    """Follow the pod from its request until it is ready; `on_step` gets each step, `on_wait` that there is none yet.

    Raises VerifyError when it is not ready after `timeout` seconds or is deleted, ProviderError when the API server
    does not answer, SpecError for a lab without a cluster.
    """
    steps: list[PodStep] = []
    began, existed, cause = time.monotonic(), True, ""
    fix = f"labctl kubectl -- describe pod {name} -n {namespace}"
    for kind, pod in _events(lab, name, namespace, began + timeout):
        if pod is None:
            on_wait()
            existed = False
            continue
        if kind == "DELETED":
            raise VerifyError(f"pod {name} was deleted after step {len(steps)} of {len(_STEPS)}")
        now = time.monotonic()
        began = began if steps else now
        for number, (step, what, seen) in enumerate(reached(pod)[len(steps) :], len(steps) + 1):
            steps.append(PodStep(number, step, what, seen, round(now - began, 2)))
            on_step(steps[-1])
        if len(steps) == len(_STEPS):
            return PodLife(name, namespace, existed, tuple(steps))
        cause = waiting(pod)
    if not steps:
        fix = f"labctl kubectl -- run {name} --image=IMAGE -n {namespace}"
        raise VerifyError(f"no pod {name} came into the namespace {namespace} within {timeout:.0f} s", fix=fix)
    after = f"{steps[-1].number} of {len(_STEPS)} ({steps[-1].name})"
    why = f": {cause}" if cause else ""
    raise VerifyError(f"pod {name} is not ready after {timeout:.0f} s; it stands at step {after}{why}", fix=fix)


def _events(lab: Lab, name: str, namespace: str, deadline: float) -> Iterator[tuple[str, Mapping[str, Any] | None]]:
    """What the API server reports of the pod until the deadline: kind and object; None when there is no pod yet."""
    only = (f"--namespace={namespace}", f"--field-selector=metadata.name={name}", "--output=json")
    argv = [*kubectl_argv(lab), "get", "pods", *only, "--watch", "--output-watch-events"]
    environment = kubectl_environment(lab)
    running = proc.attach(argv, env=environment)
    text, silent = "", True
    try:
        for chunk in _read(running, deadline):
            text += chunk
            with contextlib.suppress(ValueError):
                while text := text.lstrip():
                    event, end = json.JSONDecoder().raw_decode(text)
                    text, silent = text[end:], False
                    yield event["type"], event["object"]
            if silent:
                silent = False
                yield "", None
    finally:
        running.end(grace=0)


def _read(running: proc.Attached, deadline: float) -> Iterator[str]:
    """The text of its output as it comes, empty when a second brings none, until the deadline.

    Raises ProviderError when the program ends by itself.
    """
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    with selectors.DefaultSelector() as selector:
        selector.register(running.stdout, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0:
            if not selector.select(min(left, 1)):
                yield ""
                continue
            data = os.read(running.stdout, _CHUNK)
            if not data:
                said = os.read(running.stderr, _CHUNK).decode(errors="replace").strip().splitlines() or ["no output"]
                raise ProviderError(f"kubectl ended while it watched: {said[-1]}", fix="labctl status")
            yield decoder.decode(data)
