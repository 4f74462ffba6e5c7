use std::fmt;

use serde_json::{Value, json};

use super::json::{list, number, text, texts};
use super::socket_table::SocketFacts;
use super::system_call::SystemCall;
use super::text::{decode, shorten};

/// What is known of one thread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ThreadFacts {
    pub(super) id: i32,
    pub(super) name: String,
    /// The letter of proc_pid_stat(5): R running, S sleeping, D uninterruptible, T stopped, Z ended …
    pub(super) state: char,
    /// It is in the middle of execve(2): until it comes out, less can be known of it.
    pub(super) is_executing: bool,
    /// The function of the kernel it sleeps in; empty if it does not, or if we may not know.
    pub(super) wait_channel: String,
    /// The line of `/proc/PID/task/TID/syscall`; empty if it may not be read.
    pub(super) system_call: String,
    /// The descriptors that its system call is about.
    pub(super) descriptors: Vec<DescriptorFacts>,
    /// The functions of the kernel, innermost first; for root only.
    pub(super) stack: Vec<String>,
}

/// What a descriptor of a process is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DescriptorFacts {
    pub(super) number: i32,
    /// A path, or as `socket:[123]`, `pipe:[124]`, `anon_inode:[eventfd]`.
    pub(super) target: String,
    pub(super) socket: Option<SocketFacts>,
}

/// What a thread waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// A file lock.
    FileLock,
    /// A child's end.
    Child,
    /// The time.
    Timer,
    /// A signal.
    Signal,
    /// A system call, by its usual name.
    Call(&'static str),
    /// A function of the kernel that has no better name.
    Channel(String),
    /// It does not wait, or it cannot be known.
    Unknown,
}

impl ThreadFacts {
    pub(super) fn call(&self) -> Option<SystemCall> {
        SystemCall::parse(&self.system_call)
    }

    pub(super) fn wait(&self) -> Wait {
        // On its way out of a wait it can have a place and be running already.
        if self.state == 'R' {
            return Wait::Unknown;
        }
        if self.is_executing {
            return Wait::Call(EXECVE);
        }
        let call = self.call();
        let inside = match &call {
            // What a call waits for can differ: open(2) waits for a lock (lease) or for a disk.
            _ if self.wait_channel.contains("lock_inode_wait") => return Wait::FileLock,
            Some(SystemCall::Running) => return Wait::Unknown,
            Some(SystemCall::Inside { .. }) => call.as_ref().and_then(SystemCall::name),
            Some(SystemCall::Outside) | None => None,
        };
        match inside {
            Some("flock") => Wait::FileLock,
            Some("wait") => Wait::Child,
            Some("nanosleep") => Wait::Timer,
            Some("pause" | "sigsuspend" | "sigwait") => Wait::Signal,
            Some("restart_syscall") | None => wait_by_channel(&self.wait_channel),
            Some(name) => Wait::Call(name),
        }
    }

    pub(super) fn value(&self) -> Value {
        json!({
            "tid": self.id,
            "name": self.name,
            "state": self.state.to_string(),
            "wchan": self.wait_channel,
            "call": if self.is_executing { Some(EXECVE) } else { self.call().as_ref().and_then(SystemCall::name) },
            "syscall": self.system_call,
            "descriptors": self.descriptors.iter().map(DescriptorFacts::value).collect::<Vec<_>>(),
            "stack": self.stack,
        })
    }

    pub(super) fn from_value(value: &Value) -> Option<Self> {
        Some(Self {
            id: number(value, "tid")?,
            name: text(value, "name")?,
            state: text(value, "state")?.chars().next()?,
            is_executing: value["call"] == EXECVE,
            wait_channel: text(value, "wchan")?,
            system_call: text(value, "syscall")?,
            descriptors: list(value, "descriptors", DescriptorFacts::from_value),
            stack: texts(value, "stack"),
        })
    }
}

impl DescriptorFacts {
    pub(super) fn value(&self) -> Value {
        json!({
            "fd": self.number,
            "target": self.target,
            "socket": self.socket.as_ref().map_or(Value::Null, SocketFacts::value),
        })
    }

    pub(super) fn from_value(value: &Value) -> Option<Self> {
        Some(Self {
            number: number(value, "fd")?,
            target: text(value, "target")?,
            socket: SocketFacts::from_value(&value["socket"]),
        })
    }

    /// The number of its inode, if it is a socket.
    pub(super) fn socket_inode(&self) -> Option<u64> {
        self.target.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    }
}

