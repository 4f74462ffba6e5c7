use std::time::Duration;

use super::Blame;
use super::lock_table::LockFacts;
use super::quick_look::Sight;
use super::text::{in_words, shorten};
use super::thread::{LONGEST_IN_SENTENCE, ThreadFacts, Wait};

/// In characters.
const LONGEST_SENTENCE: usize = 200;

/// A part of the sentence, in the order it is said.
struct Clause {
    /// Of those that do not fit, the highest goes first.
    rank: u8,
    text: String,
}

/// The sentence: what it is, what it does, what it is connected to, how much it worked.
pub(super) fn of(blame: &Blame) -> String {
    let mut clauses = Vec::new();
    let mut say = |rank: u8, text: Option<String>| {
        clauses.extend(text.map(|text| Clause { rank, text }));
    };
    let work = Work::of(blame);
    say(0, work.sentence().filter(|_| work.is_busy()));
    say(0, main_thread(blame));
    say(1, uninterruptible_thread(blame));
    say(2, blame.status.as_ref().and_then(super::ProcessStatus::sentence));
    say(3, connections(blame));
    say(4, clients(blame));
    say(5, children(blame));
    say(6, other_threads(blame));
    say(2, work.sentence().filter(|_| !work.is_busy()));
    say(0, reason_for_silence(blame));
    join(clauses)
}

fn join(mut clauses: Vec<Clause>) -> String {
    loop {
        let text = clauses.iter().map(|clause| clause.text.as_str()).collect::<Vec<_>>().join("; ");
        if text.chars().count() <= LONGEST_SENTENCE {
            return text;
        }
        match clauses.iter().enumerate().max_by_key(|(_, clause)| clause.rank) {
            Some((index, _)) if clauses.len() > 1 => {
                clauses.remove(index);
            }
            _ => return shorten(&text, LONGEST_SENTENCE),
        }
    }
}

/// How much of a CPU was used while we waited.
struct Work {
    used: Option<Duration>,
    waited: Duration,
}

impl Work {
    fn of(blame: &Blame) -> Self {
        Self { used: blame.cpu_used.filter(|_| !blame.waited.is_zero()), waited: blame.waited }
    }

    /// At least half of one CPU.
    fn is_busy(&self) -> bool {
        self.used.is_some_and(|used| used * 2 >= self.waited)
    }

    fn sentence(&self) -> Option<String> {
        let used = self.used?;
        let waited = in_words(self.waited);
        Some(if self.is_busy() {
            format!("busy: {} of CPU in {waited}", in_words(used))
        } else if used * 200 < self.waited {
            // To take a signal and go on waiting costs a little, too.
            format!("no CPU for {waited}")
        } else {
            format!("{} of CPU in {waited}", in_words(used))
        })
    }
}

fn main_thread(blame: &Blame) -> Option<String> {
    let thread = blame.main_thread()?;
    let others = blame.thread_count.saturating_sub(1);
    match thread.state {
        'T' => Some("stopped by a signal (state T)".to_owned()),
        't' => {
            let tracer = blame.status.as_ref().and_then(|status| status.tracer.as_ref());
            let tracer = tracer.map_or_else(|| "a tracer".to_owned(), ToString::to_string);
            Some(format!("stopped by {tracer} (state t)"))
        }
        'Z' | 'X' if others > 0 => Some(format!(
            "main thread has ended, {} not",
            counted(others as usize, "other thread has", "other threads have")
        )),
        'Z' | 'X' => Some("has ended, but was not reaped".to_owned()),
        'D' => {
            let end =
                if is_killable(&thread.wait_channel) { "" } else { "; cannot be killed until that ends" };
            Some(format!("uninterruptible (state D){}{end}", place(thread)))
        }
        // Its work is told already.
        'R' if Work::of(blame).is_busy() => None,
        'R' => Some("main thread is running".to_owned()),
        _ => Some(format!("main thread {}", activity(thread, &blame.locks, &blame.children))),
    }
}

/// ` in nfs_wait`, with what it is about if that is known.
fn place(thread: &ThreadFacts) -> String {
    let place = match (thread.wait_channel.as_str(), thread.wait()) {
        ("", Wait::Call(name)) => name,
        ("", _) => return String::new(),
        (channel, _) => channel,
    };
    let subject = thread.descriptors.first().map(|descriptor| format!(" on {descriptor}"));
    format!(" in {place}{}", subject.unwrap_or_default())
}

