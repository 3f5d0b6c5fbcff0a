"""lab.yml: loaded strictly, filled with defaults, and refused with every problem at once."""

from orchestrator.spec.load import Override, Spec, load, parse
from orchestrator.spec.profiles import Profile, profiles
from orchestrator.spec.schema import Lab, json_schema

__all__ = ["Lab", "Override", "Profile", "Spec", "json_schema", "load", "parse", "profiles"]
