use std::ffi::{OsStr, OsString};
use std::path::Path;

use nix::errno::Errno;
use nix::libc::{self, gid_t, uid_t};
use nix::unistd::{Gid, getgroups, getresgid, getresuid};

use super::accounts::{Accounts, User, parse_number};
use super::child_setup::ChildSetup;
use crate::supervisor::{StartFailure, StartStep};

#[cfg(not(any(target_arch = "x86", target_arch = "arm")))]
use nix::libc::{SYS_setgroups as SETGROUPS, SYS_setresgid as SETRESGID, SYS_setresuid as SETRESUID};
/// Where the plain ones know 16 bits only.
#[cfg(any(target_arch = "x86", target_arch = "arm"))]
use nix::libc::{SYS_setgroups32 as SETGROUPS, SYS_setresgid32 as SETRESGID, SYS_setresuid32 as SETRESUID};

/// Who a process is to be: users and groups as numbers.
#[derive(Debug, Default)]
pub(crate) struct Identity {
    groups: Option<Vec<gid_t>>,
    group: Option<gid_t>,
    pub(crate) user: Option<uid_t>,
    /// What is said to have failed if the groups, or the group, cannot be had: the setting that they are from.
    groups_step: Option<StartStep>,
    group_step: Option<StartStep>,
    /// It is the user that curfew is already: where that has no right to change its groups, it keeps those it has.
    is_own: bool,
    /// The variables that the user brings along: a value, or `None` for one that is not to be there.
    pub(crate) variables: Vec<(&'static str, Option<OsString>)>,
}

impl Identity {
    /// Looks up what the settings name. The files are read anew each time: a package that is installed meanwhile may add
    /// a user.
    ///
    /// # Errors
    /// ESRCH: there is no such user or group. For the group this is so too if none is named, and the user has no entry
    /// that says it.
    pub(crate) fn find(setup: &ChildSetup) -> Result<Self, StartFailure> {
        if setup.user.is_none() && setup.group.is_none() && setup.supplementary_groups.is_empty() {
            return Ok(Self::default());
        }
        let first_named = match (&setup.user, &setup.group) {
            (Some(_), _) => StartStep::User,
            (None, Some(_)) => StartStep::Group,
            (None, None) => StartStep::SupplementaryGroups,
        };
        let accounts = Accounts::read().map_err(|errno| StartFailure::new(first_named, errno as i32))?;
        let mut identity = Self::find_in(setup, &accounts)?;
        identity.compare_with_our_own();
        Ok(identity)
    }

    fn find_in(setup: &ChildSetup, accounts: &Accounts) -> Result<Self, StartFailure> {
        let missing = |step, which| StartFailure { which, ..StartFailure::new(step, Errno::ESRCH as i32) };
        let mut identity = Self::default();
        let entry = setup.user.as_deref().and_then(|user| accounts.user(user));
        if let Some(user) = &setup.user {
            let number = entry.map(|entry| entry.number).or_else(|| parse_number(user.as_bytes()));
            identity.user = Some(number.ok_or(missing(StartStep::User, 0))?);
            identity.variables = login_variables(&setup.login_variables, user, entry);
        }
        if let Some(group) = &setup.group {
            identity.group = Some(accounts.group(group).ok_or(missing(StartStep::Group, 0))?);
            identity.group_step = Some(StartStep::Group);
        } else if setup.user.is_some() {
            // Docker would take 0, root's own group, which nobody asked for.
            identity.group = Some(entry.ok_or(missing(StartStep::Group, 0))?.group);
        }
        let mut groups = Vec::new();
        if setup.user.is_some() {
            groups.extend(identity.group);
            groups.extend(entry.iter().flat_map(|entry| accounts.groups_with(entry.name)));
        } else if !setup.supplementary_groups.is_empty() {
            groups.extend(getgroups().into_iter().flatten().map(Gid::as_raw));
        }
        for (which, group) in setup.supplementary_groups.iter().enumerate() {
            let number = accounts.group(group);
            groups.push(number.ok_or(missing(StartStep::SupplementaryGroups, which as u8))?);
        }
        if setup.user.is_some() || !setup.supplementary_groups.is_empty() {
            let mut seen = std::collections::HashSet::new();
            groups.retain(|group| seen.insert(*group));
            identity.groups = Some(groups);
        }
        identity.groups_step =
            (!setup.supplementary_groups.is_empty()).then_some(StartStep::SupplementaryGroups);
        Ok(identity)
    }

