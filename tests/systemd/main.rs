//! curfew under a real systemd: each test boots one of its own, in namespaces, in well under a second.
//!
//! It takes root, systemd and cgroup v2; without them the tests say `skipped: why`, unless `SYSTEMD_LAB=required`.
//! Tests wait for an entry of the journal, for `systemctl` to return or for a FIFO to be opened, never for time.

mod catalog;
mod deadline;
mod delegation;
mod expect;
mod failure;
mod journald;
mod lab;
#[path = "../integration/support/lines.rs"]
mod lines;
mod notify;
mod reload;
mod sample;
mod sockets;
mod stopping;
#[path = "../integration/support/time.rs"]
#[allow(dead_code, reason = "nothing here waits for time to pass")]
mod time;
mod unit;
mod units;
mod user_manager;
mod watchdog;
