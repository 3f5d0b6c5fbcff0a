"""What labctl saw when it first fetched something without a sum in the catalog: remembered, and held against later."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.errors import HostError
from orchestrator.paths import write_private


@dataclass
class Known:
    """Digests by name, in a file of the cache; `accepted` are those the user confirms with this command.

    `ask` puts a question to the user and is False where nobody can answer; `option` is how to accept a digest then.
    """

    file: Path
    accepted: Mapping[str, str] = field(default_factory=dict)
    ask: Callable[[str], bool] = lambda question: False
    option: str = "--accept {name}={digest}"

    def get(self, name: str) -> str:
        """The digest that is remembered or accepted; empty when there is none."""
        return self.accepted.get(name) or self._read().get(name, "")

    def require(self, name: str, digest: str, what: str) -> None:
        """Raise HostError when something had another digest at its first fetch and the user does not accept the new."""
        seen = self.get(name)
        if seen and seen != digest:
            raise HostError(
                f"{what} is not what it was at its first fetch: sha256 {digest} instead of {seen}; it is not used",
                fix=f"{self.option.format(name=name, digest=digest)}, if its owner tells you of the change",
            )

    def confirm(self, name: str, digest: str, url: str) -> None:
        """Remember a digest that nobody computed before, when the user confirms it. Raises HostError otherwise."""
        question = f"Nobody has confirmed a checksum of {name}; what {url} sent has the sha256 {digest}. Use it?"
        if self.accepted.get(name) != digest and not self.ask(question):
            raise HostError(
                f"the checksum of {name} is not confirmed: what {url} sent has the sha256 {digest}",
                fix=f"{self.option.format(name=name, digest=digest)}, if that is what you expect",
            )
        self.remember(name, digest)

    def remember(self, name: str, digest: str) -> None:
        """Keep a digest."""
        body = self._read()
        if body.get(name) != digest:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            write_private(self.file, json.dumps({**body, name: digest}, indent=1, sort_keys=True) + "\n")

    def _read(self) -> dict[str, str]:
        try:
            body: dict[str, str] = json.loads(self.file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise HostError(
                f"{self.file} cannot be read: {error}", fix=f"rm {self.file}   (forgets what was seen)"
            ) from None
        return body
