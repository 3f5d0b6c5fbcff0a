"""Takes what is secret out of a text: what labctl knows to be secret, and what looks like it."""

from __future__ import annotations

import re
from collections.abc import Sequence

HIDDEN = "[redacted]"

# Each keeps its first group, which says what was there.
_PATTERNS = [
    re.compile(r"(-----BEGIN [A-Z ]*(?:PRIVATE KEY|CERTIFICATE)-----).*?(?=-----END|\Z)", re.DOTALL),
    re.compile(r"()\b[a-z0-9]{6}\.[a-z0-9]{16}\b"),  # a bootstrap token
    re.compile(r"()\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"),  # a service account's token
    re.compile(r"\b((?:client-key|client-certificate|certificate-authority)-data:\s*)\S+"),
    re.compile(r"(://[^/\s:@]*:)[^/\s@]+(?=@)"),  # a proxy's password
    re.compile(r"(?i)(\bauthorization:\s*(?:bearer|basic)\s+)\S+"),
    re.compile(
        r"(?i)(\b[\w.-]*(?:passw(?:or)?d|passphrase|secret[_-]?key|access[_-]?key|api[_-]?key|certificate[_-]key|token)"
        r"[\"']?\s*(?:=|:\s)\s*[\"']?)(?!\[redacted)[^\s\"',}]{4,}"
    ),
    re.compile(r"(--(?:token|certificate-key|password)[ =])\S+"),
]


class Redactor:
    """A function from text to the same text without secrets; `known` are strings that are secret as they stand."""

    def __init__(self, known: Sequence[str] = ()) -> None:
        self._known = sorted({word for word in known if len(word) >= 8}, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        for word in self._known:
            text = text.replace(word, HIDDEN)
        for pattern in _PATTERNS:
            text = pattern.sub(rf"\g<1>{HIDDEN}", text)
        return text
