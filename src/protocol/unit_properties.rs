use std::time::Duration;

use super::parse_time_span;

/// What `systemctl show` tells of a unit: when, and whether, systemd kills its main process in a stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitProperties {
    /// The process that systemd takes for the unit's own; 0: there is none.
    pub main_pid: i32,
    /// The process that it runs beside that one, or before it (`ExecStartPre=` and its like); 0: there is none.
    pub control_pid: i32,
    /// Whose messages it listens to: `none`, `main`, `exec` or `all`.
    pub notify_access: String,
    /// From the signal that asks to stop to the one that kills; `None`: as long as it likes.
    pub stop_timeout: Option<Duration>,
    /// Who is killed then: `control-group`, `mixed`, `process` or `none`.
    pub kill_mode: String,
    /// The number of the signal that asks to stop.
    pub kill_signal: i32,
    /// Whether anybody is killed at all.
    pub sends_kill: bool,
}

impl UnitProperties {
    /// The names to ask for.
    pub const NAMES: &str = "MainPID,ControlPID,NotifyAccess,TimeoutStopUSec,KillMode,KillSignal,SendSIGKILL";

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
            control_pid: value("ControlPID").and_then(|pid| pid.parse().ok()).unwrap_or(0),
            notify_access: value("NotifyAccess").unwrap_or("all").to_owned(),
            stop_timeout: Some(stop_timeout).filter(|time| !time.is_zero() && *time != Duration::MAX),
            kill_mode: value("KillMode").unwrap_or("control-group").to_owned(),
            // TERM, unless it is told.
            kill_signal: value("KillSignal").and_then(|signal| signal.parse().ok()).unwrap_or(15),
            sends_kill: value("SendSIGKILL") != Some("no"),
        })
    }

    /// Whether it runs this process itself, rather than what that one has started.
    pub fn runs(&self, pid: i32) -> bool {
        [self.main_pid, self.control_pid].contains(&pid)
    }

    /// Whether its timeout is the one of a process that it runs, or that such a process has started.
    pub fn stops(&self, pid: i32) -> bool {
        // Without a main process the unit is only starting, and this may be the one soon; or it is on its way down.
        self.runs(pid) || self.main_pid == 0 || self.kill_mode == "control-group"
    }

    /// Whether it listens to what this process tells it.
    pub fn hears(&self, pid: i32) -> bool {
        match &*self.notify_access {
            "none" => false,
            // Without a main process this may be the one soon.
            "main" | "exec" if self.main_pid == 0 => true,
            "main" => pid == self.main_pid,
            "exec" => self.runs(pid),
            _ => true,
        }
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
            control_pid: 0,
            notify_access: "all".into(),
            stop_timeout: Some(Duration::from_secs(90)),
            kill_mode: "mixed".into(),
            kill_signal: 15,
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
    fn who_is_not_run_by_systemd_itself_is_stopped_with_all_or_not_at_all() {
        let unit = |text: &str| UnitProperties::parse(&format!("TimeoutStopUSec=5s\n{text}")).unwrap();
        for mode in ["control-group", "mixed", "process", "none"] {
            let unit = unit(&format!("MainPID=7\nControlPID=8\nKillMode={mode}"));
            assert!(unit.stops(7) && unit.stops(8));
            assert_eq!(unit.stops(9), mode == "control-group", "{mode}");
        }
        assert!(unit("MainPID=0\nControlPID=8\nKillMode=mixed").stops(9));
    }

    #[test]
    fn only_those_are_heard_whom_notify_access_names() {
        for (access, heard) in [
            ("none", [false; 3]),
            ("main", [true, false, false]),
            ("exec", [true, true, false]),
            ("all", [true; 3]),
        ] {
            let text = format!("TimeoutStopUSec=5s\nMainPID=7\nControlPID=8\nNotifyAccess={access}");
            let unit = UnitProperties::parse(&text).unwrap();
            assert_eq!([7, 8, 9].map(|pid| unit.hears(pid)), heard, "{access}");
        }
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
