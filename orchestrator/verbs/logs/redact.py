"""Replaces secrets in a text: those that labctl knows, and what has the form of one."""

from __future__ import annotations

import re
from collections.abc import Sequence

HIDDEN = "[redacted]"

# The first group of each stays and names the secret.
_PATTERNS = [
    re.compile(r"(-----BEGIN [A-Z ]*(?:PRIVATE KEY|CERTIFICATE)-----).*?(?=-----END|\Z)", re.DOTALL),
    re.compile(r"()\b[a-z0-9]{6}\.[a-z0-9]{16}\b"),  # a bootstrap token
    re.compile(r"()\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"),  # a service account's token
    re.compile(r"\b((?:client-key|client-certificate|certificate-authority)-data:\s*)\S+"),
    re.compile(r"(://[^/\s:@]*:)[^/\s@]+(?=@)"),  # the password in a proxy's URL
    re.compile(r"(?i)(\bauthorization:\s*(?:bearer|basic)\s+)\S+"),
    re.compile(
        r"(?i)(\b[\w.-]*(?:passw(?:or)?d|passphrase|secret[_-]?key|access[_-]?key|api[_-]?key|certificate[_-]key|token)"
        r"[\"']?\s*(?:=|:\s)\s*[\"']?)(?!\[redacted)[^\s\"',}]{4,}"
    ),
    re.compile(r"(--(?:token|certificate-key|password)[ =])\S+"),
]


class Redactor:
    """A function that returns a text without its secrets; `known` are strings that are secret wherever they are."""

    def __init__(self, known: Sequence[str] = ()) -> None:
        self._known = sorted({word for word in known if len(word) >= 8}, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        for word in self._known:
            text = text.replace(word, HIDDEN)
        for pattern in _PATTERNS:
            text = pattern.sub(rf"\g<1>{HIDDEN}", text)
        return text
