use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::errno::Errno;

/// Where the files of a configuration are read from: the disk, or what somebody has read there before.
#[derive(Clone, Debug, Default)]
pub struct Files(Source);

#[derive(Clone, Debug, Default)]
enum Source {
    #[default]
    Disk,
    /// The disk, and all that is read is kept.
    Recorder(Rc<RefCell<Snapshot>>),
    /// What was kept, and nothing else.
    Snapshot(Rc<Snapshot>),
}

/// What was read: for each path what was found there, or the error number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Whether it is there, and can be looked at.
    checks: BTreeMap<PathBuf, Result<(), i32>>,
    contents: BTreeMap<PathBuf, Result<Vec<u8>, i32>>,
}

impl Files {
    /// The disk; all that is read is kept for [`Self::snapshot`].
    pub fn recorder() -> Self {
        Self(Source::Recorder(Rc::default()))
    }

    /// What was kept, and nothing else: a path that was not read then is not there.
    pub fn from_snapshot(snapshot: Snapshot) -> Self {
        Self(Source::Snapshot(Rc::new(snapshot)))
    }

    /// What has been read so far; nothing, unless it is kept.
    pub fn snapshot(&self) -> Snapshot {
        match &self.0 {
            Source::Disk => Snapshot::default(),
            Source::Recorder(snapshot) => snapshot.borrow().clone(),
            Source::Snapshot(snapshot) => Snapshot::clone(snapshot),
        }
    }

    /// Whether there is anything at this path.
    ///
    /// # Errors
    /// What stat(2) says.
    pub(crate) fn check(&self, path: &Path) -> io::Result<()> {
        let look = || std::fs::metadata(path).map(drop);
        match &self.0 {
            Source::Disk => look(),
            Source::Recorder(snapshot) => {
                let result = look().map_err(number);
                snapshot.borrow_mut().checks.insert(path.to_owned(), result);
                result.map_err(io::Error::from_raw_os_error)
            }
            Source::Snapshot(snapshot) => {
                let known = snapshot.checks.get(path).copied();
                known.unwrap_or(Err(Errno::ENOENT as i32)).map_err(io::Error::from_raw_os_error)
            }
        }
    }

    /// The bytes of a file.
    ///
    /// # Errors
    /// What open(2) and read(2) say; EFBIG: it is longer than [`LONGEST_FILE`].
    pub(crate) fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        match &self.0 {
            Source::Disk => read_bounded(path),
            Source::Recorder(snapshot) => {
                let result = read_bounded(path).map_err(number);
                snapshot.borrow_mut().contents.insert(path.to_owned(), result.clone());
                result.map_err(io::Error::from_raw_os_error)
            }
            Source::Snapshot(snapshot) => {
                let known = snapshot.contents.get(path).cloned();
                known.unwrap_or(Err(Errno::ENOENT as i32)).map_err(io::Error::from_raw_os_error)
            }
        }
    }
}

impl Snapshot {
    /// All of it as bytes: a record each, of what it is, the path, the error number or 0, and what the file holds.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut record = |kind: u8, path: &Path, errno: i32, content: &[u8]| {
            bytes.push(kind);
            bytes.extend(errno.to_le_bytes());
            for field in [path.as_os_str().as_bytes(), content] {
                bytes.extend((field.len() as u64).to_le_bytes());
                bytes.extend(field);
            }
        };
        for (path, result) in &self.checks {
            record(CHECK, path, result.err().unwrap_or(0), &[]);
        }
        for (path, result) in &self.contents {
            match result {
                Ok(content) => record(CONTENT, path, 0, content),
                Err(errno) => record(CONTENT, path, *errno, &[]),
            }
        }
        bytes
    }

    /// What [`Self::to_bytes`] made; `None`: it was something else.
    pub fn from_bytes(mut bytes: &[u8]) -> Option<Self> {
        let mut snapshot = Self::default();
        while let Some((kind, rest)) = bytes.split_first() {
            let (errno, rest) = rest.split_first_chunk()?;
            let (path, rest) = field(rest)?;
            let (content, rest) = field(rest)?;
            let path = PathBuf::from(OsStr::from_bytes(path));
            let errno = i32::from_le_bytes(*errno);
            match *kind {
                CHECK => {
                    snapshot.checks.insert(path, if errno == 0 { Ok(()) } else { Err(errno) });
                }
                CONTENT => {
                    let content = if errno == 0 { Ok(content.to_owned()) } else { Err(errno) };
                    snapshot.contents.insert(path, content);
                }
                _ => return None,
            }
            bytes = rest;
        }
        Some(snapshot)
    }
}

