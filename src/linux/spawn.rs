use std::collections::BTreeMap;
use std::ffi::{CString, OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use super::cgroup::{ServiceCgroup, clone_into, join, should_fork_instead};
use super::child_setup::{ChildSetup, PreparedSetup};
use super::exec_pipe::{ExecPipe, encode};
use super::journal_stream::JournalStream;
use super::output::ServiceOutput;
use super::passed_sockets::{PassedSockets, WantedSockets};
use super::terminal::Terminal;
use crate::protocol::FIRST_PASSED;
use crate::supervisor::{Pid, Seat, Signal, StartFailure, StartStep};

/// What to execute for a service, and with what around it.
#[derive(Clone, Debug)]
pub struct Program {
    /// The command and its arguments; never empty.
    pub command: Vec<OsString>,
    /// The environment that all programs share.
    pub shared_environment: Rc<[(OsString, OsString)]>,
    /// What this one has besides, or instead.
    pub own_environment: Vec<(OsString, OsString)>,
    /// The working directory that was asked for: its user must be able to enter it.
    pub directory: Option<PathBuf>,
    /// Where curfew was started, if that is no longer its own directory and no other was asked for. It is entered before
    /// the user is changed. `None`: the one curfew has.
    pub started_in: Option<PathBuf>,
    /// The signal it gets when curfew dies (prctl(2), PR_SET_PDEATHSIG).
    pub parent_death: Option<Signal>,
    /// Who it runs as, its limits, and the like.
    pub setup: ChildSetup,
    /// The sockets of the service manager above that it gets.
    pub sockets: WantedSockets,
    /// Where its output leads.
    pub output: ServiceOutput,
}

impl Program {
    /// Whether a process of this one and of the other would be the same, one variable aside.
    pub(crate) fn runs_like(&self, other: &Self, ignored: Option<&str>) -> bool {
        let Self {
            command,
            shared_environment: _,
            own_environment: _,
            directory,
            started_in,
            parent_death,
            setup,
            sockets,
            output,
        } = self;
        *command == other.command
            && *directory == other.directory
            && *started_in == other.started_in
            && *parent_death == other.parent_death
            && *setup == other.setup
            && *sockets == other.sockets
            && *output == other.output
            && self.whole_environment(ignored) == other.whole_environment(ignored)
    }

    pub(crate) fn whole_environment(&self, ignored: Option<&str>) -> BTreeMap<&OsStr, &OsStr> {
        let all = self.shared_environment.iter().chain(&self.own_environment);
        let all = all.filter(|(name, _)| ignored.is_none_or(|ignored| name != ignored));
        all.map(|(name, value)| (name.as_os_str(), value.as_os_str())).collect()
    }

    /// The settings that a step of its start may fail with, as they stand in the configuration.
    pub fn settings_in_words(&self) -> Vec<(StartStep, String)> {
        self.setup.in_words(self.directory.as_deref())
    }

    /// The directory that it runs in, if it is not the one that curfew has.
    pub fn runs_in(&self) -> Option<&Path> {
        self.directory.as_deref().or(self.started_in.as_deref())
    }

    /// Where its command is looked for.
    pub fn search_path(&self) -> Option<&OsStr> {
        let mut environment = self.own_environment.iter().chain(self.shared_environment.iter());
        environment.find(|(name, _)| name == "PATH").map(|(_, path)| path.as_os_str())
    }
}

/// What every child of a run is given.
#[derive(Debug)]
pub(crate) struct ChildContext {
    /// The terminal that one command runs at.
    pub(crate) terminal: Option<Terminal>,
    /// Standard input, if it is not curfew's own.
    pub(crate) standard_input: Option<OwnedFd>,
    /// The soft and hard limit of open files to restore, if curfew raised its own.
    pub(crate) open_files: Option<(u64, u64)>,
    /// Whether an ignored HUP stays ignored: curfew was started by nohup(1).
    pub(crate) keep_hup_ignored: bool,
    /// How late its timers may be, in nanoseconds, if curfew made its own punctual.
    pub(crate) timer_slack: Option<libc::c_long>,
    /// What the service manager above listens on.
    pub(crate) sockets: PassedSockets,
}

/// Where programs are looked for if the environment has no PATH: what execvp(3) uses.
const DEFAULT_PATH: &[u8] = b"/bin:/usr/bin";

/// Everything the child needs between fork and exec, made before: there it may not allocate.
struct Prepared {
    candidates: Vec<CString>,
    arguments: Vec<CString>,
    environment: Vec<CString>,
    setup: PreparedSetup,
    seat: Seat,
    /// The terminal of which the child takes the foreground.
    foreground_of: Option<RawFd>,
    standard_input: Option<RawFd>,
    /// The stream of the journal that both become.
    journal: Option<JournalStream>,
    /// The sockets that become descriptors 3, 4 …
    sockets: Vec<RawFd>,
    /// Our end of a service's word that it is ready, and the number that it expects it under.
    ready: Option<(RawFd, RawFd)>,
    /// Where standard output and standard error lead, if not where curfew's own do.
    output: [Option<RawFd>; 2],
    keep_hup_ignored: bool,
}

/// `LISTEN_PID=`, and room for the number, which only the child knows.
struct ListenPid([u8; Self::NAME.len() + 12]);

impl ListenPid {
    const NAME: &[u8] = b"LISTEN_PID=";

    fn new() -> Self {
        let mut entry = [0; Self::NAME.len() + 12];
        entry[..Self::NAME.len()].copy_from_slice(Self::NAME);
        Self(entry)
    }

    /// Writes the number. Async-signal-safe: the child calls it. The entry ends with a NUL in any case.
    fn set(&mut self, pid: i32) {
        let (mut digits, mut rest, mut count) = ([0; 10], pid.unsigned_abs(), 0);
        loop {
            digits[count] = b'0' + (rest % 10) as u8;
            (rest, count) = (rest / 10, count + 1);
            if rest == 0 {
                break;
            }
        }
        for (place, digit) in digits[..count].iter().rev().enumerate() {
            self.0[Self::NAME.len() + place] = *digit;
        }
    }
}

/// What one child is given besides.
#[derive(Clone, Debug, Default)]
pub(crate) struct Given<'a> {
    /// Where standard output and standard error lead, if not where curfew's own do.
    pub(crate) output: [Option<RawFd>; 2],
    /// The stream of the journal that both become, if the journal takes it.
    pub(crate) journal: Option<JournalStream>,
    /// The descriptor on which it says that it is ready, and the number that it expects it under.
    pub(crate) ready: Option<(RawFd, RawFd)>,
    /// The cgroup that it begins in. Where that cannot be, it joins by itself, or else stays in curfew's own.
    pub(crate) cgroup: Option<&'a ServiceCgroup>,
}

