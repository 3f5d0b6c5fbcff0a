"""Measures labctl on this machine: `python bench/run.py NAME [--repeat N]`; raw results go to bench/results/NAME.json.

warm    provision with node image and bundle cached, a second provision, verify, memory of the lab, destroy
fresh   provision with an empty cache directory (bundle compiled, node image made)
provision  against bench/by_hand.py on the same machine: nodes cloned from a baked one, nothing baked yet, no verify;
        the second provision, verify and status of that lab
help    `labctl --help` against `ansible --version`
snapshot  `snapshot restore` until verified against the warm `provision` of the same lab
sizes   provision to verified, and memory, of labs with 1, 2, 4 and 8 workers cloned from a baked node
cpu     CPU seconds a machine of labctl and all that it runs itself, 4 and 16 workers without Kubernetes

Times are wall-clock seconds of the command as a user types it; memory is what the nodes' control groups hold
without reclaimable file cache, in MiB. Every command runs with LABCTL_OFFLINE=1.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from result import ROOT, origin, save

LABCTL = str(ROOT / "labctl")
# Seconds in which the script from an image has to roll out an application, or the run is void.
SCRIPT_LIMIT = 45
WORKERS = (1, 2, 4, 8)
PYTHON = str(ROOT / ".venv" / "bin" / "python")


def timed(*argv: str, cwd: Path, env: dict[str, str]) -> tuple[float, subprocess.CompletedProcess[str]]:
    """Seconds of one command that must succeed, and what it printed."""
    began = time.monotonic()
    done = subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True)
    seconds = time.monotonic() - began
    if done.returncode != 0:
        sys.exit(f"{' '.join(argv)} exited with {done.returncode}:\n{done.stderr[-3000:]}")
    return seconds, done


def memory(uuid: str) -> float:
    """MiB that the control groups of the lab's nodes hold, reclaimable file cache left out (cgroup v1 and v2)."""
    held = 0
    for node in containers(uuid):
        for top, usage, cache in (
            # labctl's own engine keeps its nodes below /labctl, any other below /docker.
            ("/sys/fs/cgroup/memory/labctl", "memory.usage_in_bytes", "total_inactive_file"),
            ("/sys/fs/cgroup/memory/docker", "memory.usage_in_bytes", "total_inactive_file"),
            ("/sys/fs/cgroup/labctl", "memory.current", "inactive_file"),
            ("/sys/fs/cgroup/docker", "memory.current", "inactive_file"),
        ):
            group = Path(top) / node
            if (group / usage).exists():
                stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
                held += int((group / usage).read_text()) - int(stat[cache])
    return held / 2**20


def containers(uuid: str) -> list[str]:
    """Ids of the containers that are nodes of this lab."""
    sys.path.insert(0, str(ROOT))
    from orchestrator.events import discard
    from orchestrator.providers.container import engine

    attached = engine.attach()
    assert attached is not None
    try:
        return [one["Id"] for one in attached.api.containers(filters={"label": [f"labctl.uuid={uuid}"]})]
    finally:
        # Whoever holds on to the engine keeps the last destroy from ending it.
        attached.close(discard, "bench")


def warm(home: Path, env: dict[str, str]) -> dict[str, Any]:
    """One life of a lab with everything cached."""
    first, done = timed(LABCTL, "provision", "--yes", "--output", "json", cwd=home, env=env)
    uuid = json.loads(done.stdout)["uuid"]
    used = memory(uuid)
    second, done = timed(LABCTL, "provision", "--yes", "--output", "json", cwd=home, env=env)
    changed = json.loads(done.stdout)["changed"]
    verify, done = timed(LABCTL, "verify", "--output", "json", cwd=home, env=env)
    checks = len(json.loads(done.stdout)["checks"])
    destroy, _ = timed(LABCTL, "destroy", "--yes", cwd=home, env=env)
    return {
        "provision_s": round(first, 1),
        "memory_mib": round(used),
        "second_provision_s": round(second, 1),
        "second_provision_changed": changed,
        "verify_s": round(verify, 1),
        "verify_checks": checks,
        "destroy_s": round(destroy, 1),
    }


def fresh(home: Path, env: dict[str, str]) -> dict[str, Any]:
    """The first lab of a machine, nothing cached."""
    seconds, _ = timed(LABCTL, "provision", "--yes", cwd=home, env={**env, "LABCTL_CACHE": str(home / "cache")})
    timed(LABCTL, "destroy", "--yes", cwd=home, env={**env, "LABCTL_CACHE": str(home / "cache")})
    return {"provision_s": round(seconds, 1)}


