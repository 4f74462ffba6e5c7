//! What curfew costs whoever runs under it: the time before a command's first instruction and after its end, wake-ups and
//! memory while nothing happens, and how fast many services start and stop.
//!
//! ```sh
//! cargo bench -p curfew-benches --bench overhead [-- ROUNDS [SERVICES]]
//! STATIC_CURFEW_BINARY=$PWD/target/x86_64-unknown-linux-gnu/release/curfew cargo bench -p curfew-benches --bench overhead
//! ```
//!
//! The floor is a static C program that does the least that can be done: fork, exec and wait for one command; posix_spawn
//! and epoll for many. `cc` must be there. Those of tini and dumb-init that are installed take part, and the static curfew
//! if the variable names it. The rounds of all are mixed, so that whatever else the machine does hits everybody. What counts
//! are the ratios; the CPU time and the page faults, of all processes of a round together, are what noise spares. Nothing
//! here fails because of a time: read the tables.
//!
//! Budgets: the start faster than tini's and 1.1 of the floor; the exit 1.1 of the floor; no switch in 10 s; 200 KiB of private
//! dirty memory; with 1000 services 3 MiB of PSS more than with one, the start 1.5 and the stop 1.2 of the floor.

#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark reads clocks, and looks for some seconds at who does nothing"
)]

use std::error::Error;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// How often each is started, unless another number is given.
const ROUNDS: usize = 300;
/// How many services there are, unless another number is given.
const SERVICES: usize = 1000;
/// How often many services are started and stopped.
const ROUNDS_OF_MANY: usize = 5;
/// How long nothing happens.
const IDLE: Duration = Duration::from_secs(10);

/// The C programs: their names, and what they do after what they share.
const PROGRAMS: [(&str, &str); 5] = [
    ("launch", "tell(); execv(v[1], v + 1); return 127;"),
    ("first", "tell(); tell(); _exit(0);"),
    ("stays", "tell(); for (;;) pause();"),
    (
        "floor",
        "pid_t p = fork(); if (!p) { execv(v[1], v + 1); _exit(127); } int s; waitpid(p, &s, 0); return WEXITSTATUS(s);",
    ),
    (
        "loop",
        "int n = atoi(v[1]), e = epoll_create1(0), s; sigset_t m; sigemptyset(&m); sigaddset(&m, SIGTERM);
         sigprocmask(SIG_BLOCK, &m, 0); posix_spawnattr_t a; posix_spawnattr_init(&a); sigset_t none; sigemptyset(&none);
         posix_spawnattr_setsigmask(&a, &none); posix_spawnattr_setflags(&a, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSID);
         struct epoll_event x = {EPOLLIN, {.fd = signalfd(-1, &m, 0)}}; epoll_ctl(e, EPOLL_CTL_ADD, x.data.fd, &x);
         int t = x.data.fd; pid_t *p = calloc(n, sizeof *p);
         for (int i = 0; i < n; i++) {
             posix_spawn(p + i, v[2], 0, &a, v + 2, environ);
             x.data.fd = syscall(SYS_pidfd_open, p[i], 0); epoll_ctl(e, EPOLL_CTL_ADD, x.data.fd, &x);
         }
         for (int left = n; left; ) {
             struct epoll_event r[64]; int c = epoll_wait(e, r, 64, -1);
             for (int i = 0; i < c; i++) {
                 struct signalfd_siginfo g;
                 if (r[i].data.fd == t) { if (read(t, &g, sizeof g)) for (int k = 0; k < n; k++) kill(p[k], SIGTERM); }
                 else { siginfo_t y; waitid(P_PIDFD, r[i].data.fd, &y, WEXITED); close(r[i].data.fd); left--; }
             }
         }
         return 0;",
    ),
];

/// Writes the time: nanoseconds of the monotonic clock.
const SHARED: &str = "#define _GNU_SOURCE
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
static inline void tell(void) {
    struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t);
    uint64_t n = t.tv_sec * 1000000000ull + t.tv_nsec; if (write(1, &n, 8) != 8) _exit(1);
}
";

