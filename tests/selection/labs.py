"""The labs that tests built and saw verified: `tests/results/labs.json`, from which docs/tested.md says "executed"."""

from __future__ import annotations

import datetime
import json
import subprocess
from pathlib import Path
from typing import Any

from orchestrator.catalog.tested import ExecutedLab
from orchestrator.host import cgroup_mode
from orchestrator.model import Plan
from tests.selection.inputs import hash_inputs
from tests.selection.parts import PROVISION

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "tests" / "results" / "labs.json"
# What a row is named by, in this order.
COMBINATION = ("kubernetes", "runtime", "cni", "provider", "guest", "source")


def record_lab(home: Path, test_file: str, note: str = "", file: Path = FILE) -> None:
    """Record the lab of a folder with lab.yml, whose last verify of all nodes must have found nothing wrong.

    A larger lab of the same combination, recorded from the same tree, stays.

    Raises AssertionError when it found something, FileNotFoundError when nothing was verified.
    """
    (state,) = (folder for folder in (home / ".labctl").iterdir() if folder.is_dir())
    last = json.loads((state / "reports" / "last.json").read_text(encoding="utf-8"))
    assert last["ok"], f"a lab that is not verified is no evidence: {last['failed']}"
    plan = Plan.from_json((state / "plan.json").read_text(encoding="utf-8"))
    labs, key = _read(file), hash_inputs(ROOT, PROVISION)
    earlier = labs.get(_name(plan))
    if earlier and earlier["key"] == key and earlier["nodes"] > len(plan.nodes):
        return
    labs[_name(plan)] = {
        "nodes": len(plan.nodes),
        "cgroup": cgroup_mode(),
        "test": str(Path(test_file).relative_to(ROOT)),
        "date": datetime.datetime.now(tz=datetime.UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "key": key,
        **({"note": note} if note else {}),
    }
    lines = [f"{json.dumps(name)}: {json.dumps(labs[name])}" for name in sorted(labs)]
    file.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def executed(file: Path = FILE) -> list[dict[str, Any]]:
    """Return the rows of the catalog's executed.json: each with whether what it ran through has changed since."""
    current = hash_inputs(ROOT, PROVISION)
    rows = []
    for name, lab in _read(file).items():
        combination = dict(zip(COMBINATION, name.split(), strict=True))
        facts = {key: value for key, value in lab.items() if key != "key"}
        rows.append({**combination, **facts, "changed": lab["key"] != current})
        ExecutedLab(**rows[-1])
    return rows


def _name(plan: Plan) -> str:
    kubernetes = plan.kubernetes
    assert kubernetes is not None, "a lab without Kubernetes has no row in docs/tested.md"
    source = plan.source.origin or "bundle"
    parts = (kubernetes.version, kubernetes.runtime, kubernetes.cni, plan.provider, plan.guest, source)
    return " ".join(map(str, parts))


def _commit() -> str:
    argv = ["git", "rev-parse", "--short=12", "HEAD"]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True).stdout.strip()


def _read(file: Path) -> dict[str, dict[str, Any]]:
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
