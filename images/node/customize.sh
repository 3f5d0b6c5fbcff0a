#!/bin/sh
# Runs on the host with the new root as $1, after the packages and rootfs/ are in it.
set -eu
root=$1

chroot "$root" groupadd --gid 1000 vagrant
chroot "$root" useradd --uid 1000 --gid vagrant --groups adm,systemd-journal --create-home --shell /bin/bash vagrant
install -d -m 0700 -o 1000 -g 1000 "$root/home/vagrant/.ssh"
chmod 0440 "$root/etc/sudoers.d/vagrant"
mkdir -p "$root/lib/modules"

# Every connection would run the scripts that compose a message of the day nobody prints.
sed -i '/pam_motd/d; /pam_mail/d' "$root/etc/pam.d/sshd"

# Nodes get identity, keys and package sources from their lab, never from the image.
rm -f "$root"/etc/ssh/ssh_host_* "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d/*
: >"$root/etc/machine-id"
rm -f "$root/var/lib/dbus/machine-id" "$root/etc/hostname" "$root/etc/resolv.conf"
ln -s /etc/machine-id "$root/var/lib/dbus/machine-id"
# Of the making of the image alone.
sed -i '/Sandbox/d' "$root/etc/apt/apt.conf.d/99mmdebstrap"
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin "$root"/var/log/*.log "$root"/var/log/apt

# Units that act on hardware, consoles or the host's kernel, or only cost time in a container.
for unit in \
    systemd-udevd.service systemd-udevd-control.socket systemd-udevd-kernel.socket systemd-udev-trigger.service \
    systemd-udev-settle.service systemd-modules-load.service kmod-static-nodes.service modprobe@.service \
    systemd-hwdb-update.service systemd-firstboot.service systemd-machine-id-commit.service systemd-remount-fs.service \
    systemd-random-seed.service systemd-timesyncd.service systemd-binfmt.service systemd-pstore.service \
    proc-sys-fs-binfmt_misc.automount proc-sys-fs-binfmt_misc.mount dev-hugepages.mount dev-mqueue.mount \
    sys-kernel-config.mount sys-kernel-debug.mount sys-kernel-tracing.mount sys-fs-fuse-connections.mount \
    getty.target getty@.service console-getty.service serial-getty@.service getty-static.service \
    systemd-ask-password-console.path systemd-ask-password-wall.path e2scrub_reap.service e2scrub_all.timer \
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer systemd-networkd-wait-online.service \
    rescue.service emergency.service swap.target; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
systemctl --root="$root" --quiet set-default multi-user.target
systemctl --root="$root" --quiet enable ssh.service labctl-ssh-host-key.service
