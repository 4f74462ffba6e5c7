#!/bin/sh
# Installs curfew, the sample system, their units and the journal's explanations, from what was built:
#
#     cargo build --release --locked && sudo deploy/systemd/install.sh
#
# Nothing is started. docs/systemd.md tells what to do next, and how to take it away again.
set -eu
cd "$(dirname "$0")/../.."
install -D -m 755 -t /usr/local/bin target/release/curfew target/release/supervised-app
install -D -m 644 -t /etc/curfew deploy/systemd/sample.toml
install -D -m 644 -t /etc/systemd/system deploy/systemd/sample.service deploy/systemd/one-command.service
install -D -m 644 -t /etc/systemd/user deploy/systemd/sample-user.service
install -D -m 644 -t /usr/local/lib/systemd/catalog deploy/systemd/curfew.catalog deploy/systemd/curfew.ru.catalog
journalctl --update-catalog
systemctl daemon-reload
echo 'installed; next: systemctl enable --now sample.service'
