use std::fmt;

/// A Linux signal that can be sent: 1 to 64, without 32 and 33, which the C library keeps for itself.
///
/// The core has a type of its own, so that it depends on nothing of the system. The numbers are those of
/// x86, ARM, RISC-V, POWER and S/390 (signal(7)).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(u8);

/// Names by number; the index is the number. Signals above 31 are real-time signals and have no names.
const NAMES: [&str; 32] = [
    "", "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
    "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
    "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// Other names that people use for the same signals.
const ALIASES: [(&str, u8); 4] = [("IOT", 6), ("CLD", 17), ("POLL", 29), ("UNUSED", 31)];

const REAL_TIME_MIN: u8 = 34;
const REAL_TIME_MAX: u8 = 64;

#[allow(missing_docs, reason = "the names say it")]
impl Signal {
    pub const HUP: Self = Self(1);
    pub const INT: Self = Self(2);
    pub const QUIT: Self = Self(3);
    pub const ABRT: Self = Self(6);
    pub const KILL: Self = Self(9);
    pub const USR1: Self = Self(10);
    pub const USR2: Self = Self(12);
    pub const PIPE: Self = Self(13);
    pub const ALRM: Self = Self(14);
    pub const TERM: Self = Self(15);
    pub const CHLD: Self = Self(17);
    pub const CONT: Self = Self(18);
    pub const STOP: Self = Self(19);
    pub const TSTP: Self = Self(20);
    pub const TTIN: Self = Self(21);
    pub const TTOU: Self = Self(22);
    pub const WINCH: Self = Self(28);
    pub const PWR: Self = Self(30);
    /// What asks a containerised systemd to halt, and so what LXC and others send.
    pub const RTMIN_3: Self = Self(REAL_TIME_MIN + 3);
}

impl Signal {
    /// The signal with this number; `None` for 0, 32, 33 and what lies above 64.
    pub const fn from_number(number: i32) -> Option<Self> {
        match number {
            1..=31 | 34..=64 => Some(Self(number as u8)),
            _ => None,
        }
    }

    /// The signal's number, as kill(2) takes it.
    pub const fn number(self) -> i32 {
        self.0 as i32
    }

    /// Every signal that can be sent, in the order of their numbers.
    pub fn all() -> impl Iterator<Item = Self> {
        (1..=i32::from(REAL_TIME_MAX)).filter_map(Self::from_number)
    }

    /// Reads a signal as people write it: `TERM`, `SIGTERM`, `sigterm`, `15`, `RTMIN`, `RTMIN+3`, `RTMAX-1`.
    pub fn parse(text: &str) -> Option<Self> {
        if text.starts_with(|first: char| first.is_ascii_digit()) {
            return text.parse().ok().and_then(Self::from_number);
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        if name.is_empty() {
            return None;
        }
        if let Some(number) = NAMES.iter().position(|known| *known == name) {
            return Self::from_number(number as i32);
        }
        if let Some((_, number)) = ALIASES.iter().find(|(alias, _)| *alias == name) {
            return Some(Self(*number));
        }
        // A sign in `RTMIN+3` is part of the notation: "+3" parses as a number, "++3" does not.
        let real_time = |rest: &str, sign: char| -> Option<i32> {
            if rest.is_empty() {
                return Some(0);
            }
            let digits = rest.strip_prefix(sign)?;
            digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
        };
        let number = if let Some(rest) = name.strip_prefix("RTMIN") {
            i32::from(REAL_TIME_MIN).checked_add(real_time(rest, '+')?)?
        } else {
            i32::from(REAL_TIME_MAX).checked_sub(real_time(name.strip_prefix("RTMAX")?, '-')?)?
        };
        (number >= i32::from(REAL_TIME_MIN)).then(|| Self::from_number(number))?
    }

    /// The names that [`Signal::parse`] knows, to propose the nearest one.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().skip(1).copied().chain(["RTMIN", "RTMAX"])
    }
}

impl fmt::Display for Signal {
    /// Without `SIG`: `TERM`, `RTMIN+3`.
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        match self.0 {
            REAL_TIME_MIN => formatter.write_str("RTMIN"),
            number if number > REAL_TIME_MIN => write!(formatter, "RTMIN+{}", number - REAL_TIME_MIN),
            number => formatter.write_str(NAMES[usize::from(number)]),
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signal_is_read_back_as_it_is_printed() {
        for signal in Signal::all() {
            assert_eq!(Signal::parse(&signal.to_string()), Some(signal));
            assert_eq!(Signal::parse(&format!("SIG{signal}")), Some(signal));
            assert_eq!(Signal::parse(&signal.number().to_string()), Some(signal));
        }
        assert_eq!(Signal::all().count(), 62);
    }

    #[test]
    fn signals_are_read_as_people_write_them() {
        assert_eq!(Signal::parse("sigTerm"), Some(Signal::TERM));
        assert_eq!(Signal::parse("IOT"), Some(Signal::ABRT));
        assert_eq!(Signal::parse("rtmin+3"), Some(Signal::RTMIN_3));
        assert_eq!(Signal::parse("RTMAX"), Signal::from_number(64));
        assert_eq!(Signal::parse("RTMAX-30"), Signal::from_number(34));
    }

    #[test]
    fn every_name_that_is_proposed_is_a_signal() {
        assert_eq!(Signal::names().count(), 33);
        assert!(Signal::names().all(|name| Signal::parse(name).is_some()));
        assert_eq!(format!("{:?}", Signal::TERM), "TERM");
    }

    #[test]
    fn what_is_no_signal_is_refused() {
        for text in [
            "",
            "SIG",
            "0",
            "32",
            "33",
            "65",
            "-1",
            "TERMINATE",
            "RTMIN-1",
            "RTMIN+31",
            "RTMIN++1",
            "RTMIN+",
            "RTMAX+1",
            "RTMAX-31",
            "RTMAX-",
            "RTMIN+99999999999",
            " TERM",
        ] {
            assert_eq!(Signal::parse(text), None, "{text:?}");
        }
    }
}
