"""Ansible action: hand the module node_state the declarations of all roles, once per node and run."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml
from ansible.plugins.action import ActionBase

ROLES = Path(__file__).resolve().parents[2] / "roles"


@cache
def declarations() -> dict[str, Any]:
    """The union of what the roles declare in meta/state.yml."""
    merged: dict[str, Any] = {}
    for file in sorted(ROLES.glob("*/meta/state.yml")):
        for kind, value in yaml.safe_load(file.read_text(encoding="utf-8")).items():
            merged[kind] = value if isinstance(value, bool) else sorted({*merged.get(kind, []), *value})
    return merged


class ActionModule(ActionBase):
    """Run the module, or nothing where the state of the node is known."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        refresh = self._task.args.get("refresh", False)
        if not refresh and "node_state" in (task_vars or {}).get("ansible_facts", {}):
            return result
        arguments = {**declarations(), **self._task.args}
        return {**result, **self._execute_module(module_args=arguments, task_vars=task_vars)}