/// Who runs a command, and with which words before it.
struct Contestant {
    name: &'static str,
    words: Vec<String>,
    rounds: Vec<Round>,
}

/// One life of one command.
#[derive(Clone, Copy)]
struct Round {
    /// From the exec to the command's first instruction, in nanoseconds.
    start: u64,
    /// From the command's last instruction to the end of who ran it.
    exit: u64,
    /// CPU time.
    cpu: u64,
    faults: u64,
}

fn main() -> Result<()> {
    let mut numbers = std::env::args().skip(1).filter(|word| !word.starts_with('-'));
    let rounds = numbers.next().map_or(Ok(ROUNDS), |word| word.parse())?;
    let services = numbers.next().map_or(Ok(SERVICES), |word| word.parse())?;
    let bench = Bench::prepare()?;
    let processors = std::thread::available_parallelism()?;
    println!("{rounds} rounds, {services} services, {processors} processors\n");
    let mut contestants = bench.contestants();
    for _ in 0..rounds {
        for contestant in &mut contestants {
            contestant.rounds.push(bench.run_once(&contestant.words)?);
        }
    }
    print_rounds(&contestants);
    println!("\n{:12} {:>16} {:>18} {:>8}", "idle", "switches in 10 s", "private dirty KiB", "PSS KiB");
    for contestant in &contestants {
        let (switches, dirty, pss) = bench.idle(&contestant.words)?;
        println!("{:12} {switches:>16} {dirty:>18} {pss:>8}", contestant.name);
    }
    bench.compare_many(services)
}

