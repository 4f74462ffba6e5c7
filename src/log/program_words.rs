use std::io;

use crate::supervisor::{StartFailure, StartStep};

/// What is said of a program: its command, and the settings that its start may fail with.
#[derive(Clone, Debug, Default)]
pub struct ProgramWords {
    /// The command, without its arguments.
    pub command: String,
    /// Where it runs, and so where a relative path of it begins; `None`: where curfew was started.
    pub directory: Option<String>,
    /// Where a command without a path is looked for.
    pub search_path: Option<String>,
    /// The settings as they stand in the configuration (`nice = -5`), each with its step. Of those that share a step,
    /// [`StartFailure::which`] counts.
    pub settings: Vec<(StartStep, String)>,
}

const EPERM: i32 = 1;
const ENOENT: i32 = 2;
const ESRCH: i32 = 3;
const EAGAIN: i32 = 11;
const EACCES: i32 = 13;

impl ProgramWords {
    /// Why it could not be started: the step with its setting, what the system says, and what to do about it.
    pub(crate) fn start_failure(&self, failure: StartFailure) -> String {
        let command = &self.command;
        let reason = io::Error::from_raw_os_error(failure.errno).to_string();
        let reason = reason.split(" (os error").next().unwrap_or_default();
        let cure = self.cure(failure).map_or_else(String::new, |cure| format!("; {cure}"));
        if failure.step == StartStep::Execute {
            return match failure.errno {
                _ if failure.not_found => format!("cannot execute {command:?}: {}{cure}", self.not_found()),
                ENOENT => format!(
                    "cannot execute {command:?}: the file is there, but its interpreter or loader is not; look at its first \
                     line: what stands behind `#!` must be there, and the line may not end as on Windows"
                ),
                _ => format!("cannot execute {command:?}: {reason}{cure}"),
            };
        }
        let setting = self.setting(failure).map_or_else(String::new, |setting| format!(" ({setting})"));
        // "No such process" is the system's way to say it.
        let reason = match (failure.step, failure.errno) {
            (StartStep::User, ESRCH) => "there is no such user in /etc/passwd",
            (StartStep::Group, ESRCH) if setting.is_empty() => "it is not known",
            (StartStep::Group | StartStep::SupplementaryGroups, ESRCH) => {
                "there is no such group in /etc/group"
            }
            _ => reason,
        };
        format!("cannot start {command:?}: {}{setting} failed: {reason}{cure}", failure.step)
    }

    /// Where it was looked for.
    fn not_found(&self) -> String {
        let command = &self.command;
        match (command.starts_with('/'), command.contains('/'), &self.directory) {
            (true, ..) => "not found: there is no such file".to_owned(),
            (false, true, Some(directory)) => {
                format!("not found: there is no such file in {directory}, the directory that it runs in")
            }
            (false, true, None) => {
                "not found: there is no such file in the directory that curfew was started in".to_owned()
            }
            (false, false, _) => match &self.search_path {
                Some(path) => format!("command not found in its PATH ({})", shortened(path)),
                None => "command not found, and it has no PATH".to_owned(),
            },
        }
    }

    /// The setting that a step failed with.
    pub(crate) fn setting(&self, failure: StartFailure) -> Option<&str> {
        let of_step = self.settings.iter().filter(|(step, _)| *step == failure.step);
        // Who lacks the right to set groups lacks it for all of them.
        let which =
            if failure.errno == EPERM && failure.step != StartStep::Limits { 0 } else { failure.which };
        of_step.map(|(_, words)| words.as_str()).nth(which.into())
    }

    fn has(&self, step: StartStep) -> bool {
        self.settings.iter().any(|(known, _)| *known == step)
    }

