use nix::errno::Errno;
use nix::unistd::geteuid;

/// Why there is no cgroup to divide. The text ends with what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CgroupUnavailable {
    /// Only /proc tells which cgroup we are in.
    #[error("/proc cannot be read, and only it tells which cgroup is ours: mount /proc")]
    NoProc,
    /// The kernel has version 1 only.
    #[error(
        "this system has no cgroup v2: boot it with systemd.unified_cgroup_hierarchy=1, or use `--cgroup off`"
    )]
    NoVersion2,
    /// The hierarchy is there, but nobody mounted it.
    #[error("no cgroup2 file system is mounted: mount it at /sys/fs/cgroup")]
    NotMounted,
    /// What is mounted shows another part of the tree.
    #[error(
        "the cgroup2 file system mounted here does not show our own cgroup: mount it inside our cgroup namespace \
         (in Docker: `--cgroupns private`)"
    )]
    Elsewhere,
    /// The usual case in a container.
    #[error("the cgroup2 file system is mounted read-only: mount it writable, or use `--cgroup off`")]
    ReadOnly,
    /// It belongs to somebody else.
    #[error("our own cgroup belongs to somebody else: set `Delegate=yes` in the unit, or run as its owner")]
    NotPermitted,
    /// It is writable, but somebody else manages it.
    #[error(
        "our own cgroup is not delegated to us: set `Delegate=yes` in the unit, or use `--cgroup require` to divide \
         it all the same"
    )]
    NotDelegated,
    /// It is for threads, not for processes.
    #[error(
        "our own cgroup is threaded, and cannot hold services: start curfew in one whose cgroup.type is `domain`"
    )]
    Threaded,
    /// There are as many cgroups as the system allows.
    #[error("no more cgroups are allowed here: raise cgroup.max.descendants and cgroup.max.depth")]
    TooMany,
    /// Anything else, in the system's words.
    #[error("our own cgroup cannot be divided ({}): look at it, or use `--cgroup off`", .0.desc())]
    Other(Errno),
}

impl CgroupUnavailable {
    /// Only root could divide it all the same.
    pub(super) fn not_given() -> Self {
        if geteuid().is_root() { Self::NotDelegated } else { Self::NotPermitted }
    }

    /// What an errno of the cgroup file system means for us.
    pub(super) fn from_errno(errno: Errno) -> Self {
        match errno {
            Errno::EROFS => Self::ReadOnly,
            Errno::EACCES | Errno::EPERM => Self::NotPermitted,
            Errno::EOPNOTSUPP => Self::Threaded,
            Errno::EAGAIN => Self::TooMany,
            // Somebody removed it, and so moved us out of it.
            Errno::ENOENT | Errno::ENODEV => Self::Elsewhere,
            other => Self::Other(other),
        }
    }

    /// What an errno of /proc means: without descriptors or memory it is there all the same.
    pub(super) fn from_proc(errno: Errno) -> Self {
        match errno {
            Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM => Self::Other(errno),
            _ => Self::NoProc,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_ends_with_a_cure() {
        use CgroupUnavailable::{
            Elsewhere, NoProc, NoVersion2, NotDelegated, NotMounted, NotPermitted, Other, ReadOnly, Threaded,
            TooMany,
        };
        let other = Other(Errno::EMFILE);
        for reason in [
            NoProc,
            NoVersion2,
            NotMounted,
            Elsewhere,
            ReadOnly,
            NotPermitted,
            NotDelegated,
            Threaded,
            TooMany,
            other,
        ] {
            let text = reason.to_string();
            let (_, cure) = text.split_once(": ").expect("problem: cure");
            assert!(!cure.is_empty() && !text.ends_with('.'), "{text}");
        }
        assert!(other.to_string().contains("Too many open files"));
    }
}
