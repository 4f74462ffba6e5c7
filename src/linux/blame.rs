//! Why a process does not stop: what it waits for, or that it is busy.
//!
//! ```text
//! the stop begins      cpu_time          one system call
//! the wait ran out     QuickLook         in curfew itself: what cannot hang
//! the next signal
//! afterwards           Investigation     a helper child: what may hang
//! the helper ends,     Blame             a sentence for the log, the whole for the report
//! or its time is over
//! ```

mod cpu_meter;
mod examination;
mod investigation;
mod json;
mod lock_table;
mod party;
mod process_status;
mod quick_look;
mod sentence;
mod socket_table;
mod system_call;
mod text;
mod thread;

use std::time::Duration;

use serde_json::{Map, Value, json};

pub(crate) use cpu_meter::cpu_time;
pub(crate) use investigation::{Investigation, Progress};
pub(crate) use quick_look::QuickLook;

use json::{list, texts};
use lock_table::LockFacts;
use process_status::ProcessStatus;
use quick_look::Sight;
use socket_table::SocketFacts;
use text::milliseconds;
use thread::ThreadFacts;

use crate::supervisor::Pid;

/// What is known of a process that did not stop in time.
///
/// Names, paths and arguments are what the process chose: bounded in length and decoded, but not escaped.
#[derive(Clone, Debug)]
pub(crate) struct Blame {
    pid: Pid,
    sight: Sight,
    name: String,
    command_line: Vec<String>,
    thread_count: u32,
    /// The main thread first.
    threads: Vec<ThreadFacts>,
    status: Option<ProcessStatus>,
    /// Since the stop began.
    cpu_used: Option<Duration>,
    waited: Duration,
    /// Each with what its own main thread does.
    children: Vec<ThreadFacts>,
    locks: Vec<LockFacts>,
    sockets: Vec<SocketFacts>,
}

impl Blame {
    /// What a quick look alone tells: for when no helper could be had.
    pub(crate) fn from_quick_look(quick: QuickLook, cpu_used: Option<Duration>, waited: Duration) -> Self {
        Self {
            pid: quick.pid,
            sight: quick.sight,
            name: quick.name,
            command_line: Vec::new(),
            thread_count: quick.thread_count,
            threads: quick.threads,
            status: quick.status,
            cpu_used,
            waited,
            children: Vec::new(),
            locks: Vec::new(),
            sockets: Vec::new(),
        }
    }

    /// Why it did not stop, in at most some 200 characters, most telling first.
    pub(crate) fn sentence(&self) -> String {
        sentence::of(self)
    }

    /// All that is known, for the report.
    pub(crate) fn report_value(&self) -> Value {
        json!({
            "pid": self.pid.number(),
            "name": self.name,
            "sentence": self.sentence(),
            "seen": match self.sight {
                Sight::Seen => "yes",
                Sight::Vanished => "vanished",
                Sight::Denied => "denied",
                Sight::Hidden => "hidden",
                Sight::Failed => "failed",
            },
            "command": self.command_line,
            "waited_ms": milliseconds(self.waited),
            "cpu_used_ms": self.cpu_used.map(milliseconds),
            "thread_count": self.thread_count,
            "threads": self.threads.iter().map(ThreadFacts::value).collect::<Vec<_>>(),
            "signals": self.status.as_ref().map_or(Value::Null, ProcessStatus::value),
            "children": self.children.iter().map(ThreadFacts::value).collect::<Vec<_>>(),
            "locks": self.locks.iter().map(LockFacts::value).collect::<Vec<_>>(),
            "sockets": self.sockets.iter().map(SocketFacts::value).collect::<Vec<_>>(),
        })
    }

    /// Whether there is nothing to say: it was gone before anybody looked.
    fn is_empty(&self) -> bool {
        self.sight == Sight::Vanished && self.threads.is_empty()
    }

    /// Adds what the helper told; what it did not tell stays as it is.
    fn add(&mut self, told: &Map<String, Value>) {
        let told = Value::Object(told.clone());
        for thread in list(&told, "threads", ThreadFacts::from_value) {
            self.add_thread(thread);
        }
        self.command_line = texts(&told, "command");
        self.children = list(&told, "children", ThreadFacts::from_value);
        self.locks = list(&told, "locks", LockFacts::from_value);
        self.sockets = list(&told, "sockets", SocketFacts::from_value);
    }

    /// The quick look was taken before the signal, and is what we want to know; the helper came after it. Its word is
    /// taken if the thread still does the same, or if the quick look did not come to it.
    fn add_thread(&mut self, told: ThreadFacts) {
        let Some(known) = self.threads.iter_mut().find(|known| known.id == told.id) else {
            if self.threads.len() < quick_look::MOST_THREADS {
                self.threads.push(told);
            }
            return;
        };
        let same_place = known.wait_channel == told.wait_channel || known.wait_channel.is_empty();
        if known.state == told.state && same_place {
            *known = told;
        }
    }

    fn main_thread(&self) -> Option<&ThreadFacts> {
        self.threads.iter().find(|thread| thread.id == self.pid.number())
    }
}

#[cfg(test)]
mod tests;
