"""Steps as data, rendered for Ansible or a shell: what drills, drift cases and fault cases do to a lab."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import PydanticCustomError

# Where steps keep what they take away from a machine, and the kubeconfig that they use on the control plane.
KEPT = "/var/lib/labctl-drill"
ADMIN_KUBECONFIG = "/etc/kubernetes/admin.conf"

Place = Literal["control_plane", "worker", "first_worker", "host"]

_MODULE = re.compile(r"ansible\.builtin\.[a-z_]+\Z")


def _poll(seconds: int, condition: str, word: str = "until") -> str:
    return f"timeout {seconds} bash -c '{word} {condition}; do sleep 0.5; done'"


_API_ANSWERS = "curl -skf -m 2 -o /dev/null https://127.0.0.1:6443/readyz"
# What `until:` can wait for; {0} is the rest of the line, such as the name in `until: rollout shop`.
CONDITIONS: Mapping[str, str] = {
    "api_server_ready": _poll(150, _API_ANSWERS),
    "api_server_gone": _poll(60, _API_ANSWERS, "while"),
    "kubelet_healthy": _poll(60, "curl -sf http://127.0.0.1:10248/healthz"),
    "nodes_ready": _poll(120, "kubectl wait --for=condition=Ready node --all --timeout=1s >/dev/null 2>&1"),
    "rollout": "kubectl -n drill rollout status deployment {0} --timeout=60s",
    "pods_ready": "kubectl -n drill wait --for=condition=Ready {0} --timeout=60s",
    "dns_ready": "kubectl -n kube-system rollout status deployment {0} --timeout=60s",
    "kube_proxy_ready": "kubectl -n kube-system rollout status daemonset kube-proxy --timeout=60s",
    "static_pod_ready": _poll(
        90,
        "kubectl -n kube-system wait --for=condition=Ready pod/{0}-$CONTROL_PLANE --timeout=1s >/dev/null 2>&1",
    ),
    "static_pod_gone": _poll(60, "kubectl -n kube-system get pod {0}-$CONTROL_PLANE >/dev/null 2>&1", "while"),
    "container_gone": _poll(60, 'pgrep -f "^{0} " >/dev/null', "while"),
}


def refuse(what: str, fix: str) -> PydanticCustomError:
    """The error of a validator, as words of its own."""
    return PydanticCustomError("labctl", "{what}", {"what": what, "fix": fix})


class Section(BaseModel):
    """A block of keys: what is not in the model is refused, nothing is converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _condition(value: str) -> str:
    word = value.split()[0] if value.split() else ""
    if word not in CONDITIONS or ("{0}" in CONDITIONS[word]) != (len(value.split()) > 1):
        raise refuse(f"{value!r} is not a condition", f"one of: {', '.join(CONDITIONS)}")
    return value


