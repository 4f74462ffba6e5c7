use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;

/// Writes a report so that a reader sees the old one or the new one, never half of it.
///
/// Where the file cannot be replaced (a device, a bind mount such as `/dev/termination-log`, a directory that is
/// read-only), it is written in place.
///
/// # Errors
/// What the system says.
pub fn write_report(path: &Path, content: &[u8], may_wait: MayWait) -> io::Result<()> {
    // A link is followed, so that it stays one.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if fs::metadata(&path).is_ok_and(|metadata| !metadata.is_file()) {
        return write_in_place(&path, content, may_wait);
    }
    match replace(&path, content) {
        Err(error) if path.exists() && cannot_be_replaced(&error) => write_in_place(&path, content, may_wait),
        result => result,
    }
}

/// Whether writing may wait for somebody who reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MayWait {
    /// Somebody else watches the time.
    Yes,
    /// The loop itself writes.
    No,
}

fn cannot_be_replaced(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::EBUSY | Errno::EXDEV | Errno::EROFS | Errno::EACCES | Errno::EPERM))
}

fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = temporary_name(path);
    let result = write_new(&temporary, content).and_then(|()| fs::rename(&temporary, path));
    if result.is_err() {
        // It may never have been made.
        let _ = fs::remove_file(&temporary);
    }
    result
}

fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)?;
    file.write_all(content)
}

fn write_in_place(path: &Path, content: &[u8], may_wait: MayWait) -> io::Result<()> {
    // A pipe without a reader is an error, not a wait; and no terminal becomes ours.
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let mut file: File = OpenOptions::new().write(true).truncate(true).custom_flags(flags).open(path)?;
    // A pipe with a reader gets all of it, which can take a while. The description is ours alone.
    if may_wait == MayWait::Yes {
        fcntl(&file, FcntlArg::F_SETFL(OFlag::empty()))?;
    }
    file.write_all(content)
}

fn temporary_name(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("curfew-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_report_replaces_the_last_one_and_leaves_nothing_else() {
        let directory = Directory::new("replace");
        let path = directory.0.join("stop.json");
        write_report(&path, b"a long first report", MayWait::Yes).unwrap();
        write_report(&path, b"second", MayWait::Yes).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(fs::read_dir(&directory.0).unwrap().count(), 1);
    }

    #[test]
    fn a_link_stays_a_link() {
        let directory = Directory::new("link");
        let [target, link] = ["target", "link"].map(|name| directory.0.join(name));
        fs::write(&target, "old").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        write_report(&link, b"new", MayWait::Yes).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn what_is_no_file_is_written_in_place() {
        write_report(Path::new("/dev/null"), b"x", MayWait::Yes).unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
        assert!(write_report(Path::new("/nonexistent/stop.json"), b"x", MayWait::Yes).is_err());
    }
}