/// Forks, and executes the program in the child. What happens after the fork is told by the pipe.
///
/// Plain fork, never vfork: an execve(2) that hangs must not hang us.
///
/// # Errors
/// What fork(2) or pipe(2) say: EAGAIN, ENOMEM, EMFILE. A NUL byte inside an argument: EINVAL, as a failed execution.
/// What [`PreparedSetup::new`] cannot find.
pub(crate) fn spawn(
    program: &Program,
    extra: &[(&str, &str)],
    context: &ChildContext,
    Given { output, journal, ready, cgroup }: Given,
) -> Result<(Pid, ExecPipe), StartFailure> {
    let failure = |step, errno: Errno| StartFailure::new(step, errno as i32);
    let setup = PreparedSetup::new(program, context)?;
    let prepared = prepare(program, setup, extra, context, output, journal, ready)
        .ok_or(failure(StartStep::Execute, Errno::EINVAL))?;
    let argument_pointers = pointers(&prepared.arguments);
    let mut environment_pointers = pointers(&prepared.environment);
    let mut listen_pid = ListenPid::new();
    if !prepared.sockets.is_empty() {
        environment_pointers.insert(0, (&raw const listen_pid.0).cast());
    }
    let shell_arguments = shell_arguments(&prepared.arguments);
    let (pipe, child_end) = ExecPipe::open().map_err(|errno| failure(StartStep::Fork, errno))?;
    // Out of the way of the numbers that the child gives to others.
    let child_end = if ready.is_some() { out_of_the_way(child_end) } else { child_end };
    // SAFETY: the child calls only async-signal-safe functions until it executes or exits.
    let (result, to_join) = unsafe { fork_into(cgroup) };
    if result == Ok(0) {
        // SAFETY: getpid only asks.
        listen_pid.set(unsafe { libc::getpid() });
        // SAFETY: we are the child, and every pointer is valid: made above, and nothing moved since.
        unsafe {
            if let Some(to_join) = to_join {
                // Where that is not allowed it is found by descent. That it is not there, our parent sees.
                join(to_join.as_raw_fd());
            }
            run_child(
                &prepared,
                &argument_pointers,
                &environment_pointers,
                &shell_arguments,
                child_end.as_raw_fd(),
            )
        }
    }
    match result.map(Pid::new) {
        Ok(Some(pid)) => Ok((pid, pipe)),
        Ok(None) => Err(failure(StartStep::Fork, Errno::ECHILD)),
        Err(errno) => Err(failure(StartStep::Fork, errno)),
    }
}

