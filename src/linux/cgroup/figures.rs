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
    /// Reads what is in use now, and nothing else. Files that cannot be read have no figure.
    pub(super) fn read_current(cgroup: &Path) -> Self {
        Self {
            memory_current: read_number(cgroup, "memory.current"),
            pids_current: read_number(cgroup, "pids.current"),
            ..Self::default()
        }
    }

    /// Reads what was used so far, and nothing else.
    pub(super) fn read_totals(cgroup: &Path) -> Self {
        let value = |file, key| value_of(&read(&cgroup.join(file)).ok()?, key);
        Self {
            memory_peak: read_number(cgroup, "memory.peak"),
            cpu_usec: value("cpu.stat", "usage_usec"),
            oom_kills: value("memory.events", "oom_kill"),
            ..Self::default()
        }
    }
}

fn read_number(cgroup: &Path, file: &str) -> Option<u64> {
    std::str::from_utf8(&read(&cgroup.join(file)).ok()?).ok()?.trim().parse().ok()
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
        let (current, totals) = (Figures::read_current(&directory), Figures::read_totals(&directory));
        fs::remove_dir_all(&directory).unwrap();
        assert_eq!(current, Figures { memory_current: Some(4096), ..Figures::default() });
        assert_eq!(totals, Figures { cpu_usec: Some(12), oom_kills: Some(1), ..Figures::default() });
        assert_eq!(Figures::read_current(&directory), Figures::default());
        assert_eq!(Figures::read_totals(&directory), Figures::default());
    }
}