    /// What we are already needs no right, and no system call.
    fn compare_with_our_own(&mut self) {
        if let (Ok(user), Some(wanted)) = (getresuid(), self.user) {
            self.is_own = [user.real, user.effective, user.saved].iter().all(|own| own.as_raw() == wanted);
        }
        if let (Ok(group), Some(wanted)) = (getresgid(), self.group)
            && [group.real, group.effective, group.saved].iter().all(|own| own.as_raw() == wanted)
        {
            self.group = None;
        }
        if let (Ok(groups), Some(wanted)) = (getgroups(), &self.groups) {
            let own: std::collections::BTreeSet<gid_t> = groups.iter().map(|group| group.as_raw()).collect();
            if own == wanted.iter().copied().collect() {
                self.groups = None;
            }
        }
    }

    /// Becomes it: the groups while there is the right to, the user last.
    ///
    /// # Errors
    /// The step that failed; errno says why. EPERM: curfew is not root, or has not the capability.
    ///
    /// # Safety
    /// Only in a child just forked. Nothing here allocates or locks.
    pub(crate) unsafe fn assume(&self) -> Result<(), (StartStep, u8)> {
        let of_user = StartStep::User;
        let may_stay =
            |step: Option<StartStep>| self.is_own && step.is_none() && Errno::last() == Errno::EPERM;
        // SAFETY: system calls with numbers, and an array that is valid for reading. The functions of the C library would tell
        // its other threads, and wait for them: behind a bare clone it still believes in those of the parent.
        unsafe {
            if let Some(groups) = &self.groups
                && libc::syscall(SETGROUPS, groups.len(), groups.as_ptr()) < 0
                && !may_stay(self.groups_step)
            {
                return Err((self.groups_step.unwrap_or(of_user), 0));
            }
            if let Some(group) = self.group
                && libc::syscall(SETRESGID, group, group, group) < 0
                && !may_stay(self.group_step)
            {
                return Err((self.group_step.unwrap_or(of_user), 0));
            }
            if let Some(user) = self.user.filter(|_| !self.is_own) {
                if libc::syscall(SETRESUID, user, user, user) < 0 {
                    return Err((of_user, 0));
                }
                if user != 0 {
                    // Those of root go with it. A curfew that is no root but has capabilities would pass them on to
                    // another user. EINVAL: a kernel that has no such capabilities.
                    libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
                }
            }
        }
        Ok(())
    }
}

/// HOME, USER, LOGNAME and SHELL of a user, as far as they are wanted. There is no shell for a user that may not log in.
///
/// Source: systemd.exec(5), "Environment variables in spawned processes".
fn login_variables(
    wanted: &[&'static str],
    user: &str,
    entry: Option<User>,
) -> Vec<(&'static str, Option<OsString>)> {
    const NO_SHELLS: [&str; 3] = ["nologin", "false", "true"];
    let is_shell = |shell: &OsStr| {
        let name = Path::new(shell).file_name().unwrap_or_default();
        Path::new(shell).is_absolute() && !NO_SHELLS.iter().any(|no_shell| name == *no_shell)
    };
    let name = entry.map_or(OsStr::new(user), |entry| entry.name);
    let home = entry.map(|entry| entry.home).filter(|home| Path::new(home).is_absolute());
    let shell = entry.map(|entry| entry.shell).filter(|shell| is_shell(shell));
    let value = |variable: &str| match variable {
        "HOME" => Some(home.unwrap_or(OsStr::new("/"))),
        "SHELL" => shell,
        _ => Some(name),
    };
    wanted.iter().map(|variable| (*variable, value(variable).map(OsStr::to_owned))).collect()
}
