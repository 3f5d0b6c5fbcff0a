"""What verbs share: the opened lab, its state folder, journal and lock, node access, kubeconfigs, phases."""
