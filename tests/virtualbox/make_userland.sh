#!/bin/sh
# Makes the root directory $1 with VirtualBox and Vagrant of Debian sid from the mirror $2 (keyring $3): everything of
# VirtualBox but its kernel driver. $4: a directory for what is only needed meanwhile; $5: more packages, with commas.
set -eu
root=$1 mirror=$2 keyring=$3 work=$4 more=$5

# VirtualBox asks for its kernel modules; nothing builds or loads any here.
mkdir -p "$work/repository" "$work/dummy/DEBIAN"
cat >"$work/dummy/DEBIAN/control" <<'END'
Package: no-virtualbox-modules
Version: 1
Architecture: all
Maintainer: labctl's tests <tests@labctl.invalid>
Provides: virtualbox-modules
Description: stands in for VirtualBox' kernel modules and has none
END
dpkg-deb --build "$work/dummy" "$work/repository/no-virtualbox-modules.deb"
(cd "$work/repository" && {
    dpkg-deb --field no-virtualbox-modules.deb
    echo "Filename: ./no-virtualbox-modules.deb"
    echo "Size: $(stat -c %s no-virtualbox-modules.deb)"
    echo "SHA256: $(sha256sum no-virtualbox-modules.deb | cut -d' ' -f1)"
} >Packages)

{
    echo "deb [signed-by=$keyring] $mirror sid main contrib"
    echo "deb [trusted=yes] copy:$work/repository ./"
} >"$work/sources.list"

# Debian's Vagrant declares that it breaks VirtualBox 7.1 and later, which it drives once its table names them.
cat >"$work/vagrant.sh" <<'END'
set -eu
cd /tmp
apt-get download vagrant
dpkg --force-breaks --install vagrant_*.deb
rm vagrant_*.deb
meta=$(find / -xdev -path '*/virtualbox/driver/meta.rb')
sed -i 's/^\( *\)"7.0" => Version_7_0,*$/\1"7.0" => Version_7_0,\n\1"7.1" => Version_7_0,\n\1"7.2" => Version_7_0,/' "$meta"
grep -q '"7.2" => Version_7_0' "$meta"
END

mmdebstrap --variant=minbase --mode=root \
    --aptopt='Acquire::Check-Valid-Until "false"' --aptopt='Acquire::Languages "none"' \
    --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --include="$(sed 's/ *#.*//; /^$/d' "$(dirname "$0")/packages.txt" | paste -sd,)${more:+,$more}" \
    --customize-hook="cp '$work/vagrant.sh' \"\$1/tmp/vagrant.sh\"" \
    --customize-hook='chroot "$1" sh /tmp/vagrant.sh' \
    sid "$root" "$work/sources.list"