class Step(Section):
    """One thing done on one machine: what it keeps or takes away first, one action, and what it waits for."""

    model_config = ConfigDict(json_schema_extra={"patternProperties": {r"^ansible\.builtin\.[a-z_]+$": {}}})

    name: str = Field("", description="what is done, for `drill solve`")
    node: Place = Field("control_plane", description="the machine; worker is the last one")
    use: Literal["undo", "solve"] | None = Field(None, description="the break undone, or the steps of solve")
    keep: str = Field("", description="a file of which a copy is kept; undo puts it back")
    away: str = Field("", description="a path that is taken away; undo brings it back")
    move: tuple[str, str] | None = Field(None, description="a path and its new name; undo moves it back")
    sysctl: dict[str, int] = Field({}, description="settings of the kernel, 0 or 1; undo turns them over")
    apply: tuple[dict[str, Any], ...] = Field((), description="Kubernetes objects for `kubectl -n drill apply`")
    shell: str = Field("", description="lines for bash, for what no module does")
    reboot: bool = Field(False, description="switches the machine off and on again, before `shell`; for drills alone")
    until: Annotated[str, AfterValidator(_condition)] | None = Field(None, description="what is waited for afterwards")
    become: bool = Field(True, description="as root; false is the login user")
    result: str = Field("", description="variable that Ansible registers the result of the module under")
    no_log: bool = Field(False, description="the step handles a secret: its output is withheld")
    module: SkipJsonSchema[tuple[str, dict[str, Any]] | None] = None

    @model_validator(mode="before")
    @classmethod
    def _take_module(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"shell": value}
        names = [key for key in value if _MODULE.match(str(key))] if isinstance(value, dict) else []
        if not names:
            return value
        rest = {key: item for key, item in value.items() if key not in names}
        if len(names) > 1 or "module" in rest:
            raise refuse("a step names one module", "write two steps")
        arguments = value[names[0]]
        return {**rest, "module": (names[0], {"_raw_params": arguments} if isinstance(arguments, str) else arguments)}

    @model_validator(mode="after")
    def _do_something(self) -> Self:
        if not (self.module or self.use or self.script or self.reboot):
            raise refuse(
                "the step does nothing",
                "name a module, or one of: keep, away, move, sysctl, apply, reboot, shell, until",
            )
        if (self.module or self.use) and (self.shell or self.apply or self.reboot):
            raise refuse("a step does one thing", "write two steps")
        return self

    @property
    def preparation(self) -> str:
        """The bash lines before the action: what is kept, taken away and set."""
        lines = [f"install -d -m 700 {KEPT}"] if self.keep or self.away else []
        if self.keep:
            lines.append(f'[ -e {_kept(self.keep)} ] || cp -a "{self.keep}" {_kept(self.keep)}')
        if self.away:
            kept = _kept(self.away, ".away")
            lines.append(f'[ -e {kept} ] || [ ! -e "{self.away}" ] || mv "{self.away}" {kept}')
        if self.move:
            lines.append('[ ! -e "{0}" ] || mv "{0}" "{1}"'.format(*self.move))
        lines += [f"sysctl -qw {key}={value}" for key, value in self.sysctl.items()]
        return "\n".join(lines)

    @property
    def wait(self) -> str:
        """The bash line that waits for `until`."""
        if not self.until:
            return ""
        word, _, rest = self.until.partition(" ")
        return CONDITIONS[word].replace("{0}", rest)

    @property
    def script(self) -> str:
        """All that the step does in bash."""
        objects = {"apiVersion": "v1", "kind": "List", "items": list(self.apply)}
        applied = f"kubectl -n drill apply -f - <<'END'\n{json.dumps(objects)}\nEND" if self.apply else ""
        return "\n".join(filter(None, (self.preparation, applied, self.shell.strip(), self.wait)))


def _several(value: Any) -> Any:
    return (value,) if isinstance(value, str | dict) else tuple(value) if isinstance(value, list) else value


# A list of steps; one step may stand alone, and a step that is text is a line for bash.
Steps = Annotated[tuple[Step, ...], BeforeValidator(_several)]


def _kept(path: str, suffix: str = "") -> str:
    return f'"{KEPT}/{path.strip("/").replace("/", "-")}{suffix}"'


def undo(steps: Sequence[Step]) -> tuple[Step, ...]:
    """The steps that take back what `steps` did, as far as it follows from them, in reverse order."""
    return tuple(inverse for step in reversed(steps) if (inverse := _inverse(step)) is not None)


def resolved(steps: Sequence[Step], breaks: Sequence[Step], solve: Sequence[Step] = ()) -> tuple[Step, ...]:
    """The steps with those that they `use` in their place."""
    used = {"undo": undo(breaks), "solve": tuple(solve)}
    return tuple(one for step in steps for one in (used[step.use] if step.use else (step,)))


