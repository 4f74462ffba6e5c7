use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use nix::libc;

use super::{Outcome, PATIENCE};
use crate::lines::Lines;
use crate::time::now;

/// A command that runs inside while the test goes on. It is killed when it is dropped.
pub(crate) struct Background {
    command: String,
    child: Child,
    pub(crate) stdout: Lines,
    pub(crate) stderr: Lines,
}

impl Background {
    #[track_caller]
    pub(super) fn start(mut command: Command) -> Self {
        // SAFETY: a system call that takes integers. A test that dies takes along what it waits for.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            })
        };
        let mut child = command.spawn().expect("nsenter is there");
        Self {
            command: format!("{command:?}"),
            stdout: Lines::read(child.stdout.take()),
            stderr: Lines::read(child.stderr.take()),
            child,
        }
    }

    /// Waits for a line with this text on the standard output, however early it came.
    #[track_caller]
    pub(crate) fn wait_for(&self, text: &str) -> String {
        self.wait_for_several(1, text).remove(0)
    }

    /// Waits for so many of them.
    #[track_caller]
    pub(crate) fn wait_for_several(&self, count: usize, text: &str) -> Vec<String> {
        self.wait_on(&self.stdout, count, text)
    }

    /// Waits for a line with this text on the standard error.
    #[track_caller]
    pub(crate) fn wait_for_error(&self, text: &str) -> String {
        self.wait_on(&self.stderr, 1, text).remove(0)
    }

    #[track_caller]
    fn wait_on(&self, stream: &Lines, count: usize, text: &str) -> Vec<String> {
        match stream.wait_for(count, now().plus(PATIENCE), |line| line.contains(text)) {
            Some(lines) => lines,
            None => panic!(
                "not {count} lines with {text:?} from {}:\n{}\n{}",
                self.command,
                self.stdout.so_far().join("\n"),
                self.stderr.so_far().join("\n")
            ),
        }
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn finish(mut self) -> Outcome {
        let end = now().plus(PATIENCE);
        let (stdout, stderr) = (self.stdout.clone(), self.stderr.clone());
        let ended = stdout.wait_for_end(end) && stderr.wait_for_end(end);
        let (stdout, stderr) = (stdout.so_far().join("\n"), stderr.so_far().join("\n"));
        assert!(ended, "{} did not end within {PATIENCE:?}:\n{stdout}\n{stderr}", self.command);
        let status = self.child.wait().expect("it is our child");
        Outcome { command: self.command.clone(), status, stdout, stderr }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // Gone is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
