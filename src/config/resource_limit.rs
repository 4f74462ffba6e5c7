use nix::sys::resource::{RLIM_INFINITY, Resource};

use super::SyntaxError;
use super::duration_syntax::parse_duration;
use super::toml_document::Value;
use crate::nearest::proposal;

/// A limit of one resource.
///
/// Source: setrlimit(2); the names are those of systemd.exec(5) without `Limit`, in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourceLimit {
    /// The key in the file.
    pub name: &'static str,
    /// The resource.
    pub resource: Resource,
    /// What holds; at most the hard limit. [`RLIM_INFINITY`]: none.
    pub soft: u64,
    /// What the process may raise it to.
    pub hard: u64,
}

/// What a limit counts, and so how it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    /// A plain number.
    Count,
    /// Bytes: a number, or with K, M, G or T, which are powers of 1024.
    Bytes,
    /// A duration; the kernel counts whole seconds.
    Seconds,
    /// A duration; the kernel counts microseconds.
    Microseconds,
}

/// Every resource that can be limited.
const RESOURCES: [(&str, Resource, Unit); 16] = [
    ("as", Resource::RLIMIT_AS, Unit::Bytes),
    ("core", Resource::RLIMIT_CORE, Unit::Bytes),
    ("cpu", Resource::RLIMIT_CPU, Unit::Seconds),
    ("data", Resource::RLIMIT_DATA, Unit::Bytes),
    ("fsize", Resource::RLIMIT_FSIZE, Unit::Bytes),
    ("locks", Resource::RLIMIT_LOCKS, Unit::Count),
    ("memlock", Resource::RLIMIT_MEMLOCK, Unit::Bytes),
    ("msgqueue", Resource::RLIMIT_MSGQUEUE, Unit::Bytes),
    ("nice", Resource::RLIMIT_NICE, Unit::Count),
    ("nofile", Resource::RLIMIT_NOFILE, Unit::Count),
    ("nproc", Resource::RLIMIT_NPROC, Unit::Count),
    ("rss", Resource::RLIMIT_RSS, Unit::Bytes),
    ("rtprio", Resource::RLIMIT_RTPRIO, Unit::Count),
    ("rttime", Resource::RLIMIT_RTTIME, Unit::Microseconds),
    ("sigpending", Resource::RLIMIT_SIGPENDING, Unit::Count),
    ("stack", Resource::RLIMIT_STACK, Unit::Bytes),
];

/// Reads a table of limits: `{ nofile = "1024:4096", core = 0, stack = "8M", cpu = "1h", nproc = "unlimited" }`.
pub(crate) fn limits(value: &Value) -> Vec<ResourceLimit> {
    let entries = value.entries("a table such as { nofile = \"1024:4096\", core = 0 }").unwrap_or_default();
    entries.iter().filter_map(limit).collect()
}

fn limit(value: &Value) -> Option<ResourceLimit> {
    let names = RESOURCES.iter().map(|(name, ..)| *name);
    let Some((name, resource, unit)) = RESOURCES.into_iter().find(|(name, ..)| *name == value.name()) else {
        // Whoever knows systemd writes LimitNOFILE.
        let given = value.name().to_ascii_lowercase();
        let given = given.strip_prefix("limit").or(given.strip_prefix("rlimit_")).unwrap_or(&given);
        value.fail_at_key("unknown resource", proposal(given, names));
        return None;
    };
    let (soft, hard) = match (unit, value.integer()) {
        (Unit::Count | Unit::Bytes, Some(_)) => {
            let number = value.integer_within("a limit", 0..=i64::MAX)?;
            (number as u64, number as u64)
        }
        _ => value.parsed(unit.expected(), |text| parse_limit(text, unit))?,
    };
    Some(ResourceLimit { name, resource, soft, hard })
}

impl Unit {
    const fn expected(self) -> &'static str {
        match self {
            Self::Count => "a limit such as 1024, \"1024:4096\" or \"unlimited\"",
            Self::Bytes => "a limit in bytes such as 0, \"8M\", \"8M:64M\" or \"unlimited\"",
            Self::Seconds | Self::Microseconds => {
                "a duration such as \"10s\" or \"10s:20s\", or \"unlimited\""
            }
        }
    }
}

/// Reads `VALUE` for both limits, or `SOFT:HARD`.
fn parse_limit(text: &str, unit: Unit) -> Result<(u64, u64), SyntaxError> {
    let Some((soft, hard)) = text.split_once(':') else {
        return parse_value(text, unit).map(|value| (value, value));
    };
    let hard_at = soft.len() + 1;
    let soft = parse_value(soft, unit)?;
    let hard = parse_value(hard, unit).map_err(|error| error.shifted(hard_at))?;
    if soft > hard {
        return Err(SyntaxError::whole(text, "the soft limit is above the hard one", "write SOFT:HARD"));
    }
    Ok((soft, hard))
}