/// Where the C programs are; removed at the end.
struct Bench {
    folder: PathBuf,
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Bench {
    fn prepare() -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("curfew-bench-overhead-{}", std::process::id()));
        fs::create_dir(&folder)?;
        let bench = Self { folder };
        for (name, body) in PROGRAMS {
            let source = bench.folder.join(format!("{name}.c"));
            fs::write(&source, format!("{SHARED}int main(int c, char **v) {{ (void)c; {body} }}\n"))?;
            let mut compiler = Command::new("cc");
            compiler.args(["-O2", "-static", "-o"]).arg(bench.folder.join(name)).arg(&source);
            if !compiler.status()?.success() {
                return Err("cc cannot make a static program: is the static C library installed?".into());
            }
        }
        Ok(bench)
    }

    fn program(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn contestants(&self) -> Vec<Contestant> {
        let contestant = |name, words: &[&str]| Contestant {
            name,
            words: words.iter().map(ToString::to_string).collect(),
            rounds: Vec::new(),
        };
        let mut all = vec![contestant("floor", &[&self.program("floor")])];
        for (name, words) in [("tini", &["-s", "--"][..]), ("dumb-init", &["--"])] {
            match installed(name) {
                Some(path) => {
                    all.push(contestant(name, &[&[path.to_str().expect("a plain path")], words].concat()));
                }
                None => println!("skipped: {name} is not installed"),
            }
        }
        all.extend(curfews().map(|(name, path)| contestant(name, &[&path, "--"])));
        all
    }

    /// Runs these words; what they write can be read.
    fn spawn(&self, words: &[String]) -> Result<(Child, ChildStdout)> {
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        let output = child.stdout.take().expect("it is piped");
        Ok((child, output))
    }

    fn run_once(&self, words: &[String]) -> Result<Round> {
        let words = [&[self.program("launch")], words, &[self.program("first")]].concat();
        let (child, mut output) = self.spawn(&words)?;
        let (end, usage) = wait(&child);
        let [launched, first, last] =
            [read_time(&mut output)?, read_time(&mut output)?, read_time(&mut output)?];
        let nanoseconds =
            |time: libc::timeval| time.tv_sec as u64 * 1_000_000_000 + time.tv_usec as u64 * 1000;
        Ok(Round {
            start: first - launched,
            exit: end - last,
            cpu: nanoseconds(usage.ru_utime) + nanoseconds(usage.ru_stime),
            faults: usage.ru_minflt as u64,
        })
    }

    /// Context switches while nothing happens, private dirty memory, and PSS, in KiB.
    fn idle(&self, words: &[String]) -> Result<(u64, u64, u64)> {
        let (child, mut output) = self.spawn(&[words, &[self.program("stays")]].concat())?;
        let child = Ended(child);
        read_time(&mut output)?;
        // Whatever belongs to the start is over by then.
        std::thread::sleep(Duration::from_secs(1));
        let before = switches(child.0.id())?;
        std::thread::sleep(IDLE);
        let (dirty, pss) = memory(child.0.id())?;
        Ok((switches(child.0.id())? - before, dirty, pss))
    }

    fn compare_many(&self, services: usize) -> Result<()> {
        let file = self.folder.join("many.toml");
        let command = self.program("stays");
        let tables = (0..services).map(|number| format!("[service.s{number}]\ncommand = [\"{command}\"]\n"));
        fs::write(&file, tables.collect::<String>())?;
        let one = self.folder.join("one.toml");
        fs::write(&one, format!("[service.s0]\ncommand = [\"{command}\"]\n"))?;
        let run = |curfew: &str, file: &Path| {
            let words = [curfew, "run", "--control", "none", "--log-level", "error", "--config"];
            words.iter().map(ToString::to_string).chain([file.display().to_string()]).collect::<Vec<_>>()
        };
        let mut all = vec![("floor", vec![self.program("loop"), services.to_string(), command.clone()])];
        all.extend(curfews().map(|(name, path)| (name, run(&path, &file))));
        let mut measured = vec![Vec::new(); all.len()];
        for _ in 0..ROUNDS_OF_MANY {
            for ((_, words), measured) in all.iter().zip(&mut measured) {
                measured.push(self.run_many(words, services)?);
            }
        }
        println!(
            "\n{:12} {:>14} {:>14} {:>6} {:>9} {:>6} {:>8} {:>14}",
            "services",
            "to the first",
            "first to last",
            "ratio",
            "stop",
            "ratio",
            "PSS KiB",
            "to one service"
        );
        let of = |many: &[Many], field: fn(&Many) -> u64| median(many.iter().map(field));
        for ((name, _), many) in all.iter().zip(&measured) {
            let fields: [fn(&Many) -> u64; 4] =
                [|many| many.first, |many| many.up, |many| many.stop, |many| many.pss];
            let [first, up, stop, pss] = fields.map(|field| of(many, field));
            let ratio = |value: u64, field| value as f64 / of(&measured[0], field) as f64;
            let more = match curfews().find(|(curfew, _)| curfew == name) {
                Some((_, path)) => {
                    format!("+{}", pss as i64 - self.run_many(&run(&path, &one), 1)?.pss as i64)
                }
                None => String::new(),
            };
            println!(
                "{name:12} {:>11.1} ms {:>11.1} ms {:>6.2} {:>6.1} ms {:>6.2} {pss:>8} {more:>14}",
                first as f64 / 1e6,
                up as f64 / 1e6,
                ratio(up, |many| many.up),
                stop as f64 / 1e6,
                ratio(stop, |many| many.stop),
            );
        }
        Ok(())
    }

    fn run_many(&self, words: &[String], services: usize) -> Result<Many> {
        let words = [&[self.program("launch")], words].concat();
        let (child, mut output) = self.spawn(&words)?;
        let mut child = Ended(child);
        let launched = read_time(&mut output)?;
        let times = (0..services).map(|_| read_time(&mut output)).collect::<Result<Vec<u64>>>()?;
        let (first, last) = (times.iter().min().expect("one at least"), times.iter().max().expect("as well"));
        let (_, pss) = memory(child.0.id())?;
        let before = now();
        kill(Pid::from_raw(child.0.id().cast_signed()), Signal::SIGTERM)?;
        child.0.wait()?;
        Ok(Many { first: first - launched, up: last - first, stop: now() - before, pss })
    }
}

