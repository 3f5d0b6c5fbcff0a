"""`labctl catalog`: what can be combined, and what of it was tested."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from orchestrator.catalog import facts, tested


@dataclass(frozen=True)
class CatalogResult:
    """The catalog's data, and its page for people."""

    facts: facts.Catalog
    page: str
    schema = "labctl/catalog/v1"

    def as_dict(self) -> dict[str, Any]:
        """The catalog as JSON-ready data."""
        return asdict(self.facts)


def catalog() -> CatalogResult:
    """The catalog that planning uses."""
    return CatalogResult(facts.load(), tested.page())
