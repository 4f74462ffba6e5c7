use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::libc;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, accept4, bind, connect, listen, socket,
};
use nix::sys::stat::{Mode, fchmod};

/// Where the control socket is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ControlPlace {
    /// Nowhere.
    #[default]
    None,
    /// There: without it nothing is started.
    Required(PathBuf),
    /// At the first of these where it can be made.
    FirstOf(Vec<PathBuf>),
}

/// Why there is no control socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoSocket {
    /// Where.
    pub path: PathBuf,
    /// Why.
    pub problem: SocketProblem,
}

/// What is in the way of a control socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketProblem {
    /// Another curfew is there, and answers.
    Taken,
    /// Something is there that is no socket: it is left alone.
    NoSocket,
    /// This is where its lock is to be, and no regular file.
    NoLock(PathBuf),
    /// The system refuses.
    Refused(Errno),
}

/// The socket at which curfew listens for requests. It goes away with this value, unless somebody else has its place by
/// then.
#[derive(Debug)]
pub struct ControlSocket {
    listener: OwnedFd,
    path: PathBuf,
    /// The device and the number of what was made, to know it again.
    identity: Option<(u64, u64)>,
}

/// How many connections wait to be taken. Whoever comes when it is full waits in connect(2).
const BACKLOG: i32 = 128;

/// Since Linux 6.16, the same on every machine but SPARC and PA-RISC (asm-generic/socket.h).
const SO_PASSRIGHTS: libc::c_int = 83;

/// Nobody has descriptors to send along with a request. What the kernel would hand to us, and we do not take, it closes in
/// our name, which can take as long as who sent it wishes (SO_LINGER). Those who are let in inherit it from the listener.
fn refuse_descriptors(listener: &OwnedFd) {
    if cfg!(any(target_arch = "sparc", target_arch = "sparc64")) {
        return;
    }
    let none: libc::c_int = 0;
    // SAFETY: the value is valid, and as long as is said. ENOPROTOOPT: an older kernel; our own user and root can still send
    // some.
    unsafe {
        libc::setsockopt(
            listener.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_PASSRIGHTS,
            (&raw const none).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        );
    }
}

impl ControlSocket {
    /// Listens at this path, readable and writable for curfew's own user alone. A socket that nobody listens at any more
    /// is replaced, at once: there is no moment without one.
    ///
    /// # Errors
    /// Why not. Nothing is left behind then.
    pub fn open(path: &Path) -> Result<Self, NoSocket> {
        Self::try_open(path).map_err(|problem| NoSocket { path: path.to_owned(), problem })
    }

    fn try_open(path: &Path) -> Result<Self, SocketProblem> {
        // Too long a path is found before anything is made.
        UnixAddr::new(path)?;
        let _lock = Lock::take(&beside(path, ".lock"))?;
        match fs::symlink_metadata(path) {
            Ok(there) if !there.file_type().is_socket() => return Err(SocketProblem::NoSocket),
            Ok(_) if is_answered(path)? => return Err(SocketProblem::Taken),
            Ok(_) | Err(_) => {}
        }
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let listener = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
        // The name gets this mode, less the umask, in the moment it comes to be (unix(7) leaves it to Linux).
        fchmod(&listener, Mode::from_bits_truncate(0o600))?;
        let new = beside(path, ".new");
        // What a curfew that was killed left behind.
        let _ = fs::remove_file(&new);
        bind(listener.as_raw_fd(), &UnixAddr::new(&new)?)?;
        refuse_descriptors(&listener);
        let in_place = || {
            listen(&listener, Backlog::new(BACKLOG)?)?;
            fs::rename(&new, path).map_err(|error| errno_of(&error))
        };
        if let Err(errno) = in_place() {
            let _ = fs::remove_file(&new);
            return Err(errno.into());
        }
        let identity = identity_of(path);
        Ok(Self { listener, path: path.to_owned(), identity })
    }

