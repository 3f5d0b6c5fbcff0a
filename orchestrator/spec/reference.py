"""Writes docs/reference/lab-yml.md, the reference of lab.yml, from the model and the profiles. Pure."""

from __future__ import annotations

import json
import types
from collections.abc import Iterator
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from orchestrator.spec.profiles import profiles
from orchestrator.spec.schema import Lab

INTRO = """\
# lab.yml

Every key has a default; without a file the lab is `m-k8s` and three workers. `labctl plan` shows what becomes of each
value and why, and starts nothing. A key that is not listed here is refused. For editors there is `../lab.schema.json`:

```yaml
# yaml-language-server: $schema=docs/lab.schema.json
version: 1
name: k8s-lab
workers: {count: 3, memory: 2560}
```

A value that you write is kept or refused; a default may give way (ports that are busy, a runtime that the version no
longer supports). Options such as `--workers 2` count as written. Of default, profile, lab.yml, option the last wins.
"""

RULES = """\
## Rules between the fields

- The machines', the pod and the Service network are disjoint; the pod network has a /24 for each node.
- Workers fit into the subnet: in a /24 from offset 101 on there is room for 154.
- With Kubernetes the control plane has at least 2 CPUs and 1700 MB (kubeadm's minimum), a worker 768 MB.
- SSH ports lie between 1024 and 65535; host names differ.
- Version numbers stand in quotes: YAML reads 1.20 as the number 1.2.
"""


def render() -> str:
    """The page as Markdown."""
    parts = [INTRO, "## Keys\n", "| key | default | values | meaning |\n|---|---|---|---|"]
    parts += [f"| `{path}` | {default} | {values} | {meaning} |" for path, default, values, meaning in _rows(Lab, "")]
    parts += ["", RULES, "## Profiles\n"]
    for profile in profiles().values():
        parts.append(f"### {profile.name}\n\n{profile.description[0].upper()}{profile.description[1:]}.\n")
        values = [f"{path}: {_shown(value)}" for path, value in _leaves(profile.values, "")]
        parts.append("\n".join(f"- `{value}`" for value in values) + "\n" if values else "")
    return "\n".join(part for part in parts if part is not None).rstrip() + "\n"


def _rows(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, str, str, str]]:
    for name, info in model.model_fields.items():
        path = f"{prefix}{name}"
        inner = info.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _rows(inner, f"{path}.")
        else:
            default = info.get_default()
            meaning = (info.description or "").replace("|", "\\|")
            yield path, f"`{_shown(default)}`" if default not in (None, (), {}, "") else "", _values(info), meaning


def _values(info: FieldInfo) -> str:
    return _type_name(info.annotation)


def _type_name(annotation: Any) -> str:
    origin = get_origin(annotation)
    if origin is Literal:
        return " ".join(f"`{choice}`" for choice in get_args(annotation))
    if origin in (Union, types.UnionType):
        return _type_name(next(part for part in get_args(annotation) if part is not type(None)))
    if origin is tuple:
        return "list"
    if origin is dict:
        return "name: value"
    if hasattr(annotation, "__metadata__"):
        return _type_name(annotation.__origin__)
    return {int: "number", bool: "true, false", str: "text"}.get(annotation, str(annotation))


def _leaves(values: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return json.dumps(list(value)).replace('"', "")
    return json.dumps(value) if isinstance(value, bool) else str(value)
