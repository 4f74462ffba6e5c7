use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::unistd::{AccessFlags, access};

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

/// Why a report could not be written here, as far as that can be told before there is one, with what to do about it.
///
/// A path that ends in `/` is a folder of reports.
pub fn report_problem(path: &Path) -> Option<String> {
    let keeps_all = path.as_os_str().as_bytes().ends_with(b"/");
    let is_folder = fs::metadata(path).is_ok_and(|metadata| metadata.is_dir());
    if is_folder && !keeps_all {
        return Some(format!("{0} is a folder; write {0}/ to keep every report in it", path.display()));
    }
    let may_write = |path: &Path| access(path, AccessFlags::W_OK);
    // What is there, a device or a mounted file, may be written in place.
    if !keeps_all && may_write(path).is_ok() {
        return None;
    }
    let folder = if keeps_all { path } else { path.parent()? };
    match may_write(folder) {
        Ok(()) if folder.is_dir() => None,
        Err(Errno::ENOENT) => Some(format!("there is no folder {0}; make it", folder.display())),
        Ok(()) | Err(Errno::ENOTDIR) => Some(format!("{} is no folder; name one", folder.display())),
        Err(errno) => {
            let [folder, reason] = [folder.display().to_string(), errno.desc().to_owned()];
            Some(format!(
                "nothing may be written to the folder {folder}: {reason}; name another one, or change whose it is"
            ))
        }
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
    fn what_will_keep_a_report_from_being_written_is_known_before() {
        let directory = Directory::new("problem");
        let problem = |path: &str| report_problem(&directory.0.join(path));
        let folder = directory.0.display();
        assert_eq!(problem("stop.json"), None);
        assert_eq!(problem(""), None, "a folder that keeps them");
        assert_eq!(problem("new/stop.json").unwrap(), format!("there is no folder {folder}/new; make it"));
        assert_eq!(problem("new/").unwrap(), format!("there is no folder {folder}/new/; make it"));
        fs::write(directory.0.join("file"), "").unwrap();
        assert_eq!(problem("file"), None);
        assert_eq!(problem("file/stop.json").unwrap(), format!("{folder}/file is no folder; name one"));
        let itself = report_problem(&directory.0).unwrap();
        assert_eq!(itself, format!("{folder} is a folder; write {folder}/ to keep every report in it"));
        assert_eq!(report_problem(Path::new("/dev/null")), None);
    }

    #[test]
    fn what_is_no_file_is_written_in_place() {
        write_report(Path::new("/dev/null"), b"x", MayWait::Yes).unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
        assert!(write_report(Path::new("/nonexistent/stop.json"), b"x", MayWait::Yes).is_err());
    }
}
