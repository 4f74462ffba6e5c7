#!/bin/sh
# Installs curfew, the sample system, their units and the journal's explanations, from what was built:
#
#     cargo build --release --locked && sudo deploy/systemd/install.sh
#
# Nothing is started. docs/systemd.md tells what to do next, and how to take it away again.
set -eu
cd "$(dirname "$0")/../.."
if [ "$(id -u)" != 0 ]; then
    echo 'install.sh: run it as root: sudo deploy/systemd/install.sh' >&2
    exit 1
fi
for binary in curfew supervised-app; do
    if [ ! -x "target/release/$binary" ]; then
        echo "install.sh: there is no target/release/$binary; build it first: cargo build --release --locked" >&2
        exit 1
    fi
done
install -D -m 755 -t /usr/local/bin target/release/curfew target/release/supervised-app
# One that was changed is kept beside the new one.
if [ -e /etc/curfew/sample.toml ] && ! cmp -s deploy/systemd/sample.toml /etc/curfew/sample.toml; then
    cp -p /etc/curfew/sample.toml /etc/curfew/sample.toml.old
fi
install -D -m 644 -t /etc/curfew deploy/systemd/sample.toml
install -D -m 644 -t /etc/systemd/system deploy/systemd/sample.service deploy/systemd/one-command.service
install -D -m 644 -t /etc/systemd/user deploy/systemd/sample-user.service
install -D -m 644 -t /usr/local/lib/systemd/catalog deploy/systemd/curfew.catalog deploy/systemd/curfew.ru.catalog
journalctl --update-catalog
systemctl daemon-reload
echo 'installed; next: systemctl enable --now sample.service'
