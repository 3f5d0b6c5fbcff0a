"""Containers of a Docker engine as machines."""
