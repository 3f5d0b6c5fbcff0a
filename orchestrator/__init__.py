"""labctl: a real multi-node Kubernetes lab on one machine, built by Ansible and verified by testinfra."""
