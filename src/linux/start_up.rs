use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use nix::libc;
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::cgroup::{CgroupUnavailable, Moving};
use super::containment::{CgroupUse, Containment};
use super::inherited::Inherited;
use super::passed_sockets::PassedSockets;
use super::spawn::ChildContext;
use super::terminal::Terminal;
use crate::supervisor::{Mode, Seat, Signal};

/// What curfew found and did before the first process was started.
#[derive(Debug)]
pub struct StartUp {
    pub(crate) inherited: Inherited,
    pub(crate) context: ChildContext,
    pub(crate) cgroups: Containment,
    /// Signals that keep the disposition they had.
    pub(crate) leave_alone: Vec<Signal>,
}

impl StartUp {
    /// Prepares this process to supervise. `sockets` were taken from the service manager above.
    /// `for_figures`: somebody wants to know what services use.
    ///
    /// # Errors
    /// There is no cgroup, and there must be one.
    pub fn prepare(
        mode: Mode,
        sockets: PassedSockets,
        cgroup: CgroupUse,
        for_figures: bool,
    ) -> Result<Self, CgroupUnavailable> {
        let moving = if for_figures { Moving::ForFigures } else { Moving::Never };
        let cgroups = Containment::prepare(cgroup, moving)?;
        let keep_hup_ignored = is_ignored(Signal::HUP);
        // Whatever we inherited: with CHLD ignored the kernel would reap our children and lose how they ended.
        // SAFETY: the default disposition replaces no handler of ours.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
        if std::process::id() != 1
            && let Err(errno) = prctl::set_child_subreaper(true)
        {
            tracing::warn!(
                event = "subreaper.refused",
                errno = errno as i32,
                "cannot become the parent of orphans ({}): a process that daemonises may escape; \
                 run curfew as PID 1, or on Linux 3.4 or newer",
                errno.desc()
            );
        }
        let context = ChildContext {
            terminal: match mode {
                Mode::OneCommand => Terminal::find(),
                Mode::ManyServices => None,
            },
            standard_input: match mode {
                Mode::OneCommand => None,
                Mode::ManyServices => open_null(),
            },
            open_files: match mode {
                Mode::OneCommand => None,
                Mode::ManyServices => raise_open_files(),
            },
            keep_hup_ignored,
            timer_slack: take_punctual_timers(),
            sockets,
        };
        if mode == Mode::ManyServices {
            close_inherited_descriptors();
        }
        Ok(Self {
            // SAFETY: it takes an integer; 0 is ourselves.
            inherited: Inherited::find(context.terminal.as_ref().map(|_| unsafe { libc::getsid(0) })),
            cgroups,
            context,
            leave_alone: if keep_hup_ignored { vec![Signal::HUP] } else { Vec::new() },
        })
    }
}

impl StartUp {
    /// One command has all that curfew was given, and runs. What curfew itself does not need it lets go of, so that
    /// pipes see their end of file when the command closes its own end.
    pub(crate) fn let_go_of_streams(&self) {
        let Some(null) = open_null() else { return };
        for stream in [0, 1] {
            // SAFETY: both descriptors are open; the streams of this process are nobody else's.
            unsafe { libc::dup2(null.as_raw_fd(), stream) };
        }
        for descriptor in inherited_descriptors() {
            // SAFETY: curfew was given it, and uses none of those.
            unsafe { libc::close(descriptor) };
        }
    }
}

impl StartUp {
    /// Where the one command will run.
    pub fn seat(&self) -> Seat {
        self.context.terminal.as_ref().map_or(Seat::NoTerminal, Terminal::seat)
    }
}

fn is_ignored(signal: Signal) -> bool {
    // SAFETY: a null new action only asks for the old one, which is valid for writing.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal.number(), std::ptr::null(), &raw mut action) == 0
            && action.sa_sigaction == libc::SIG_IGN
    }
}

fn open_null() -> Option<OwnedFd> {
    match File::open("/dev/null") {
        Ok(file) => Some(file.into()),
        Err(error) => {
            tracing::warn!(
                event = "null.missing",
                "cannot open /dev/null ({error}): services share curfew's standard input"
            );
            None
        }
    }
}

/// Many services need many descriptors. What they themselves get is restored in each child.
fn raise_open_files() -> Option<(u64, u64)> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    if soft >= hard {
        return None;
    }
    // A failure leaves what we had.
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).ok().map(|()| (soft, hard))
}

/// How late the kernel may wake a process for whom nobody says otherwise, in nanoseconds.
///
/// Source: prctl(2), `PR_SET_TIMERSLACK`.
const ORDINARY_TIMER_SLACK: libc::c_long = 50_000;

/// Whoever started us may let our timers be late (systemd's `TimerSlackNSec=`), even so late that a stop would miss its
/// deadline. What services get is restored in each child.
fn take_punctual_timers() -> Option<libc::c_long> {
    // SAFETY: system calls that take integers. The C library's prctl would cut off what does not fit its result.
    unsafe {
        let slack = libc::syscall(libc::SYS_prctl, libc::PR_GET_TIMERSLACK);
        let is_set = slack > ORDINARY_TIMER_SLACK
            && libc::syscall(libc::SYS_prctl, libc::PR_SET_TIMERSLACK, ORDINARY_TIMER_SLACK) == 0;
        is_set.then_some(slack)
    }
}

/// The descriptors above the standard streams that stay open over exec: those that curfew was given, for all of its own
/// close.
fn inherited_descriptors() -> Vec<RawFd> {
    let Ok(directory) = std::fs::read_dir("/proc/self/fd") else {
        return Vec::new();
    };
    let numbers = directory.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers
        .filter(|descriptor: &RawFd| {
            // SAFETY: asking for the flags of a descriptor changes nothing. The directory's own closes on exec.
            *descriptor > 2 && unsafe { libc::fcntl(*descriptor, libc::F_GETFD) } & libc::FD_CLOEXEC == 0
        })
        .collect()
}

/// What curfew was given beyond the standard streams is not meant for any of many services. Our own descriptors close
/// on exec anyway.
fn close_inherited_descriptors() {
    // SAFETY: it only marks descriptors to be closed on exec. A kernel before 5.11 says EINVAL: then they stay.
    unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
}
