"""Machines that lab.yml lists, reached by SSH."""