def _inverse(step: Step) -> Step | None:
    lines = []
    if step.module and step.module[0] == "ansible.builtin.systemd_service":
        arguments = step.module[1]
        back = {"name": arguments["name"]}
        back |= {"state": "started"} if arguments.get("state") == "stopped" else {}
        back |= {"enabled": True} if arguments.get("enabled") is False else {}
        return Step(node=step.node, module=(step.module[0], back)) if len(back) > 1 else None
    if step.sysctl:
        lines += [f"sysctl -qw {key}={int(not value)}" for key, value in step.sysctl.items()]
    if step.move:
        lines.append('[ ! -e "{1}" ] || mv -f "{1}" "{0}"'.format(*step.move))
    if step.away:
        lines.append('[ ! -e {1} ] || {{ rm -rf "{0}"; mv {1} "{0}"; }}'.format(step.away, _kept(step.away, ".away")))
    if step.keep:
        # Not written where nothing changed: the kubelet looks at every manifest that is.
        lines.append(
            '[ ! -e {1} ] || {{ cmp -s {1} "{0}" && [ "$(stat -c "%a %U" {1})" = "$(stat -c "%a %U" "{0}")" ] || '
            'cp -a {1} "{0}"; rm -f {1}; }}'.format(step.keep, _kept(step.keep))
        )
    if step.keep or step.away:
        lines.append(f"rmdir {KEPT} 2>/dev/null || true")
    return Step(node=step.node, shell="\n".join(lines)) if lines else None


def fill(value: Any, names: Mapping[str, str]) -> Any:
    """A value with the lab's own names in all its texts; other braces, such as those of jsonpath, stay."""
    if isinstance(value, str):
        for name, text in names.items():
            value = value.replace(f"{{{name}}}", text)
        return value
    if isinstance(value, Mapping):
        return {key: fill(item, names) for key, item in value.items()}
    return [fill(item, names) for item in value] if isinstance(value, list | tuple) else value


def environment(names: Mapping[str, str]) -> dict[str, str]:
    """What the lines of a shell find in their environment: the lab's names in capitals, KUBECONFIG and SAVED."""
    return {"KUBECONFIG": ADMIN_KUBECONFIG, "SAVED": KEPT, **{key.upper(): text for key, text in names.items()}}


def playbook(steps: Iterable[Step], names: Mapping[str, str], title: str) -> list[dict[str, Any]]:
    """The plays that do the steps in their order: one for all that follow each other on one machine as one user."""
    plays = []
    for (place, become), group in groupby(_joined(steps), key=lambda step: (step.node, step.become)):
        on_host = place == "host"
        play = {
            "name": title,
            "hosts": "localhost" if on_host else names[place],
            "gather_facts": False,
            "become": become and not on_host,
            "environment": environment(names),
            "tasks": [task for step in group for task in _tasks(step, names, title)],
        }
        plays.append(play | ({"connection": "local"} if on_host else {}))
    return plays


def _joined(steps: Iterable[Step]) -> list[Step]:
    """The steps, one in bash that has no name joined to the one before it: a task of Ansible takes half a second."""
    joined: list[Step] = []
    for step in steps:
        last = joined[-1] if joined else None
        if (
            last
            and not (step.name or step.module or last.module)
            and (last.node, last.become) == (step.node, step.become)
        ):
            script = "\n".join(f"(\n{one.script}\n)" for one in (last, step))
            joined[-1] = Step(name=last.name, node=step.node, become=step.become, shell=script)
        else:
            joined.append(step)
    return joined


def _tasks(step: Step, names: Mapping[str, str], title: str) -> list[dict[str, Any]]:
    common = {"name": step.name or title} | ({"no_log": True} if step.no_log else {})
    if not step.module:
        return [common | _bash(fill(step.script, names))]
    module, arguments = step.module
    task = common | {module: fill(arguments, names)} | ({"register": step.result} if step.result else {})
    if module in ("ansible.builtin.command", "ansible.builtin.raw"):
        task["changed_when"] = True
    around = [common | _bash(fill(text, names)) if text else None for text in (step.preparation, step.wait)]
    return [one for one in (around[0], task, around[1]) if one]


def _bash(script: str) -> dict[str, Any]:
    return {"ansible.builtin.command": {"argv": ["bash", "-euc", script]}, "changed_when": True}
