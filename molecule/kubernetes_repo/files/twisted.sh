#!/bin/sh
# twisted.sh URL: copies of the repository at URL below /srv whose index another key signed (foreign), or a key that
# has expired since (outdated). Writes the keys as /srv/foreign.asc and /srv/outdated.asc.
set -eu
export GNUPGHOME=/tmp/twisted
mkdir -m 700 -p "$GNUPGHOME"
# a bare node has no curl
get() { python3 -c 'import sys, urllib.request as u; sys.stdout.buffer.write(u.urlopen(sys.argv[1]).read())' "$1"; }
case $1 in
*/apt) files="Packages Packages.gz Release" signed=Release ;;
*) files=$(get "$1/repodata/repomd.xml" | grep -o 'href="[^"]*"' | cut -d'"' -f2) signed=repodata/repomd.xml files="$files $signed" ;;
esac
for kind in foreign outdated; do
    mkdir -p "/srv/$kind/repodata"
    for file in $files; do get "$1/$file" >"/srv/$kind/$file"; done
    when= lasts=never
    [ "$kind" = foreign ] || when="--faked-system-time 20200101T000000" lasts=1d
    # shellcheck disable=SC2086 # no time is no word
    gpg --batch --quiet $when --passphrase '' --quick-generate-key "$kind" rsa2048 sign "$lasts"
    gpg --batch --armor --export "$kind" >"/srv/$kind.asc"
    # shellcheck disable=SC2086
    gpg --batch --quiet $when --local-user "$kind" --armor --detach-sign --output "/srv/$kind/$signed.asc" "/srv/$kind/$signed"
    [ "$signed" != Release ] || {
        mv /srv/$kind/Release.asc /srv/$kind/Release.gpg
        # shellcheck disable=SC2086
        gpg --batch --quiet $when --local-user "$kind" --clearsign --output "/srv/$kind/InRelease" "/srv/$kind/Release"
    }
done