/// State D, but SIGKILL works: some waits are only closed to other signals.
fn is_killable(channel: &str) -> bool {
    channel.contains("killable")
        // A parent between vfork(2) and its child's exec.
        || matches!(channel, "kernel_clone" | "wait_for_vfork_done" | "request_wait_answer")
}

/// What a thread does, as it follows "main thread".
fn activity(thread: &ThreadFacts, locks: &[LockFacts], children: &[ThreadFacts]) -> String {
    match thread.wait() {
        Wait::FileLock => file_lock(thread, locks),
        Wait::Child => match children {
            [] => "waits for a child".to_owned(),
            [child] => {
                // One level is enough: its own children and locks are not looked up.
                let what = activity(child, &[], &[]);
                format!("waits for its child {} ({}), which {what}", child.id, name(child))
            }
            [first, rest @ ..] => {
                format!("waits for its children: {} ({}) and {} more", first.id, name(first), rest.len())
            }
        },
        Wait::Timer => "sleeps".to_owned(),
        Wait::Signal => "waits for a signal".to_owned(),
        Wait::Call(call) => match thread.descriptors.as_slice() {
            [] => format!("waits in {call}"),
            [one] => format!("waits in {call} of fd {} ({one})", one.number),
            [first, rest @ ..] => {
                format!("waits in {call} of fd {} ({first}) and {} more", first.number, rest.len())
            }
        },
        Wait::Channel(channel) => format!("waits in {channel}"),
        Wait::Unknown => match thread.state {
            'R' => "is running",
            'T' | 't' => "is stopped",
            'D' => "is uninterruptible (state D)",
            'Z' | 'X' => "has ended",
            _ => "waits",
        }
        .to_owned(),
    }
}

fn file_lock(thread: &ThreadFacts, locks: &[LockFacts]) -> String {
    let lock = locks.iter().find(|lock| lock.waits);
    let descriptor = thread.descriptors.first().map(|descriptor| descriptor.target.as_str());
    let path = lock.and_then(|lock| lock.path.as_deref()).or(descriptor);
    let path = path.map(|path| format!(" on {}", shorten(path, LONGEST_IN_SENTENCE))).unwrap_or_default();
    let holder = lock.and_then(|lock| lock.others.first());
    let holder = holder.map(|holder| format!(" held by {holder}")).unwrap_or_default();
    format!("waits for a file lock{path}{holder}")
}

fn name(thread: &ThreadFacts) -> String {
    shorten(&thread.name, LONGEST_IN_SENTENCE)
}

/// A thread that cannot be killed, if it is not the main one: the process ends only when it does.
fn uninterruptible_thread(blame: &Blame) -> Option<String> {
    let mut stuck = others(blame).filter(|thread| thread.state == 'D');
    let first = stuck.next()?;
    let more = stuck.count();
    let more = if more == 0 { String::new() } else { format!(", and {more} more") };
    Some(format!("thread {} ({}) uninterruptible (state D){}{more}", first.id, name(first), place(first)))
}

fn connections(blame: &Blame) -> Option<String> {
    let mut peers: Vec<(&str, usize)> = Vec::new();
    for socket in blame.sockets.iter().filter(|socket| socket.protocol == "tcp" && !socket.from_client) {
        let Some(remote) = &socket.remote else { continue };
        match peers.iter_mut().find(|(peer, _)| peer == remote) {
            Some((_, count)) => *count += 1,
            None => peers.push((remote, 1)),
        }
    }
    // The one that the main thread waits for is told already.
    let told =
        blame.main_thread().and_then(|thread| thread.descriptors.first()?.socket.as_ref()?.remote.as_deref());
    peers.retain(|(peer, count)| *count > 1 || Some(*peer) != told);
    peers.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let more: usize = peers.iter().skip(2).map(|(_, count)| count).sum();
    let mut text: Vec<String> = peers
        .iter()
        .take(2)
        .map(|(peer, count)| format!("{} to {peer}", counted(*count, "connection", "connections")))
        .collect();
    if more > 0 {
        text.push(format!("{more} to others"));
    }
    (!text.is_empty()).then(|| text.join(", "))
}

