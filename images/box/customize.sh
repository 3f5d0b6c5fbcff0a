#!/bin/sh
# Runs on the host with the new root as $1, after the packages are in it. $2: the public key every Vagrant box carries.
set -eu
root=$1

chroot "$root" groupadd --gid 1000 vagrant
chroot "$root" useradd --uid 1000 --gid vagrant --create-home --shell /bin/bash vagrant
install -d -m 0700 -o 1000 -g 1000 "$root/home/vagrant/.ssh"
printf '%s\n' "$2" >"$root/home/vagrant/.ssh/authorized_keys"
chown 1000:1000 "$root/home/vagrant/.ssh/authorized_keys"
chmod 0600 "$root/home/vagrant/.ssh/authorized_keys"
echo 'vagrant ALL=(ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/vagrant"
chmod 0440 "$root/etc/sudoers.d/vagrant"

cat >"$root/etc/ssh/sshd_config.d/labctl.conf" <<'END'
HostKey /etc/ssh/ssh_host_ed25519_key
HostKey /etc/ssh/ssh_host_ecdsa_key
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin no
UseDNS no
MaxSessions 100
MaxStartups 100:30:200
PrintMotd no
PrintLastLog no
END

# Machines make their own host keys at their first boot. No RSA key, which takes an emulated processor a minute; the
# ECDSA one is for Vagrant, whose SSH library often comes without Ed25519.
cat >"$root/etc/systemd/system/labctl-ssh-host-keys.service" <<'END'
[Unit]
Description=Make this machine's SSH host keys
Before=ssh.service
ConditionPathExists=!/etc/ssh/ssh_host_ed25519_key

[Service]
Type=oneshot
ExecStart=/usr/bin/ssh-keygen -q -t ecdsa -N "" -f /etc/ssh/ssh_host_ecdsa_key
ExecStart=/usr/bin/ssh-keygen -q -t ed25519 -N "" -f /etc/ssh/ssh_host_ed25519_key

[Install]
WantedBy=multi-user.target
END
systemctl --root="$root" --quiet enable ssh.service labctl-ssh-host-keys.service
systemctl --root="$root" --quiet set-default multi-user.target

# A real swap partition, which the lab then turns off: that is one of the things it has to prove.
cat >"$root/etc/fstab" <<'END'
LABEL=root / ext4 errors=remount-ro,noatime 0 1
LABEL=swap none swap sw 0 0
END
cat >"$root/etc/network/interfaces" <<'END'
auto lo
iface lo inet loopback

auto eth0
iface eth0 inet dhcp
END
echo debian >"$root/etc/hostname"
printf '127.0.0.1 localhost\n127.0.1.1 debian\n' >"$root/etc/hosts"

kernel=$(basename "$root"/boot/vmlinuz-*)
mkdir -p "$root/boot/grub"
cat >"$root/boot/grub/grub.cfg" <<END
linux /boot/$kernel root=LABEL=root ro net.ifnames=0 biosdevname=0 security=none tsc=reliable mitigations=off console=tty0 console=ttyS0
initrd /boot/initrd.img-${kernel#vmlinuz-}
boot
END
# Written between the partition table and the first partition; the disk is the one that the firmware booted.
chroot "$root" grub-mkimage --format i386-pc --prefix '(,msdos2)/boot/grub' --output /boot/grub/core.img \
    biosdisk boot configfile ext2 linux normal part_msdos
# security=none: what the kernel's security modules cost, an emulated processor pays in minutes: loading AppArmor's
# profiles takes 20 s at every boot, and SELinux makes installing packages half as long again. security=selinux there runs it.
# tsc=reliable: an emulated processor does not vouch for its time stamp counter, and the kernel would then ask a slow
# clock through a system call every time. mitigations=off: what they cost, an emulated processor pays several times
# over, and nothing in a lab's machine is to be kept from anybody else in it.

# QEMU before 8.1 may go on running an instruction of one emulated processor that another has replaced meanwhile. The kernel
# replaces its own when the first group of the freezer freezes and when the last one thaws, which runc does at every
# container, and sooner or later all processors of the machine trap on such a leftover for ever. While one group stays
# frozen there is no first and no last.
cat >"$root/etc/systemd/system/labctl-freezer.service" <<'END'
[Unit]
Description=Keep one empty group frozen, for emulated processors
ConditionVirtualization=qemu
ConditionPathIsDirectory=/sys/fs/cgroup/freezer

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'mkdir -p /sys/fs/cgroup/freezer/labctl && echo FROZEN >/sys/fs/cgroup/freezer/labctl/freezer.state'

[Install]
WantedBy=sysinit.target
END
systemctl --root="$root" --quiet enable labctl-freezer.service

# SELinux is installed, labelled and set to enforce, as it is on an EL machine: another thing the lab has to turn off.
# The kernel runs it when `security=selinux` is on its line.
printf 'SELINUX=enforcing\nSELINUXTYPE=default\n' >"$root/etc/selinux/config"

# Identity, keys and package sources come from the lab.
rm -f "$root"/etc/ssh/ssh_host_* "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d/*
: >"$root/etc/machine-id"
rm -f "$root/var/lib/dbus/machine-id" "$root/etc/resolv.conf"
ln -s /etc/machine-id "$root/var/lib/dbus/machine-id"
: >"$root/etc/resolv.conf"
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin "$root"/var/log/*.log "$root"/var/log/apt
# It has the inodes and times of this build.
rm -f "$root/var/cache/ldconfig/aux-cache"

# A lab's own repository is near and small; a machine that is slow for a moment asks again.
printf 'Acquire::Languages "none";\nAcquire::Retries "3";\nAcquire::http::Pipeline-Depth "0";\n' \
    >"$root/etc/apt/apt.conf.d/90labctl"
# A machine that is made anew in minutes need not wait for its disk after every file that dpkg unpacks.
printf 'force-unsafe-io\n' >"$root/etc/dpkg/dpkg.cfg.d/labctl"

# Vagrant restarts ifup@ of every interface when it sets the host name, also of one that it configures only afterwards:
# that one would be a failed unit until the next boot.
mkdir -p "$root/etc/systemd/system/ifup@.service.d"
printf '[Service]\nSuccessExitStatus=1\n' >"$root/etc/systemd/system/ifup@.service.d/labctl.conf"

for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done

# Last, when every file is there. `-m` would skip the root, which is no mount here.
chroot "$root" setfiles -q -F -e /proc -e /sys -e /dev \
    /etc/selinux/default/contexts/files/file_contexts /
