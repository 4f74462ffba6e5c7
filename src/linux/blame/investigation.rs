use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::sys::signal::{SigSet, SigmaskHow};
use nix::unistd::{pipe2, read};
use serde_json::{Map, Value};

use super::Blame;
use super::examination::examine;
use super::quick_look::QuickLook;
use crate::supervisor::Pid;

/// A helper process that reads the rest about a process that does not stop: what could hang us, hangs the helper.
///
/// The helper is a child of curfew. Whoever starts it reaps it, and kills it when its time is over; it dies with
/// curfew. What it has told by then is kept.
pub(crate) struct Investigation {
    helper: Pid,
    pipe: OwnedFd,
    received: Vec<u8>,
    quick: QuickLook,
    cpu_used: Option<Duration>,
    waited: Duration,
}

/// How far an investigation is.
#[derive(Debug)]
pub(crate) enum Progress {
    /// The helper has more to tell.
    Pending,
    /// This is all that is to be known.
    Done(Box<Blame>),
    /// The process is gone, and was gone before anybody looked: there is nothing to say.
    Nothing,
}

/// More than the helper ever tells, unless somebody plays tricks on it.
const LONGEST_RESULT: usize = 256 << 10;

impl Investigation {
    /// Forks the helper.
    ///
    /// `cpu_before`: what [`cpu_time`](super::cpu_time) said when the service began to stop, `waited`: how long ago
    /// that was when the quick look was taken.
    ///
    /// # Errors
    /// What pipe2(2) and fork(2) say: EMFILE, EAGAIN, ENOMEM. The quick look alone then has to do:
    /// [`Blame::from_quick_look`].
    pub(crate) fn start(
        pid: Pid,
        quick: QuickLook,
        cpu_before: Option<Duration>,
        waited: Duration,
    ) -> nix::Result<Self> {
        let (pipe, helper_end) = pipe2(OFlag::O_CLOEXEC)?;
        // Our end only: the helper waits until there is room.
        fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        let parent = std::process::id();
        let start_time = quick.start_time;
        // The helper never unblocks them: a handler of curfew's would write to a pipe that is curfew's too. KILL
        // works, and a fault of its own.
        let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
        // SAFETY: curfew is one thread, so no lock is held by a thread that the child has not; the child may
        // allocate. It never returns from here.
        let result = unsafe { libc::fork() };
        if result == 0 {
            help(pid, start_time, parent, helper_end);
        }
        let errno = Errno::last();
        // It can only fail for a bad first argument.
        mask.thread_set_mask().expect("SIG_SETMASK is a valid request");
        let helper = Pid::new(result).ok_or(errno)?;
        let cpu_used = cpu_before.zip(quick.cpu_time).and_then(|(before, now)| now.checked_sub(before));
        Ok(Self { helper, pipe, received: Vec::new(), quick, cpu_used, waited })
    }

    /// The helper's pid: no stray, and to be killed when its time is over.
    pub(crate) fn pid(&self) -> Pid {
        self.helper
    }

    /// Takes what the helper has told, without waiting. Its end is the end, however it came.
    pub(crate) fn read(&mut self) -> Progress {
        let mut chunk = [0; 16 << 10];
        while self.received.len() < LONGEST_RESULT {
            match read(&self.pipe, &mut chunk) {
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Progress::Pending,
                Ok(0) | Err(_) => break,
                Ok(count) => self.received.extend_from_slice(&chunk[..count]),
            }
        }
        let blame = self.so_far();
        if blame.is_empty() { Progress::Nothing } else { Progress::Done(Box::new(blame)) }
    }

    /// What is known by now: for when the helper's time is over.
    pub(crate) fn so_far(&self) -> Blame {
        let mut blame = Blame::from_quick_look(self.quick.clone(), self.cpu_used, self.waited);
        blame.add(&parts(&self.received));
        blame
    }
}

impl AsFd for Investigation {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

/// The parts that came whole, one JSON object a line; of those told twice the later.
fn parts(received: &[u8]) -> Map<String, Value> {
    let mut parts = Map::new();
    for line in received.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n")) {
        if let Ok(Value::Object(part)) = serde_json::from_slice(line) {
            parts.extend(part);
        }
    }
    parts
}

/// The helper's whole life.
fn help(pid: Pid, start_time: Option<u64>, parent: u32, pipe: OwnedFd) -> ! {
    // SAFETY: it takes integers only, and cannot fail for these.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) };
    if std::os::unix::process::parent_id() != parent {
        leave();
    }
    // A helper that hangs must not keep a pipe of curfew's or of a service's open, nor write to one.
    close_all_but(pipe.as_raw_fd());
    // The hook that is there kills every service: not for us to do.
    std::panic::set_hook(Box::new(|_| leave()));
    let mut pipe = File::from(pipe);
    examine(pid, start_time, &mut |key, value| {
        let mut line = Value::Object(Map::from_iter([(key.to_owned(), value)])).to_string();
        line.push('\n');
        // EPIPE: nobody listens any more.
        if pipe.write_all(line.as_bytes()).is_err() {
            leave();
        }
    });
    leave();
}

fn leave() -> ! {
    // SAFETY: it ends this process, without running anything of curfew's.
    unsafe { libc::_exit(0) }
}

fn close_all_but(kept: RawFd) {
    let kept = kept.cast_unsigned();
    let close = |first: u32, last: u32| {
        // SAFETY: in the helper nothing uses these descriptors any more, and nothing is dropped: it ends by _exit.
        first > last || unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } == 0
    };
    if (kept == 0 || close(0, kept - 1)) && close(kept + 1, u32::MAX) {
        return;
    }
    // ENOSYS: a kernel before 5.9; EPERM: a filter that does not know the call.
    let listed = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let open: Vec<i32> = listed.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for descriptor in open.into_iter().filter(|descriptor| descriptor.cast_unsigned() != kept) {
        // SAFETY: as above. EBADF: it was the list's own.
        unsafe { libc::close(descriptor) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_line_is_left_out_and_the_later_word_counts() {
        let told = b"{\"a\":1}\nnonsense\n[1]\n{\"a\":2,\"b\":[3]}\n{\"c\":4}";
        let parts = parts(told);
        assert_eq!(Value::Object(parts).to_string(), "{\"a\":2,\"b\":[3]}");
    }
}
