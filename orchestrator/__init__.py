"""labctl: a real multi-node Kubernetes lab on one machine, built by Ansible and proved by testinfra."""

__version__ = "0.1.0"
