use std::ffi::{CStr, CString};
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::libc;

use super::{Curfew, pause};

/// A cgroup (version 2) of one test, below that of the tests themselves. It is removed with all that is in it, whatever
/// becomes of the test.
pub(crate) struct Cgroup(PathBuf);

impl Cgroup {
    /// A new one; `Err`: why none can be had here.
    pub(crate) fn new() -> Result<Self, String> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let parent = own_directory()?;
        let path = parent.join(format!("curfew-test-{}-{number}", std::process::id()));
        fs::create_dir(&path)
            .map_err(|error| format!("no cgroup can be made in {}: {error}", parent.display()))?;
        let cgroup = Self(path);
        // Root may make one and not be allowed to use it: in a container, say.
        cgroup.procs().map_err(|error| format!("processes cannot be moved into a cgroup: {error}"))?;
        Ok(cgroup)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Where the file system of cgroups is mounted.
    pub(crate) fn mount_point(&self) -> PathBuf {
        mount_point().expect("it was found before")
    }

    /// Gives it to a user, as `Delegate=yes` does for a unit with `User=`.
    pub(crate) fn give_to(&self, user: u32) {
        for file in ["", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control"] {
            chown(self.0.join(file), Some(user), Some(user)).expect("root may give it away");
        }
    }

    /// Marks it as given to root, as `Delegate=yes` does. `false`: this file system has no such marks.
    pub(crate) fn mark_as_delegated(&self) -> bool {
        let path = CString::new(self.0.as_os_str().as_bytes()).expect("a path");
        let (name, value): (&CStr, _) = (c"user.delegate", "1");
        // SAFETY: valid strings, and a value as long as it is said to be.
        unsafe { libc::setxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) == 0 }
    }

    fn procs(&self) -> io::Result<OwnedFd> {
        let mut options = fs::OpenOptions::new();
        options.write(true).custom_flags(libc::O_CLOEXEC).open(self.0.join("cgroup.procs")).map(OwnedFd::from)
    }

    /// Curfew is started in it.
    pub(crate) fn around(&self, curfew: Curfew) -> Curfew {
        let procs = self.procs().expect("it was opened before");
        curfew.before_exec(move || {
            // SAFETY: one byte, valid for reading; `0` is whoever writes.
            match unsafe { libc::write(procs.as_raw_fd(), b"0".as_ptr().cast(), 1) } {
                1 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        })
    }

    /// A cgroup below it.
    pub(crate) fn below(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The names of the cgroups right below it.
    pub(crate) fn names_below(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("it is there").flatten();
        let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        let mut names: Vec<String> =
            directories.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::write(self.0.join("cgroup.kill"), "1");
        for _ in 0..1000 {
            if remove_all(&self.0) {
                return;
            }
            // Whoever was killed is not dead at once, and no event tells of each cgroup.
            pause(Duration::from_millis(5));
        }
        eprintln!("{} is left", self.0.display());
    }
}

/// Removes a cgroup with all below it. `false`: somebody is still in it.
fn remove_all(cgroup: &Path) -> bool {
    for entry in fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_all(&entry.path());
        }
    }
    match fs::remove_dir(cgroup) {
        Ok(()) => true,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// The processes in a cgroup.
pub(crate) fn processes_in(cgroup: &Path) -> Vec<i32> {
    let text = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// The directory of the cgroup that the tests run in.
fn own_directory() -> Result<PathBuf, String> {
    let own = read("/proc/self/cgroup")?;
    let own = own.lines().find_map(|line| line.strip_prefix("0::/")).ok_or("there is no cgroup v2")?;
    Ok(mount_point()?.join(own))
}

/// Where the whole tree is mounted.
fn mount_point() -> Result<PathBuf, String> {
    let mounts = read("/proc/self/mountinfo")?;
    let point = mounts.lines().find_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let mut fields = place.split(' ').skip(3);
        (kind.starts_with("cgroup2 ") && fields.next()? == "/").then_some(fields.next()?)
    });
    Ok(point.ok_or("no cgroup2 file system is mounted")?.into())
}

fn read(file: &str) -> Result<String, String> {
    fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))
}
