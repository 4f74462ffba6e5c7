//! What the helper reads. Any of it may hang; what hangs most easily comes last.

use std::collections::HashMap;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};

use nix::sys::stat::{major, minor};
use serde_json::Value;

use super::lock_table::{FileId, LockFacts, LockLine, locks_of};
use super::quick_look::{MOST_THREADS, party, quick_facts, threads_of};
use super::socket_table::{SocketFacts, sockets_in};
use super::text::{decode, read_bounded};
use super::thread::{DescriptorFacts, ThreadFacts, Wait, wait_channel};
use crate::linux::proc_file_system::{Birth, FamilyTree, Process};
use crate::supervisor::Pid;

const MOST_DESCRIPTORS: usize = 4096;
const MOST_SOCKETS: usize = 256;
const MOST_LOCKS: usize = 64;
const MOST_POLLED: usize = 16;
const MOST_STACKS: usize = 8;
const MOST_FRAMES: usize = 16;
const MOST_ARGUMENTS: usize = 64;
/// In characters: of a path, an argument, a frame.
const LONGEST_TEXT: usize = 256;
/// The kernel's tables are as long as the machine is busy.
const LONGEST_TABLE: usize = 8 << 20;
const LONGEST_FILE: usize = 8192;

/// Reads what there is to know of a process, and tells each part as soon as it is known. What was told before and is
/// known better later is told again.
///
/// Changes the working directory: from inside the process's own folder no other process can be read by mistake, even
/// if the pid is given away meanwhile.
pub(super) fn examine(pid: Pid, birth: Option<Birth>, tell: &mut dyn FnMut(&str, Value)) {
    if std::env::set_current_dir(format!("/proc/{pid}")).is_err() {
        return;
    }
    // Who has the pid now, and had it at the quick look, has had it in between.
    let now = Process::read(pid).map(|process| process.birth);
    if birth.zip(now).is_some_and(|(before, now)| !before.is(now)) {
        return;
    }

    let mut threads = threads(pid.number());
    tell("threads", threads.iter().map(ThreadFacts::value).collect());
    let children = children(pid);
    tell("children", children.iter().map(ThreadFacts::value).collect());

    let descriptors = descriptors();
    let sockets = sockets(&descriptors);
    for thread in &mut threads {
        for descriptor in &mut thread.descriptors {
            descriptor.socket =
                sockets.iter().find(|socket| is_of(socket, descriptor, &descriptors)).cloned();
        }
    }
    tell("sockets", sockets.iter().take(MOST_SOCKETS).map(SocketFacts::value).collect());
    tell("threads", threads.iter().map(ThreadFacts::value).collect());

    let table = read_bounded("/proc/locks", LONGEST_TABLE).unwrap_or_default();
    let table = LockLine::parse_all(&String::from_utf8_lossy(&table));
    let locks = locks_of(&table, pid.number());
    // The thread that waits says which descriptor it locks: its name needs no look at the file itself.
    let wanted = threads.iter().find(|thread| thread.wait() == Wait::FileLock);
    let wanted = wanted.and_then(|thread| Some(thread.descriptors.first()?.target.clone()));
    let waiting = locks.iter().filter(|(line, _)| line.waits);
    tell("locks", waiting.map(|lock| lock_facts(lock, wanted.clone()).value()).collect());

    // From here on the process's memory map is needed, which a page fault on a dead disk keeps locked.
    if poll_sets(&mut threads, &descriptors, &sockets) {
        tell("threads", threads.iter().map(ThreadFacts::value).collect());
    }
    tell("command", command_line().into());

    // From here on files are looked at: on a dead network file system that takes for ever.
    if !locks.is_empty() {
        let files = files(&descriptors);
        let facts = locks.iter().take(MOST_LOCKS).map(|lock| {
            let path = lock.0.file.and_then(|file| path_of(file, &files));
            lock_facts(lock, path.or_else(|| wanted.clone().filter(|_| lock.0.waits))).value()
        });
        tell("locks", facts.collect());
    }
}

fn threads(pid: i32) -> Vec<ThreadFacts> {
    let mut stacks = 0;
    let threads = threads_of(pid, "task").filter_map(|id| {
        let folder = format!("task/{id}");
        let mut facts = with_call(quick_facts(&folder, id)?, &folder);
        if let Some(descriptor) = facts.call().and_then(|call| call.descriptor()) {
            facts.descriptors.extend(descriptor_facts("fd", descriptor));
        }
        if stacks < MOST_STACKS && (id == pid || facts.state == 'D') {
            stacks += 1;
            facts.stack = stack(&folder);
        }
        Some(facts)
    });
    threads.collect()
}

/// The children; each like a thread, with what its own main thread does.
fn children(pid: Pid) -> Vec<ThreadFacts> {
    let children = FamilyTree::look().children(pid.number());
    let children = children.into_iter().take(MOST_THREADS).filter_map(|child| {
        let folder = format!("/proc/{child}");
        let mut facts = with_call(quick_facts(&folder, child.number())?, &folder);
        if let Some(descriptor) = facts.call().and_then(|call| call.descriptor()) {
            facts.descriptors.extend(descriptor_facts(&format!("{folder}/fd"), descriptor));
        }
        Some(facts)
    });
    children.collect()
}

fn with_call(mut facts: ThreadFacts, folder: &str) -> ThreadFacts {
    facts.wait_channel = wait_channel_of(folder);
    if let Ok(line) = read_bounded(format!("{folder}/syscall"), LONGEST_FILE) {
        facts.system_call = decode(line.trim_ascii(), LONGEST_TEXT);
    }
    facts
}

