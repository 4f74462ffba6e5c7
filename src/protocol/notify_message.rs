use std::time::Duration;

use super::NotifyField;
use crate::supervisor::Pid;

/// The longest datagram that is read: what systemd allows for a status alone.
pub const LONGEST_DATAGRAM: usize = 16 << 10;

/// What one datagram of sd_notify(3) says.
///
/// As in systemd, lines stand apart from each other, the first of several with the same name counts, `STOPPING` goes
/// before `READY` and `READY` before `RELOADING`, and a name that nobody knows is passed over.
///
/// Source: sd_notify(3); systemd's `service_notify_message`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NotifyMessage {
    /// What it says, each name once.
    pub fields: Vec<NotifyField>,
    /// How many lines make no sense: no `=`, or a value that its name cannot have.
    pub malformed: u32,
}

/// What is to be done with a line.
enum Line {
    Says(NotifyField),
    /// Not for us, or without an effect.
    Unknown,
    Malformed,
}

impl NotifyMessage {
    /// Reads a datagram. Nothing in it can make this fail: what makes no sense is counted.
    pub fn parse(datagram: &[u8]) -> Self {
        // One NUL at the end is a slip that C programs make; another one could hide what stands behind it.
        let text = datagram.strip_suffix(b"\0").unwrap_or(datagram);
        if text.len() > LONGEST_DATAGRAM || text.contains(&0) {
            return Self { fields: Vec::new(), malformed: 1 };
        }
        let mut message = Self::default();
        let mut seen: Vec<&[u8]> = Vec::new();
        for line in text.split(|byte| matches!(byte, b'\n' | b'\r')).filter(|line| !line.is_empty()) {
            let Some(end) = line.iter().position(|byte| *byte == b'=').filter(|end| *end > 0) else {
                message.malformed += 1;
                continue;
            };
            let (name, value) = (&line[..end], &line[end + 1..]);
            match read_line(name, value) {
                Line::Unknown => {}
                Line::Malformed => message.malformed += 1,
                // The first one counts. Only names that are known get here, so the list stays short.
                Line::Says(_) if seen.contains(&name) => {}
                Line::Says(field) => {
                    seen.push(name);
                    message.fields.push(field);
                }
            }
        }
        message.settle();
        message
    }

    /// Leaves only what goes before the rest.
    fn settle(&mut self) {
        if self.fields.contains(&NotifyField::Barrier) {
            // A barrier stands alone: what came with it cannot have been handled before it.
            self.malformed += self.fields.len() as u32 - 1;
            self.fields.retain(|field| *field == NotifyField::Barrier);
        }
        let says = |field| self.fields.contains(&field);
        let (is_stopping, is_ready) = (says(NotifyField::Stopping), says(NotifyField::Ready));
        self.fields.retain(|field| match field {
            NotifyField::Ready => !is_stopping,
            NotifyField::Reloading => !is_stopping && !is_ready,
            _ => true,
        });
    }
}

fn read_line(name: &[u8], value: &[u8]) -> Line {
    let flag = |field| if value == b"1" { Some(field) } else { None };
    let field = match name {
        b"READY" => flag(NotifyField::Ready),
        b"RELOADING" => flag(NotifyField::Reloading),
        b"STOPPING" => flag(NotifyField::Stopping),
        b"BARRIER" => flag(NotifyField::Barrier),
        b"FDSTORE" => flag(NotifyField::StoreDescriptors),
        b"WATCHDOG" if value == b"trigger" => Some(NotifyField::WatchdogTrigger),
        b"WATCHDOG" => flag(NotifyField::WatchdogAlive),
        b"STATUS" => std::str::from_utf8(value).ok().map(|text| NotifyField::Status(text.to_owned())),
        b"MONOTONIC_USEC" => microseconds(value).map(NotifyField::Monotonic),
        b"EXTEND_TIMEOUT_USEC" => microseconds(value).map(NotifyField::ExtendTimeout),
        b"WATCHDOG_USEC" => number(value).map(|microseconds: u64| {
            let is_on = microseconds != 0 && microseconds != u64::MAX;
            NotifyField::WatchdogInterval(is_on.then(|| Duration::from_micros(microseconds)))
        }),
        b"ERRNO" => number(value).filter(|errno| *errno <= LARGEST_ERRNO).map(NotifyField::Errno),
        b"EXIT_STATUS" => number(value).map(NotifyField::ExitStatus),
        b"MAINPID" => number(value).and_then(Pid::new).map(NotifyField::MainPid),
        _ => return Line::Unknown,
    };
    field.map_or(Line::Malformed, Line::Says)
}

/// The kernel's MAX_ERRNO.
const LARGEST_ERRNO: i32 = 4095;

fn microseconds(value: &[u8]) -> Option<Duration> {
    number(value).map(Duration::from_micros)
}

