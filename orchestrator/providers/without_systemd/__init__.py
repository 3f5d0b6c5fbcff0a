"""What exists only for hosts without systemd: the daemons that a service manager would run, started by labctl."""
