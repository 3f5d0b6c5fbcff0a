# Written by labctl.
alias k=kubectl
