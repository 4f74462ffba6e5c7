use serde_json::{Value, json};

use super::party::Party;
use crate::supervisor::Signal;

/// What `/proc/PID/status` says that explains why a signal did nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ProcessStatus {
    pub(super) blocked: SignalBits,
    pub(super) ignored: SignalBits,
    pub(super) caught: SignalBits,
    /// Sent to the process or its main thread, and not delivered yet.
    pub(super) pending: SignalBits,
    /// Who traces it: a debugger.
    pub(super) tracer: Option<Party>,
    /// PID 1 of a pid namespace below ours: signals that it has no handler for are dropped.
    pub(super) is_init: bool,
}

/// Signals as the kernel prints them: signal 1 is the lowest bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SignalBits(u64);

impl SignalBits {
    pub(super) const fn contains(self, signal: Signal) -> bool {
        self.0 & 1 << (signal.number() - 1) != 0
    }

    fn names(self) -> Vec<String> {
        Signal::all().filter(|signal| self.contains(*signal)).map(|signal| signal.to_string()).collect()
    }
}

impl ProcessStatus {
    /// Reads `Key:\tvalue` lines; what is missing or malformed counts as none. The tracer's name is not in it.
    pub(super) fn parse(text: &str) -> Self {
        let mut status = Self::default();
        for line in text.lines() {
            let Some((key, value)) = line.split_once(':') else { continue };
            let value = value.trim();
            let bits = || SignalBits(u64::from_str_radix(value, 16).unwrap_or(0));
            match key {
                "SigBlk" => status.blocked = bits(),
                "SigIgn" => status.ignored = bits(),
                "SigCgt" => status.caught = bits(),
                "SigPnd" | "ShdPnd" => status.pending.0 |= bits().0,
                "TracerPid" => {
                    let pid = value.parse().ok().filter(|pid| *pid > 0);
                    status.tracer = pid.map(|pid| Party { pid, name: None });
                }
                "NSpid" => {
                    let mut pids = value.split_ascii_whitespace();
                    status.is_init = pids.next().is_some() && pids.next_back() == Some("1");
                }
                _ => {}
            }
        }
        status
    }

    /// Why TERM, and its like, may have had no effect.
    pub(super) fn sentence(&self) -> Option<String> {
        let stuck = STOP_SIGNALS
            .into_iter()
            .find(|signal| self.pending.contains(*signal) && self.blocked.contains(*signal));
        if let Some(signal) = stuck {
            return Some(format!("blocks SIG{signal}"));
        }
        if self.ignored.contains(Signal::TERM) {
            let and_int = if self.ignored.contains(Signal::INT) { " and SIGINT" } else { "" };
            return Some(format!("ignores SIGTERM{and_int}"));
        }
        // Who blocks it, and has none pending, takes it from a descriptor.
        let takes_term = self.caught.contains(Signal::TERM) || self.blocked.contains(Signal::TERM);
        if self.is_init && !takes_term {
            return Some("has no handler for SIGTERM, which PID 1 of a namespace needs".to_owned());
        }
        None
    }

    pub(super) fn value(&self) -> Value {
        json!({
            "blocked": self.blocked.names(),
            "ignored": self.ignored.names(),
            "caught": self.caught.names(),
            "pending": self.pending.names(),
            "tracer": self.tracer.as_ref().map_or(Value::Null, Party::value),
            "is_namespace_init": self.is_init,
        })
    }
}

/// What services are asked to stop with.
const STOP_SIGNALS: [Signal; 4] = [Signal::TERM, Signal::INT, Signal::QUIT, Signal::HUP];

#[cfg(test)]
mod tests {
    use super::*;

    fn status(lines: &[&str]) -> ProcessStatus {
        ProcessStatus::parse(&lines.join("\n"))
    }

    #[test]
    fn it_says_why_a_signal_did_nothing() {
        let ignoring = status(&["Name:\tsh", "SigIgn:\t0000000000004000"]);
        assert_eq!(ignoring.sentence().as_deref(), Some("ignores SIGTERM"));
        let ignoring_both = status(&["SigIgn:\t0000000000004003"]);
        assert_eq!(ignoring_both.sentence().as_deref(), Some("ignores SIGTERM and SIGINT"));
        let blocking = status(&["ShdPnd:\t0000000000000002", "SigBlk:\t0000000000000002"]);
        assert_eq!(blocking.sentence().as_deref(), Some("blocks SIGINT"));
        let merely_blocked = status(&["ShdPnd:\t0000000000000000", "SigBlk:\t0000000000000002"]);
        assert_eq!(merely_blocked.sentence(), None);
        let init = status(&["NSpid:\t77\t1", "SigCgt:\t0000000000000000"]);
        assert!(init.sentence().unwrap().contains("PID 1"));
        let careful_init = status(&["NSpid:\t77\t1", "SigCgt:\t0000000000004000"]);
        assert_eq!(careful_init.sentence(), None);
        let reading_init = status(&["NSpid:\t77\t1", "SigBlk:\t0000000000004000"]);
        assert_eq!(reading_init.sentence(), None);
        assert_eq!(status(&["NSpid:\t77", "TracerPid:\t0"]), ProcessStatus::default());
        assert_eq!(status(&["TracerPid:\t12"]).tracer, Some(Party { pid: 12, name: None }));
    }

    #[test]
    fn malformed_lines_count_as_none() {
        let nonsense = ["", "SigIgn", "SigIgn:", "SigIgn:\tzz", "TracerPid:\tx", "NSpid:", "TracerPid:\t-1"];
        assert_eq!(status(&nonsense), ProcessStatus::default());
    }
}
