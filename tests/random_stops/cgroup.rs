use std::ffi::CString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::libc;

use super::time::pause;

/// A cgroup (v2) for one stop, as a container has one of its own.
pub(crate) struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// Makes one below our own; `None` where we may not, or there is no version 2.
    pub(crate) fn make(name: &str) -> Option<Self> {
        let mounts = fs::read_to_string("/proc/mounts").ok()?;
        let mut mounts = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let root = mounts.find(|words| words.get(2) == Some(&"cgroup2"))?[1].to_owned();
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let own = own.lines().find_map(|line| line.strip_prefix("0::/"))?.to_owned();
        let path = Path::new(&root).join(own).join(name);
        fs::create_dir(&path).ok()?;
        // In a threaded one, say, nobody may be.
        let is_usable =
            fs::read_to_string(path.join("cgroup.type")).is_ok_and(|kind| kind.trim() == "domain");
        if !is_usable {
            let _ = fs::remove_dir(&path);
        }
        is_usable.then_some(Self { path })
    }

    /// Moves the process that calls what this returns: between fork and exec.
    pub(crate) fn entrance(&self) -> impl FnMut() -> io::Result<()> + Send + Sync + 'static {
        let members = self.path.join("cgroup.procs").into_os_string().into_encoded_bytes();
        let members = CString::new(members).expect("no NUL");
        move || {
            // SAFETY: a valid path, and a byte that is valid for reading.
            unsafe {
                let file = libc::open(members.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
                let is_in = libc::write(file, c"0".as_ptr().cast(), 1) == 1;
                libc::close(file);
                if is_in { Ok(()) } else { Err(io::Error::last_os_error()) }
            }
        }
    }

    /// The cgroups and processes that are still in it, in words; then it is emptied, and gone.
    pub(crate) fn dissolve(self) -> Vec<String> {
        let left = self.left();
        if !left.is_empty() {
            let _ = fs::write(self.path.join("cgroup.kill"), "1");
        }
        // What is killed leaves in its own time.
        for _ in 0..1000 {
            for below in self.below() {
                let _ = fs::remove_dir(below);
            }
            match fs::remove_dir(&self.path) {
                Ok(()) => break,
                Err(_) => pause(Duration::from_millis(1)),
            }
        }
        left
    }

    fn left(&self) -> Vec<String> {
        let mut left: Vec<String> =
            self.below().iter().map(|path| format!("cgroup {}", path.display())).collect();
        for folder in std::iter::once(self.path.clone()).chain(self.below()) {
            let members = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
            left.extend(members.lines().map(|pid| format!("pid {pid} in {}", folder.display())));
        }
        left
    }

    fn below(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
    }
}
