use std::time::Duration;

use super::parse_time_span;

/// What `systemctl show` tells of a unit: when, and whether, systemd kills its main process in a stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitProperties {
    /// The process that systemd takes for the unit's own; 0: there is none.
    pub main_pid: i32,
    /// From the signal that asks to stop to the one that kills; `None`: as long as it likes.
    pub stop_timeout: Option<Duration>,
    /// Who is killed then: `control-group`, `mixed`, `process` or `none`.
    pub kill_mode: String,
    /// Whether anybody is killed at all.
    pub sends_kill: bool,
}

impl UnitProperties {
    /// The names to ask for.
    pub const NAMES: &str = "MainPID,TimeoutStopUSec,KillMode,SendSIGKILL";

    /// Reads `NAME=value` lines in any order; `None` if what is needed is not there.
    ///
    /// Source: systemctl(1), systemd.service(5), systemd.kill(5).
    pub fn parse(text: &str) -> Option<Self> {
        let value = |name: &str| {
            text.lines()
                .find_map(|line| line.split_once('=').filter(|(known, _)| *known == name))
                .map(|(_, value)| value)
        };
        // Zero turns the timeout off, and is printed as infinity.
        let stop_timeout = parse_time_span(value("TimeoutStopUSec")?)?;
        Some(Self {
            main_pid: value("MainPID")?.parse().ok()?,
            stop_timeout: Some(stop_timeout).filter(|time| !time.is_zero() && *time != Duration::MAX),
            kill_mode: value("KillMode").unwrap_or("control-group").to_owned(),
            sends_kill: value("SendSIGKILL") != Some("no"),
        })
    }

    /// The time from the signal that asks to stop until systemd kills; `None`: it never does.
    pub fn deadline(&self) -> Option<Duration> {
        self.stop_timeout.filter(|_| self.sends_kill && self.kill_mode != "none")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDINARY: &str = "KillMode=mixed\nSendSIGKILL=yes\nMainPID=4711\nTimeoutStopUSec=1min 30s\n";

    fn deadline(text: &str) -> Option<Duration> {
        UnitProperties::parse(text).expect("all that is needed is there").deadline()
    }

    #[test]
    fn an_ordinary_unit_is_killed_after_its_timeout() {
        let properties = UnitProperties {
            main_pid: 4711,
            stop_timeout: Some(Duration::from_secs(90)),
            kill_mode: "mixed".into(),
            sends_kill: true,
        };
        assert_eq!(UnitProperties::parse(ORDINARY), Some(properties));
        assert_eq!(deadline(ORDINARY), Some(Duration::from_secs(90)));
        // The main process is killed in these as well.
        for mode in ["control-group", "process"] {
            assert_eq!(deadline(&ORDINARY.replace("mixed", mode)), Some(Duration::from_secs(90)));
        }
        assert_eq!(deadline("MainPID=1\nTimeoutStopUSec=500ms"), Some(Duration::from_millis(500)));
    }

    #[test]
    fn a_unit_that_nobody_kills_has_no_deadline() {
        assert_eq!(deadline(&ORDINARY.replace("1min 30s", "infinity")), None);
        assert_eq!(deadline(&ORDINARY.replace("1min 30s", "0")), None);
        assert_eq!(deadline(&ORDINARY.replace("SendSIGKILL=yes", "SendSIGKILL=no")), None);
        assert_eq!(deadline(&ORDINARY.replace("mixed", "none")), None);
    }

    #[test]
    fn what_was_not_told_is_not_guessed() {
        for text in [
            "",
            "MainPID=4711",
            "TimeoutStopUSec=5s",
            "MainPID=x\nTimeoutStopUSec=5s",
            "MainPID=1\nTimeoutStopUSec=",
        ] {
            assert_eq!(UnitProperties::parse(text), None, "{text:?}");
        }
    }
}
