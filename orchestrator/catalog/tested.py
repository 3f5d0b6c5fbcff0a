"""Renders docs/tested.md: whether each combination was executed, rendered only, or read up."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.catalog.facts import Catalog, Guest, Release, load, read_data, read_text
from orchestrator.catalog.versions import minor, number, within

LEVELS = ("executed", "rendered", "read up")
SHOWN = {"executed": "**executed**", "rendered": "rendered only", "read up": "read up"}

INTRO = """\
# What has been tested

This page is made from the catalog (`orchestrator/catalog/data/`) and from the results of tests that built a lab and
saw it verified (`tests/results/labs.json`); `labctl catalog` prints the same.

- **executed** at a commit: labctl built a lab of this combination there, and `labctl verify` found nothing wrong.
  "Changed since": roles, recipes or parts of labctl that such a lab runs through are not as they were there.
- rendered only: the tests compute its plan, with every value that machines and roles are given; no machine ran it.
- read up: the facts come from documentation (`releases.yml` names each source); nothing here ran or rendered it.

A combination that is missing from the first table is refused, with its reason.
"""

CGROUPS = """\
## The unified cgroup hierarchy (cgroup v2)

Run with Kubernetes 1.20.2 and Docker 20.10.24 on one worker of a lab of virtual machines, which then mixed the two
(`./test full vm`, before the built box booted so by itself):

- works: the kubelet and Docker with the systemd driver, the node Ready, system pods, a pod with limits of memory and
  processor (it reads its limit in its own `memory.max`), pod networks, Services and names; `labctl verify` is green.
- 1.37.2 with containerd on 1 + 1 emulated machines, both with it, came up to `labctl verify`, whose calls took longer
  there than it waited.
- not run: a green `labctl verify` of such a control plane, container nodes (all hosts so far had cgroup v1), other
  releases.
"""
ALONE = """\
## Roles by themselves

`docs/roles.md` lists the platforms on which each role's scenario runs. EL there is a stand-in: Debian with the real
dnf and rpm and the identity of Rocky 9, against the bundle's signed rpm repository.

- Calico: 3.32.1 ran on 1.37.2 with its own manifest, by VXLAN on container nodes: verified, a NetworkPolicy denied and
  stopped denying. Its images are in no package registry, so `./test` runs a manifest of the shape of 3.17 on 1.20.2,
  whose pods only write what Calico would write. IPIP and BGP never ran.
- cri-dockerd: its package ran with Docker on Debian nodes. Of its archive, download, checksum, unit, socket and flags
  are tested on the EL stand-in with a small program in its place.
- All other roles' scenarios on containers pass from start to end and run on every run of `./test`; the three of
  `swapoff`, `br_netfilter` and `selinux_permissive` pass on an emulated virtual machine (`./test full vm`).
