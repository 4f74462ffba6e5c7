//! What services and curfew itself say, on its way out.

use std::time::Duration;

use super::{Listener, Runtime};
use crate::supervisor::defaults;

impl<L: Listener> Runtime<L> {
    /// Carries what services say, and writes the log.
    ///
    /// What a service said comes before what we say of its end. But log lines that have waited for room go first, else a
    /// noisy service would keep them waiting for ever.
    pub(super) fn speak(&mut self) {
        self.output.flush();
        self.log.hold(self.output.is_busy_on_standard_error());
        self.log.flush();
        self.work_is_left |= self.output.carry(&self.wait_set, self.log.is_mid_line());
        self.write_log();
        self.serve_clients();
    }

    /// No service is left that could say more. A slow reader is waited for as long as there is time.
    pub(super) fn carry_last_words(&mut self) {
        let mut time_left = self.patience(defaults::OUTPUT_STALL);
        self.log.finish_line(&mut time_left);
        if self.output.finish(time_left) {
            self.log.end_line_of_others();
        }
        self.log.hold(false);
    }

    /// How long somebody is waited for at the end who reads what is said, in milliseconds: as long as there is time, if it
    /// never takes nothing for longer than `stall`.
    pub(super) fn patience(&self, stall: Duration) -> impl FnMut() -> u16 + use<L> {
        let now = self.clock.now();
        let time = self.supervisor.time_left(now).unwrap_or(defaults::OUTPUT_LAST_WORDS);
        let (clock, end) = (self.clock, now + time.max(defaults::OUTPUT_LAST_WORDS_LATE));
        move || u16::try_from(end.since(clock.now()).min(stall).as_millis()).unwrap_or(u16::MAX)
    }
}
