"""One scenario of molecule/, run as `molecule test -s ROLE`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
FILES = {file.parent.name: file for file in sorted((CHECKOUT / "molecule").glob("*/molecule.yml"))}
SECONDS = 1200


def needs_machine(role: str) -> bool:
    """Return whether a role's scenario runs on a virtual machine."""
    return "shared_vm" in FILES[role].read_text(encoding="utf-8")


def inputs_of(role: str) -> list[str]:
    """Return the folders of the scenario, of its role and of the roles that its own files name."""
    texts = "\n".join(file.read_text(encoding="utf-8") for file in FILES[role].parent.glob("*.yml"))
    named = {word for word in re.findall(r"\w+", texts) if word in FILES}
    return [f"molecule/{role}", *(f"roles/{name}" for name in sorted(named | {role}))]


def run_scenario(role: str, environment: Mapping[str, str] = os.environ) -> None:
    """Run the scenario of a role; its last output is the failure's message."""
    argv = [sys.executable, "-m", "molecule", "test", "--no-command-borders", "--scenario-name", role]
    path = f"{Path(sys.executable).parent}:{environment.get('PATH', os.defpath)}"
    done = subprocess.run(
        argv,
        cwd=CHECKOUT,
        env={"NO_COLOR": "1", **environment, "PATH": path},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-2000:]}"