/// Digits and nothing else: a sign or a blank is a slip that is better told than guessed at.
fn number<T: std::str::FromStr>(value: &[u8]) -> Option<T> {
    let is_plain = value.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(value).ok().filter(|_| is_plain)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(datagram: &str) -> Vec<NotifyField> {
        let message = NotifyMessage::parse(datagram.as_bytes());
        assert_eq!(message.malformed, 0, "{datagram:?}");
        message.fields
    }

    fn malformed(datagram: &[u8]) -> u32 {
        let message = NotifyMessage::parse(datagram);
        assert_eq!(message.fields, [], "{datagram:?}");
        message.malformed
    }

    #[test]
    fn every_message_that_services_send_is_understood() {
        assert_eq!(
            fields("READY=1\nSTATUS=warm = hot\nMAINPID=77\n"),
            [
                NotifyField::Ready,
                NotifyField::Status("warm = hot".into()),
                NotifyField::MainPid(Pid::new(77).unwrap())
            ]
        );
        assert_eq!(
            fields("RELOADING=1\nMONOTONIC_USEC=1500000"),
            [NotifyField::Reloading, NotifyField::Monotonic(Duration::from_millis(1500))]
        );
        assert_eq!(fields("STOPPING=1"), [NotifyField::Stopping]);
        assert_eq!(fields("WATCHDOG=1"), [NotifyField::WatchdogAlive]);
        assert_eq!(fields("WATCHDOG=trigger"), [NotifyField::WatchdogTrigger]);
        assert_eq!(
            fields("EXTEND_TIMEOUT_USEC=2000000"),
            [NotifyField::ExtendTimeout(Duration::from_secs(2))]
        );
        assert_eq!(fields("ERRNO=2\nEXIT_STATUS=255"), [NotifyField::Errno(2), NotifyField::ExitStatus(255)]);
        assert_eq!(fields("BARRIER=1"), [NotifyField::Barrier]);
        assert_eq!(fields("FDSTORE=1\nFDNAME=x\nFDPOLL=0"), [NotifyField::StoreDescriptors]);
        assert_eq!(fields("STATUS="), [NotifyField::Status(String::new())]);
        assert_eq!(fields("STATUS=здравствуй"), [NotifyField::Status("здравствуй".into())]);
    }

    #[test]
    fn a_watchdog_can_be_set_and_taken_away() {
        let interval = |text| NotifyMessage::parse(text).fields;
        assert_eq!(
            interval(b"WATCHDOG_USEC=20000"),
            [NotifyField::WatchdogInterval(Some(Duration::from_millis(20)))]
        );
        assert_eq!(interval(b"WATCHDOG_USEC=0"), [NotifyField::WatchdogInterval(None)]);
        assert_eq!(interval(b"WATCHDOG_USEC=18446744073709551615"), [NotifyField::WatchdogInterval(None)]);
    }

    #[test]
    fn stopping_goes_before_ready_and_ready_before_reloading() {
        assert_eq!(fields("READY=1\nRELOADING=1\nSTOPPING=1"), [NotifyField::Stopping]);
        assert_eq!(fields("RELOADING=1\nREADY=1"), [NotifyField::Ready]);
    }

    #[test]
    fn the_first_of_several_with_one_name_counts() {
        assert_eq!(
            fields("STATUS=a\nSTATUS=b\nERRNO=1\nERRNO=2"),
            [NotifyField::Status("a".into()), NotifyField::Errno(1)]
        );
        // What makes no sense is no first one.
        let message = NotifyMessage::parse(b"ERRNO=x\nERRNO=2");
        assert_eq!((message.fields, message.malformed), (vec![NotifyField::Errno(2)], 1));
    }

    #[test]
    fn a_barrier_stands_alone() {
        let message = NotifyMessage::parse(b"STATUS=x\nBARRIER=1\nREADY=1");
        assert_eq!((message.fields, message.malformed), (vec![NotifyField::Barrier], 2));
    }

    #[test]
    fn what_nobody_knows_is_passed_over() {
        assert_eq!(fields("X_MINE=1\nNOTIFYACCESS=all\nBUSERROR=a.b\nFDNAME=x"), []);
        assert_eq!(NotifyMessage::parse(b"X_MINE=\xff\xfe\nREADY=1").fields, [NotifyField::Ready]);
        assert_eq!(fields(""), []);
        assert_eq!(fields("\n\r\n"), []);
    }

    #[test]
    fn what_makes_no_sense_is_counted_and_harms_nothing() {
        for line in [
            &b"READY"[..],
            b"=1",
            b"READY=0",
            b"READY=yes",
            b"READY= 1",
            b"STATUS=\xff\xfe",
            b"MAINPID=0",
            b"MAINPID=1",
            b"MAINPID=-5",
            b"MAINPID=99999999999",
            b"MAINPID=",
            b"ERRNO=4096",
            b"ERRNO=-2",
            b"ERRNO=+2",
            b"EXIT_STATUS=256",
            b"WATCHDOG=0",
            b"WATCHDOG_USEC=1s",
            b"EXTEND_TIMEOUT_USEC=18446744073709551616",
            b"BARRIER=0",
            b"READY=1\0STATUS=x",
            b"\0\0",
        ] {
            assert_eq!(malformed(line), 1, "{line:?}");
        }
        assert_eq!(malformed(&[b'\xff'; 100]), 1);
        assert_eq!(malformed(&[b'a'; LONGEST_DATAGRAM + 1]), 1);
        assert_eq!(fields("READY=1\0"), [NotifyField::Ready]);
    }

    /// No input may make it panic or grow: a service can send anything.
    #[test]
    fn any_bytes_are_read() {
        const WORDS: [&[u8]; 14] = [
            b"READY=",
            b"STATUS=",
            b"BARRIER=1",
            b"MAINPID=",
            b"ERRNO=",
            b"WATCHDOG_USEC=",
            b"1",
            b"\n",
            b"\r",
            b"\0",
            b"=",
            b"\xff",
            b"18446744073709551615",
            b"STOPPING=1",
        ];
        let mut state = 1_u64;
        let mut next = || {
            // An xorshift: the same bytes in every run.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as usize
        };
        for _ in 0..20_000 {
            let count = next() % 12;
            let datagram: Vec<u8> = (0..count).flat_map(|_| WORDS[next() % WORDS.len()]).copied().collect();
            let message = NotifyMessage::parse(&datagram);
            let lines = datagram.split(|byte| matches!(byte, b'\n' | b'\r')).count();
            assert!(message.fields.len() + message.malformed as usize <= lines.max(1), "{datagram:?}");
        }
    }
}
