//! Whether a program could be started, as far as can be seen without starting it.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::errno::Errno;

use super::identity::Identity;
use super::output::ServiceOutput;
use super::spawn::{Program, candidates};
use crate::supervisor::{StartFailure, StartStep};

impl Program {
    /// What its start would most likely fail with: there is no such command, user, group or folder. It looks at the disk,
    /// which may hang. What a start needs besides shows only when it is tried.
    pub fn problem(&self) -> Option<StartFailure> {
        if let Err(failure) = Identity::find(&self.setup) {
            return Some(failure);
        }
        let directory = self.directory.as_deref().or(self.started_in.as_deref()).unwrap_or(Path::new("/"));
        if let Some(errno) = problem_of_folder(directory) {
            return Some(StartFailure::new(StartStep::Directory, errno));
        }
        if let ServiceOutput::File(path) = &self.output
            && let Some(errno) = path.parent().and_then(problem_of_folder)
        {
            return Some(StartFailure::new(StartStep::Streams, errno));
        }
        let environment = self.whole_environment(None);
        let files = candidates(&self.command[0], environment.get(OsStr::new("PATH")).copied())?;
        let mut problem = StartFailure::new(StartStep::Execute, Errno::ENOENT as i32);
        problem.not_found = true;
        for file in files {
            let Ok(found) = fs::metadata(directory.join(OsStr::from_bytes(file.as_bytes()))) else {
                continue;
            };
            if found.is_file() && found.permissions().mode() & 0o111 != 0 {
                return None;
            }
            problem = StartFailure::new(StartStep::Execute, Errno::EACCES as i32);
        }
        Some(problem)
    }
}

fn problem_of_folder(path: &Path) -> Option<i32> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => None,
        Ok(_) => Some(Errno::ENOTDIR as i32),
        Err(error) => error.raw_os_error(),
    }
}