/// The longest file that is read, in bytes: no configuration is as long, but a device may have no end, and what is read must
/// be kept in memory.
pub(crate) const LONGEST_FILE: u64 = 16 << 20;

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(LONGEST_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST_FILE {
        return Err(io::Error::from_raw_os_error(Errno::EFBIG as i32));
    }
    Ok(bytes)
}

const CHECK: u8 = 1;
const CONTENT: u8 = 2;

/// A field with its length before it, and what follows.
fn field(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)
}

/// The error number; EIO for an error that has none.
#[expect(clippy::needless_pass_by_value, reason = "it is what map_err hands over")]
fn number(error: io::Error) -> i32 {
    error.raw_os_error().unwrap_or(Errno::EIO as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_says_what_the_disk_said_and_knows_nothing_else() {
        let directory = std::env::temp_dir().join(format!("curfew-snapshot-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = |name: &str| directory.join(name);
        std::fs::write(path("file"), b"bytes \xff").unwrap();
        std::fs::File::create(path("long")).unwrap().set_len(LONGEST_FILE + 1).unwrap();
        let recorder = Files::recorder();
        assert_eq!(recorder.read(&path("file")).unwrap(), b"bytes \xff");
        assert_eq!(recorder.read(&path("missing")).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(recorder.read(&directory).unwrap_err().kind(), io::ErrorKind::IsADirectory);
        for endless in ["/dev/zero".into(), path("long")] {
            assert_eq!(recorder.read(&endless).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        }
        recorder.check(&directory).unwrap();
        assert!(recorder.check(&path("missing")).is_err());
        // As long as can be.
        std::fs::File::options().write(true).open(path("long")).unwrap().set_len(LONGEST_FILE).unwrap();
        assert_eq!(Files::default().read(&path("long")).unwrap().len() as u64, LONGEST_FILE);
        // Whatever happens to the disk later.
        std::fs::write(path("file"), b"other").unwrap();
        std::fs::write(path("new"), b"other").unwrap();
        let snapshot = Files::from_snapshot(recorder.snapshot());
        assert_eq!(snapshot.read(&path("file")).unwrap(), b"bytes \xff");
        assert_eq!(snapshot.read(&path("missing")).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(snapshot.read(&directory).unwrap_err().kind(), io::ErrorKind::IsADirectory);
        assert_eq!(snapshot.read(&path("new")).unwrap_err().kind(), io::ErrorKind::NotFound);
        snapshot.check(&directory).unwrap();
        assert!(snapshot.check(&path("missing")).is_err());
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn a_snapshot_goes_through_a_pipe_unharmed() {
        let snapshot = Snapshot {
            checks: BTreeMap::from([("/a".into(), Ok(())), ("/b\u{ff}".into(), Err(2))]),
            contents: BTreeMap::from([("/a".into(), Ok(b"\0\xff".to_vec())), ("/c".into(), Err(13))]),
        };
        let bytes = snapshot.to_bytes();
        assert_eq!(Snapshot::from_bytes(&bytes), Some(snapshot));
        // A torn one is none.
        for length in 0..bytes.len() {
            let torn = Snapshot::from_bytes(&bytes[..length]);
            assert!(torn.is_none_or(|torn| torn.to_bytes().len() == length));
        }
        assert_eq!(Snapshot::from_bytes(b"nonsense"), None);
    }
}
