use std::ffi::{CString, OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::unistd::{pipe2, read};

use super::spawn::{candidates, pointers, reset_dispositions};
use crate::protocol::{OwnUnit, UnitProperties};
use crate::supervisor::Pid;

/// A helper process that asks the service manager about our unit: `systemctl show`. A manager that is busy, or a bus that
/// hangs, holds up the helper and nobody else.
///
/// The helper is a child of curfew. Whoever starts it reaps it, and kills it when its answer comes too late; it dies with
/// curfew.
#[derive(Debug)]
pub(crate) struct UnitInquiry {
    helper: Pid,
    pipe: OwnedFd,
    received: Vec<u8>,
}

/// How far an inquiry is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The answer is still to come.
    Pending,
    /// It came.
    Answered(UnitProperties),
    /// There is none: no systemctl, no bus, no such unit.
    Nothing,
}

/// More than is ever answered.
const LONGEST_ANSWER: usize = 16 << 10;

impl UnitInquiry {
    /// Forks the helper, which looks for `systemctl` along our own `PATH`.
    ///
    /// # Errors
    /// What pipe2(2) and fork(2) say: EMFILE, EAGAIN, ENOMEM.
    pub(crate) fn start(unit: &OwnUnit) -> nix::Result<Self> {
        let path = std::env::var_os("PATH");
        let files = candidates(OsStr::new("systemctl"), path.as_deref()).ok_or(Errno::EINVAL)?;
        let properties = format!("--property={}", UnitProperties::NAMES);
        let mut words = vec!["systemctl", "--no-pager", "show", &properties];
        words.extend(unit.is_of_user.then_some("--user"));
        words.extend(["--", &unit.name]);
        let words: Option<Vec<CString>> = words.into_iter().map(|word| CString::new(word).ok()).collect();
        let words = words.ok_or(Errno::EINVAL)?;
        let environment: Vec<CString> = std::env::vars_os()
            .filter(|(name, _)| name != "NOTIFY_SOCKET")
            .filter_map(|(name, value)| {
                let equals = OsString::from("=");
                CString::new([name.as_bytes(), equals.as_bytes(), value.as_bytes()].concat()).ok()
            })
            .collect();
        let (word_pointers, environment_pointers) = (pointers(&words), pointers(&environment));
        let (pipe, helper_end) = pipe2(OFlag::O_CLOEXEC)?;
        // Our end only.
        fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        let null = std::fs::File::options().read(true).write(true).open("/dev/null");
        let null = null.as_ref().map_or(-1, AsRawFd::as_raw_fd);
        let parent = std::process::id() as i32;
        // SAFETY: the child calls only async-signal-safe functions until it executes or exits.
        let result = unsafe { libc::fork() };
        if result == 0 {
            // SAFETY: we are the child, and every pointer is valid: made above, and nothing moved since.
            unsafe {
                ask(&files, &word_pointers, &environment_pointers, [null, helper_end.as_raw_fd()], parent)
            }
        }
        let errno = Errno::last();
        let helper = Pid::new(result).ok_or(errno)?;
        Ok(Self { helper, pipe, received: Vec::new() })
    }

    /// The helper's pid: no stray, and to be killed when its time is over.
    pub(crate) fn pid(&self) -> Pid {
        self.helper
    }

    /// Takes what has been answered, without waiting. The end of the pipe is the end of the answer, however it came.
    pub(crate) fn read(&mut self) -> Progress {
        let mut chunk = [0; 1024];
        while self.received.len() < LONGEST_ANSWER {
            match read(&self.pipe, &mut chunk) {
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Progress::Pending,
                Ok(0) | Err(_) => break,
                Ok(count) => self.received.extend_from_slice(&chunk[..count]),
            }
        }
        let answer = UnitProperties::parse(&String::from_utf8_lossy(&self.received));
        answer.map_or(Progress::Nothing, Progress::Answered)
    }
}

impl AsFd for UnitInquiry {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

/// The helper's life until it is systemctl.
///
/// # Safety
/// Only in a child just forked. Every pointer must be valid. Nothing here allocates or locks.
unsafe fn ask(
    files: &[CString],
    words: &[*const libc::c_char],
    environment: &[*const libc::c_char],
    [null, pipe]: [RawFd; 2],
    parent: i32,
) -> ! {
    // SAFETY: as the function's own contract says; each call below is async-signal-safe.
    unsafe {
        // It must not outlive curfew, nor be reached by what the terminal sends.
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0);
        libc::setsid();
        let are_streams_set = null >= 0
            && libc::dup2(null, 0) == 0
            && libc::dup2(pipe, 1) == 1
            && libc::dup2(null, 2) == 2
            && libc::getppid() == parent;
        if are_streams_set {
            // Whatever one command was given is none of its business. ENOSYS before Linux 5.9: then it has it.
            libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0);
            reset_dispositions(false);
            let mut empty = std::mem::zeroed();
            libc::sigemptyset(&raw mut empty);
            libc::sigprocmask(libc::SIG_SETMASK, &raw const empty, std::ptr::null_mut());
            for file in files {
                libc::execve(file.as_ptr(), words.as_ptr(), environment.as_ptr());
            }
        }
        libc::_exit(127)
    }
}
