use std::fmt;

use super::{Signal, SignalSet};

/// How a process ended, as wait(2) tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It exited with this status.
    Exited(u8),
    /// A signal ended it. A bare number, since also 32 and 33, which nobody should send, can end a process.
    Signaled {
        /// The signal's number.
        number: u8,
        /// Whether the kernel says that it wrote a core dump.
        core_dumped: bool,
    },
}

impl End {
    /// The status a shell would show: the process's own, or 128 + n after signal n.
    pub const fn status(self) -> u8 {
        match self {
            Self::Exited(status) => status,
            Self::Signaled { number, .. } => 128 + number,
        }
    }

    /// The signal that ended the process, if one did.
    pub const fn signal(self) -> Option<Signal> {
        match self {
            Self::Exited(_) => None,
            Self::Signaled { number, .. } => Signal::from_number(number as i32),
        }
    }

    /// The signal to which this end is the usual answer: the one that ended the process, or n of an exit 128+n,
    /// which is what Java and shells make of it.
    pub const fn answered_signal(self) -> Option<Signal> {
        match self {
            Self::Exited(status @ 129..) => Signal::from_number(status as i32 - 128),
            Self::Exited(_) => None,
            Self::Signaled { .. } => self.signal(),
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        match *self {
            Self::Exited(status) => write!(formatter, "exit status {status}"),
            Self::Signaled { number, core_dumped } => {
                match self.signal() {
                    Some(signal) => write!(formatter, "signal SIG{signal}")?,
                    None => write!(formatter, "signal {number}")?,
                }
                formatter.write_str(if core_dumped { " (core dumped)" } else { "" })
            }
        }
    }
}

/// Which ends count as success: exit status 0, and what `success` adds.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct SuccessStatuses {
    /// Exit statuses besides 0.
    pub statuses: Vec<u8>,
    /// Signals whose death counts as success.
    pub signals: SignalSet,
}

impl SuccessStatuses {
    /// Whether this end is a success.
    pub fn contains(&self, end: End) -> bool {
        match end {
            End::Exited(status) => status == 0 || self.statuses.contains(&status),
            End::Signaled { .. } => end.signal().is_some_and(|signal| self.signals.contains(signal)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_has_the_status_a_shell_would_show() {
        for status in 0..=255 {
            assert_eq!(End::Exited(status).status(), status);
        }
        for number in 1..=64 {
            assert_eq!(End::Signaled { number, core_dumped: false }.status(), 128 + number);
        }
    }

    #[test]
    fn an_exit_of_128_plus_n_answers_signal_n() {
        assert_eq!(End::Exited(143).answered_signal(), Some(Signal::TERM));
        assert_eq!(End::Signaled { number: 2, core_dumped: false }.answered_signal(), Some(Signal::INT));
        for status in [0, 1, 15, 127, 128, 160, 161, 193, 255] {
            assert_eq!(End::Exited(status).answered_signal(), None, "{status}");
        }
    }

    #[test]
    fn ends_read_as_people_say_them() {
        assert_eq!(End::Exited(3).to_string(), "exit status 3");
        assert_eq!(
            End::Signaled { number: 11, core_dumped: true }.to_string(),
            "signal SIGSEGV (core dumped)"
        );
        assert_eq!(End::Signaled { number: 32, core_dumped: false }.to_string(), "signal 32");
    }

    #[test]
    fn success_is_zero_and_what_was_added() {
        let success = SuccessStatuses { statuses: vec![3], signals: [Signal::USR1].into_iter().collect() };
        assert!(success.contains(End::Exited(0)));
        assert!(success.contains(End::Exited(3)));
        assert!(!success.contains(End::Exited(1)));
        assert!(success.contains(End::Signaled { number: 10, core_dumped: false }));
        assert!(!success.contains(End::Signaled { number: 12, core_dumped: false }));
    }
}
