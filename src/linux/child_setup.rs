use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::libc;
use nix::sys::resource::{Resource, setrlimit};

use super::identity::Identity;
use super::spawn::{ChildContext, Program};
use crate::supervisor::{Signal, StartFailure, StartStep};

/// What a process is given besides its command, environment and directory. What is not said stays as curfew has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChildSetup {
    /// The user it runs as: a name of `/etc/passwd`, or a number.
    pub user: Option<String>,
    /// Its group: a name of `/etc/group`, or a number. `None`: the first group of its user.
    pub group: Option<String>,
    /// The groups it is in besides, and besides those of its user.
    pub supplementary_groups: Vec<String>,
    /// Which of HOME, USER, LOGNAME and SHELL it has from its user, rather than from curfew: those that nobody
    /// configured.
    pub login_variables: Vec<&'static str>,
    /// The permissions that files it makes do not get.
    pub umask: Option<u32>,
    /// From -20, which gets the most of the processor, to 19.
    pub nice: Option<i32>,
    /// From -1000, which is never killed for want of memory, to 1000.
    pub oom_score_adjust: Option<i32>,
    /// Its resource limits, each resource once.
    pub limits: Vec<ResourceLimit>,
    /// Whether no program it executes may give it rights, such as by the set-user-ID bit.
    pub no_new_privileges: bool,
}

/// A limit of one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourceLimit {
    /// The name in the configuration.
    pub name: &'static str,
    /// The resource.
    pub resource: Resource,
    /// What holds; at most the hard limit. RLIM_INFINITY: none.
    pub soft: u64,
    /// What the process may raise it to.
    pub hard: u64,
}

impl ChildSetup {
    /// The settings that a step may fail with, as they stand in the configuration: [`StartFailure::which`] counts those of
    /// one step.
    pub(crate) fn in_words(&self, directory: Option<&Path>) -> Vec<(StartStep, String)> {
        let text = |step: StartStep, value: &str| (step, format!("{} = {value:?}", step.name()));
        let number = |step: StartStep, value: i32| (step, format!("{} = {value}", step.name()));
        let limits = self.limits.iter().map(|limit| (StartStep::Limits, limit.in_words()));
        let groups = self.supplementary_groups.iter();
        limits
            .chain(groups.map(|group| text(StartStep::SupplementaryGroups, group)))
            .chain(self.user.as_deref().map(|user| text(StartStep::User, user)))
            .chain(self.group.as_deref().map(|group| text(StartStep::Group, group)))
            .chain(self.nice.map(|nice| number(StartStep::Nice, nice)))
            .chain(self.oom_score_adjust.map(|adjust| number(StartStep::OomScoreAdjust, adjust)))
            .chain(directory.map(|directory| text(StartStep::Directory, &directory.to_string_lossy())))
            .collect()
    }
}

impl ResourceLimit {
    fn in_words(&self) -> String {
        let value = |value: u64| match value {
            libc::RLIM_INFINITY => "unlimited".to_owned(),
            number => number.to_string(),
        };
        format!("limits.{} = \"{}:{}\"", self.name, value(self.soft), value(self.hard))
    }
}

/// A [`ChildSetup`] made ready: in the child there is nothing left but system calls.
pub(crate) struct PreparedSetup {
    /// The directory that curfew was started in, entered with curfew's own rights.
    started_in: Option<CString>,
    /// What is written to `/proc/self/oom_score_adj`.
    oom_score_adjust: Option<String>,
    nice: Option<i32>,
    limits: Vec<(Resource, u64, u64)>,
    umask: Option<u32>,
    identity: Identity,
    directory: Option<CString>,
    no_new_privileges: bool,
    /// The number of a signal; 0: none.
    parent_death: i32,
    timer_slack: Option<libc::c_long>,
    /// Our own pid: that of the child's parent.
    parent: i32,
}