impl fmt::Display for DescriptorFacts {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        match (&self.socket, self.target.as_str()) {
            (Some(socket), _) => write!(formatter, "{}", shorten(&socket.to_string(), LONGEST_IN_SENTENCE)),
            (None, target) if target.starts_with("socket:[") => formatter.write_str("a socket"),
            (None, target) if target.starts_with("pipe:[") => formatter.write_str("a pipe"),
            (None, target) => formatter.write_str(&shorten(
                target.strip_prefix("anon_inode:").unwrap_or(target),
                LONGEST_IN_SENTENCE,
            )),
        }
    }
}

const EXECVE: &str = "execve";

/// How much of a name that somebody else chose the sentence repeats.
pub(super) const LONGEST_IN_SENTENCE: usize = 64;

/// What the function it sleeps in means. These names change with kernels: what is not known is said as it is.
fn wait_by_channel(channel: &str) -> Wait {
    // The compiler marks a variant that it made: `poll_schedule_timeout.constprop.0`.
    match channel.split('.').next().unwrap_or_default() {
        "" => Wait::Unknown,
        "do_wait" => Wait::Child,
        "hrtimer_nanosleep" | "do_nanosleep" => Wait::Timer,
        "sigsuspend" | "do_sigtimedwait" | "__do_sys_pause" | "sys_pause" => Wait::Signal,
        "fcntl_setlk" | "locks_lock_file_wait" => Wait::FileLock,
        "futex_wait_queue"
        | "futex_wait_queue_me"
        | "futex_do_wait"
        | "futex_wait"
        | "futex_wait_multiple" => Wait::Call("futex"),
        "ep_poll" | "do_epoll_wait" => Wait::Call("epoll_wait"),
        "do_sys_poll" | "do_poll" | "poll_schedule_timeout" => Wait::Call("poll"),
        "do_select" => Wait::Call("select"),
        "pipe_read" | "anon_pipe_read" | "pipe_wait_readable" | "n_tty_read" => Wait::Call("read"),
        "pipe_write" | "anon_pipe_write" | "pipe_wait_writable" | "n_tty_write" => Wait::Call("write"),
        "inet_csk_accept" => Wait::Call("accept"),
        "io_cqring_wait" => Wait::Call("io_uring_enter"),
        other => Wait::Channel(other.to_owned()),
    }
}

/// The kernel keeps 15 bytes of a name; of its own threads a little more.
const LONGEST_NAME: usize = 64;

/// The content of a `wchan` file: `0` means none, or that we may not know.
pub(super) fn wait_channel(content: &[u8]) -> String {
    match content.trim_ascii() {
        b"0" => String::new(),
        name => decode(name, LONGEST_NAME),
    }
}

#[cfg(test)]
mod tests {
    use nix::libc;

    use super::*;

    fn waiting(wait_channel: &str, system_call: &str) -> Wait {
        let (wait_channel, system_call) = (wait_channel.to_owned(), system_call.to_owned());
        ThreadFacts { wait_channel, system_call, ..ThreadFacts::default() }.wait()
    }

    #[test]
    fn the_system_call_says_more_than_the_function_of_the_kernel() {
        let read = format!("{} 0x5 0x0 0x0 0x0 0x0 0x0 0x7ffcaa458fd8 0x7f6de2630503", libc::SYS_read);
        assert_eq!(waiting("sk_wait_data", &read), Wait::Call("read"));
        assert_eq!(waiting("sk_wait_data", ""), Wait::Channel("sk_wait_data".into()));
        assert_eq!(waiting("futex_do_wait", ""), Wait::Call("futex"));
        assert_eq!(waiting("poll_schedule_timeout.constprop.0", ""), Wait::Call("poll"));
        assert_eq!(waiting("locks_lock_inode_wait", &read), Wait::FileLock);
        assert_eq!(waiting("do_wait", "garbage"), Wait::Child);
        assert_eq!(waiting("", "running"), Wait::Unknown);
        assert_eq!(waiting("", ""), Wait::Unknown);
    }

    #[test]
    fn no_wait_channel_is_a_zero() {
        assert_eq!(wait_channel(b"0"), "");
        assert_eq!(wait_channel(b"0\n"), "");
        assert_eq!(wait_channel(b"do_wait"), "do_wait");
    }

    #[test]
    fn facts_come_through_json_as_they_were() {
        let facts = ThreadFacts {
            id: 7,
            name: "a\"\n\u{1b}".into(),
            state: 'S',
            descriptors: vec![DescriptorFacts { number: 3, target: "pipe:[1]".into(), socket: None }],
            stack: vec!["do_wait+0x1".into()],
            ..ThreadFacts::default()
        };
        assert_eq!(ThreadFacts::from_value(&facts.value()), Some(facts));
        assert_eq!(ThreadFacts::from_value(&json!({"tid": 1})), None);
    }
}
