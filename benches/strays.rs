//! What it costs to end strays that ignore TERM: the CPU time that curfew spends, from the signal to its end, without a
//! cgroup; beside it that of the least that can be done, which is to list them, to kill each, and to reap.
//!
//! ```sh
//! cargo bench -p curfew-benches --bench strays [-- COUNT [ROUNDS]]
//! ```
//!
//! Needs root, or user namespaces. Each strays' family is in a pid namespace of its own, so that nobody is left. What counts is
//! the ratio; and that it is about the same for a tenth of the strays: else it grows faster than they do. Nothing here fails
//! because of a time: read the table.

use std::error::Error;
use std::fs;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

/// How many strays there are, unless another number is given.
const COUNT: usize = 10_000;
/// How often each is measured, unless another number is given.
const ROUNDS: usize = 3;

/// Inside the namespace this program runs itself, with this word first.
const INSIDE: &str = "inside";

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    if let [inside, who, count] = &words[..]
        && inside == INSIDE
    {
        let count = count.parse()?;
        println!("{}", if who == "floor" { floor(count)? } else { curfew(count)? });
        return Ok(());
    }
    let mut numbers = words.iter();
    let most = numbers.next().map_or(Ok(COUNT), |word| word.parse())?;
    let rounds: usize = numbers.next().map_or(Ok(ROUNDS), |word| word.parse())?;
    println!("CPU time to end strays, the median of {rounds}");
    println!("{:>8} {:>10} {:>10} {:>9}", "strays", "floor ms", "curfew ms", "ratio");
    for count in [most / 10, most] {
        let (mut floors, mut curfews) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            floors.push(measure("floor", count)?);
            curfews.push(measure("curfew", count)?);
        }
        let [floor, curfew] = [floors, curfews].map(|mut measured| {
            measured.sort_unstable();
            measured[measured.len() / 2] as f64 / 1e6
        });
        println!("{count:>8} {floor:>10.1} {curfew:>10.1} {:>9.2}", curfew / floor);
    }
    Ok(())
}

/// Nanoseconds of CPU.
fn measure(who: &str, count: usize) -> Result<u64, Box<dyn Error>> {
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--mount-proc", "--kill-child"]);
    if !nix::unistd::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.arg(std::env::current_exe()?).args([INSIDE, who, &count.to_string()]);
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    let text = String::from_utf8(output.stdout)?;
    text.trim()
        .parse()
        .map_err(|_| format!("{who} was not measured: are pid namespaces allowed here?").into())
}

/// A leader that obeys, and its strays, which wait for something else than TERM.
fn load(words: &[&str], count: usize) -> Result<(Child, String), Box<dyn Error>> {
    let diary = format!("/tmp/curfew-bench-strays-{}-{count}", std::process::id());
    let _ = fs::remove_file(&diary);
    let tree = format!("plain(plain+quick+storm={count})");
    let mut all = words.to_vec();
    all.extend([env!("CARGO_BIN_EXE_load"), "tree", &diary, &tree]);
    let child = Command::new(all[0])
        .args(&all[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let born = || fs::read_to_string(&diary).unwrap_or_default();
    while born().matches("born").count() < count + 2 {
        std::thread::yield_now();
    }
    let leader = born().split(' ').nth(1).ok_or("an empty diary")?.to_owned();
    fs::remove_file(&diary)?;
    Ok((child, leader))
}

fn curfew(count: usize) -> Result<u64, Box<dyn Error>> {
    let options = ["run", "--cgroup", "off", "--log-level", "error", "--grace", "WINCH 100ms, KILL"];
    let words: Vec<&str> =
        [env!("CARGO_BIN_EXE_curfew_under_bench")].into_iter().chain(options).chain(["--"]).collect();
    let (mut child, leader) = load(&words, count)?;
    let before = cpu_time(child.id())?;
    // The leader ends by itself: what it leaves behind is stopped.
    kill(Pid::from_raw(leader.parse()?), Signal::SIGTERM)?;
    // Dead, but not reaped: what it used can be read.
    waitid(Id::Pid(Pid::from_raw(child.id().cast_signed())), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT)?;
    let used = cpu_time(child.id())? - before;
    child.wait()?;
    Ok(used)
}

/// This is PID 1, so all orphans are its own.
fn floor(count: usize) -> Result<u64, Box<dyn Error>> {
    let (mut child, _) = load(&[], count)?;
    let me = std::process::id();
    let before = cpu_time(me)?;
    let list = fs::read_to_string(format!("/proc/{me}/task/{me}/children"))?;
    for pid in list.split_whitespace().filter(|pid| *pid != child.id().to_string()) {
        kill(Pid::from_raw(pid.parse()?), Signal::SIGKILL)?;
    }
    child.kill()?;
    while waitid(Id::All, WaitPidFlag::WEXITED).is_ok() {}
    let used = cpu_time(me)? - before;
    // It was reaped with all the others.
    let _ = child.wait();
    Ok(used)
}

/// How long the first thread of a process has been on a CPU, in nanoseconds.
fn cpu_time(pid: u32) -> Result<u64, Box<dyn Error>> {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat"))?;
    Ok(text.split_whitespace().next().ok_or("an empty schedstat")?.parse()?)
}
