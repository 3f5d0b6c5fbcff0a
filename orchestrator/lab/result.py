"""What a verb returns: frozen data whose fields are the body of a JSON document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class Result:
    """A result; `schema` names its document, such as `labctl/logs/v1`."""

    schema: ClassVar[str]

    def as_dict(self) -> Mapping[str, Any]:
        """The body of the document."""
        return asdict(self)