impl PreparedSetup {
    /// Looks up users and groups, and does all else that takes memory.
    ///
    /// # Errors
    /// A user or a group that is not there: ESRCH. EINVAL: a path contains a NUL byte.
    pub(crate) fn new(program: &Program, context: &ChildContext) -> Result<Self, StartFailure> {
        let setup = &program.setup;
        let path =
            |path: &Option<std::path::PathBuf>| match path.as_ref().map(|path| path.as_os_str().as_bytes()) {
                Some(path) => CString::new(path)
                    .map(Some)
                    .map_err(|_| StartFailure::new(StartStep::Directory, Errno::EINVAL as i32)),
                None => Ok(None),
            };
        let mut limits: Vec<_> =
            setup.limits.iter().map(|limit| (limit.resource, limit.soft, limit.hard)).collect();
        if let Some((soft, hard)) = context.open_files
            && !limits.iter().any(|(resource, ..)| *resource == Resource::RLIMIT_NOFILE)
        {
            // Last, so that the places of the others are those of the configuration.
            limits.push((Resource::RLIMIT_NOFILE, soft, hard));
        }
        Ok(Self {
            started_in: path(&program.started_in)?,
            oom_score_adjust: setup.oom_score_adjust.map(|adjust| adjust.to_string()),
            nice: setup.nice,
            limits,
            umask: setup.umask,
            identity: Identity::find(setup)?,
            directory: path(&program.directory)?,
            no_new_privileges: setup.no_new_privileges,
            parent_death: program.parent_death.map_or(0, Signal::number),
            timer_slack: context.timer_slack,
            parent: std::process::id() as i32,
        })
    }

    /// The variables that the user brings along: a value, or `None` for one that is not to be there.
    pub(crate) fn login_variables(&self) -> &[(&'static str, Option<OsString>)] {
        &self.identity.variables
    }

    /// Makes the settings of this process. The order is explained at [`StartStep`].
    ///
    /// # Errors
    /// The step that failed, and which of its settings; errno says why.
    ///
    /// # Safety
    /// Only in a child just forked. Nothing here allocates or locks.
    pub(crate) unsafe fn apply(&self) -> Result<(), (StartStep, u8)> {
        let of_one = |step: StartStep| (step, 0);
        let check = |result: libc::c_int, step| if result < 0 { Err(of_one(step)) } else { Ok(()) };
        // SAFETY: system calls that are async-signal-safe, with strings and numbers made before the fork.
        unsafe {
            if let Some(directory) = &self.started_in {
                check(libc::chdir(directory.as_ptr()), StartStep::Directory)?;
            }
            if let Some(adjust) = &self.oom_score_adjust {
                check(write_oom_score_adjust(adjust), StartStep::OomScoreAdjust)?;
            }
            if let Some(nice) = self.nice {
                check(libc::setpriority(libc::PRIO_PROCESS, 0, nice), StartStep::Nice)?;
            }
            for (which, (resource, soft, hard)) in self.limits.iter().enumerate() {
                setrlimit(*resource, *soft, *hard).map_err(|_| (StartStep::Limits, which as u8))?;
            }
            if let Some(umask) = self.umask {
                libc::umask(umask);
            }
            if let Some(slack) = self.timer_slack {
                libc::syscall(libc::SYS_prctl, libc::PR_SET_TIMERSLACK, slack);
            }
            self.identity.assume()?;
            if let Some(directory) = &self.directory {
                check(libc::chdir(directory.as_ptr()), StartStep::Directory)?;
            }
            if self.no_new_privileges {
                check(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), StartStep::NoNewPrivileges)?;
            }
            if self.parent_death != 0 {
                check(
                    libc::prctl(libc::PR_SET_PDEATHSIG, self.parent_death, 0, 0, 0),
                    StartStep::ParentDeath,
                )?;
                // curfew died before it could be asked for: nobody would ever send the signal.
                if libc::getppid() != self.parent {
                    libc::_exit(126);
                }
            }
        }
        Ok(())
    }
}

/// ENOENT: there is no /proc. EACCES: only root may lower the value.
///
/// # Safety
/// Only in a child just forked: it uses a descriptor of its own and leaves errno behind.
unsafe fn write_oom_score_adjust(adjust: &str) -> libc::c_int {
    // SAFETY: a valid path, and a buffer valid for reading; the descriptor is closed by whoever opened it.
    unsafe {
        let file = libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if file < 0 {
            return -1;
        }
        let written = libc::write(file, adjust.as_ptr().cast(), adjust.len());
        let errno = Errno::last();
        libc::close(file);
        errno.set();
        if written < 0 { -1 } else { 0 }
    }
}
