"""Which nodes can be saved, what stands in the way, and what a snapshot's parts are called."""

from __future__ import annotations

from orchestrator.model import Node
from orchestrator.providers.container import node_spec as spec
from orchestrator.providers.container import snapshots
from orchestrator.providers.vagrant import command
from orchestrator.providers.vagrant.output import snapshot_names
from tests.unit.providers.test_container_spec import PLAN


def test_only_nodes_that_run_are_saved_and_the_others_are_named_with_what_to_type() -> None:
    running = [Node("m-k8s", "running"), Node("w1-k8s", "running")]
    assert snapshots.state_problems(running) == []
    (off,) = snapshots.state_problems([running[0], Node("w1-k8s", "stopped")])
    assert (off.where, off.fix) == ("w1-k8s", "labctl start")
    (gone,) = snapshots.state_problems([running[0], Node("w1-k8s", "missing", detail="Docker is not running")])
    assert (gone.where, gone.fix) == ("w1-k8s", "labctl provision")


def test_a_disk_that_is_too_small_is_told_with_both_numbers() -> None:
    assert snapshots.disk_problem(1000, 1000 + snapshots.RESERVE_MB, "/var/lib/docker") is None
    problem = snapshots.disk_problem(1000, 1499, "/var/lib/docker")
    assert problem is not None
    assert "1499 MB are free" in problem.what
    assert "about 1000 MB" in problem.what
    assert "labctl snapshot delete" in problem.fix


def test_the_parts_of_a_snapshot_are_the_labs_and_no_nodes() -> None:
    labels = snapshots.labels(PLAN, "before.0123abcd", "w1-k8s")
    assert labels[spec.UUID] == PLAN.uuid, "destroy finds them"
    assert labels[spec.NODE] == "", "scale does not take them for the node's own"
    assert snapshots.image_name(PLAN, "before.0123abcd", "w1-k8s") == "labctl/snapshot:01234567-before.0123abcd-w1-k8s"


def test_of_vagrants_snapshots_only_those_that_labctl_made_are_ever_deleted() -> None:
    listing = "1,m-k8s,ui,output,==> m-k8s: \n2,,ui,detail,labctl.one.0123abcd\n3,,ui,detail,their-own\n"
    names = set(snapshot_names(listing))
    assert {"labctl.one.0123abcd", "their-own"} <= names
    assert command.unkept(names, set()) == ["labctl.one.0123abcd"]
    assert command.unkept(names, {"one.0123abcd"}) == []
