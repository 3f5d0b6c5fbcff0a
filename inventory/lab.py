#!/bin/sh
''''exec "$(dirname -- "$(readlink -f -- "$0")")/run-python" "$0" "$@" # '''
"""The dynamic inventory of a lab, for labctl's own runs and for ansible, ansible-inventory and ansible-playbook.

LABCTL_LAB_DIR names the lab's state directory (.labctl/<lab>); without it, the lab of ./lab.yml is meant.
It is `labctl inventory` under the name that Ansible expects: prints JSON for --list and for --host NAME.
"""

import sys

from orchestrator.cli.main import run

run(["inventory", *sys.argv[1:]])
