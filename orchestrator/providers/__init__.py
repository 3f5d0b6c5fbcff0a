"""Providers make machines and stop short of Kubernetes."""
