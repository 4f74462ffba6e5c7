use serde_json::{Value, json};

use super::json::{list, text};
use super::party::Party;

/// One line of `/proc/locks`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LockLine {
    /// Those that wait have the number of the lock they wait for.
    pub(super) number: u64,
    pub(super) waits: bool,
    /// `FLOCK`, `POSIX`, `OFDLCK`, `LEASE`, `DELEG`.
    pub(super) kind: String,
    /// `READ` or `WRITE`.
    pub(super) access: String,
    /// Who made it; -1 if it belongs to an open file and not to a process.
    pub(super) pid: i32,
    pub(super) file: Option<FileId>,
}

/// A file, by its device and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct FileId {
    pub(super) major: u32,
    pub(super) minor: u32,
    pub(super) inode: u64,
}

impl LockLine {
    /// `3: -> FLOCK  ADVISORY  WRITE 4883 fe:00:10011380 0 EOF`; the arrow marks one that waits.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split_ascii_whitespace().peekable();
        let number = fields.next()?.strip_suffix(':')?.parse().ok()?;
        let waits = fields.next_if_eq(&"->").is_some();
        let kind = fields.next()?.to_owned();
        let _enforced = fields.next()?;
        let access = fields.next()?.to_owned();
        let pid = fields.next()?.parse().ok()?;
        // `<none>:0` if the file is gone.
        let file = FileId::parse(fields.next()?);
        Some(Self { number, waits, kind, access, pid, file })
    }

    /// All lines that make sense.
    pub(super) fn parse_all(table: &str) -> Vec<Self> {
        table.lines().filter_map(Self::parse).collect()
    }
}

impl FileId {
    fn parse(field: &str) -> Option<Self> {
        let mut parts = field.split(':');
        let major = u32::from_str_radix(parts.next()?, 16).ok()?;
        let minor = u32::from_str_radix(parts.next()?, 16).ok()?;
        let inode = parts.next()?.parse().ok()?;
        Some(Self { major, minor, inode })
    }
}

/// A file lock that a process waits for or holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LockFacts {
    /// Whether it waits; else it holds the lock.
    pub(super) waits: bool,
    /// As [`LockLine::kind`].
    pub(super) kind: String,
    /// As [`LockLine::access`].
    pub(super) access: String,
    /// The file, if it could be found.
    pub(super) path: Option<String>,
    /// Who holds it, or who waits for it.
    pub(super) others: Vec<Party>,
}

impl LockFacts {
    pub(super) fn value(&self) -> Value {
        json!({
            "waits": self.waits,
            "kind": self.kind,
            "access": self.access,
            "path": self.path,
            (if self.waits { "held_by" } else { "wanted_by" }): self.others.iter().map(Party::value).collect::<Vec<_>>(),
        })
    }

    pub(super) fn from_value(value: &Value) -> Option<Self> {
        let waits = value.get("waits")?.as_bool()?;
        Some(Self {
            waits,
            kind: text(value, "kind")?,
            access: text(value, "access")?,
            path: text(value, "path"),
            others: list(value, if waits { "held_by" } else { "wanted_by" }, Party::from_value),
        })
    }
}

/// The locks of `pid` in the table, as (line, the lines of the others concerned).
pub(super) fn locks_of(table: &[LockLine], pid: i32) -> Vec<(&LockLine, Vec<&LockLine>)> {
    let mine = table.iter().filter(|line| line.pid == pid);
    mine.map(|line| {
        let same = |other: &&LockLine| other.number == line.number && other.waits != line.waits;
        (line, table.iter().filter(same).collect())
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
1: POSIX  ADVISORY  READ 812 00:1a:33 128 191
2: FLOCK  ADVISORY  WRITE 4876 fe:00:10011380 0 EOF
2: -> FLOCK  ADVISORY  WRITE 4883 fe:00:10011380 0 EOF
2:  -> FLOCK  ADVISORY  READ 4884 fe:00:10011380 0 EOF
3: OFDLCK ADVISORY  WRITE -1 08:01:7 0 EOF
4: LEASE  ACTIVE    READ 9 <none>:0 0 EOF
";

    #[test]
    fn who_waits_finds_who_holds_and_the_reverse() {
        let table = LockLine::parse_all(TABLE);
        assert_eq!(table.len(), 6);
        let waiting = locks_of(&table, 4884);
        let (mine, others) = &waiting[0];
        assert!(mine.waits);
        assert_eq!(mine.file, Some(FileId { major: 0xfe, minor: 0, inode: 10_011_380 }));
        assert_eq!(others.iter().map(|line| line.pid).collect::<Vec<_>>(), [4876]);
        let holding = locks_of(&table, 4876);
        assert_eq!(holding[0].1.iter().map(|line| line.pid).collect::<Vec<_>>(), [4883, 4884]);
    }

    #[test]
    fn locks_of_no_process_or_no_file_are_read_too() {
        let table = LockLine::parse_all(TABLE);
        assert_eq!((table[4].pid, table[4].kind.as_str()), (-1, "OFDLCK"));
        assert_eq!(table[5].file, None);
    }

    #[test]
    fn malformed_lines_are_left_out() {
        for line in [
            "",
            ":",
            "1:",
            "1: ->",
            "x: FLOCK ADVISORY READ 1 0:0:0",
            "1: FLOCK ADVISORY READ one 0:0:0",
            "1 FLOCK",
        ] {
            assert_eq!(LockLine::parse(line), None, "{line}");
        }
        assert_eq!(LockLine::parse("1: FLOCK ADVISORY READ 1 zz:00:1").unwrap().file, None);
    }

    #[test]
    fn facts_come_through_json_as_they_were() {
        let other = Party { pid: 77, name: Some("sh".into()) };
        for waits in [true, false] {
            let facts = LockFacts {
                waits,
                kind: "FLOCK".into(),
                access: "WRITE".into(),
                path: Some("/run/x.lock".into()),
                others: vec![other.clone()],
            };
            assert_eq!(LockFacts::from_value(&facts.value()), Some(facts));
        }
    }
}
