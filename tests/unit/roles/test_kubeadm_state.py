"""What the module kubeadm_state concludes from the files of a node and the answer of the API server."""

from __future__ import annotations

import base64
import ssl
from pathlib import Path
from typing import Any

import pytest

from tests.modules import load_module

ROOT = Path(__file__).parents[3]


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module, looking at a root of its own; `node.answer` is what the API server says."""
    module = load_module(ROOT / "plugins/modules/kubeadm_state.py")
    for name in (
        "CONTROL_PLANE_FILES",
        "CONTROL_PLANE_TRACES",
        "CONTROL_PLANE_CLIENT",
        "WORKER_FILES",
        "WORKER_TRACES",
    ):
        setattr(module, name, tuple(f"{tmp_path}{path}" for path in getattr(module, name)))
    module.MARK = f"{tmp_path}{module.MARK}"
    module.answer = {"/api/v1/nodes/": 200, "daemonsets/kube-proxy": 200}
    monkeypatch.setattr(module, "tls_context", lambda *_: None)

    def http_status(_context: object, _endpoint: str, path: str) -> int:
        said = next(value for part, value in module.answer.items() if part in path)
        if isinstance(said, Exception):
            raise said
        return int(said)

    monkeypatch.setattr(module, "http_status", http_status)
    return module


def untrusted(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, "said OpenSSL"
    return error


def put(*paths: str, text: str = "") -> None:
    for path in paths:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text)


def kubeconfig(endpoint: str) -> str:
    authority = base64.b64encode(b"authority").decode()
    return f"clusters:\n- cluster:\n    certificate-authority-data: {authority}\n    server: https://{endpoint}\n"


def control_plane(node: Any) -> str:
    return str(node.control_plane_state("10.0.0.1:6443", "m-k8s")[0])


def worker(node: Any) -> str:
    return str(node.worker_state("10.0.0.1:6443", "w1-k8s")[0])


def whole_control_plane(node: Any, *, marked: bool) -> None:
    put(*node.CONTROL_PLANE_TRACES, *node.CONTROL_PLANE_CLIENT)
    if marked:
        put(node.MARK)


def whole_worker(node: Any, endpoint: str = "10.0.0.1:6443") -> None:
    put(*node.WORKER_FILES)
    put(node.WORKER_FILES[0], text=kubeconfig(endpoint))


def test_an_empty_node_is_absent(node: Any) -> None:
    assert (control_plane(node), worker(node)) == ("absent", "absent")


def test_a_control_plane_that_answers_is_healthy(node: Any) -> None:
    whole_control_plane(node, marked=True)
    assert control_plane(node) == "healthy"


@pytest.mark.parametrize(
    "trouble", [ConnectionRefusedError("refused"), ssl.SSLError(1, "bad"), TimeoutError("slow"), 500]
)
def test_what_was_healthy_once_is_silent_and_never_interrupted(node: Any, trouble: Any) -> None:
    whole_control_plane(node, marked=True)
    node.answer["/api/v1/nodes/"] = trouble
    assert control_plane(node) == "silent"


def test_an_init_without_an_answer_that_was_never_healthy_is_interrupted(node: Any) -> None:
    whole_control_plane(node, marked=False)
    node.answer["/api/v1/nodes/"] = ConnectionRefusedError("refused")
    assert control_plane(node) == "interrupted"


def test_an_init_that_answers_but_never_came_to_its_last_step_is_interrupted(node: Any) -> None:
    whole_control_plane(node, marked=False)
    node.answer["daemonsets/kube-proxy"] = 404
    assert control_plane(node) == "interrupted"


def test_a_finished_control_plane_that_lost_its_mark_is_healthy(node: Any) -> None:
    whole_control_plane(node, marked=False)
    assert control_plane(node) == "healthy"


def test_a_missing_manifest_of_a_healthy_control_plane_is_named(node: Any) -> None:
    whole_control_plane(node, marked=True)
    lost = node.CONTROL_PLANE_FILES[3]
    Path(lost).unlink()
    state, _reason, missing = node.control_plane_state("10.0.0.1:6443", "m-k8s")
    assert (state, missing) == ("healthy", [lost])


def test_a_member_that_the_api_knows_is_healthy(node: Any) -> None:
    whole_worker(node)
    assert worker(node) == "healthy"


def test_a_member_whose_node_was_deleted_is_unregistered(node: Any) -> None:
    whole_worker(node)
    node.answer["/api/v1/nodes/"] = 404
    assert worker(node) == "unregistered"


@pytest.mark.parametrize("trouble", [TimeoutError("slow"), ssl.SSLEOFError(8, "EOF"), untrusted(10), untrusted(9), 503])
def test_a_member_whose_api_server_is_away_or_has_a_wrong_date_is_silent(node: Any, trouble: Any) -> None:
    whole_worker(node)
    node.answer["/api/v1/nodes/"] = trouble
    assert worker(node) == "silent"


@pytest.mark.parametrize("trouble", [untrusted(19), untrusted(20), 401])
def test_a_member_of_a_cluster_that_is_no_more_is_interrupted(node: Any, trouble: Any) -> None:
    whole_worker(node)
    node.answer["/api/v1/nodes/"] = trouble
    assert worker(node) == "interrupted"


def test_a_member_of_another_cluster_is_interrupted(node: Any) -> None:
    whole_worker(node, "10.9.9.9:6443")
    assert worker(node) == "interrupted"


def test_a_join_that_left_its_bootstrap_kubeconfig_is_interrupted(node: Any) -> None:
    whole_worker(node)
    put(node.WORKER_TRACES[-1])
    assert worker(node) == "interrupted"


def test_a_join_that_came_half_way_is_interrupted(node: Any) -> None:
    put(node.WORKER_FILES[1])
    assert worker(node) == "interrupted"


def test_endpoint_and_authority_are_read_from_a_kubeconfig(node: Any) -> None:
    assert node.connection_of(kubeconfig("10.0.0.1:6443")) == ("10.0.0.1:6443", "authority")