/// The same pipe under a number far up, where no service expects a descriptor.
fn out_of_the_way(descriptor: OwnedFd) -> OwnedFd {
    match fcntl(&descriptor, FcntlArg::F_DUPFD_CLOEXEC(OUT_OF_THE_WAY)) {
        // SAFETY: a new descriptor, owned by nobody else.
        Ok(copy) => unsafe { OwnedFd::from_raw_fd(copy) },
        // The limit of open files is as low as that: the number is most likely free all the same.
        Err(_) => descriptor,
    }
}

/// Above the highest number that a service may ask for.
const OUT_OF_THE_WAY: RawFd = 1024;

/// Forks, with the child in this cgroup. Where a child cannot begin there, it gets what it needs to join.
///
/// # Safety
/// As for [`clone_into()`].
unsafe fn fork_into(cgroup: Option<&ServiceCgroup>) -> (nix::Result<libc::pid_t>, Option<OwnedFd>) {
    // Nothing left to open it with: then by descent.
    if let Some(descriptor) = cgroup.and_then(|cgroup| cgroup.descriptor().ok()) {
        // SAFETY: as this function's own contract says.
        match unsafe { clone_into(descriptor.as_fd()) } {
            Err(errno) if should_fork_instead(errno) => {}
            result => return (result, None),
        }
    }
    let to_join = cgroup.and_then(|cgroup| cgroup.procs_descriptor().ok());
    // SAFETY: as this function's own contract says.
    (Errno::result(unsafe { libc::fork() }), to_join)
}

fn prepare(
    program: &Program,
    setup: PreparedSetup,
    extra: &[(&str, &str)],
    context: &ChildContext,
    output: [Option<RawFd>; 2],
    journal: Option<JournalStream>,
    ready: Option<(RawFd, RawFd)>,
) -> Option<Prepared> {
    let own = &program.own_environment;
    let login = setup.login_variables();
    let is_replaced = |name: &OsString| {
        own.iter().any(|(instead, _)| name == instead) || login.iter().any(|(instead, _)| name == instead)
    };
    let shared = program.shared_environment.iter().filter(|(name, _)| !is_replaced(name));
    let path =
        own.iter().chain(shared.clone()).find(|(name, _)| name == "PATH").map(|(_, path)| path.as_os_str());
    let arguments: Option<Vec<CString>> =
        program.command.iter().map(|argument| CString::new(argument.as_bytes()).ok()).collect();
    let variable = |name: &OsStr, value: &OsStr| {
        let mut entry = name.as_bytes().to_vec();
        entry.push(b'=');
        entry.extend_from_slice(value.as_bytes());
        CString::new(entry).ok()
    };
    let sockets = context.sockets.of(&program.sockets);
    let names: Vec<&str> = sockets.iter().map(|(name, _)| *name).collect();
    let (count, names) = (sockets.len().to_string(), names.join(":"));
    let listen = [("LISTEN_FDS", count.as_str()), ("LISTEN_FDNAMES", names.as_str())];
    let extra: Vec<(&str, &str)> =
        extra.iter().copied().chain(listen.into_iter().filter(|_| !sockets.is_empty())).collect();
    let environment: Option<Vec<CString>> = shared
        .chain(own)
        .filter(|(name, _)| !extra.iter().any(|(extra, _)| name == extra))
        .map(|(name, value)| variable(name, value))
        .chain(login.iter().filter_map(|(name, value)| Some(variable(OsStr::new(name), value.as_ref()?))))
        .chain(extra.iter().map(|(name, value)| variable(OsStr::new(name), OsStr::new(value))))
        .collect();
    Some(Prepared {
        candidates: candidates(program.command.first()?, path)?,
        arguments: arguments?,
        environment: environment?,
        setup,
        seat: context.terminal.as_ref().map_or(Seat::NoTerminal, Terminal::seat),
        foreground_of: context.terminal.as_ref().and_then(Terminal::to_hand_over),
        standard_input: context.standard_input.as_ref().map(AsRawFd::as_raw_fd),
        output,
        journal,
        sockets: sockets.iter().map(|(_, descriptor)| *descriptor).collect(),
        ready,
        keep_hup_ignored: context.keep_hup_ignored,
    })
}

