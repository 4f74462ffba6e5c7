#!/bin/sh
# Installs curfew, the sample system, their units and the journal's explanations, from what was built:
#
#     cargo build --release --locked && sudo deploy/systemd/install.sh
#
# With DESTDIR=FOLDER they go below that folder, for a package: root is not needed, and systemd is told nothing.
# Nothing is started. docs/systemd.md tells what to do next, and how to take it away again.
set -eu
to=${DESTDIR:-}
case $to in
'' | /*) ;;
*) to=$PWD/$to ;;
esac
cd "$(dirname "$0")/../.."
if [ -z "$to" ] && [ "$(id -u)" != 0 ]; then
    echo 'install.sh: run it as root: sudo deploy/systemd/install.sh' >&2
    exit 1
fi
for binary in curfew supervised-app; do
    if [ ! -x "target/release/$binary" ]; then
        echo "install.sh: there is no target/release/$binary; build it first: cargo build --release --locked" >&2
        exit 1
    fi
done
install -D -m 755 -t "$to/usr/local/bin" target/release/curfew target/release/supervised-app
# One that was changed is kept beside the new one.
sample=$to/etc/curfew/sample.toml
if [ -e "$sample" ] && ! cmp -s deploy/systemd/sample.toml "$sample"; then
    cp -p "$sample" "$sample.old"
fi
install -D -m 644 -t "$to/etc/curfew" deploy/systemd/sample.toml
install -D -m 644 -t "$to/etc/systemd/system" deploy/systemd/sample.service deploy/systemd/one-command.service
install -D -m 644 -t "$to/etc/systemd/user" deploy/systemd/sample-user.service
install -D -m 644 -t "$to/usr/local/lib/systemd/catalog" deploy/systemd/curfew.catalog deploy/systemd/curfew.ru.catalog
[ -z "$to" ] || exit 0
journalctl --update-catalog
systemctl daemon-reload
echo 'installed; next: systemctl enable --now sample.service'