fn parse_value(text: &str, unit: Unit) -> Result<u64, SyntaxError> {
    let whole = text.trim();
    if matches!(whole, "unlimited" | "infinity") {
        return Ok(RLIM_INFINITY);
    }
    match unit {
        Unit::Count => parse_count(text, &[], "write a number, or `unlimited`"),
        Unit::Bytes => parse_count(text, &SIZES, "write a number of bytes, such as `8M`, or `unlimited`"),
        // Half a second is no limit that the kernel knows: rounded up, so that none becomes zero.
        Unit::Seconds => parse_duration(text).map(|time| time.as_secs() + u64::from(time.subsec_nanos() > 0)),
        Unit::Microseconds => parse_duration(text).map(|time| time.as_micros() as u64),
    }
}

const SIZES: [(char, u64); 4] = [('K', 1 << 10), ('M', 1 << 20), ('G', 1 << 30), ('T', 1 << 40)];

fn parse_count(text: &str, sizes: &[(char, u64)], cure: &str) -> Result<u64, SyntaxError> {
    let whole = text.trim();
    let size = sizes.iter().find(|(letter, _)| whole.ends_with(*letter));
    let (digits, factor) =
        size.map_or((whole, 1), |(letter, factor)| (whole.trim_end_matches(*letter), *factor));
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number =
        digits.parse::<u64>().ok().filter(|_| is_number).and_then(|number| number.checked_mul(factor));
    // The largest number is the system's word for "none".
    number.filter(|number| *number < RLIM_INFINITY).ok_or_else(|| {
        let problem = if is_number { "is too large" } else { "is no limit" };
        SyntaxError::whole(text, format!("`{whole}` {problem}"), cure)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_one_value_for_both_or_a_soft_and_a_hard_one() {
        for (text, unit, soft, hard) in [
            ("1024", Unit::Count, 1024, 1024),
            ("1024:4096", Unit::Count, 1024, 4096),
            (" 5 : 6 ", Unit::Count, 5, 6),
            ("0:unlimited", Unit::Count, 0, RLIM_INFINITY),
            ("infinity", Unit::Count, RLIM_INFINITY, RLIM_INFINITY),
            ("unlimited:unlimited", Unit::Bytes, RLIM_INFINITY, RLIM_INFINITY),
            ("8M:1G", Unit::Bytes, 8 << 20, 1 << 30),
            ("100", Unit::Bytes, 100, 100),
            ("2T", Unit::Bytes, 2 << 40, 2 << 40),
            ("3K", Unit::Bytes, 3 << 10, 3 << 10),
            ("10s:1h", Unit::Seconds, 10, 3600),
            ("1500ms", Unit::Seconds, 2, 2),
            ("1500ms", Unit::Microseconds, 1_500_000, 1_500_000),
        ] {
            assert_eq!(parse_limit(text, unit), Ok((soft, hard)), "{text}");
        }
    }

    #[test]
    fn what_is_no_limit_is_shown_at_its_place() {
        for (text, unit, rendering) in [
            ("", Unit::Count, "`` is no limit; write a number, or `unlimited`\n  \n  ^"),
            ("-1", Unit::Count, "`-1` is no limit; write a number, or `unlimited`\n  -1\n  ^^"),
            ("1K", Unit::Count, "`1K` is no limit; write a number, or `unlimited`\n  1K\n  ^^"),
            ("1:+2", Unit::Count, "`+2` is no limit; write a number, or `unlimited`\n  1:+2\n    ^^"),
            ("2:1", Unit::Count, "the soft limit is above the hard one; write SOFT:HARD\n  2:1\n  ^^^"),
            (
                "unlimited:1",
                Unit::Count,
                "the soft limit is above the hard one; write SOFT:HARD\n  unlimited:1\n  ^^^^^^^^^^^",
            ),
            (
                "8MB",
                Unit::Bytes,
                "`8MB` is no limit; write a number of bytes, such as `8M`, or `unlimited`\n  8MB\n  ^^^",
            ),
            (
                "18446744073709551615",
                Unit::Count,
                "`18446744073709551615` is too large; write a number, or `unlimited`\n  18446744073709551615\n  ^^^^^^^^^^^^^^^^^^^^",
            ),
            (
                "99999999T",
                Unit::Bytes,
                "`99999999T` is too large; write a number of bytes, such as `8M`, or `unlimited`\n  99999999T\n  ^^^^^^^^^",
            ),
            ("10", Unit::Seconds, "`10` has no unit; write `10s`\n  10\n  ^^"),
            ("1s:20", Unit::Seconds, "`20` has no unit; write `20s`\n  1s:20\n     ^^"),
        ] {
            assert_eq!(parse_limit(text, unit).unwrap_err().render(text), rendering);
        }
    }

    #[test]
    fn every_resource_has_one_name() {
        let names: std::collections::BTreeSet<_> = RESOURCES.iter().map(|(name, ..)| name).collect();
        let resources: std::collections::HashSet<_> =
            RESOURCES.iter().map(|(_, resource, _)| resource).collect();
        assert_eq!((names.len(), resources.len()), (16, 16));
    }
}
