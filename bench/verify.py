"""Measures `labctl verify` and `labctl doctor`: `python bench/verify.py --lab DIR [--repeat N]`; results/verify.json.

DIR holds a lab that runs and is healthy. Compared, in one run on one machine:

probe     one SSH connection per node, all at once, that runs the very commands the checks run, as one script
direct    the same checks over testinfra's stock SSH backend
ten       the checks of the nodes on ten bare container nodes, against one of them
trips     what a prefetch could save: commands per node, and the time one command takes on the way
doctor    all checks of the host at once, against the slowest of them

"node checks" is first contact to last verdict of the checks that run per node; the wall time of the whole command,
checks of the cluster included, stands beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from result import ROOT, origin, save

sys.path.insert(0, str(ROOT))
os.environ["LABCTL_OFFLINE"] = "1"

from orchestrator.events import discard
from orchestrator.paths import LabDir
from orchestrator.verify.job import Job, Target
from orchestrator.verify.run import check_files

# A connection of its own, as the first verify after a pause has it.
OWN = ("-o", "ControlMaster=no", "-o", "ControlPath=none")
RECORDER = """
import sys
from orchestrator.verify import backend, engine
run, out = backend.LinkBackend.run, sys.argv.pop()
def recorded(self, command, *args, **kwargs):
    import json
    with open(out, "a", encoding="utf-8") as file:
        file.write(json.dumps([self.hostname_, self.get_command(command, *args)]) + "\\n")
    return run(self, command, *args, **kwargs)