"""


@dataclass(frozen=True)
class _Subject:
    """What a row is about."""

    kubernetes: str
    runtime: str
    cni: str
    provider: str
    guest: str
    source: str


@dataclass(frozen=True)
class Evidence(_Subject):
    """One row of evidence.yml; `any` matches everything."""

    level: str
    note: str = ""

    @property
    def state(self) -> str:
        """What its row says of it."""
        return SHOWN[self.level]

    def covers(self, minor: str, runtime: str, cni: str) -> bool:
        """Whether this row is about the combination."""
        return within(minor, self.kubernetes) and self.runtime in ("any", runtime) and self.cni in ("any", cni)


@dataclass(frozen=True)
class ExecutedLab(_Subject):
    """A lab that a test built and saw verified; `changed` when what it ran through is not as it was at `commit`."""

    nodes: int
    cgroup: str
    test: str
    date: str
    commit: str
    changed: bool
    note: str = ""

    level = "executed"

    @property
    def state(self) -> str:
        """What its row says of it."""
        return f"**executed** at {self.commit[:7]} ({self.date[:10]})" + (", changed since" if self.changed else "")

    def covers(self, release: str, runtime: str, cni: str) -> bool:
        """Whether this lab had the combination."""
        return minor(self.kubernetes) == release and (self.runtime, self.cni) == (runtime, cni)


@dataclass(frozen=True)
class Combination:
    """A combination that the catalog does not refuse, and the strongest evidence for it; None: it was read up."""

    release: Release
    runtime: str
    cni: str
    evidence: Evidence | ExecutedLab | None = None


def evidence() -> tuple[Evidence | ExecutedLab, ...]:
    """What ran (executed.json; unchanged before changed, newest Kubernetes first), then the rows of evidence.yml."""
    labs = [ExecutedLab(**row) for row in json.loads(read_text("executed.json"))]
    labs.sort(key=lambda lab: (not lab.changed, number(lab.kubernetes), lab.date), reverse=True)
    rows: list[dict[str, Any]] = read_data("evidence.yml")
    return (*labs, *(Evidence(**row) for row in rows))


def combinations(catalog: Catalog, known: Sequence[Evidence | ExecutedLab]) -> Iterator[Combination]:
    """Every combination of release, runtime and pod network that can work, newest release first."""
    for release in reversed(catalog.releases):
        for runtime in ("docker", "containerd"):
            for cni in ("calico", "bridge_cni"):
                if cni == "calico" and not any(within(release.minor, item.kubernetes) for item in catalog.calico):
                    continue
                matches = [row for row in known if row.covers(release.minor, runtime, cni)]
                best = min(matches, key=lambda row: LEVELS.index(row.level), default=None)
                yield Combination(release, runtime, cni, best)


def render(catalog: Catalog, known: Sequence[Evidence | ExecutedLab]) -> str:
    """The page as Markdown."""
    tables = {
        "Kubernetes, runtime, pod network": (
            ("Kubernetes", "runtime", "pod network", "kubeadm API", "cgroup", "community packages", "state"),
            [_combination_row(item, catalog) for item in combinations(catalog, known)],
        ),
        "Guest systems": (
            ("guest", "box", "providers", "set up", "state"),
            [_guest_row(guest, known) for guest in catalog.guests],
        ),
        "Evidence": (
            ("Kubernetes", "runtime", "pod network", "provider", "guest", "packages", "nodes", "state", "how"),
            [_evidence_row(row) for row in known],
        ),
    }
    combined, guests, evidence = (f"## {title}\n\n{_table(*table)}" for title, table in tables.items())
    return "\n".join([INTRO, combined, guests, CGROUPS, ALONE, evidence])


def _combination_row(item: Combination, catalog: Catalog) -> tuple[str, ...]:
    release, runtime, network = item.release, item.runtime, item.cni
    if runtime == "docker":
        runtime = "Docker" if release.dockershim else f"Docker, cri-dockerd {catalog.cri_dockerd_version}"
    if network == "calico":
        network = "Calico " + next(one.version for one in catalog.calico if within(release.minor, one.kubernetes))
    found = item.evidence
    where = f", {found.provider}, {found.guest}, {found.source}" if isinstance(found, ExecutedLab) else ""
    return (
        release.minor,
        runtime,
        network,
        release.config_api.rpartition("/")[2] + (" (list of arguments)" if release.extra_args_as_list else ""),
        ", ".join(release.cgroup_modes),
        "yes" if release.community else "no: a bundle from elsewhere",
        (found.state if found else SHOWN["read up"]) + where,
    )


def _guest_row(guest: Guest, known: Sequence[Evidence | ExecutedLab]) -> tuple[str, ...]:
    set_up = "yes" if guest.converge else f"no: {guest.refused}"
    return guest.title, guest.box, ", ".join(guest.providers), set_up, _guest_state(guest.name, known)


def _evidence_row(row: Evidence | ExecutedLab) -> tuple[str, ...]:
    if isinstance(row, Evidence):
        shown, nodes, how = _range(row.kubernetes), "", row.note
    else:
        shown, nodes = row.kubernetes, str(row.nodes)
        how = "; ".join(filter(None, (f"`{row.test}`", f"host with cgroup {row.cgroup}", row.note)))
    return shown, row.runtime, row.cni, row.provider, row.guest, row.source, nodes, row.state, how


def _guest_state(name: str, known: Sequence[Evidence | ExecutedLab]) -> str:
    levels = [row.level for row in known if row.guest == name]
    return SHOWN[min(levels, key=LEVELS.index, default="read up")]


def _range(limits: str) -> str:
    low, _, high = limits.partition("-")
    return low if high and number(low) == number(high) else f"{low} to {high}" if high else f"{low} and later"


def _table(head: Sequence[str], rows: Sequence[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def page() -> str:
    """The page of the catalog that ships with labctl."""
    return render(load(), evidence())
