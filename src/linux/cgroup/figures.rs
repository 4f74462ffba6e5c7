use std::path::Path;

use super::control_file::{read, value_of};

/// What a service used, as far as the kernel counts it here. `None`: it does not, for want of the controller (on a
/// hybrid system version 1 has it) or because it is older.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Memory in use now, in bytes, with the page cache that is charged to it.
    pub memory_current: Option<u64>,
    /// The most it ever was, in bytes, over all runs of the service (Linux 5.19).
    pub memory_peak: Option<u64>,
    /// CPU time of all its processes, dead ones too, in microseconds. Needs no controller.
    pub cpu_usec: Option<u64>,
    /// Its processes and threads now.
    pub pids_current: Option<u64>,
    /// How many of its processes were killed because memory ran out.
    pub oom_kills: Option<u64>,
}

impl Figures {
    /// Reads them. Files that cannot be read have no figure.
    pub(super) fn read(cgroup: &Path) -> Self {
        let text = |file| read(&cgroup.join(file)).ok();
        Self {
            memory_current: text("memory.current").and_then(|text| number(&text)),
            memory_peak: text("memory.peak").and_then(|text| number(&text)),
            cpu_usec: text("cpu.stat").and_then(|text| value_of(&text, "usage_usec")),
            pids_current: text("pids.current").and_then(|text| number(&text)),
            oom_kills: text("memory.events").and_then(|text| value_of(&text, "oom_kill")),
        }
    }
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn figures_are_read_where_there_are_any() {
        let directory = std::env::temp_dir().join(format!("curfew-figures-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        for (file, text) in [
            ("memory.current", "4096\n"),
            ("memory.peak", "max\n"),
            ("cpu.stat", "usage_usec 12\nuser_usec 7\nsystem_usec 5\n"),
            ("memory.events", "low 0\noom 2\noom_kill 1\n"),
        ] {
            fs::write(directory.join(file), text).unwrap();
        }
        let figures = Figures::read(&directory);
        fs::remove_dir_all(&directory).unwrap();
        let expected = Figures {
            memory_current: Some(4096),
            memory_peak: None,
            cpu_usec: Some(12),
            pids_current: None,
            oom_kills: Some(1),
        };
        assert_eq!(figures, expected);
        assert_eq!(Figures::read(&directory), Figures::default());
    }
}