/// The files that the command may be, in the order they are tried.
pub(crate) fn candidates(command: &OsStr, path: Option<&OsStr>) -> Option<Vec<CString>> {
    let name = command.as_bytes();
    if name.contains(&b'/') || name.is_empty() {
        return Some(vec![CString::new(name).ok()?]);
    }
    let directories = path.map_or(DEFAULT_PATH, OsStrExt::as_bytes);
    directories
        .split(|byte| *byte == b':')
        .map(|directory| {
            // An empty entry is the current directory.
            let mut file = if directory.is_empty() { vec![b'.'] } else { directory.to_vec() };
            file.push(b'/');
            file.extend_from_slice(name);
            CString::new(OsString::from_vec(file).as_bytes()).ok()
        })
        .collect()
}

pub(crate) fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
}

/// `sh FILE ARGUMENT...`, for a script without `#!`: the second place is filled in with the file that was found.
fn shell_arguments(arguments: &[CString]) -> Vec<*const libc::c_char> {
    let rest = arguments.iter().skip(1).map(|string| string.as_ptr());
    [c"sh".as_ptr(), std::ptr::null()].into_iter().chain(rest).chain([std::ptr::null()]).collect()
}

/// From the fork to the exec, in the child.
///
/// # Safety
/// Only in a child just forked. Every pointer must be valid. Nothing here allocates or locks.
unsafe fn run_child(
    prepared: &Prepared,
    arguments: &[*const libc::c_char],
    environment: &[*const libc::c_char],
    shell_arguments: &[*const libc::c_char],
    pipe: RawFd,
) -> ! {
    // SAFETY: as the function's own contract says; each call below is async-signal-safe.
    unsafe {
        // The child does it itself, and alone: if curfew did it too, the later of the two would fail.
        let seated = match prepared.seat {
            Seat::NoTerminal => libc::setsid(),
            Seat::OwnGroup => libc::setpgid(0, 0),
            Seat::SharedGroup => 0,
        };
        if seated < 0 {
            give_up(pipe, StartStep::Session, false);
        }
        if let Some(terminal) = prepared.foreground_of {
            // TTOU is blocked, or ignored by curfew, so this is allowed from the background. The child does it itself:
            // it must be done before the program reads. A terminal that hung up meanwhile is no reason not to start.
            libc::tcsetpgrp(terminal, libc::getpid());
        }
        if let Some(descriptor) = prepared.standard_input
            && libc::dup2(descriptor, 0) < 0
        {
            give_up(pipe, StartStep::Streams, false);
        }
        for (stream, output) in [1, 2].into_iter().zip(prepared.output) {
            if let Some(output) = output
                && libc::dup2(output, stream) < 0
            {
                give_up(pipe, StartStep::Streams, false);
            }
        }
        if let Some(journal) = &prepared.journal {
            // One stream for both keeps the order of the lines. Where there is no journal, both stay what they were.
            if journal.connect(1) && libc::dup2(1, 2) < 0 {
                give_up(pipe, StartStep::Streams, false);
            }
        }
        for (target, socket) in (FIRST_PASSED..).zip(&prepared.sockets) {
            // What it replaces is the socket's first number, which is kept for this.
            if libc::dup2(*socket, target) < 0 {
                give_up(pipe, StartStep::Streams, false);
            }
        }
        if let Some((descriptor, target)) = prepared.ready {
            let placed = if descriptor == target {
                libc::fcntl(descriptor, libc::F_SETFD, 0)
            } else {
                libc::dup2(descriptor, target)
            };
            if placed < 0 {
                give_up(pipe, StartStep::Streams, false);
            }
        }
        if let Err((step, which)) = prepared.setup.apply() {
            give_up_at(pipe, StartFailure { which, ..StartFailure::new(step, Errno::last() as i32) });
        }
        reset_dispositions(prepared.keep_hup_ignored);
        let mut empty = std::mem::zeroed();
        libc::sigemptyset(&raw mut empty);
        // A signal that waited is delivered here, with its default action.
        libc::sigprocmask(libc::SIG_SETMASK, &raw const empty, std::ptr::null_mut());
        let not_found = execute(prepared, arguments, environment, shell_arguments);
        give_up(pipe, StartStep::Execute, not_found);
    }
}

