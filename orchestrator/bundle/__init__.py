"""The offline bundle: packages and images of one Kubernetes version; built or imported, verified, served to nodes."""

from orchestrator.bundle.builder import KNOWN, build, locked, preflight
from orchestrator.bundle.compilers import seconds, unreachable
from orchestrator.bundle.download import Downloads, probe
from orchestrator.bundle.exporter import export_bundle
from orchestrator.bundle.importer import import_bundle, require_processor
from orchestrator.bundle.known import Known
from orchestrator.bundle.manifest import BrokenBundleError, BundleInfo, find, find_suite, list_bundles, load, verify
from orchestrator.bundle.pin import Pinned, add_to_catalog, pin, pin_suite
from orchestrator.bundle.recipe import Recipe
from orchestrator.bundle.recipes import available, suites
from orchestrator.bundle.registry_program import build as build_registry
from orchestrator.bundle.registry_program import find as find_registry
from orchestrator.bundle.registry_program import recipe as registry_recipe
from orchestrator.bundle.root import required_host_tools, system_problem, user_problem
from orchestrator.bundle.server import ALSO, Served, serve
from orchestrator.bundle.signature import find_flaw, sign
from orchestrator.bundle.signature import require as require_signature
from orchestrator.bundle.upstream import Wish, community, trusted

__all__ = [
    "ALSO",
    "KNOWN",
    "BrokenBundleError",
    "BundleInfo",
    "Downloads",
    "Known",
    "Pinned",
    "Recipe",
    "Served",
    "Wish",
    "add_to_catalog",
    "available",
    "build",
    "build_registry",
    "community",
    "export_bundle",
    "find",
    "find_flaw",
    "find_registry",
    "find_suite",
    "import_bundle",
    "list_bundles",
    "load",
    "locked",
    "pin",
    "pin_suite",
    "preflight",
    "probe",
    "registry_recipe",
    "require_processor",
    "require_signature",
    "required_host_tools",
    "seconds",
    "serve",
    "sign",
    "suites",
    "system_problem",
    "trusted",
    "unreachable",
    "user_problem",
    "verify",
]
