"""What verbs return: frozen data that knows its JSON document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class VerbResult:
    """A result whose fields are the keys of its document; values with an `as_dict` of their own give theirs."""

    schema: ClassVar[str]

    def as_dict(self) -> dict[str, Any]:
        """The result as JSON-ready data, without its schema."""
        return {field.name: _data(getattr(self, field.name)) for field in fields(self)}


def _data(value: Any) -> Any:
    if hasattr(value, "as_dict"):
        return value.as_dict()
    if isinstance(value, Mapping):
        return {key: _data(each) for key, each in value.items()}
    if isinstance(value, tuple | list):
        return [_data(each) for each in value]
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
