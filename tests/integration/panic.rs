//! A bug in curfew itself.

use std::fs;

use nix::libc::{SIGTERM, SIGUSR1};

use crate::support::{Curfew, fixture_binary};

/// The curfew with a bug.
const PANICKING: &str = env!("CARGO_BIN_EXE_panicking_curfew");

/// The file that makes it panic.
pub(crate) const TRIGGER: &str = "trigger";

/// A run of it, with what it runs.
pub(crate) fn panicking<const COUNT: usize>(when: &str, fixture: [&str; COUNT]) -> Curfew {
    let curfew = Curfew::bare([]).program(PANICKING);
    let trigger = if when == TRIGGER { curfew.directory().join(TRIGGER) } else { when.into() };
    let mut curfew = curfew.arg(trigger).arg(fixture_binary());
    for word in fixture {
        curfew = curfew.arg(word);
    }
    curfew
}

/// Not the way of the product: that this fixture works at all.
#[test]
fn without_its_bug_that_curfew_stops_as_any_other() {
    let curfew = panicking(TRIGGER, ["obedient"]).start();
    curfew.wait_for_many(2, "ready");
    curfew.signal(SIGTERM);
    curfew.finish().assert_status(0);
}

#[test]
fn a_panic_in_curfew_takes_every_descendant_down_and_exits_70() {
    for signal in [SIGUSR1, SIGTERM] {
        let curfew =
            panicking(TRIGGER, ["forks", "session+ignoring", "daemon+ignoring", "group+ignoring"]).start();
        curfew.wait_for("first: ready");
        curfew.wait_for("second: ready");
        fs::write(curfew.directory().join(TRIGGER), "").unwrap();
        curfew.signal(signal);
        let finished = curfew.finish();
        finished.assert_status(70);
        let text = finished.stderr.join("\n");
        assert!(text.contains("a bug in curfew") && text.contains("this is the bug"), "{finished}");
        // Nobody got the chance to stop by itself.
        assert!(finished.said("got").is_empty());
    }
}

#[test]
fn a_panic_while_services_are_being_started_leaves_none() {
    // The first thing is said before there is any process; then each of the two says that it is started, and ready.
    for count in ["2", "3", "4", "5"] {
        let finished = panicking(count, ["forks", "session"]).finish();
        finished.assert_status(70);
        assert!(finished.stderr.join("\n").contains("this is the bug"), "{finished}");
    }
}
