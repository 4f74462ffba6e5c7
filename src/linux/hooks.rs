use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::{pipe2, read};

use super::cgroup::ServiceCgroup;
use super::exec_pipe::{ExecPipe, ExecResult};
use super::spawn::{ChildContext, Given, Program, spawn};
use crate::supervisor::{End, HookId, HookKind, Pid, ServiceId, StartFailure, StartStep};

/// The commands that run beside leaders. What they say goes into the log: it is read as it comes, and never waited for.
#[derive(Default)]
pub(crate) struct Hooks {
    running: HashMap<HookId, RunningHook>,
    ids: HashMap<Pid, HookId>,
}

/// One run of a hook.
pub(crate) struct RunningHook {
    pub(crate) pid: Pid,
    pub(crate) service: ServiceId,
    pub(crate) kind: HookKind,
    exec_pipe: ExecPipe,
    output: OwnedFd,
    /// The line that has not come to its end.
    line: Vec<u8>,
    /// How much it has said so far, and in how many lines.
    said: usize,
    line_count: usize,
}

/// How much a hook may say, in bytes, before the rest is left out: a stack dump of a large program has room.
const OUTPUT_MAX: usize = 256 * 1024;
/// The same in lines: each is an entry of the log, and takes its time however short it is.
const LINES_MAX: usize = 8 * 1024;
/// A longer line is cut in pieces.
const LINE_MAX: usize = 8 * 1024;
/// How much is read in one wake-up; at the end, this is all that a pipe usually holds.
const READ_AT_ONCE: usize = 64 * 1024;
/// After so many lines the rest is left for the next wake-up.
const LINES_AT_ONCE: usize = 512;

impl Hooks {
    /// Starts a hook, with its output into a pipe of ours.
    ///
    /// # Errors
    /// As those of [`spawn`].
    pub(crate) fn start(
        &mut self,
        hook: HookId,
        (service, kind): (ServiceId, HookKind),
        program: &Program,
        extra: &[(&str, &str)],
        context: &ChildContext,
        cgroup: Option<&ServiceCgroup>,
    ) -> Result<Pid, StartFailure> {
        let failed = |errno: Errno| StartFailure::new(StartStep::Streams, errno as i32);
        let (output, theirs) = pipe2(OFlag::O_CLOEXEC).map_err(failed)?;
        // Ours alone: each end of a pipe has flags of its own.
        let flags = nix::fcntl::FcntlArg::F_SETFL(OFlag::O_NONBLOCK);
        nix::fcntl::fcntl(&output, flags).map_err(failed)?;
        let given = Given { output: [Some(theirs.as_raw_fd()); 2], journal: None, ready: None, cgroup };
        let (pid, exec_pipe) = spawn(program, extra, context, given)?;
        self.ids.insert(pid, hook);
        let running =
            RunningHook { pid, service, kind, exec_pipe, output, line: Vec::new(), said: 0, line_count: 0 };
        self.running.insert(hook, running);
        Ok(pid)
    }

    /// Whether this process is a hook.
    pub(crate) fn contains(&self, pid: Pid) -> bool {
        self.ids.contains_key(&pid)
    }

    /// Whether none runs.
    pub(crate) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Whether one of this service runs.
    pub(crate) fn has_any_of(&self, service: ServiceId) -> bool {
        self.running.values().any(|running| running.service == service)
    }

    /// One that runs.
    pub(crate) fn get(&self, hook: HookId) -> Option<&RunningHook> {
        self.running.get(&hook)
    }

    /// What it has said since this was last called, line by line.
    pub(crate) fn read(&mut self, hook: HookId) -> Option<(&RunningHook, Vec<String>, More)> {
        let running = self.running.get_mut(&hook)?;
        let (lines, more) = running.read(LINES_AT_ONCE);
        Some((running, lines, more))
    }

    /// The process was reaped. Returns the hook that it was, how it ended, and its last words.
    pub(crate) fn ended(&mut self, pid: Pid, end: End) -> Option<EndedHook> {
        let hook = self.ids.remove(&pid)?;
        let mut running = self.running.remove(&hook)?;
        let (mut lines, _) = running.read(LINES_MAX);
        lines.extend(running.take_line());
        let result = match running.exec_pipe.look() {
            ExecResult::Failed(failure) => Err(failure),
            ExecResult::Pending | ExecResult::Executed => Ok(end),
        };
        Some(EndedHook { hook, running, result, lines })
    }
}

/// A hook that is no more.
pub(crate) struct EndedHook {
    pub(crate) hook: HookId,
    pub(crate) running: RunningHook,
    pub(crate) result: Result<End, StartFailure>,
    pub(crate) lines: Vec<String>,
}

/// Whether a pipe has more to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum More {
    /// Perhaps, later.
    Perhaps,
    /// Nobody has its other end open.
    Never,
}

impl RunningHook {
    fn read(&mut self, enough_lines: usize) -> (Vec<String>, More) {
        let (mut lines, mut buffer, mut taken) = (Vec::new(), [0; 4096], 0);
        while taken < READ_AT_ONCE && lines.len() < enough_lines {
            match read(&self.output, &mut buffer) {
                Ok(0) => return (lines, More::Never),
                Ok(count) => {
                    taken += count;
                    // What is too much is taken, so that the hook is not held up, and thrown away.
                    if self.said < OUTPUT_MAX && self.line_count < LINES_MAX {
                        let before = lines.len();
                        self.take_in(&buffer[..count], &mut lines);
                        self.said += count;
                        self.line_count += lines.len() - before;
                        if self.said >= OUTPUT_MAX || self.line_count >= LINES_MAX {
                            self.line.clear();
                            lines.push("… and more, which is left out".to_owned());
                        }
                    }
                }
                Err(Errno::EINTR) => {}
                // EAGAIN: no more for now. Nothing else can be.
                Err(_) => break,
            }
        }
        (lines, More::Perhaps)
    }

    fn take_in(&mut self, bytes: &[u8], lines: &mut Vec<String>) {
        for byte in bytes {
            if *byte != b'\n' {
                self.line.push(*byte);
            }
            if *byte == b'\n' || self.line.len() >= LINE_MAX {
                lines.extend(self.take_line());
            }
        }
    }

    /// `None`: there is nothing on it.
    fn take_line(&mut self) -> Option<String> {
        let line = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        (!text.is_empty()).then(|| text.to_owned())
    }
}

impl AsFd for RunningHook {
    /// What it says.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.output.as_fd()
    }
}
