"""Renders docs/reference/lab-yml.md, the reference of lab.yml, from the model and the profiles."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from orchestrator.spec.profiles import profiles
from orchestrator.spec.schema import Lab, section_of_entries

INTRO = """\
# lab.yml

Every key has a default; without a file the lab is `m-k8s` and three workers. `labctl plan` shows each resulting value
and its reason, and starts nothing. A key that is not listed here is refused. Editors read `../lab.schema.json`:

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
- Mounts hide nothing that a node is made of, and do not meet; a port of this host leads to one place
  ([mounts and ports](../how-to/mounts-and-ports.md)).
- Version numbers stand in quotes: YAML reads 1.20 as the number 1.2.
"""


def render() -> str:
    """The page as Markdown."""
    parts = [INTRO, "## Keys\n", "| key | default | values | meaning |\n|---|---|---|---|"]
    parts += [f"| {' | '.join(row)} |" for row in _rows(Lab, "")]
    parts += ["", RULES, "## Profiles\n"]
    for profile in profiles().values():
        parts.append(f"### {profile.name}\n\n{profile.description[0].upper()}{profile.description[1:]}.\n")
        values = [f"- `{path}: {_text(value)}`" for path, value in _leaves(profile.values, "")]
        parts.append("\n".join(values) + "\n" if values else "")
    return "\n".join(parts).rstrip() + "\n"


def _rows(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, str, str, str]]:
    """Key, default, values and meaning of every field."""
    properties = model.model_json_schema()["properties"]
    for name, info in model.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from _rows(info.annotation, f"{prefix}{name}.")
        else:
            default = None if info.is_required() else info.get_default()
            shown = "" if default in (None, (), {}, "") else f"`{_text(default)}`"
            meaning = (info.description or "").replace("|", "\\|")
            yield f"`{prefix}{name}`", shown, _values(properties[name]), meaning
        if entries := section_of_entries(info):
            yield from _rows(entries, f"{prefix}{name}[].")


def _values(schema: Mapping[str, Any]) -> str:
    """What a field takes, from its JSON Schema."""
    schema = next((part for part in schema.get("anyOf", ()) if part.get("type") != "null"), schema)
    if "enum" in schema:
        return " ".join(f"`{choice}`" for choice in schema["enum"])
    names = {"integer": "number", "boolean": "true, false", "string": "text", "array": "list", "object": "name: value"}
    return names[schema["type"]]


def _leaves(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return json.dumps(value).replace('"', "")
    return json.dumps(value) if isinstance(value, bool) else str(value)
