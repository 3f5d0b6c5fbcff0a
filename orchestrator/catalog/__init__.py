"""The catalog: facts about releases, guests, pod networks and package sources as data, and what goes together."""

from orchestrator.catalog.facts import Calico, Catalog, Guest, Release, load
from orchestrator.catalog.resolve import Refusal, Request, Resolution, resolve

__all__ = [
    "Calico",
    "Catalog",
    "Guest",
    "Refusal",
    "Release",
    "Request",
    "Resolution",
    "load",
    "resolve",
]
