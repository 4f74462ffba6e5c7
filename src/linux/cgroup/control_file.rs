//! The files of a cgroup. Any of them can be gone at any time, with the cgroup.

use std::ffi::CStr;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::libc;

/// What an error of the standard library says. Those without an errno cannot come from a control file.
pub(super) fn errno_of(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

/// Whether the cgroup was removed: ENOENT when a file is opened, ENODEV when it was open already.
pub(super) fn is_gone(errno: Errno) -> bool {
    matches!(errno, Errno::ENOENT | Errno::ENODEV)
}

/// The whole file.
///
/// ENOENT: no such cgroup, or no such file in this kernel or without the controller. EACCES: not ours. EOPNOTSUPP:
/// `cgroup.procs` of a threaded cgroup. EMFILE, ENFILE, ENOMEM: nothing left to open it with.
pub(super) fn read(path: &Path) -> nix::Result<Vec<u8>> {
    let mut text = Vec::new();
    let result = fs::File::open(path).and_then(|mut file| file.read_to_end(&mut text));
    result.map(|_| text).map_err(|error| errno_of(&error))
}

/// Writes with one call, which is how control files want it, and never makes a file.
///
/// ENOENT, EACCES, EMFILE as above; EROFS: a read-only mount. What the kernel makes of the content is told by the
/// callers.
pub(super) fn write(path: &Path, content: &str) -> nix::Result<()> {
    let result =
        OpenOptions::new().write(true).open(path).and_then(|mut file| file.write_all(content.as_bytes()));
    result.map_err(|error| errno_of(&error))
}

/// The numbers in a list of processes or threads. 0 stands for those outside of our pid namespace, and is left out.
pub(super) fn parse_list(text: &[u8]) -> Vec<i32> {
    let lines = text.split(|byte| *byte == b'\n');
    lines.filter_map(|line| std::str::from_utf8(line).ok()?.parse().ok()).filter(|pid| *pid > 0).collect()
}

/// The processes in this cgroup itself, ours among them if we are there.
pub(super) fn list_processes(cgroup: &Path) -> nix::Result<Vec<i32>> {
    read(&cgroup.join("cgroup.procs")).map(|text| parse_list(&text))
}

/// The value of `KEY VALUE` in a file with one pair a line.
pub(super) fn value_of(text: &[u8], key: &str) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    let mut pairs = text.lines().filter_map(|line| line.split_once(' '));
    pairs.find(|(name, _)| *name == key)?.1.trim().parse().ok()
}

/// A cgroup and what is below it, parents before their children; no more than `most` of them, whoever has made more.
///
/// What vanishes meanwhile is left out. Other errors are told: a list that is too short would be a lie.
pub(super) fn with_descendants(cgroup: &Path, most: usize) -> nix::Result<Vec<PathBuf>> {
    let mut found = vec![cgroup.to_owned()];
    let mut next = 0;
    while let Some(directory) = found.get(next).cloned()
        && found.len() < most
    {
        next += 1;
        let room = most - found.len();
        found.extend(children(&directory)?.take(room));
    }
    Ok(found)
}

/// The cgroups right below one, as they are found. What vanishes meanwhile is left out.
fn children(cgroup: &Path) -> nix::Result<impl Iterator<Item = PathBuf> + use<>> {
    let entries = match fs::read_dir(cgroup) {
        Ok(entries) => Some(entries),
        Err(error) if is_gone(errno_of(&error)) => None,
        Err(error) => return Err(errno_of(&error)),
    };
    // ENOENT: this one was removed. Nothing else is expected once it is open.
    let entries = entries.into_iter().flatten().map_while(Result::ok);
    // The type is in the entry itself: no further call.
    let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    Ok(directories.map(|entry| entry.path()))
}

/// Removes a cgroup with everything below it, deepest first. Gone already is fine.
///
/// EBUSY: somebody is in it, or is about to make one there. EACCES, EPERM, EROFS: not ours. ETIME: `goes_on` said no; it is
/// asked before each that is removed, as a service makes as many as it likes.
pub(super) fn remove_all(cgroup: &Path, goes_on: &dyn Fn() -> bool) -> nix::Result<()> {
    // Most have nothing below them.
    if fs::remove_dir(cgroup).is_ok() {
        return Ok(());
    }
    let mut problem = Ok(());
    // Those that are not removed yet, and whether what is below them is.
    let mut pending = vec![(cgroup.to_owned(), false)];
    while let Some((directory, is_bare)) = pending.pop() {
        if is_bare {
            // The first problem is the reason; the parents then only say that they have a child.
            problem = problem.and(remove_one(&directory));
            continue;
        }
        let below = children(&directory)?;
        pending.push((directory, true));
        for child in below {
            if !goes_on() {
                return Err(Errno::ETIME);
            }
            if remove_one(&child).is_err() {
                pending.push((child, false));
            }
        }
    }
    problem
}

fn remove_one(cgroup: &Path) -> nix::Result<()> {
    match fs::remove_dir(cgroup) {
        Err(error) if !is_gone(errno_of(&error)) => Err(errno_of(&error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A short extended attribute.
///
/// ENODATA: there is none, or we may not see it. EOPNOTSUPP: a kernel before 5.7. ERANGE: it is longer than any we
/// look for.
pub(super) fn extended_attribute(path: &Path, name: &CStr) -> nix::Result<Vec<u8>> {
    let path = std::ffi::CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)?;
    let mut value = vec![0_u8; 16];
    // SAFETY: two strings that end with NUL, and a buffer that is writable for as long as it is said to be.
    let length =
        unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
    value.truncate(Errno::result(length)? as usize);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_no_zeros_and_no_rubbish() {
        assert_eq!(parse_list(b"12\n0\n1\n345\n"), [12, 1, 345]);
        assert!(parse_list(b"").is_empty());
        assert_eq!(parse_list(b"\n-4\nx\n7 8\n\xff\n99999999999\n5"), [5]);
    }

    #[test]
    fn a_value_is_found_by_its_whole_key() {
        let text = b"populated 1\nfrozen 0\n";
        assert_eq!(value_of(text, "populated"), Some(1));
        assert_eq!(value_of(text, "frozen"), Some(0));
        assert_eq!(value_of(b"oom 7\noom_kill 3\noom_group_kill 0\n", "oom_kill"), Some(3));
        assert_eq!(value_of(b"usage_usec 4099161480\nuser_usec 1\n", "usage_usec"), Some(4_099_161_480));
    }

    #[test]
    fn half_a_pair_has_no_value() {
        for text in
            [&b""[..], b"populated", b"populated ", b"populated x", b"populated -1", b"apopulated 1", b"\xff"]
        {
            assert_eq!(value_of(text, "populated"), None, "{text:?}");
        }
    }
}
