"""The parts of `./test full`: where their tests are, and which files of the product they run through."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

# What `labctl provision` of a lab reads.
PROVISION = (
    "ansible.cfg",
    "images",
    "inventory",
    "playbooks",
    "roles",
    "orchestrator/*.py",
    "orchestrator/bundle",
    # Not executed.json, which says what ran.
    "orchestrator/catalog/*.py",
    "orchestrator/catalog/data/*.yml",
    "orchestrator/lab",
    "orchestrator/plan",
    "orchestrator/providers",
    "orchestrator/spec",
    "orchestrator/verbs/*.py",
    "orchestrator/verify",
)
MOLECULE = ("extensions/molecule", "images", "molecule/shared", "orchestrator/bundle", "orchestrator/providers")

VIRTUALBOX = ("Vagrantfile.j2", "images/box", "orchestrator/*.py", "orchestrator/plan", "orchestrator/providers")


@dataclass(frozen=True)
class Part:
    """One part: `marker` narrows it to the tests of its paths that have it."""

    name: str
    paths: tuple[str, ...]
    inputs: tuple[str, ...] = PROVISION
    marker: str = ""
    environment: tuple[tuple[str, str], ...] = ()

    def contains(self, path: str, markers: Collection[str]) -> bool:
        """Return whether a test file of this path, with these markers, belongs to the part."""
        return path.startswith(self.paths) and (not self.marker or self.marker in markers)


# The first part that contains a test has it.
PARTS = (
    Part(
        "book",
        ("tests/drills/", "tests/book/"),
        marker="book",
        environment=(("LABCTL_TEST_KUBERNETES", "1.20.2"), ("LABCTL_TEST_RUNTIME", "docker")),
    ),
    Part(
        "docker",
        ("tests/drift/", "tests/drills/"),
        marker="docker",
        environment=(("LABCTL_TEST_RUNTIME", "docker"),),
    ),
    Part("kills", ("tests/faults/",), marker="kills", environment=(("LABCTL_FAULTS_RANDOM", "100"),)),
    Part("faults", ("tests/faults/",)),
    Part("healing", ("tests/drift/test_healing.py",)),
    Part("drift", ("tests/drift/",)),
    Part("drills", ("tests/drills/",), (*PROVISION, "orchestrator/drills", "orchestrator/verbs/drill")),
    Part("drill_repeats", ("tests/soak/test_drills_in_a_row.py",), (*PROVISION, "drills", "orchestrator/drills")),
    Part("false_alarms", ("tests/soak/test_false_alarms.py",)),
    Part("resets", ("tests/soak/test_resets.py",)),
    Part("snapshots", ("tests/life_cycle/test_life_cycle.py",)),
    Part("upgrades", ("tests/upgrades/",)),
    Part("static", ("tests/life_cycle/test_static_lab.py",)),
    Part("calico", ("tests/life_cycle/test_calico.py",)),
    Part("conformance", ("tests/conformance/",), (*PROVISION, "orchestrator/checks")),
    Part("registry", ("tests/life_cycle/test_registry.py", "tests/integration/test_registry.py")),
    Part("teaching", ("tests/e2e/test_grace_periods.py",)),
    Part("own_network", ("tests/life_cycle/test_own_network.py",)),
    Part("baked", ("tests/e2e/test_baked_nodes.py",)),
    Part("vm", ("tests/e2e_vm/", "tests/molecule/"), (*PROVISION, "molecule/shared_vm"), marker="vm"),
    Part("virtualbox", ("tests/virtualbox/",), VIRTUALBOX),
    Part("molecule", ("tests/molecule/",), MOLECULE),
)


def part_of(path: str, markers: Collection[str]) -> Part | None:
    """Return the part of a test file, None for tests that always run."""
    return next((part for part in PARTS if part.contains(path, markers)), None)
