"""Writes docs/performance.md and its plot from bench/results: `.venv/bin/pip install -e .[bench]`, then run this.

Nothing is measured here. A figure that no result file has is left out.
"""

from __future__ import annotations

import json
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot
from result import ROOT

RESULTS = ROOT / "bench" / "results"
PAGE = ROOT / "docs" / "performance.md"
PLOT = ROOT / "docs" / "performance-sizes.svg"
TIMELINE = ROOT / "docs" / "performance-timeline.svg"

HEAD = """\
# Performance

Wall-clock seconds of the command as it is typed, medians. Each table comes from one command and its raw results, and
ratios compare both sides of one run on one machine. `python bench/performance.py` writes this page from them.

The two scripts of `bench/by_hand.py` make the same four nodes from the same bundle: one installs packages and images on
every node, all nodes at once; the other starts nodes from an image that has everything, as kind does, runs kubeadm init
and the joins at once, applies the network and waits until every node is Ready. Neither checks anything.
"""

ROWS: dict[str, list[tuple[str, str]]] = {
    "provision": [
        ("script from a prebuilt image, nodes Ready", "script_from_image_s"),
        ("the same, until an application of 3 replicas runs", "script_from_image_app_s"),
        ("script installing on every node", "script_installing_s"),
        ("`labctl provision`, node baked before, verified", "baked_s"),
        ("the same without verify (`--until kubeconfig`)", "unverified_s"),
        ("`labctl provision`, nothing baked yet, verified", "first_s"),
        ("second `labctl provision`, nothing to do", "second_s"),
        ("`labctl provision --full` on the same lab", "full_s"),
        ("`labctl verify`", "verify_s"),
        ("`labctl status`", "status_s"),
        ("ratio: baked and verified / script from an image", "baked_to_script_from_image"),
        ("ratio: baked, not verified / script from an image", "unverified_to_script_from_image"),
        ("ratio: baked and verified / script installing", "baked_to_script_installing"),
        ("ratio: nothing baked / script installing", "first_to_script_installing"),
    ],
    "snapshot": [
        ("`labctl provision` of the lab", "provision_s"),
        ("`labctl snapshot save`", "save_s"),
        ("`labctl snapshot restore` until verified", "restore_s"),
        ("ratio: restore / provision", "restore_to_provision"),
        ("size of the snapshot, MiB", "snapshot_mib"),
    ],
    "cpu": [
        ("CPU seconds, 4 workers without Kubernetes", "workers_4_cpu_s"),
        ("the same a machine", "workers_4_cpu_s_a_machine"),
        ("CPU seconds, 16 workers", "workers_16_cpu_s"),
        ("the same a machine", "workers_16_cpu_s_a_machine"),
        ("ratio: 16 / 4 a machine", "workers_16_to_4"),
    ],
    "help": [("`labctl --help`", "labctl_help_s"), ("`ansible --version`", "ansible_version_s")],
}
TITLES = {
    "provision": "A lab of four nodes",
    "snapshot": "Snapshots",
    "cpu": "What a machine more costs",
    "help": "Start-up",
    "sizes": "More workers",
}


def result(name: str) -> dict[str, Any] | None:
    """The results of one benchmark, None when nobody ran it."""
    file = RESULTS / f"{name}.json"
    return json.loads(file.read_text()) if file.exists() else None


def head(name: str, found: dict[str, Any]) -> str:
    """The heading, with the command beside the figures and what they are of."""
    runs = len(found["runs"])
    times = "one run" if runs == 1 else f"median of {runs} runs"
    return (
        f"\n## {TITLES[name]}\n\n`{found['command']}`, {times} at {found['commit'][:12]} on {found['cores']} cores "
        f"({found['date'][:10]}, [raw](../bench/results/{name}.json)).\n"
    )


def table(name: str) -> str:
    """One benchmark as a table; empty without results."""
    if (found := result(name)) is None:
        return ""
    rows = [f"| {title} | {found['median'][key]:g} |" for title, key in ROWS[name] if key in found["median"]]
    return head(name, found) + "\n| what | measured |\n|---|---|\n" + "\n".join(rows) + "\n"


def sizes() -> str:
    """Time and memory against the number of workers, as a plot and a table."""
    if (found := result("sizes")) is None:
        return ""
    median = found["median"]
    workers = sorted(int(key.split("_")[1]) for key in median if key.endswith("_mib"))
    seconds = [median[f"workers_{number}_s"] for number in workers]
    mib = [median[f"workers_{number}_mib"] for number in workers]
    plot(workers, seconds, mib)
    rows = [f"| {number} | {time:g} | {held:g} |" for number, time, held in zip(workers, seconds, mib, strict=True)]
    text = "\n| workers | `provision` to verified, s | memory of all nodes, MiB |\n|---|---|---|\n" + "\n".join(rows)
    return head("sizes", found) + text + f"\n\n![Time and memory against the number of workers]({PLOT.name})\n"


def plot(workers: list[int], seconds: list[float], mib: list[float]) -> None:
    """Two panels beside each other; the same input gives the same file."""
    mpl.rcParams.update({"svg.hashsalt": "labctl", "font.size": 9})
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(8, 3))
    for axes, values, label in ((left, seconds, "provision to verified, s"), (right, mib, "memory of all nodes, MiB")):
        axes.plot(workers, values, marker="o", color="#3182bd")
        axes.set(xlabel="workers", ylabel=label, xticks=workers, ylim=(0, max(values) * 1.15))
        axes.grid(color="#dddddd")
        for number, value in zip(workers, values, strict=True):
            axes.annotate(f"{value:g}", (number, value), textcoords="offset points", xytext=(0, 6), ha="center")
    figure.tight_layout()
    figure.savefig(PLOT, metadata={"Date": None})


def timeline() -> str:
    """The drawing of one run, if there is one."""
    if not TIMELINE.exists():
        return ""
    return (
        "\n## Where the time goes\n\n`labctl provision --yes --timeline docs/performance-timeline.svg`, one run, a "
        f"node baked before; orange is the longest chain.\n\n![The timeline of one run]({TIMELINE.name})\n"
    )


def main() -> None:
    """Write the page."""
    parts = [HEAD, table("provision"), timeline(), sizes(), table("snapshot"), table("cpu"), table("help")]
    PAGE.write_text("".join(parts))
    print(PAGE)


if __name__ == "__main__":
    main()
