#!/bin/sh
# Runs on the host with the new root as $1, after that of the node image: a RedHat-family node for dnf and rpm.
set -eu
root=$1
here=$(dirname -- "$0")

rm -f "$root/etc/debian_version" "$root/etc/lsb-release" "$root/etc/hostname"
ln -sf ../usr/lib/os-release "$root/etc/os-release"
mkdir -p "$root/etc/yum.repos.d" "$root/etc/pki/rpm-gpg" "$root/etc/sysconfig"

# The first package of the database, and the only one that no repository has.
cp "$here/el-stand-in.spec" "$root/tmp/"
chroot "$root" rpmbuild --quiet -bb --define '_topdir /tmp/rpmbuild' /tmp/el-stand-in.spec
chroot "$root" sh -c 'rpm --force-debian --install /tmp/rpmbuild/RPMS/noarch/el-stand-in-*.rpm'
rm -rf "$root/tmp/rpmbuild" "$root/tmp/el-stand-in.spec" "$root"/var/log/*.log "$root"/var/cache/dnf
