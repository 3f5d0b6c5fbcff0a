"""What goes wrong between here and the community's sites: survived, or refused with one clear message."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.bundle import manifest
from tests.replica import server
from tests.replica.conftest import Internet, fetch_in, served, start_fetch
from tests.replica.server import HOSTS

pytestmark = pytest.mark.real

INDEX = r"prod-cdn\.packages\.k8s\.io.*/deb/(In)?Release$"
KEY = r"prod-cdn\.packages\.k8s\.io.*Release\.key"
PACKAGE = r"prod-cdn\.packages\.k8s\.io.*kubectl_.*\.deb"
TAG = r"us-docker\.pkg\.dev/v2/.*/manifests/v1\.37\.2"
LAYER = r"us-docker\.pkg\.dev/v2/.*/blobs/"


def blobs(cache: Path) -> list[Path]:
    return sorted((cache / "blobs").rglob("*"))


def is_whole(blob: Path) -> bool:
    return manifest.file_sha256(blob) == blob.name


REFUSED = [
    pytest.param(
        KEY, server.file("stranger.asc"), "another key than the catalog names", "newer labctl", id="unknown-key"
    ),
    pytest.param(INDEX, server.flipped, "its signature is wrong", "somebody on the way", id="wrong-signature"),
    pytest.param(PACKAGE, server.flipped, "a package is not what the signed index says", "repeat", id="wrong-sum"),
    pytest.param(LAYER, server.flipped, "it is not used", "repeat", id="wrong-layer"),
    pytest.param(INDEX, server.status(404), "404", "curl -I", id="repository-404"),
    pytest.param(KEY, server.status(403), "answers 403, it refuses this host or version", "curl -I", id="403"),
    pytest.param(TAG, server.status(404), "answers 404, it does not have that", "curl -I", id="image-404"),
    pytest.param(TAG, server.status(429, Retry_After="9000"), "come back in 9000 s", "curl -I", id="busy-for-hours"),
    pytest.param(TAG, server.status(503), "answers 503, it is out of order", "curl -I", id="503-for-ever"),
    pytest.param(TAG, server.page, "a web page, as the login page of a network", "log in", id="web-page"),
    pytest.param(".", server.page, "a web page, as the login page of a network", "log in", id="captive-portal"),
    pytest.param(INDEX, server.page, "a login page or a proxy", "curl -I", id="web-page-for-apt"),
    pytest.param(LAYER, server.slow, "sends less than 20 KB a second", "what has arrived is kept", id="slow"),
]


@pytest.mark.parametrize(("pattern", "answer", "message", "fix"), REFUSED)
def test_it_is_refused_with_its_cause_and_what_helps(
    internet: Internet, root: Path, tmp_path: Path, pattern: str, answer: Any, message: str, fix: str
) -> None:
    with internet.fault(pattern, answer):
        said = fetch_in(internet, root, tmp_path, {})
    assert message in said.get("message", ""), said
    assert fix in said["fix"]
    assert not [
        path for path in blobs(tmp_path) if path.is_file() and path.suffix != ".part" and not path.stat().st_size
    ]


def test_a_key_that_has_expired_is_refused_with_the_date(internet: Internet, root: Path, tmp_path: Path) -> None:
    keys = {**internet.keys, "kubernetes": internet.keys["expired"]}
    with internet.fault(KEY, server.file("expired.asc")):
        said = fetch_in(internet, root, tmp_path, {}, addresses={"ca": str(internet.work / "ca.pem"), "keys": keys})
    assert "has expired on 2024-12-31; the clock of this host says" in said.get("message", ""), said
    assert "clock" in said["fix"]


SURVIVED = [
    pytest.param(
        TAG, server.status(429, Retry_After="7"), 1, "asks for patience (429): trying again in 7 s", id="busy"
    ),
    pytest.param(TAG, server.status(502), 2, "is out of order (502)", id="out-of-order-twice"),
    pytest.param(LAYER, server.cut, 2, "broke off (the connection was cut)", id="cut"),
]


@pytest.mark.parametrize(("pattern", "answer", "times", "note"), SURVIVED)
def test_it_is_survived_and_the_user_is_told_of_the_wait(
    internet: Internet, root: Path, tmp_path: Path, pattern: str, answer: Any, times: int, note: str
) -> None:
    with internet.fault(pattern, answer, times):
        said = fetch_in(internet, root, tmp_path, {})
    assert "digests" in said, said
    assert any(note in text for text in said["said"]), said["said"]


def test_a_cut_layer_goes_on_where_it_was_cut(internet: Internet, root: Path, tmp_path: Path) -> None:
    whole = fetch_in(internet, root, tmp_path / "whole", {})
    before = internet.replica.total
    fetch_in(internet, root, tmp_path / "whole", {})
    again = internet.replica.total - before
    with internet.fault(LAYER, server.cut, 3):
        assert fetch_in(internet, root, tmp_path / "cut", {})["digests"] == whole["digests"]
    layers = sum(path.stat().st_size for path in blobs(tmp_path / "whole") if path.is_file())
    # Beside the layers the same as the run that had them all; a byte is sent twice at most by what was on its way.
    assert internet.replica.total - before - 2 * again <= layers


def test_nothing_is_fetched_again_that_is_there(internet: Internet, root: Path, tmp_path: Path) -> None:
    fetch_in(internet, root, tmp_path, {})
    internet.replica.asked.clear()
    fetch_in(internet, root, tmp_path, {})
    assert not [path for path in internet.replica.asked if "/blobs/" in path]


def test_a_fetch_that_was_killed_goes_on_where_it_was(internet: Internet, root: Path, tmp_path: Path) -> None:
    with internet.fault(LAYER, server.stalled):
        fetching = start_fetch(internet, root, tmp_path)
        deadline = time.monotonic() + 60
        while not (parts := list((tmp_path / "blobs").rglob("*.part"))) or not all(
            part.stat().st_size for part in parts
        ):
            assert time.monotonic() < deadline
            assert fetching.poll() is None
            time.sleep(0.05)
        fetching.kill()
        fetching.wait()
    had = {part.name.removesuffix(".part"): part.stat().st_size for part in parts}
    before = internet.replica.sent.get(server.STORE, 0)
    assert "digests" in fetch_in(internet, root, tmp_path, {})
    whole = sum(blob.stat().st_size for blob in blobs(tmp_path) if blob.is_file())
    assert internet.replica.sent[server.STORE] - before < whole - sum(had.values()) + 100_000


def test_a_tag_that_names_another_image_than_before_is_refused_until_it_is_accepted(
    internet: Internet, root: Path, tmp_path: Path
) -> None:
    first = fetch_in(internet, root, tmp_path, {})
    name, digest = "registry.k8s.io/kube-proxy:v1.37.2", "0" * 64
    known = (tmp_path / "known.json").read_text()
    (tmp_path / "known.json").write_text(known.replace(first["digests"][name], digest))
    refused = fetch_in(internet, root, tmp_path, {})
    assert f"the image {name} is not what it was at its first fetch" in refused["message"]
    assert refused["fix"].startswith(f"--accept {name}={first['digests'][name]}")
    accepted = fetch_in(internet, root, tmp_path, {}, accepted={name: first["digests"][name]})
    assert accepted["digests"] == first["digests"]


def test_with_the_anchors_that_ship_with_labctl_the_replica_is_refused(
    internet: Internet, root: Path, tmp_path: Path
) -> None:
    untrusted = fetch_in(internet, root, tmp_path, {"LABCTL_TRUST": ""})
    assert "its certificate is not trusted" in untrusted["message"]
    assert "SSL_CERT_FILE" in untrusted["fix"]
    ca = str(internet.work / "ca.pem")
    alone = {"LABCTL_TRUST": "", "REQUESTS_CA_BUNDLE": "", "CURL_CA_BUNDLE": "", "SSL_CERT_FILE": ca}
    foreign = fetch_in(internet, root, tmp_path, alone)
    assert "instead of DE15B14486CD377B9E876E1A234654DA9A296436" in foreign["message"]


def test_a_full_disk_is_named_with_what_makes_room(internet: Internet, root: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    made = internet.run("mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(small))
    assert made.returncode == 0, made.stderr
    full = fetch_in(internet, root, small, {})
    assert "no space is left for a layer of" in full["message"]
    assert "labctl cache prune" in full["fix"]


def test_rpms_are_fetched_for_nodes_of_the_redhat_family(internet: Internet, root: Path, tmp_path: Path) -> None:
    said = fetch_in(internet, root, tmp_path, {}, guest="rocky-9")
    assert "packages" in said, said
    assert said["packages"]["kubelet"].startswith("1.37.2-")
    assert said["components"]["containerd"]


def test_dockers_packages_are_fetched_once_the_sum_of_cri_dockerd_is_accepted(
    internet: Internet, root: Path, tmp_path: Path
) -> None:
    refused = fetch_in(internet, root, tmp_path, {}, runtime="docker")
    assert "the checksum of cri-dockerd-" in refused.get("message", ""), refused
    name, _, digest = refused["fix"].removeprefix("--accept ").partition(",")[0].partition("=")
    said = fetch_in(internet, root, tmp_path, {}, runtime="docker", accepted={name: digest})
    assert said["packages"]["docker-ce"].startswith("5%3a"), said
    assert {"docker-ce-cli", "containerd.io"} <= set(said["packages"])


def test_an_rpm_that_was_changed_is_refused(internet: Internet, root: Path, tmp_path: Path) -> None:
    with internet.fault(r".*\.rpm$", server.flipped):
        said = fetch_in(internet, root, tmp_path, {}, guest="rocky-9")
    assert "the repository kubernetes at https://pkgs.k8s.io" in said.get("message", ""), said


def test_a_certificate_that_is_not_valid_yet_points_to_the_clock(site: Path, root: Path, tmp_path: Path) -> None:
    with served(site, tmp_path, since=365) as future:
        said = fetch_in(future, root, tmp_path / "cache", {})
    assert "the clock of this host says 20" in said.get("message", ""), said
    assert "set the clock" in said["fix"]


def test_addresses_of_version_six_alone_are_enough(site: Path, root: Path, tmp_path: Path) -> None:
    with served(site, tmp_path, address="::1") as six:
        assert "digests" in fetch_in(six, root, tmp_path / "cache", {})


class TestProxy:
    """A company whose hosts reach the internet through a proxy that wants a password and opens TLS with its own CA."""

    @pytest.fixture
    def behind(self, site: Path, tmp_path: Path) -> Any:
        # Nobody but the proxy knows the names.
        with served(site, tmp_path, names=()) as company:
            proxy = server.Server(company.namespace.listen("127.0.0.1", 3128), company.replica, server.Proxy)
            proxy.connect = lambda: company.namespace.connect("127.0.0.1", 443)
            end = server.run(proxy)
            yield company
            end()

    def test_everything_goes_through_it(self, behind: Internet, root: Path, tmp_path: Path) -> None:
        through = {"https_proxy": "http://reader:se%3Acret@127.0.0.1:3128"}
        said = fetch_in(behind, root, tmp_path / "cache", through)
        assert "digests" in said, said
        assert any(path == "CONNECT pkgs.k8s.io:443" for path in behind.replica.asked)

    def test_a_wrong_password_is_told(self, behind: Internet, root: Path, tmp_path: Path) -> None:
        said = fetch_in(behind, root, tmp_path / "cache", {"https_proxy": "http://reader:wrong@127.0.0.1:3128"})
        assert "the proxy wants a login" in said.get("message", ""), said
        assert "https_proxy=http://USER:PASSWORD@PROXY:PORT" in said["fix"]

    def test_without_it_the_names_are_not_known(self, behind: Internet, root: Path, tmp_path: Path) -> None:
        said = fetch_in(behind, root, tmp_path / "cache", {})
        assert "its name is not known" in said.get("message", ""), said


class TestMirror:
    """A company's copy of everything under one other name, with its own keys, CA and logins."""

    @pytest.fixture
    def company(self, site: Path, tmp_path: Path) -> Iterator[Internet]:
        with served(
            site, tmp_path, names=(server.MIRROR,), prefixes=dict(server.MIRRORED), login="reader:secret"
        ) as made:
            yield made

    @pytest.fixture
    def addresses(self, company: Internet, tmp_path: Path) -> dict[str, Any]:
        (tmp_path / "netrc").write_text(f"machine {server.MIRROR} login reader password secret\n")
        return {
            "url": f"https://{server.MIRROR}/all",
            "ca": str(tmp_path / "ca.pem"),
            "netrc": str(tmp_path / "netrc"),
            "keys": company.keys,
        }

    def test_it_gives_the_same_packages_and_images_as_the_community(
        self, company: Internet, internet: Internet, root: Path, tmp_path: Path, addresses: dict[str, Any]
    ) -> None:
        own = {"LABCTL_TRUST": ""}
        said = fetch_in(company, root, tmp_path / "cache", own, addresses=addresses)
        assert "digests" in said, said
        assert said["digests"] == fetch_in(internet, root, tmp_path / "other", {})["digests"]
        assert {path.partition("/")[0] for path in company.replica.asked} == {server.MIRROR}

    def test_without_a_login_it_is_refused(
        self, company: Internet, root: Path, tmp_path: Path, addresses: dict[str, Any]
    ) -> None:
        said = fetch_in(company, root, tmp_path / "cache", {"LABCTL_TRUST": ""}, addresses={**addresses, "netrc": ""})
        assert "answers 401, it wants a login" in said.get("message", ""), said

    def test_packages_without_images_are_told(
        self, company: Internet, root: Path, tmp_path: Path, addresses: dict[str, Any]
    ) -> None:
        del company.replica.prefixes[f"{server.MIRROR}/v2/all/registry.k8s.io"]  # type: ignore[attr-defined]
        said = fetch_in(company, root, tmp_path / "cache", {"LABCTL_TRUST": ""}, addresses=addresses)
        assert "the image registry.k8s.io/kube-apiserver:v1.37.2 cannot be fetched" in said.get("message", ""), said
        assert (
            f"https://{server.MIRROR}/v2/all/registry.k8s.io/kube-apiserver/manifests/v1.37.2 answers 404"
            in said["message"]
        )


def test_every_host_of_the_replica_has_its_true_name() -> None:
    assert {"pkgs.k8s.io", "registry.k8s.io", "download.docker.com", "registry-1.docker.io", "quay.io"} <= set(HOSTS)
