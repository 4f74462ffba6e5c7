//! The configuration read anew, while services run.
//!
//! A helper process reads the files, which may lie on a disk that hangs, and checks what they say. What it has read it
//! hands over; curfew makes the configuration of that, and touches no file itself. So whatever could go wrong with a file
//! goes wrong in the helper first: a bug in the reading of a broken file does not bring the system down.

use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};

use super::delivery::to_child;
use super::helper::{Helper, HelperIs};
use super::runtime::Programs;
use super::service_programs::ServicePrograms;
use crate::supervisor::{Pid, Settings, Signal};

/// Reads the configuration anew.
pub trait ConfigurationReader {
    /// Reads every file that there is to read, and checks whether what is new could be started: `is_new` tells it of a
    /// service and its programs. Called in a helper process, which may hang in it.
    fn gather(&self, is_new: &dyn Fn(&str, &ServicePrograms) -> bool) -> Vec<u8>;
    /// Makes the configuration of what was gathered, without looking at anything else.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place and cure.
    fn settle(&self, gathered: &[u8]) -> Result<Reconfiguration, Vec<String>>;
}

/// A configuration that was read anew.
#[derive(Clone, Debug)]
pub struct Reconfiguration {
    /// What the supervisor decides by.
    pub settings: Settings,
    /// What is executed.
    pub programs: Programs,
    /// Where the deadline is from, as the report says it.
    pub deadline_source: &'static str,
    /// Keys that changed, and hold from curfew's next start only.
    pub later: Vec<&'static str>,
}

/// A reading that is under way.
#[derive(Debug)]
pub(crate) struct Reading {
    helper: Helper,
}

/// More than any configuration is.
const LONGEST: usize = 64 << 20;

/// What stands behind all that was gathered: without it the helper has died in the middle.
const END: &[u8] = b"\0curfew: that is all\n";

impl Reading {
    /// Forks the helper.
    ///
    /// # Errors
    /// As [`Helper::start`].
    pub(crate) fn start(
        reader: &dyn ConfigurationReader,
        is_new: &dyn Fn(&str, &ServicePrograms) -> bool,
    ) -> nix::Result<Self> {
        let helper = Helper::start(LONGEST, |pipe| {
            let gathered = reader.gather(is_new);
            // EPIPE: nobody listens any more.
            let _ = pipe.write_all(&gathered).and_then(|()| pipe.write_all(END));
        })?;
        Ok(Self { helper })
    }

    /// The helper's pid: no stray.
    pub(crate) const fn pid(&self) -> Pid {
        self.helper.pid()
    }

    /// The configuration, if it has been read.
    pub(crate) fn take(
        &mut self,
        reader: &dyn ConfigurationReader,
    ) -> Option<Result<Reconfiguration, Vec<String>>> {
        if self.helper.listen() == HelperIs::Working {
            return None;
        }
        Some(match self.helper.told().strip_suffix(END) {
            Some(gathered) => reader.settle(gathered),
            None => Err(vec![
                "the configuration could not be read: the process that reads it has died, for want of memory or of a \
                 bug in curfew; please report this"
                    .to_owned(),
            ]),
        })
    }

    /// It comes too late.
    pub(crate) fn end(&self) {
        // ESRCH: it has ended, and was reaped.
        let _ = to_child(self.helper.pid(), Signal::KILL);
    }
}

impl AsFd for Reading {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.helper.as_fd()
    }
}