fn clients(blame: &Blame) -> Option<String> {
    let clients =
        blame.sockets.iter().filter(|socket| socket.from_client && socket.protocol == "tcp").count();
    (clients > 0).then(|| format!("{} connected", counted(clients, "client", "clients")))
}

fn children(blame: &Blame) -> Option<String> {
    let is_told = blame.main_thread().is_some_and(|thread| thread.wait() == Wait::Child);
    let first = blame.children.first().filter(|_| !is_told)?;
    let more = blame.children.len() - 1;
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    let count = if blame.children.len() == 1 { "child" } else { "children" };
    Some(format!("{count} {} ({}){more}", first.id, name(first)))
}

fn other_threads(blame: &Blame) -> Option<String> {
    let mut groups: Vec<(String, usize)> = Vec::new();
    for thread in others(blame).filter(|thread| thread.state != 'D') {
        let what = match (thread.wait(), thread.state) {
            (Wait::Call(call), _) => format!("in {call}"),
            (Wait::Channel(channel), _) => format!("in {channel}"),
            (_, 'R') => "running".to_owned(),
            (Wait::Timer, _) => "sleeping".to_owned(),
            (Wait::FileLock, _) => "waiting for a file lock".to_owned(),
            (Wait::Child, _) => "waiting for a child".to_owned(),
            (Wait::Signal, _) => "waiting for a signal".to_owned(),
            (Wait::Unknown, _) => continue,
        };
        match groups.iter_mut().find(|(known, _)| *known == what) {
            Some((_, count)) => *count += 1,
            None => groups.push((what, 1)),
        }
    }
    groups.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let text: Vec<String> = groups.iter().take(3).map(|(what, count)| format!("{count} {what}")).collect();
    (!text.is_empty()).then(|| format!("other threads: {}", text.join(", ")))
}

fn others(blame: &Blame) -> impl Iterator<Item = &ThreadFacts> {
    blame.threads.iter().filter(|thread| thread.id != blame.pid.number())
}