    fn cure(&self, StartFailure { step, errno, not_found, .. }: StartFailure) -> Option<&'static str> {
        let has_user = self.has(StartStep::User);
        match (step, errno) {
            (StartStep::User, ESRCH) => {
                Some("add it, or write numbers: `user` and `group`, or --user USER:GROUP")
            }
            (StartStep::Group, ESRCH) if !self.has(StartStep::Group) => {
                Some("its user is not in /etc/passwd: write its `group` too, or --user USER:GROUP")
            }
            (StartStep::Group | StartStep::SupplementaryGroups, ESRCH) => Some("add it, or write its number"),
            (StartStep::User, EPERM) => {
                Some("only root may become another user: start curfew as root, or leave it out")
            }
            (StartStep::Group | StartStep::SupplementaryGroups, EPERM) => {
                Some("only root may change its groups: start curfew as root, or leave it out")
            }
            (StartStep::Nice, EPERM | EACCES) => {
                Some("only root may go below the nice value that curfew has")
            }
            (StartStep::OomScoreAdjust, EACCES) => Some("only root may go below the value that curfew has"),
            (StartStep::OomScoreAdjust, ENOENT) => Some("/proc is not mounted"),
            (StartStep::Limits, EPERM) => Some(
                "raising a hard limit takes CAP_SYS_RESOURCE, which root may lack in a container: raise it from outside \
                 (docker run --ulimit, LimitNOFILE= of the unit), or ask for less; nobody may have more open files than \
                 /proc/sys/fs/nr_open",
            ),
            (StartStep::Directory, EACCES) if has_user => Some("its user may not enter it"),
            (StartStep::Execute, EACCES) if has_user && !not_found => {
                Some("it runs as its own user, who needs the right to")
            }
            (StartStep::Execute, EACCES) if !not_found => {
                Some("it must be a file, and no folder, that its user may execute (chmod +x)")
            }
            (StartStep::Execute, EAGAIN) => {
                Some("its user has as many processes as its limit allows (limits.nproc)")
            }
            _ => None,
        }
    }
}

/// A PATH of a usual length whole, a longer one by its beginning.
fn shortened(path: &str) -> String {
    match path.get(..LONGEST_PATH).and_then(|start| start.rsplit_once(':')) {
        Some((start, _)) => format!("{start} and more"),
        None => path.to_owned(),
    }
}

/// In bytes: what distributions set is shorter.
const LONGEST_PATH: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn words(command: &str, directory: Option<&str>, search_path: Option<&str>) -> String {
        let words = ProgramWords {
            command: command.to_owned(),
            directory: directory.map(str::to_owned),
            search_path: search_path.map(str::to_owned),
            settings: Vec::new(),
        };
        words.start_failure(StartFailure { not_found: true, ..StartFailure::new(StartStep::Execute, ENOENT) })
    }

    #[test]
    fn a_command_that_is_not_there_is_told_with_where_it_was_looked_for() {
        assert_eq!(
            words("nosuch", None, Some("/usr/bin:/bin")),
            "cannot execute \"nosuch\": command not found in its PATH (/usr/bin:/bin)"
        );
        assert_eq!(
            words("sub/only.sh", Some("/srv/sub"), None),
            "cannot execute \"sub/only.sh\": not found: there is no such file in /srv/sub, the directory that it runs in"
        );
        assert_eq!(
            words("/no/such", Some("/srv"), None),
            "cannot execute \"/no/such\": not found: there is no such file"
        );
    }

    #[test]
    fn a_long_path_is_told_by_its_beginning() {
        let path = ["/opt/a"; 40].join(":");
        let said = words("nosuch", None, Some(&path));
        assert!(said.ends_with("/opt/a:/opt/a and more)") && said.len() < 170, "{said}");
    }

    #[test]
    fn a_file_that_cannot_be_executed_is_told_with_what_is_amiss() {
        let words = ProgramWords { command: "./a".into(), ..ProgramWords::default() };
        let failed = |errno| words.start_failure(StartFailure::new(StartStep::Execute, errno));
        assert_eq!(
            failed(EACCES),
            "cannot execute \"./a\": Permission denied; it must be a file, and no folder, that its user may execute (chmod +x)"
        );
        assert!(failed(ENOENT).contains("`#!`"));
    }
}