/// One life of many services, in nanoseconds and KiB.
#[derive(Clone, Copy)]
struct Many {
    /// From the exec to the first instruction of the first service.
    first: u64,
    /// From there to the first instruction of the last one.
    up: u64,
    /// From TERM to the end.
    stop: u64,
    pss: u64,
}

/// The curfew of this build, and the static one if it is named.
fn curfews() -> impl Iterator<Item = (&'static str, String)> {
    let ours = ("curfew", env!("CARGO_BIN_EXE_curfew_under_bench").to_owned());
    let fixed = std::env::var("STATIC_CURFEW_BINARY").ok().map(|path| ("curfew static", path));
    [ours].into_iter().chain(fixed)
}

fn installed(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.exists())
}

fn now() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("there is a clock");
    now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64
}

fn read_time(output: &mut ChildStdout) -> Result<u64> {
    let mut bytes = [0; 8];
    output.read_exact(&mut bytes).map_err(|error| format!("somebody did not come up: {error}"))?;
    Ok(u64::from_ne_bytes(bytes))
}

/// Waits for the end of a child, which must be a good one: when it was, and what was used.
fn wait(child: &Child) -> (u64, libc::rusage) {
    // SAFETY: a child of ours that was not waited for; both structures are valid for writing.
    let (status, usage) = unsafe {
        let (mut status, mut usage): (i32, libc::rusage) = (0, std::mem::zeroed());
        assert!(libc::wait4(child.id() as i32, &raw mut status, 0, &raw mut usage) > 0);
        (status, usage)
    };
    let end = now();
    assert_eq!(status, 0, "it ended well");
    (end, usage)
}

/// Asked to stop at the end, so that who stays goes with it, and waited for.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            // A floor passes nothing on: whoever it runs goes with its end of file, or by hand.
            for pid in children(self.0.id()).into_iter().chain([self.0.id()]) {
                let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGTERM);
            }
            let _ = self.0.wait();
        }
    }
}

fn children(pid: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

/// Of all threads.
fn switches(pid: u32) -> Result<u64> {
    let mut sum = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let status = fs::read_to_string(thread?.path().join("status"))?;
        let lines = status.lines().filter_map(|line| line.split_once("ctxt_switches:"));
        sum += lines.filter_map(|(_, count)| count.trim().parse::<u64>().ok()).sum::<u64>();
    }
    Ok(sum)
}

/// Private dirty memory, and PSS, in KiB.
fn memory(pid: u32) -> Result<(u64, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let of = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    };
    Ok((of("Private_Dirty:"), of("Pss:")))
}

fn sorted(values: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    values
}

fn median(values: impl Iterator<Item = u64>) -> u64 {
    let values = sorted(values);
    values[values.len() / 2]
}

fn print_rounds(contestants: &[Contestant]) {
    println!(
        "{:14} {:>9} {:>8} {:>8} {:>6} {:>9} {:>8} {:>8} {:>6} {:>8} {:>7}",
        "us", "to first", "p90", "least", "ratio", "to exit", "p90", "least", "ratio", "CPU", "faults"
    );
    let floor = &contestants[0].rounds;
    for Contestant { name, rounds, .. } in contestants {
        let mut line = format!("{name:14}");
        for field in [|round: &Round| round.start, |round: &Round| round.exit] {
            let (values, reference) = (sorted(rounds.iter().map(field)), median(floor.iter().map(field)));
            let at = |part: usize| values[(values.len() * part / 100).min(values.len() - 1)] as f64;
            line += &format!(
                " {:>9.1} {:>8.1} {:>8.1} {:>6.2}",
                at(50) / 1e3,
                at(90) / 1e3,
                at(0) / 1e3,
                at(50) / reference as f64
            );
        }
        let (cpu, faults) =
            (median(rounds.iter().map(|round| round.cpu)), median(rounds.iter().map(|round| round.faults)));
        println!("{line} {:>8.1} {faults:>7}", cpu as f64 / 1e3);
    }
}
