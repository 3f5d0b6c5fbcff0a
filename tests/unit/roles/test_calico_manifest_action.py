"""The action that adapts Calico's manifest to a lab."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.modules import load_module

ROOT = Path(__file__).parents[3]
MANIFEST = (ROOT / "tests/data/calico-3.17-shaped.yaml").read_text()


calico = load_module(ROOT / "plugins/action/calico_manifest.py")


def patched(encapsulation: str = "ipip", manifest: str = MANIFEST) -> list[dict[str, Any]]:
    text = calico.patch(manifest, "172.16.0.0/16", encapsulation, "kubernetes-internal-ip")
    return list(yaml.safe_load_all(text))


def container(documents: list[dict[str, Any]]) -> dict[str, Any]:
    daemon_set = next(document for document in documents if document["kind"] == "DaemonSet")
    found: dict[str, Any] = daemon_set["spec"]["template"]["spec"]["containers"][0]
    return found


def environment(documents: list[dict[str, Any]]) -> dict[str, Any]:
    return {entry["name"]: entry.get("value") for entry in container(documents)["env"]}


def test_pool_and_address_detection_are_the_labs() -> None:
    variables = environment(patched())
    assert variables["CALICO_IPV4POOL_CIDR"] == "172.16.0.0/16"
    assert variables["IP_AUTODETECTION_METHOD"] == "kubernetes-internal-ip"


@pytest.mark.parametrize(
    ("encapsulation", "ipip", "vxlan"),
    [("ipip", "Always", "Never"), ("vxlan", "Never", "Always"), ("none", "Never", "Never")],
)
def test_encapsulation_is_the_one_asked_for(encapsulation: str, ipip: str, vxlan: str) -> None:
    variables = environment(patched(encapsulation))
    assert (variables["CALICO_IPV4POOL_IPIP"], variables["CALICO_IPV4POOL_VXLAN"]) == (ipip, vxlan)


def test_vxlan_turns_bird_off_everywhere() -> None:
    documents = patched("vxlan")
    config = next(document for document in documents if document["kind"] == "ConfigMap")
    assert config["data"]["calico_backend"] == "vxlan"
    for probe in ("livenessProbe", "readinessProbe"):
        assert not [word for word in container(documents)[probe]["exec"]["command"] if "bird" in word]


def test_everything_else_stays_as_it_was() -> None:
    before = [document for document in yaml.safe_load_all(MANIFEST) if document]
    after = patched()
    assert [(d["kind"], d["metadata"]["name"]) for d in after] == [(d["kind"], d["metadata"]["name"]) for d in before]
    assert [d for d in after if d["kind"] != "DaemonSet"] == [d for d in before if d["kind"] != "DaemonSet"]


def test_a_status_is_left_to_the_api_server() -> None:
    definition = (
        "---\nkind: CustomResourceDefinition\nmetadata: {name: x}\nspec: {group: y}\nstatus: {conditions: null}\n"
    )
    added = patched(manifest=MANIFEST + definition)[-1]
    assert added == {"kind": "CustomResourceDefinition", "metadata": {"name": "x"}, "spec": {"group": "y"}}


def test_patching_twice_changes_nothing_more() -> None:
    once = calico.patch(MANIFEST, "172.16.0.0/16", "vxlan", "kubernetes-internal-ip")
    assert calico.patch(once, "172.16.0.0/16", "vxlan", "kubernetes-internal-ip") == once


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("kind: DaemonSet", "kind: Deployment", "DaemonSet calico-node: found 0 times"),
        ("        - name: calico-node\n", "        - name: node\n", "container calico-node found 0 times"),
        ("  calico_backend:", "  backend:", "ConfigMap calico-config: no calico_backend"),
    ],
)
def test_another_shape_is_refused_by_the_name_of_its_document(old: str, new: str, named: str) -> None:
    assert old in MANIFEST
    with pytest.raises(calico.UnknownShapeError, match=named):
        patched("vxlan", MANIFEST.replace(old, new))


def newer_shape() -> str:
    """The manifest with what is different from 3.30 on; written for the tests, like the one it is made from."""
    text = MANIFEST.replace("docker.io/calico/", "quay.io/calico/").replace("v3.17.6", "v3.30.7")
    text = text.replace("policy/v1beta1", "policy/v1").replace("-bird-", "--bird-").replace("-felix-", "--felix-")
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "calico-cni-plugin"}}
    documents = [document for document in yaml.safe_load_all(text) if document]
    container(documents)["env"] += [
        {"name": "CALICO_IPV6POOL_VXLAN", "value": "Never"},
        {"name": "CALICO_IPV4POOL_CIDR", "value": "192.168.0.0/16"},
    ]
    return yaml.safe_dump_all([account, *documents], sort_keys=False)


def test_the_newer_shape_is_patched_too() -> None:
    documents = patched("vxlan", newer_shape())
    variables = environment(documents)
    assert variables["CALICO_IPV4POOL_CIDR"] == "172.16.0.0/16"
    assert (variables["CALICO_IPV4POOL_VXLAN"], variables["CALICO_IPV6POOL_VXLAN"]) == ("Always", "Never")
    assert [entry["name"] for entry in container(documents)["env"]].count("CALICO_IPV4POOL_CIDR") == 1
    assert container(documents)["livenessProbe"]["exec"]["command"] == ["/bin/calico-node", "--felix-live"]
    assert "policy/v1" in {document["apiVersion"] for document in documents}


def test_what_is_not_yaml_is_refused() -> None:
    with pytest.raises(calico.UnknownShapeError, match="not YAML"):
        patched(manifest="a: [")


def test_a_manifest_with_another_checksum_is_refused() -> None:
    expected = hashlib.sha256(MANIFEST.encode()).hexdigest()
    assert calico.checksum_problem(MANIFEST, expected) == ""
    assert "calico_manifest_sha256" in calico.checksum_problem(MANIFEST + "\n", expected)
