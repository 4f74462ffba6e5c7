//! What it costs to reap: the CPU time that an init, as PID 1 of a pid namespace, spends on orphans that come in at once.
//!
//! ```sh
//! cargo bench -p curfew-benches --bench orphans [-- COUNT [ROUNDS]]
//! ```
//!
//! Needs root, or user namespaces, and compares with those of tini and dumb-init that are installed. The rounds of all are
//! mixed, so that whatever else the machine does hits everybody; what counts is the ratio of the medians, of which the
//! budget is 1.1 to tini. Nothing here fails because of a time: read the table.

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// How many orphans come, unless another number is given.
const COUNT: u32 = 20_000;
/// How often each init is measured, unless another number is given.
const ROUNDS: usize = 5;

/// An init, and its measurements so far: nanoseconds of CPU.
struct Contestant {
    name: &'static str,
    words: &'static [&'static str],
    measured: Vec<u64>,
}

fn main() -> Result<(), Box<dyn Error>> {
    // cargo adds `--bench`.
    let mut numbers = std::env::args().skip(1).filter(|word| !word.starts_with('-'));
    let count = numbers.next().map_or(Ok(COUNT), |word| word.parse())?;
    let rounds: usize = numbers.next().map_or(Ok(ROUNDS), |word| word.parse())?;
    let contestant = |name, words| Contestant { name, words, measured: Vec::new() };
    let mut contestants = vec![
        contestant("curfew", &[env!("CARGO_BIN_EXE_curfew_under_bench"), "--"]),
        contestant("tini", &["tini", "--"]),
        contestant("dumb-init", &["dumb-init", "--"]),
    ];
    contestants.retain(|contestant| {
        let there = is_installed(contestant.words[0]);
        if !there {
            println!("skipped: {} is not installed", contestant.name);
        }
        there
    });
    for _ in 0..rounds {
        for contestant in &mut contestants {
            contestant.measured.push(measure(contestant.words, count)?);
        }
    }
    print_table(&mut contestants, count);
    Ok(())
}

/// The CPU time of one init, from its start until it has reaped all.
fn measure(init: &[&str], count: u32) -> Result<u64, Box<dyn Error>> {
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--mount-proc", "--kill-child"]);
    if !nix::unistd::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(init).args([env!("CARGO_BIN_EXE_load"), "orphans", &count.to_string()]);
    let mut unshare =
        Ended(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?);
    let lines = BufReader::new(unshare.0.stdout.take().expect("it is piped")).lines();
    let made = lines.map_while(Result::ok).any(|line| line.contains("made "));
    if !made {
        return Err(format!("{} did not come up: are pid namespaces allowed here?", init[0]).into());
    }
    let init = children(unshare.0.id())?[0];
    // The load itself is the one child that stays.
    while children(init)?.len() > 1 {
        std::thread::yield_now();
    }
    cpu_time(init)
}

/// The children of a process with one thread.
fn children(pid: u32) -> Result<Vec<u32>, Box<dyn Error>> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    Ok(list.split_whitespace().map(str::parse).collect::<Result<_, _>>()?)
}

/// How long a process has been on a CPU, in nanoseconds: exact, other than the ticks of /proc/PID/stat. That of the dead
/// whom it has waited for is not in it.
fn cpu_time(pid: u32) -> Result<u64, Box<dyn Error>> {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat"))?;
    Ok(text.split_whitespace().next().ok_or("an empty schedstat")?.parse()?)
}

/// Killed at the end, and PID 1 of its namespace with it, and everybody else there.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn is_installed(program: &str) -> bool {
    program.contains('/')
        || std::env::var_os("PATH")
            .is_some_and(|path| std::env::split_paths(&path).any(|entry| entry.join(program).exists()))
}

fn print_table(contestants: &mut [Contestant], count: u32) {
    for contestant in contestants.iter_mut() {
        contestant.measured.sort_unstable();
    }
    let median = |contestant: &Contestant| contestant.measured[contestant.measured.len() / 2];
    let reference = contestants.iter().find(|contestant| contestant.name == "tini").map(median);
    println!("CPU time of PID 1 for {count} orphans");
    println!("{:10} {:>10} {:>10} {:>14} {:>9}", "init", "median ms", "least ms", "us per orphan", "to tini");
    for contestant in contestants.iter() {
        let median = median(contestant) as f64;
        let ratio = reference.map_or_else(String::new, |tini| format!("{:.2}", median / tini as f64));
        println!(
            "{:10} {:>10.1} {:>10.1} {:>14.2} {ratio:>9}",
            contestant.name,
            median / 1e6,
            contestant.measured[0] as f64 / 1e6,
            median / 1e3 / f64::from(count),
        );
    }
}