fn reason_for_silence(blame: &Blame) -> Option<String> {
    let reason = match blame.sight {
        _ if !blame.threads.is_empty() => return None,
        Sight::Seen => "there was no time to look",
        Sight::Vanished => "it is gone",
        Sight::Denied => "permission denied",
        Sight::Hidden => "/proc does not show it",
        Sight::Failed => "the look at it failed",
    };
    Some(format!("nothing is known of it: {reason}"))
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use nix::libc;

    use super::super::party::Party;
    use super::super::quick_look::QuickLook;
    use super::super::socket_table::SocketFacts;
    use super::super::thread::DescriptorFacts;
    use super::*;
    use crate::supervisor::Pid;

    /// A process with these threads that has used no CPU for 10 s.
    fn blame(threads: Vec<ThreadFacts>) -> Blame {
        let quick = QuickLook {
            pid: Pid::new(42).unwrap(),
            sight: Sight::Seen,
            name: "api".into(),
            birth: None,
            thread_count: threads.len() as u32,
            threads,
            status: None,
            cpu_time: None,
        };
        Blame::from_quick_look(quick, Some(Duration::ZERO), Duration::new(10, 0))
    }

    fn thread(id: i32, state: char, wait_channel: &str) -> ThreadFacts {
        ThreadFacts {
            id,
            state,
            name: format!("t{id}"),
            wait_channel: wait_channel.into(),
            ..ThreadFacts::default()
        }
    }

    fn connection(descriptor: i32, remote: &str, from_client: bool) -> SocketFacts {
        SocketFacts {
            descriptor,
            protocol: "tcp".into(),
            state: "ESTABLISHED".into(),
            local: "127.0.0.1:40000".into(),
            remote: Some(remote.into()),
            from_client,
        }
    }

    #[test]
    fn the_sentence_of_the_manual() {
        let mut blame = blame(vec![thread(42, 'S', "futex_wait_queue")]);
        blame.sockets = vec![connection(5, "127.0.0.1:5432", false), connection(6, "127.0.0.1:5432", false)];
        assert_eq!(
            of(&blame),
            "main thread waits in futex; 2 connections to 127.0.0.1:5432; no CPU for 10 s"
        );
    }

    #[test]
    fn connections_are_counted_by_peer_and_clients_apart() {
        let mut blame = blame(vec![thread(42, 'S', "ep_poll")]);
        blame.sockets = (1..=3).map(|host| connection(host, &format!("10.0.0.{host}:80"), false)).collect();
        blame.sockets.extend((10..15).map(|host| connection(host, &format!("10.0.0.{host}:999"), true)));
        assert_eq!(
            of(&blame),
            "main thread waits in epoll_wait; 1 connection to 10.0.0.1:80, 1 connection to 10.0.0.2:80, 1 to others; \
             5 clients connected; no CPU for 10 s"
        );
    }

    #[test]
    fn what_the_main_thread_waits_for_is_not_told_twice() {
        let mut main = thread(42, 'S', "sk_wait_data");
        main.system_call =
            format!("{} 0x5 0x0 0x0 0x0 0x0 0x0 0x7ffcaa458fd8 0x7f6de2630503", libc::SYS_read);
        let socket = connection(5, "10.0.0.7:5432", false);
        main.descriptors =
            vec![DescriptorFacts { number: 5, target: "socket:[1]".into(), socket: Some(socket.clone()) }];
        let mut blame = blame(vec![main]);
        blame.sockets = vec![socket];
        assert_eq!(
            of(&blame),
            "main thread waits in read of fd 5 (socket to 10.0.0.7:5432); no CPU for 10 s"
        );
    }

    #[test]
    fn an_uninterruptible_thread_is_named_wherever_it_is() {
        let nfs = blame(vec![thread(42, 'D', "nfs_wait")]);
        let end = "; cannot be killed until that ends; no CPU for 10 s";
        assert_eq!(of(&nfs), format!("uninterruptible (state D) in nfs_wait{end}"));
        let killable = blame(vec![thread(42, 'D', "rpc_wait_bit_killable")]);
        assert_eq!(of(&killable), "uninterruptible (state D) in rpc_wait_bit_killable; no CPU for 10 s");
        let worker = blame(vec![thread(42, 'S', "futex_do_wait"), thread(43, 'D', "nfs_wait")]);
        assert_eq!(
            of(&worker),
            "main thread waits in futex; thread 43 (t43) uninterruptible (state D) in nfs_wait; no CPU for 10 s"
        );
    }

    #[test]
    fn work_comes_first_if_there_was_much() {
        let mut busy = blame(vec![thread(42, 'S', "futex_do_wait"), thread(43, 'R', "")]);
        busy.cpu_used = Some(Duration::new(9, 840_000_000));
        assert_eq!(
            of(&busy),
            "busy: 9.8 s of CPU in 10 s; main thread waits in futex; other threads: 1 running"
        );
        busy.cpu_used = Some(Duration::new(1, 0));
        assert!(of(&busy).ends_with("; 1 s of CPU in 10 s"));
        busy.waited = Duration::ZERO;
        assert!(!of(&busy).contains("CPU"));
    }

    #[test]
    fn a_debugger_is_named() {
        let mut blame = blame(vec![thread(42, 't', "ptrace_stop")]);
        let tracer = Some(Party { pid: 77, name: Some("gdb".into()) });
        blame.status = Some(super::super::ProcessStatus { tracer, ..Default::default() });
        assert_eq!(of(&blame), "stopped by pid 77 (gdb) (state t); no CPU for 10 s");
    }

    #[test]
    fn a_main_thread_that_ended_before_the_others_is_told_from_a_zombie() {
        let mut blame = blame(vec![thread(42, 'Z', ""), thread(43, 'S', "ep_poll")]);
        assert!(
            of(&blame)
                .starts_with("main thread has ended, 1 other thread has not; other threads: 1 in epoll_wait")
        );
        blame.threads.pop();
        blame.thread_count = 1;
        assert!(of(&blame).starts_with("has ended, but was not reaped"));
    }

    #[test]
    fn what_says_least_goes_first_if_it_is_too_long() {
        let mut blame = blame(
            (42..60).map(|id| thread(id, 'S', &format!("a_rather_long_name_of_a_function_{id}"))).collect(),
        );
        blame.sockets =
            (0..9).map(|n| connection(n, &format!("[2001:db8::{n}:1111:2222:3333]:5432"), false)).collect();
        let sentence = of(&blame);
        assert!(sentence.chars().count() <= LONGEST_SENTENCE, "{sentence}");
        assert!(sentence.contains("9 connection") || sentence.contains("1 connection to"), "{sentence}");
        assert!(!sentence.contains("other threads") && sentence.ends_with("no CPU for 10 s"), "{sentence}");
    }
}
