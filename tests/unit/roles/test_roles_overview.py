"""The overview of all roles is made from the roles and their scenarios, and is current; each role has a scenario."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
ROLES = sorted(path.parent.name for path in (ROOT / "molecule").glob("*/molecule.yml"))
CONFIG = ROOT / "extensions" / "molecule" / "config.yml"
Golden = Callable[[str, Path], None]

HEAD = """# The roles

Made from `roles/*/meta/` and `molecule/*/molecule.yml`. Each role is one function, has typed variables (its README
lists them), and is tested alone: `molecule test -s ROLE` ([how](how-to/molecule.md)). `container_engine` is what
`docker` and `containerd` share; they import it, and their scenarios test it.

*Debian* is Debian 12. *EL stand-in* is a Debian userland with the real dnf and rpm and the identity of Rocky 9: it
proves the role's way through repository files, keys and `dnf`, not the distribution. *VM* is a virtual machine, for
roles that need a kernel of their own.

| role | does | variables | checks | platforms of its scenario | what its scenario breaks or refuses besides |
|---|---|---|---|---|---|
"""


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def platforms(role: str) -> str:
    scenario = read(ROOT / "molecule" / role / "molecule.yml")
    names = {"debian": "Debian", "el-stand-in": "EL stand-in", "vm": "VM"}
    machines = "vm" if "vm" in str(scenario.get("provisioner", {}).get("playbooks", {}).get("create", "")) else "debian"
    found = [names[str(platform.get("flavour", machines))] for platform in scenario["platforms"]]
    return ", ".join(
        f"{found.count(name)} x {name}" if found.count(name) > 1 else name for name in dict.fromkeys(found)
    )


def cases(role: str) -> str:
    """The refused cases of a scenario by their names, and whether something is broken and healed."""
    playbooks = read(ROOT / "molecule" / role / "molecule.yml").get("provisioner", {}).get("playbooks", {})
    file = ROOT / "molecule" / role / playbooks.get("side_effect", "side_effect.yml")
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    refused = re.findall(r"refused_case: (.+)", text)
    healed = ["drift is healed"] if re.search(r"heal|Apply the role again", text, re.IGNORECASE) else []
    if not text:
        return "what the machine is prepared with is set right"
    return "; ".join([*healed, *(f"{case} is refused" for case in refused)])


def page() -> str:
    rows = []
    for role in ROLES:
        points = read(ROOT / "roles" / role / "meta" / "argument_specs.yml")["argument_specs"]
        variables = {name for point in points.values() for name in point.get("options") or {}}
        checks = len(read(ROOT / "roles" / role / "meta" / "checks.yml")["checks"])
        does = points["main"]["short_description"]
        link = f"[{role}](../roles/{role}/README.md)"
        rows.append(f"| {link} | {does} | {len(variables)} | {checks} | {platforms(role)} | {cases(role)} |")
    return HEAD + "\n".join(rows) + "\n"


def test_the_overview_is_current(golden: Golden) -> None:
    golden(page(), ROOT / "docs" / "roles.md")


@pytest.mark.parametrize("role", ROLES)
def test_each_role_has_a_scenario_that_proves_more_than_the_happy_path(role: str) -> None:
    scenario = read(ROOT / "molecule" / role / "molecule.yml")
    assert scenario["platforms"]
    on_machines = platforms(role) == "VM"  # what its prepare playbook breaks, converge repairs
    assert on_machines or cases(role), f"molecule/{role}/side_effect.yml breaks nothing and refuses nothing"


def test_scenarios_run_the_common_sequence() -> None:
    common = read(CONFIG)["scenario"]["test_sequence"]
    for step in ("syntax", "create", "prepare", "check", "converge", "idempotence", "verify", "destroy"):
        assert step in common
    assert common.index("check") < common.index("converge") < common.index("idempotence") < common.index("verify")


def test_every_role_has_a_scenario_but_the_one_that_others_import() -> None:
    roles = {path.parent.parent.name for path in (ROOT / "roles").glob("*/meta/argument_specs.yml")}
    assert roles - set(ROLES) == {"container_engine"}