/// The function of the kernel that a thread sleeps in.
pub(super) fn wait_channel_of(folder: &str) -> String {
    wait_channel(&read_bounded(format!("{folder}/wchan"), LONGEST_FILE).unwrap_or_default())
}

fn stack(folder: &str) -> Vec<String> {
    let text = read_bounded(format!("{folder}/stack"), LONGEST_FILE).unwrap_or_default();
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    // `[<0>] function+0x1/0x2`
    let names = lines.map(|line| line.strip_prefix(b"[<0>] ").unwrap_or(line));
    names.take(MOST_FRAMES).map(|name| decode(name, LONGEST_TEXT)).collect()
}

fn descriptors() -> Vec<DescriptorFacts> {
    let listed = fs::read_dir("fd").into_iter().flatten().flatten();
    let numbers = listed.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut descriptors: Vec<_> =
        numbers.take(MOST_DESCRIPTORS).filter_map(|number| descriptor_facts("fd", number)).collect();
    descriptors.sort_by_key(|descriptor| descriptor.number);
    descriptors
}

/// Where a descriptor leads. Reading this link is no look at the file: the kernel keeps the name.
fn descriptor_facts(folder: &str, number: i32) -> Option<DescriptorFacts> {
    let target = fs::read_link(format!("{folder}/{number}")).ok()?;
    let target = decode(target.as_os_str().as_bytes(), LONGEST_TEXT);
    Some(DescriptorFacts { number, target, socket: None })
}

fn sockets(descriptors: &[DescriptorFacts]) -> Vec<SocketFacts> {
    let mut inodes: HashMap<u64, Vec<i32>> = HashMap::new();
    for descriptor in descriptors {
        if let Some(inode) = descriptor.socket_inode() {
            inodes.entry(inode).or_default().push(descriptor.number);
        }
    }
    let mut sockets = Vec::new();
    if inodes.is_empty() {
        return sockets;
    }
    // Those of its own network namespace, which need not be ours.
    for table in ["tcp", "tcp6", "udp", "udp6", "unix"] {
        let content = read_bounded(format!("net/{table}"), LONGEST_TABLE).unwrap_or_default();
        let protocol = table.trim_end_matches('6');
        sockets.extend(sockets_in(&String::from_utf8_lossy(&content), protocol, &inodes));
    }
    // Connections first: if there are more than are told, those say most.
    sockets.sort_by_key(|socket| (socket.remote.is_none(), socket.descriptor));
    sockets
}

/// A socket is known under its first descriptor, but may have been duplicated.
fn is_of(socket: &SocketFacts, descriptor: &DescriptorFacts, all: &[DescriptorFacts]) -> bool {
    descriptor.socket_inode().is_some()
        && all.iter().any(|known| known.number == socket.descriptor && known.target == descriptor.target)
}

fn lock_facts((line, others): &(&LockLine, Vec<&LockLine>), path: Option<String>) -> LockFacts {
    LockFacts {
        waits: line.waits,
        kind: decode(line.kind.as_bytes(), LONGEST_TEXT),
        access: decode(line.access.as_bytes(), LONGEST_TEXT),
        path,
        others: others.iter().take(MOST_LOCKS).map(|other| party(other.pid)).collect(),
    }
}

/// Reads what the threads in poll(2) wait for out of their memory. Whether there was any.
fn poll_sets(threads: &mut [ThreadFacts], all: &[DescriptorFacts], sockets: &[SocketFacts]) -> bool {
    let mut any = false;
    for thread in threads {
        let Some((address, count)) = thread.call().and_then(|call| call.poll_set()) else { continue };
        // `struct pollfd`: the descriptor, then two shorts.
        let mut bytes = vec![0; count.min(MOST_POLLED) * 8];
        let Ok(memory) = File::open("mem") else { return any };
        let Ok(length) = memory.read_at(&mut bytes, address) else { continue };
        for entry in bytes[..length].chunks_exact(8) {
            let number = i32::from_ne_bytes([entry[0], entry[1], entry[2], entry[3]]);
            let Some(mut descriptor) = all.iter().find(|known| known.number == number).cloned() else {
                continue;
            };
            descriptor.socket = sockets.iter().find(|socket| is_of(socket, &descriptor, all)).cloned();
            thread.descriptors.push(descriptor);
            any = true;
        }
    }
    any
}

fn command_line() -> Vec<String> {
    let bytes = read_bounded("cmdline", LONGEST_FILE).unwrap_or_default();
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(&bytes);
    if bytes.is_empty() {
        return Vec::new();
    }
    bytes
        .split(|byte| *byte == 0)
        .take(MOST_ARGUMENTS)
        .map(|argument| decode(argument, LONGEST_TEXT))
        .collect()
}

fn files(descriptors: &[DescriptorFacts]) -> Vec<(FileId, &str)> {
    let named = descriptors.iter().filter(|descriptor| descriptor.target.starts_with('/'));
    let files = named.filter_map(|descriptor| {
        let metadata = fs::metadata(format!("fd/{}", descriptor.number)).ok()?;
        let (major, minor) = (major(metadata.dev()), minor(metadata.dev()));
        let file = FileId {
            major: u32::try_from(major).ok()?,
            minor: u32::try_from(minor).ok()?,
            inode: metadata.ino(),
        };
        Some((file, descriptor.target.as_str()))
    });
    files.collect()
}

/// Some file systems (btrfs, overlayfs) show programs another device than the lock table: then the number must do.
fn path_of(file: FileId, files: &[(FileId, &str)]) -> Option<String> {
    let exact = files.iter().find(|(known, _)| *known == file);
    let path = exact.or_else(|| files.iter().find(|(known, _)| known.inode == file.inode))?.1;
    Some(path.to_owned())
}
