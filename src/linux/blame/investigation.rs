use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use serde_json::{Map, Value};

use super::super::helper::{Helper, HelperIs, leave};
use super::Blame;
use super::examination::examine;
use super::quick_look::QuickLook;
use crate::linux::proc_file_system::Birth;
use crate::supervisor::Pid;

/// A helper process that reads the rest about a process that does not stop. What it has told when its time is over is kept.
pub(crate) struct Investigation {
    helper: Helper,
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
    /// As [`Helper::start`]. The quick look alone then has to do: [`Blame::from_quick_look`].
    pub(crate) fn start(
        pid: Pid,
        quick: QuickLook,
        cpu_before: Option<Duration>,
        waited: Duration,
    ) -> nix::Result<Self> {
        let birth = quick.birth;
        let helper = Helper::start(LONGEST_RESULT, |pipe| help(pid, birth, pipe))?;
        let cpu_used = cpu_before.zip(quick.cpu_time).and_then(|(before, now)| now.checked_sub(before));
        Ok(Self { helper, quick, cpu_used, waited })
    }

    /// The helper's pid: no stray, and to be killed when its time is over.
    pub(crate) const fn pid(&self) -> Pid {
        self.helper.pid()
    }

    /// Takes what the helper has told, without waiting. Its end is the end, however it came.
    pub(crate) fn read(&mut self) -> Progress {
        if self.helper.listen() == HelperIs::Working {
            return Progress::Pending;
        }
        let blame = self.so_far();
        if blame.is_empty() { Progress::Nothing } else { Progress::Done(Box::new(blame)) }
    }

    /// What is known by now: for when the helper's time is over.
    pub(crate) fn so_far(&self) -> Blame {
        let mut blame = Blame::from_quick_look(self.quick.clone(), self.cpu_used, self.waited);
        blame.add(&parts(self.helper.told()));
        blame
    }
}

impl AsFd for Investigation {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.helper.as_fd()
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

/// The helper's work.
fn help(pid: Pid, birth: Option<Birth>, pipe: &mut File) {
    examine(pid, birth, &mut |key, value| {
        let mut line = Value::Object(Map::from_iter([(key.to_owned(), value)])).to_string();
        line.push('\n');
        // EPIPE: nobody listens any more.
        if pipe.write_all(line.as_bytes()).is_err() {
            leave();
        }
    });
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