def provision(home: Path, env: dict[str, str]) -> dict[str, Any]:
    """The same lab by labctl, with a baked node, without its verify, and with nothing baked, and by two scripts."""
    scripts = {}
    for name, options in {"image": ["--from-image"], "install": []}.items():
        _, done = timed(PYTHON, str(ROOT / "bench" / "by_hand.py"), *options, cwd=home, env=env)
        scripts[name] = json.loads(done.stdout)
    if scripts["image"]["app_seconds"] > SCRIPT_LIMIT:
        sys.exit(f"void: the script took {scripts['image']['app_seconds']} s to an application of three replicas")
    records = Path(env.get("LABCTL_CACHE", Path.home() / ".cache/labctl")) / "baked"
    for record in records.glob("*.json"):
        record.unlink()
    seconds = {}
    for name, options in {"first": [], "baked": [], "unverified": ["--until", "kubeconfig"]}.items():
        seconds[name], _ = timed(LABCTL, "provision", "--yes", *options, cwd=home, env=env)
        if name == "baked":
            seconds["second"], done = timed(LABCTL, "provision", "--yes", "--output", "json", cwd=home, env=env)
            assert not any(json.loads(done.stdout)["changed"].values())
            seconds["full"], _ = timed(LABCTL, "provision", "--yes", "--full", cwd=home, env=env)
            seconds["verify"], _ = timed(LABCTL, "verify", cwd=home, env=env)
            seconds["status"], _ = timed(LABCTL, "status", cwd=home, env=env)
        timed(LABCTL, "destroy", "--yes", cwd=home, env=env)
    image, install = scripts["image"]["seconds"], scripts["install"]["seconds"]
    return {
        "script_from_image_s": image,
        "script_from_image_app_s": scripts["image"]["app_seconds"],
        "script_installing_s": install,
        **{f"{name}_s": round(value, 1) for name, value in seconds.items()},
        "baked_to_script_from_image": round(seconds["baked"] / image, 2),
        "unverified_to_script_from_image": round(seconds["unverified"] / image, 2),
        "baked_to_script_installing": round(seconds["baked"] / install, 2),
        "first_to_script_installing": round(seconds["first"] / install, 2),
    }


def help_(home: Path, env: dict[str, str]) -> dict[str, Any]:
    """Start-up of the command line against Ansible's."""
    ours, _ = timed(LABCTL, "--help", cwd=home, env=env)
    theirs, _ = timed(str(ROOT / ".venv/bin/ansible"), "--version", cwd=home, env=env)
    return {"labctl_help_s": round(ours, 3), "ansible_version_s": round(theirs, 3), "ratio": round(ours / theirs, 3)}


def snapshot(home: Path, env: dict[str, str]) -> dict[str, Any]:
    """A restore to verified against the warm provision of the same lab; earlier data is there, later data is not."""
    kubectl = (LABCTL, "kubectl", "--")
    first, _ = timed(LABCTL, "provision", "--yes", cwd=home, env=env)
    timed(*kubectl, "create", "configmap", "earlier", cwd=home, env=env)
    save, done = timed(LABCTL, "snapshot", "save", "bench", "--output", "json", cwd=home, env=env)
    taken = json.loads(done.stdout)["snapshot"]["bytes"]
    timed(*kubectl, "create", "configmap", "later", cwd=home, env=env)
    restore, _ = timed(LABCTL, "snapshot", "restore", "bench", "--yes", cwd=home, env=env)
    _, done = timed(*kubectl, "get", "configmaps", "-o", "name", cwd=home, env=env)
    timed(LABCTL, "destroy", "--yes", cwd=home, env=env)
    if "configmap/earlier" not in done.stdout or "configmap/later" in done.stdout:
        sys.exit(f"the restore did not bring back what was saved: {done.stdout}")
    return {
        "provision_s": round(first, 1),
        "save_s": round(save, 1),
        "restore_s": round(restore, 1),
        "restore_to_provision": round(restore / first, 3),
        "snapshot_mib": taken // 2**20,
    }


def sizes(home: Path, env: dict[str, str]) -> dict[str, Any]:
    """The default lab with more and more workers; a node was baked before."""
    found = {}
    for workers in WORKERS:
        seconds, done = timed(
            LABCTL, "provision", "--yes", "--workers", str(workers), "--output", "json", cwd=home, env=env
        )
        found[f"workers_{workers}_s"] = round(seconds, 1)
        found[f"workers_{workers}_mib"] = round(memory(json.loads(done.stdout)["uuid"]))
        timed(LABCTL, "destroy", "--yes", cwd=home, env=env)
    return found


def cpu(home: Path, env: dict[str, str]) -> dict[str, Any]:
    """What a machine more costs the programs of this host that are children of labctl, and labctl itself."""
    found = {}
    for workers in (4, 16):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        timed(LABCTL, "provision", "--yes", "--profile", "bare", "--workers", str(workers), cwd=home, env=env)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        found[f"workers_{workers}_cpu_s"] = round(used, 1)
        found[f"workers_{workers}_cpu_s_a_machine"] = round(used / (workers + 1), 2)
        timed(LABCTL, "destroy", "--yes", cwd=home, env=env)
    few, many = found["workers_4_cpu_s_a_machine"], found["workers_16_cpu_s_a_machine"]
    return {**found, "workers_16_to_4": round(many / few, 2)}


BENCHMARKS: dict[str, tuple[Callable[[Path, dict[str, str]], dict[str, Any]], int]] = {
    "warm": (warm, 3),
    "fresh": (fresh, 1),
    "provision": (provision, 3),
    "help": (help_, 5),
    "snapshot": (snapshot, 3),
    "sizes": (sizes, 3),
    "cpu": (cpu, 3),
}


def main() -> None:
    """Run one benchmark and keep its raw results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=BENCHMARKS)
    parser.add_argument("--repeat", type=int)
    chosen = parser.parse_args()
    measure, repeat = BENCHMARKS[chosen.name]
    env = {**os.environ, "LABCTL_OFFLINE": "1"}
    runs = []
    for _ in range(chosen.repeat or repeat):
        with tempfile.TemporaryDirectory(prefix="labctl-bench-") as home:
            runs.append(measure(Path(home), env))
            print(json.dumps(runs[-1]))
    median = {
        key: round(statistics.median(run[key] for run in runs), 3)
        for key, value in runs[0].items()
        if isinstance(value, int | float)
    }
    head = origin(chosen.name, f"python bench/run.py {chosen.name} --repeat {len(runs)}")
    print(f"{save(head | {'median': median, 'runs': runs})}: {json.dumps(median)}")


if __name__ == "__main__":
    main()
