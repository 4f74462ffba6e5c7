use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::unistd::{pipe2, read};

use crate::supervisor::Pid;

/// A process of curfew's own that does what could hang: what would hold up the loop, holds up the helper.
///
/// It tells what it found through a pipe. It is a child of curfew. Whoever starts it reaps it, and kills it when its time
/// is over; it dies with curfew.
#[derive(Debug)]
pub(crate) struct Helper {
    pid: Pid,
    pipe: OwnedFd,
    received: Vec<u8>,
    longest: usize,
}

/// How far a helper is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HelperIs {
    /// It has more to tell.
    Working,
    /// It is done, or has died.
    Done,
}

impl Helper {
    /// Forks a helper that does `work`. What it tells beyond `longest` bytes is not heard.
    ///
    /// # Errors
    /// What pipe2(2) and fork(2) say: EMFILE, EAGAIN, ENOMEM.
    pub(crate) fn start(longest: usize, work: impl FnOnce(&mut File)) -> nix::Result<Self> {
        Self::start_with(None, longest, work)
    }

    /// The same, of one that keeps a descriptor of ours.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub(crate) fn start_with(
        kept: Option<BorrowedFd>,
        longest: usize,
        work: impl FnOnce(&mut File),
    ) -> nix::Result<Self> {
        let (pipe, helper_end) = pipe2(OFlag::O_CLOEXEC)?;
        // Our end only: the helper waits until there is room.
        fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        let parent = std::process::id();
        // SAFETY: the only other thread is the guard of the deadline, which shares no lock with what the child does; the
        // child may allocate. It never returns from here.
        let result = unsafe { libc::fork() };
        if result == 0 {
            live(parent, kept, helper_end, work);
        }
        let errno = Errno::last();
        let pid = Pid::new(result).ok_or(errno)?;
        Ok(Self { pid, pipe, received: Vec::new(), longest })
    }

    /// Its pid: no stray, and to be killed when its time is over.
    pub(crate) const fn pid(&self) -> Pid {
        self.pid
    }

    /// Takes what it has told, without waiting. Its end is the end, however it came.
    pub(crate) fn listen(&mut self) -> HelperIs {
        let mut chunk = [0; 16 << 10];
        while self.received.len() < self.longest {
            match read(&self.pipe, &mut chunk) {
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return HelperIs::Working,
                Ok(0) | Err(_) => break,
                Ok(count) => self.received.extend_from_slice(&chunk[..count]),
            }
        }
        HelperIs::Done
    }

    /// What it has told so far.
    pub(crate) fn told(&self) -> &[u8] {
        &self.received
    }
}

impl AsFd for Helper {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

/// The helper's whole life.
fn live(parent: u32, kept: Option<BorrowedFd>, pipe: OwnedFd, work: impl FnOnce(&mut File)) -> ! {
    // SAFETY: it takes integers only, and cannot fail for these.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) };
    if std::os::unix::process::parent_id() != parent {
        leave();
    }
    // A helper that hangs must not keep a pipe of curfew's or of a service's open, nor write to one.
    let kept = kept.map_or(pipe.as_raw_fd(), |kept| kept.as_raw_fd());
    close_all_but([kept, pipe.as_raw_fd()]);
    // The hook that is there kills every service: not for us to do.
    std::panic::set_hook(Box::new(|_| leave()));
    work(&mut File::from(pipe));
    leave();
}

/// Ends the helper at once.
pub(crate) fn leave() -> ! {
    // SAFETY: it ends this process, without running anything of curfew's.
    unsafe { libc::_exit(0) }
}

fn close_all_but(kept: [RawFd; 2]) {
    let mut borders = kept.map(RawFd::cast_unsigned);
    borders.sort_unstable();
    let [low, high] = borders;
    let close = |first: u32, last: u32| {
        // SAFETY: in the helper nothing uses these descriptors any more, and nothing is dropped: it ends by _exit.
        first > last || unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } == 0
    };
    if (low == 0 || close(0, low - 1))
        && (low == high || close(low + 1, high - 1))
        && close(high + 1, u32::MAX)
    {
        return;
    }
    // ENOSYS: a kernel before 5.9; EPERM: a filter that does not know the call.
    let listed = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let open: Vec<i32> = listed.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for descriptor in open.into_iter().filter(|descriptor| !kept.contains(descriptor)) {
        // SAFETY: as above. EBADF: it was the list's own.
        unsafe { libc::close(descriptor) };
    }
}