/// Every signal gets its default action back, whatever curfew or its parent did: what is ignored stays so over exec.
///
/// # Safety
/// Only in the child.
pub(crate) unsafe fn reset_dispositions(keep_hup_ignored: bool) {
    // The kernel's own structure, larger than on any architecture: zeros mean the default action, no flags.
    let default = [0_u64; 8];
    for signal in 1..=64 {
        if signal == libc::SIGHUP && keep_hup_ignored {
            continue;
        }
        // SAFETY: the structure is long enough. The C library would refuse 32 and 33, which posix_spawn(3) leaves
        // ignored; KILL and STOP are refused by the kernel, harmlessly.
        unsafe {
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), std::ptr::null::<u64>(), 8)
        };
    }
}

/// Executes the first candidate that can be, as execvp(3) does. Returns, with errno set, whether none was found.
///
/// # Safety
/// Only in the child.
unsafe fn execute(
    prepared: &Prepared,
    arguments: &[*const libc::c_char],
    environment: &[*const libc::c_char],
    shell_arguments: &[*const libc::c_char],
) -> bool {
    let mut refused = None;
    for candidate in &prepared.candidates {
        // SAFETY: null-terminated arrays of valid strings.
        let errno = unsafe {
            libc::execve(candidate.as_ptr(), arguments.as_ptr(), environment.as_ptr());
            Errno::last()
        };
        match errno {
            Errno::ENOEXEC => {
                // A script without `#!`: the shell's, by old custom. The array is ours alone since the fork.
                let shell_arguments = shell_arguments.as_ptr().cast_mut();
                // SAFETY: the second place exists, and the file's name lives as long as we do.
                unsafe {
                    *shell_arguments.add(1) = candidate.as_ptr();
                    libc::execve(c"/bin/sh".as_ptr(), shell_arguments, environment.as_ptr());
                }
                return false;
            }
            Errno::ENOENT | Errno::ENOTDIR => {
                // It may be there all the same: then its interpreter is what is missing.
                // SAFETY: a valid string.
                if unsafe { libc::access(candidate.as_ptr(), libc::F_OK) } == 0 {
                    Errno::ENOENT.set();
                    return false;
                }
            }
            Errno::EACCES => refused = Some(errno),
            other => {
                other.set();
                return false;
            }
        }
    }
    refused.unwrap_or(Errno::ENOENT).set();
    refused.is_none()
}

/// Tells curfew what failed, and ends.
///
/// # Safety
/// Only in the child.
unsafe fn give_up(pipe: RawFd, step: StartStep, not_found: bool) -> ! {
    // SAFETY: as the function's own contract says.
    unsafe { give_up_at(pipe, StartFailure { not_found, ..StartFailure::new(step, Errno::last() as i32) }) }
}

/// The same, of any failure.
///
/// # Safety
/// Only in the child.
unsafe fn give_up_at(pipe: RawFd, failure: StartFailure) -> ! {
    let message = encode(failure);
    // SAFETY: the message is valid for reading, and _exit ends this process without running anything of curfew's.
    unsafe {
        libc::write(pipe, message.as_ptr().cast(), message.len());
        libc::_exit(if failure.not_found { 127 } else { 126 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(command: &str, path: Option<&str>) -> Vec<String> {
        candidates(OsStr::new(command), path.map(OsStr::new))
            .unwrap()
            .into_iter()
            .map(|file| file.into_string().unwrap())
            .collect()
    }

    #[test]
    fn a_bare_name_is_looked_for_along_the_path() {
        assert_eq!(found("sh", Some("/a:/b")), ["/a/sh", "/b/sh"]);
        assert_eq!(found("sh", Some("/a::/b")), ["/a/sh", "./sh", "/b/sh"]);
        assert_eq!(found("sh", None), ["/bin/sh", "/usr/bin/sh"]);
    }

    #[test]
    fn a_name_with_a_slash_is_taken_as_it_is() {
        assert_eq!(found("./sh", Some("/a")), ["./sh"]);
        assert_eq!(found("", Some("/a")), [""]);
    }
}