    /// Listens at the first of these places where it can.
    ///
    /// # Errors
    /// Why not at the one that is required, or at the last one of those that were tried.
    pub fn find(place: &ControlPlace) -> Result<Option<Self>, NoSocket> {
        let paths = match place {
            ControlPlace::None => return Ok(None),
            ControlPlace::Required(path) => return Self::open(path).map(Some),
            ControlPlace::FirstOf(paths) => paths,
        };
        let mut failed = None;
        for path in paths {
            if let Some(folder) = path.parent().filter(|folder| folder.ends_with("curfew")) {
                // It may be there already, and whether it can be used is seen in a moment.
                let _ = fs::DirBuilder::new().mode(0o755).create(folder);
            }
            match Self::open(path) {
                Ok(socket) => return Ok(Some(socket)),
                Err(error) if error.problem == SocketProblem::Taken => return Err(error),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(None), Err)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The next connection that waits.
    ///
    /// # Errors
    /// EAGAIN: there is none. EMFILE, ENFILE, ENOMEM: it has to wait.
    pub(super) fn accept(&self) -> nix::Result<OwnedFd> {
        use std::os::fd::FromRawFd;
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let descriptor = accept4(self.listener.as_raw_fd(), flags)?;
        // SAFETY: it was just made, and nobody else has it.
        Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
    }

    /// Takes its name away, if it is still its own: nobody new comes.
    pub(super) fn remove(&mut self) {
        let identity = self.identity.take();
        if identity.is_some() && identity_of(&self.path) == identity {
            // ENOENT: somebody was faster. All else is left behind, and replaced by the next curfew.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl AsFd for ControlSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        self.remove();
    }
}

impl From<Errno> for SocketProblem {
    fn from(errno: Errno) -> Self {
        Self::Refused(errno)
    }
}

impl std::fmt::Display for NoSocket {
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        let path = self.path.display();
        match &self.problem {
            SocketProblem::Taken => write!(formatter, "another curfew answers at {path}"),
            SocketProblem::NoSocket => write!(formatter, "{path} is there, and is no socket"),
            SocketProblem::NoLock(lock) => {
                write!(formatter, "{path}: {} is in the way, and is no regular file", lock.display())
            }
            SocketProblem::Refused(errno) => write!(formatter, "{path}: {}", errno.desc()),
        }
    }
}

/// Whether somebody listens there.
fn is_answered(path: &Path) -> Result<bool, SocketProblem> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let caller = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    match connect(caller.as_raw_fd(), &UnixAddr::new(path)?) {
        // EAGAIN: it has more callers waiting than it can take in.
        Ok(()) | Err(Errno::EAGAIN) => Ok(true),
        // ENOENT: it was removed meanwhile.
        Err(Errno::ECONNREFUSED | Errno::ENOENT) => Ok(false),
        // EPROTOTYPE: a socket of another kind. EACCES: somebody else's.
        Err(errno) => Err(errno.into()),
    }
}

/// Keeps two curfews from taking the same place at the same time: held for a moment, by the name of the place.
struct Lock {
    path: PathBuf,
    _file: Flock<fs::File>,
}

impl Lock {
    fn take(path: &Path) -> Result<Self, SocketProblem> {
        let mut options = fs::OpenOptions::new();
        // A pipe that somebody has put there has no reader to wait for, and a device none to wake.
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
        options.create(true).write(true).truncate(false).mode(0o600).custom_flags(flags);
        let in_the_way = || SocketProblem::NoLock(path.to_owned());
        loop {
            let file = match options.open(path) {
                // A symbolic link, a pipe without a reader or a socket, a folder.
                Err(error) if matches!(errno_of(&error), Errno::ELOOP | Errno::ENXIO | Errno::EISDIR) => {
                    return Err(in_the_way());
                }
                file => file.map_err(|error| errno_of(&error))?,
            };
            if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
                return Err(in_the_way());
            }
            let file =
                Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
                    Errno::EWOULDBLOCK => SocketProblem::Taken,
                    errno => errno.into(),
                })?;
            // Whoever had it before has removed it meanwhile: this one counts for nobody.
            if file.metadata().is_ok_and(|metadata| metadata.nlink() > 0) {
                return Ok(Self { path: path.to_owned(), _file: file });
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// A hidden name beside this one, which no client takes for a socket of curfew's.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(ending);
    path.with_file_name(name)
}

fn identity_of(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::symlink_metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

fn errno_of(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(test: &str) -> Self {
            let path = std::env::temp_dir().join(format!("curfew-control-{test}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(&self.0).unwrap();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn it_is_there_for_its_owner_alone_and_goes_away() {
        let folder = Folder::new("mode");
        let path = folder.0.join("a.sock");
        let socket = ControlSocket::open(&path).unwrap();
        assert_eq!(folder.names(), ["a.sock"]);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(socket.accept().unwrap_err(), Errno::EAGAIN);
        let _caller = UnixStream::connect(&path).unwrap();
        assert!(socket.accept().is_ok());
        drop(socket);
        assert!(folder.names().is_empty());
    }

    #[test]
    fn a_living_one_is_respected_and_a_dead_one_replaced() {
        let folder = Folder::new("stale");
        let path = folder.0.join("a.sock");
        let first = ControlSocket::open(&path).unwrap();
        assert_eq!(ControlSocket::open(&path).unwrap_err().problem, SocketProblem::Taken);
        drop(first);
        // As a curfew that was killed leaves it.
        drop(UnixListener::bind(&path).unwrap());
        let second = ControlSocket::open(&path).unwrap();
        assert!(UnixStream::connect(&path).is_ok());
        drop(second);
        assert!(folder.names().is_empty());
    }

    #[test]
    fn what_is_not_its_own_stays() {
        let folder = Folder::new("others");
        let path = folder.0.join("a.sock");
        fs::write(&path, "precious").unwrap();
        assert_eq!(ControlSocket::open(&path).unwrap_err().problem, SocketProblem::NoSocket);
        assert_eq!(fs::read(&path).unwrap(), b"precious");
        fs::remove_file(&path).unwrap();
        let socket = ControlSocket::open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "of another").unwrap();
        drop(socket);
        assert_eq!(folder.names(), ["a.sock"]);
    }

    #[test]
    fn what_is_no_file_where_the_lock_is_to_be_is_named_and_holds_nobody_up() {
        let folder = Folder::new("lock");
        let (path, lock) = (folder.0.join("a.sock"), folder.0.join(".a.sock.lock"));
        let refused = || ControlSocket::open(&path).unwrap_err();
        nix::unistd::mkfifo(&lock, Mode::S_IRWXU).unwrap();
        assert_eq!(refused().problem, SocketProblem::NoLock(lock.clone()));
        let _reader = fs::File::options().read(true).write(true).open(&lock).unwrap();
        let error = refused().to_string();
        assert!(error.ends_with("/.a.sock.lock is in the way, and is no regular file"), "{error}");
        fs::remove_file(&lock).unwrap();
        std::os::unix::fs::symlink("elsewhere", &lock).unwrap();
        assert_eq!(refused().problem, SocketProblem::NoLock(lock.clone()));
        fs::remove_file(&lock).unwrap();
        fs::create_dir(&lock).unwrap();
        assert_eq!(refused().problem, SocketProblem::NoLock(lock.clone()));
        assert_eq!(folder.names(), [".a.sock.lock"]);
    }

    #[test]
    fn the_first_place_that_can_be_had_is_taken() {
        let folder = Folder::new("places");
        let (impossible, possible) = (PathBuf::from("/nonexistent/x.sock"), folder.0.join("curfew/a.sock"));
        let place = ControlPlace::FirstOf(vec![impossible.clone(), possible.clone()]);
        assert_eq!(ControlSocket::find(&place).unwrap().unwrap().path(), possible);
        let error = ControlSocket::find(&ControlPlace::FirstOf(vec![impossible])).unwrap_err();
        assert_eq!(error.to_string(), "/nonexistent/x.sock: No such file or directory");
        let long = folder.0.join("x".repeat(120));
        let error = ControlSocket::find(&ControlPlace::Required(long)).unwrap_err();
        assert_eq!(error.problem, SocketProblem::Refused(Errno::ENAMETOOLONG));
    }
}
