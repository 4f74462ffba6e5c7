use std::time::Duration;

/// The interval of our own watchdog, from `WATCHDOG_USEC` and `WATCHDOG_PID`; `None`: there is none, or it is meant for
/// another process.
///
/// A ping is due after half of it.
///
/// Source: sd_watchdog_enabled(3).
pub fn watchdog_interval(microseconds: Option<&str>, pid: Option<&str>, own_pid: u32) -> Option<Duration> {
    // Without a pid it is for whoever reads it.
    if pid.is_some_and(|pid| pid.parse() != Ok(own_pid)) {
        return None;
    }
    let microseconds: u64 = microseconds?.parse().ok()?;
    (microseconds != 0 && microseconds != u64::MAX).then(|| Duration::from_micros(microseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watchdog_is_ours_if_it_names_us_or_nobody() {
        let seconds = Some(Duration::from_secs(20));
        assert_eq!(watchdog_interval(Some("20000000"), Some("77"), 77), seconds);
        assert_eq!(watchdog_interval(Some("20000000"), None, 77), seconds);
        assert_eq!(watchdog_interval(Some("20000000"), Some("78"), 77), None);
        assert_eq!(watchdog_interval(Some("20000000"), Some(""), 77), None);
    }

    #[test]
    fn no_interval_is_no_watchdog() {
        for microseconds in [None, Some(""), Some("0"), Some("18446744073709551615"), Some("20s"), Some("-1")]
        {
            assert_eq!(watchdog_interval(microseconds, None, 77), None, "{microseconds:?}");
        }
    }
}
