"""What a support archive must not contain."""

from __future__ import annotations

import pytest

from orchestrator.verbs.logs.redact import Redactor

SECRETS = [
    "kubeadm join 10.0.0.1:6443 --token {}",
    "token: {}",
    "client-key-data: {}",
    "Authorization: Bearer {}",
    "http_proxy=http://user:{}@proxy:3128",
    "DB_PASSWORD={}",
    '"api_key": "{}"',
    "-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END OPENSSH PRIVATE KEY-----",
    "upload-certs with --certificate-key {} now",
]


@pytest.mark.parametrize("line", SECRETS)
def test_what_looks_like_a_secret_is_replaced_and_the_rest_stays(line: str) -> None:
    redacted = Redactor()(line.format("abc123def4567890CANARY"))
    assert "CANARY" not in redacted
    assert "[redacted]" in redacted
    assert redacted[:6] == line[:6]


def test_tokens_are_replaced_by_their_form_and_known_secrets_everywhere() -> None:
    redact = Redactor(["a-known-secret"])
    assert redact("xx abcdef.0123456789abcdef yy") == "xx [redacted] yy"
    assert redact("path/a-known-secret/x") == "path/[redacted]/x"
    assert redact("eyJhbGciOiJSUzI1.eyJpc3MiOiJr.c2lnbmF0dXJl") == "[redacted]"


@pytest.mark.parametrize(
    "line",
    ["m-k8s Ready control-plane,master 10m v1.20.2", "192.168.56.10:6443", "default-token-abcde kubernetes.io/x"],
)
def test_ordinary_lines_stay_as_they_are(line: str) -> None:
    assert Redactor()(line) == line
