#!/bin/sh
# Leaves on a machine nothing that tells it from another, and no secret: what is cloned from it gets its own.
set -eu

systemctl stop kubelet.service cri-docker.socket cri-docker.service docker.socket docker.service containerd.service \
    2>/dev/null || true

: >/etc/machine-id
rm -f /etc/ssh/ssh_host_* /root/.ssh/* /home/*/.ssh/* /etc/ssh/ssh_known_hosts
rm -f /etc/hostname /usr/local/lib/node_base/hosts /usr/local/lib/node_base/resolv.conf
: >/etc/hosts
: >/etc/resolv.conf
rm -f /etc/.labctl-first-start
rm -rf /var/lib/containerd/io.containerd.grpc.v1.introspection /var/lib/containerd/tmpmounts/*
rm -rf /var/lib/docker/engine-id /var/lib/docker/network /etc/docker/key.json
rm -rf /root/.ansible /home/*/.ansible /root/.bash_history /home/*/.bash_history
rm -rf /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/* /var/cache/apt/*.bin
rm -f /var/lib/systemd/random-seed /var/lib/dbus/random_seed
rm -rf /var/log/journal/*
find /var/log -type f -delete