backend.LinkBackend.run = recorded
backend.LinkBackend.hostname_ = property(lambda self: str(id(self.link)))
engine.main()
"""


def node_checks(targets: Sequence[Target], *, direct: bool = False) -> tuple[float, int]:
    """Seconds from first contact to last verdict of the checks that run per node, and the number of verdicts."""
    job = Job(tuple(targets), None, check_files(with_cluster=False), str(ROOT), limit=600, direct=direct)
    began = ended = 0.0
    verdicts = 0
    with tempfile.TemporaryDirectory() as scratch:
        asked = Path(scratch) / "job.json"
        asked.write_text(job.as_json())
        argv = [sys.executable, "-P", "-m", "orchestrator.verify.engine", str(asked)]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        with subprocess.Popen(argv, cwd=scratch, env=env, stdout=subprocess.PIPE, text=True) as engine:
            assert engine.stdout is not None
            for line in engine.stdout:
                kind = json.loads(line)["kind"]
                if kind == "plan":
                    began = time.monotonic()
                elif kind == "result":
                    verdicts += 1
                elif kind == "done":
                    ended = time.monotonic()
    return ended - began, verdicts


def commands(target: Target) -> list[str]:
    """The commands that the checks run on one node, in their order."""
    job = Job((target,), None, check_files(with_cluster=False), str(ROOT), limit=600)
    with tempfile.TemporaryDirectory() as scratch:
        asked, out = Path(scratch) / "job.json", Path(scratch) / "commands"
        asked.write_text(job.as_json())
        argv = [sys.executable, "-P", "-c", RECORDER, str(asked), str(out)]
        subprocess.run(argv, cwd=scratch, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, capture_output=True)
        return [json.loads(line)[1] for line in out.read_text().splitlines()]


def probe(scripts: Sequence[tuple[Target, str]]) -> float:
    """Seconds of one SSH connection per node, all at once, each with its script."""

    def one(target: Target, script: str) -> None:
        argv = [*target.ssh_argv, "exec sudo -n LC_ALL=C.UTF-8 /bin/sh"]
        subprocess.run(argv, input=script, text=True, capture_output=True, timeout=300)

    began = time.monotonic()
    with ThreadPoolExecutor(len(scripts)) as pool:
        list(pool.map(lambda pair: one(*pair), scripts))
    return time.monotonic() - began


def round_trip(target: Target, times: int = 200) -> float:
    """Milliseconds of a command that does nothing, through the session of a node."""
    from orchestrator.verify.backend import session_argv
    from orchestrator.verify.session import Link

    link = Link(session_argv(target.ssh_argv))
    link.run(":")
    began = time.monotonic()
    for _ in range(times):
        link.run(":")
    spent = time.monotonic() - began
    link.close()
    return spent / times * 1000


def of_lab(directory: Path) -> list[Target]:
    """The nodes of a running lab, as verify addresses them."""
    from orchestrator.lab.observed_lab import observe_lab
    from orchestrator.lab.state import open_lab
    from orchestrator.lab.verification import targets

    found = targets(observe_lab(open_lab(directory / "lab.yml")))
    return [replace(one, ssh_argv=(one.ssh_argv[0], *OWN, *one.ssh_argv[1:])) for one in found]


def ten_bare(home: Path, repeat: int) -> dict[str, Any]:
    """The checks of the nodes on ten bare containers and on one of them; the containers are removed."""
    from orchestrator import inventory
    from orchestrator.providers import ssh_access
    from orchestrator.providers.container import node_spec as container_spec
    from orchestrator.providers.container.provider import ContainerProvider
    from tests.integration.test_container_nodes import bare_plan

    plan = bare_plan(home, "bench-ten", "192.168.252.0", 62800, workers=9)
    directory = LabDir.beside(home / "lab.yml", plan.name)
    directory.create()
    provider = ContainerProvider()
    try:
        nodes = provider.create(plan, directory, discard, "create")
        document = inventory.build(
            plan,
            nodes,
            provider.capabilities(),
            None,
            private_key=directory.private_key,
            known_hosts=directory.known_hosts,
            control_dir=Path("/nowhere"),
        )
        targets = []
        for node in nodes:
            ssh, *rest = ssh_access.ssh_argv(directory, node)
            targets.append(Target(node.name, (ssh, *OWN, *rest), inventory.variables_of(document, node.name)))
        node_checks(targets)
        one = [node_checks(targets[:1])[0] for _ in range(repeat)]
        ten = [node_checks(targets)[0] for _ in range(repeat)]
    finally:
        provider.destroy(container_spec.identity(plan), discard, "destroy")
        provider.close(discard, "destroy")
    return {"one_node_s": one, "ten_nodes_s": ten}


def doctor(home: Path) -> tuple[float, float, str]:
    """Seconds of all checks of the host, of the slowest of them, and its name."""
    from orchestrator.spec import load
    from orchestrator.verbs.doctor import diagnose

    file = home / "lab.yml"
    file.write_text("version: 1\nnetwork: {subnet: auto}\n")
    found = diagnose(load(file))
    slowest = max(found.results, key=lambda result: result.seconds)
    return found.seconds, slowest.seconds, slowest.id


def keep_trips(targets: Sequence[Target], per_node: int) -> None:
    """Measure and keep what a prefetch could save."""
    trips = [round_trip(targets[0]) for _ in range(5)]
    middle = statistics.median(trips)
    document = origin("verify-trips", "python bench/verify.py --lab DIR --trips") | {
        "nodes": len(targets),
        "commands_per_node": per_node,
        "round_trip_ms": round(middle, 2),
        "prefetch_would_save_at_most_s": round(per_node * middle / 1000, 3),
        "runs": [round(one, 3) for one in trips],
    }
    save(document)
    print(json.dumps(document, indent=2))


def main() -> None:
    """Measure everything and keep the raw results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lab", type=Path, required=True)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--trips", action="store_true", help="only what a prefetch could save: verify-trips.json")
    chosen = parser.parse_args()
    repeat = chosen.repeat
    targets = of_lab(chosen.lab)
    scripts = []
    per_node = 0
    for target in targets:
        lines = commands(target)
        per_node = max(per_node, len(lines))
        scripts.append((target, "\n".join(f"( eval {shlex.quote(line)} ) </dev/null" for line in lines)))
    if chosen.trips:
        keep_trips(targets, per_node)
        return
    raw: dict[str, Any] = {"probe_s": [], "verify_s": [], "direct_s": [], "command_s": []}
    verdicts = 0
    for _ in range(repeat):
        raw["probe_s"].append(probe(scripts))
        seconds, verdicts = node_checks(targets)
        raw["verify_s"].append(seconds)
    for _ in range(min(repeat, 3)):
        began = time.monotonic()
        subprocess.run([str(ROOT / "labctl"), "verify"], cwd=chosen.lab, capture_output=True, check=True)
        raw["command_s"].append(time.monotonic() - began)
    raw["round_trip_ms"] = [round_trip(targets[0]) for _ in range(3)]
    with tempfile.TemporaryDirectory(prefix="labctl-bench-") as home:
        raw |= ten_bare(Path(home), min(repeat, 3))
        looks = [doctor(Path(home)) for _ in range(repeat)]
    for _ in range(min(repeat, 3)):
        raw["direct_s"].append(node_checks(targets, direct=True)[0])
    raw["doctor_s"], raw["doctor_slowest_s"] = [one[0] for one in looks], [one[1] for one in looks]
    middle = {key: round(statistics.median(values), 4) for key, values in raw.items()}
    document = origin("verify", f"python bench/verify.py --lab DIR --repeat {repeat}") | {
        "nodes": len(targets),
        "node_verdicts": verdicts,
        "slowest_of_doctor": sorted({one[2] for one in looks}),
        "commands_per_node": per_node,
        "prefetch_would_save_at_most_s": round(per_node * middle["round_trip_ms"] / 1000, 3),
        "verify_to_probe": round(middle["verify_s"] / middle["probe_s"], 2),
        "verify_to_direct": round(middle["verify_s"] / middle["direct_s"], 3),
        "ten_to_one": round(middle["ten_nodes_s"] / middle["one_node_s"], 2),
        "doctor_to_slowest": round(middle["doctor_s"] / middle["doctor_slowest_s"], 2),
        "median": middle,
        "runs": {key: [round(value, 4) for value in values] for key, values in raw.items()},
    }
    save(document)
    print(json.dumps({key: value for key, value in document.items() if key != "runs"}, indent=2))


if __name__ == "__main__":
    main()
