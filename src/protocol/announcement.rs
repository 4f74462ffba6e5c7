use std::fmt::Write;
use std::time::Duration;

/// One thing that curfew says to the service manager above it.
///
/// Source: sd_notify(3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announcement<'a> {
    /// The start, or a reload, is done.
    Ready,
    /// A reload begins, at this time of `CLOCK_MONOTONIC`, which `Type=notify-reload` requires in the same datagram.
    Reloading {
        /// The time since the machine was started, as that clock counts it.
        monotonic: Duration,
    },
    /// A stop begins: the manager's own clock starts with it.
    Stopping,
    /// How things are, in words. It becomes one line, and is cut at [`LONGEST_STATUS`] bytes.
    Status(&'a str),
    /// The loop is alive.
    WatchdogAlive,
    /// The current wait of the manager should last this long from now, at least.
    ExtendTimeout(Duration),
    /// The error number of a failed start.
    Errno(i32),
    /// The exit status that is to come.
    ExitStatus(u8),
}

/// How many bytes a status has at most. systemd reads datagrams of 4096 bytes, and people a line.
pub const LONGEST_STATUS: usize = 1024;

/// One datagram that says all of this.
pub fn datagram(announcements: &[Announcement]) -> Vec<u8> {
    let mut text = String::new();
    for announcement in announcements {
        // Writing to a string cannot fail.
        let _ = match announcement {
            Announcement::Ready => writeln!(text, "READY=1"),
            Announcement::Reloading { monotonic } => {
                writeln!(text, "RELOADING=1\nMONOTONIC_USEC={}", microseconds(*monotonic))
            }
            Announcement::Stopping => writeln!(text, "STOPPING=1"),
            Announcement::Status(status) => writeln!(text, "STATUS={}", one_line(status)),
            Announcement::WatchdogAlive => writeln!(text, "WATCHDOG=1"),
            Announcement::ExtendTimeout(time) => {
                writeln!(text, "EXTEND_TIMEOUT_USEC={}", microseconds(*time))
            }
            Announcement::Errno(errno) => writeln!(text, "ERRNO={errno}"),
            Announcement::ExitStatus(status) => writeln!(text, "EXIT_STATUS={status}"),
        };
    }
    text.into_bytes()
}

/// Whole microseconds. The largest number means "never" to systemd: nothing that can be written down does.
fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX).min(u64::MAX - 1)
}

/// The text without line ends and other control characters: a name in it must not be able to say anything more.
fn one_line(text: &str) -> String {
    const CUT: char = '…';
    let mut line = String::new();
    for character in text.chars() {
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
        if line.len() > LONGEST_STATUS {
            let mut end = LONGEST_STATUS - CUT.len_utf8();
            while !line.is_char_boundary(end) {
                end -= 1;
            }
            line.truncate(end);
            line.push(CUT);
            break;
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{NotifyField, NotifyMessage};

    fn text(announcements: &[Announcement]) -> String {
        String::from_utf8(datagram(announcements)).unwrap()
    }

    #[test]
    fn each_announcement_is_what_the_manual_says() {
        let seconds = Duration::from_secs;
        assert_eq!(
            text(&[Announcement::Ready, Announcement::Status("3 services")]),
            "READY=1\nSTATUS=3 services\n"
        );
        assert_eq!(
            text(&[Announcement::Reloading { monotonic: Duration::from_micros(12_345_678) }]),
            "RELOADING=1\nMONOTONIC_USEC=12345678\n"
        );
        assert_eq!(text(&[Announcement::Stopping]), "STOPPING=1\n");
        assert_eq!(text(&[Announcement::WatchdogAlive]), "WATCHDOG=1\n");
        assert_eq!(text(&[Announcement::ExtendTimeout(seconds(2))]), "EXTEND_TIMEOUT_USEC=2000000\n");
        assert_eq!(
            text(&[Announcement::ExtendTimeout(Duration::MAX)]),
            "EXTEND_TIMEOUT_USEC=18446744073709551614\n"
        );
        assert_eq!(
            text(&[Announcement::Errno(2), Announcement::ExitStatus(80)]),
            "ERRNO=2\nEXIT_STATUS=80\n"
        );
        assert_eq!(text(&[]), "");
    }

    #[test]
    fn a_status_is_one_line_whatever_is_in_it() {
        let status = "stopping: a\nREADY=1\r\u{1b}[2J, 4 s left, останов";
        assert_eq!(
            NotifyMessage::parse(&datagram(&[Announcement::Status(status)])),
            NotifyMessage {
                fields: vec![NotifyField::Status(
                    "stopping: a\\nREADY=1\\r\\u{1b}[2J, 4 s left, останов".into()
                )],
                malformed: 0
            }
        );
    }

    #[test]
    fn a_long_status_is_cut_between_two_characters() {
        for long in ["я".repeat(LONGEST_STATUS), "\n".repeat(LONGEST_STATUS), "x".repeat(LONGEST_STATUS + 1)]
        {
            let status = text(&[Announcement::Status(&long)]);
            let status = status.trim_end().strip_prefix("STATUS=").unwrap();
            assert!(status.len() <= LONGEST_STATUS && status.len() > LONGEST_STATUS - 10, "{}", status.len());
            assert!(status.ends_with('…'));
        }
    }
}
