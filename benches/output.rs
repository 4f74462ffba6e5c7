//! How fast curfew carries output, beside a bare splice(2) loop, beside `cat`, and beside peers, on one machine in one run.
//!
//! ```sh
//! cargo bench --bench output                          # 1 GiB, three rounds
//! cargo bench --bench output -- --mebibytes 256 --rounds 5
//! python3 -m venv peers && peers/bin/pip install honcho supervisor
//! PATH=$PWD/peers/bin:$PATH cargo bench --bench output    # with peers
//! ```
//!
//! A service writes a file of lines, 100 bytes each, as `cat` does. Where it goes lies in memory (`/dev/shm`), if there is
//! room: a disk would be what is measured. Contestants take turns, and the median of the rounds counts. Everything that
//! arrives is counted, and what curfew carried is checked line by line, once, apart from the timing.
//!
//! Budgets: a file at least 0.8 × splice; with a name before each line at least 300 MB/s.

#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark reads the clock, and looks now and then how far a peer is"
)]

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::libc;

const LINE: u64 = 100;
const MEBIBYTE: u64 = 1024 * 1024;
/// Peers that are slow get less to carry.
const MEBIBYTES_OF_SLOW_PEERS: u64 = 64;

/// The programs that need not be there.
const PEERS: [&str; 2] = ["supervisord", "honcho"];

/// Its name, and how it runs once.
type Contestant<'a> = (&'a str, &'a dyn Fn(&Bench) -> Run);

/// What a run came to.
struct Run {
    took: Duration,
    bytes: u64,
    /// The most memory that the carrier had, in KiB, if that can be told.
    memory: Option<i64>,
}

struct Bench {
    folder: PathBuf,
    lines: PathBuf,
    few_lines: PathBuf,
    rounds: usize,
}

fn main() {
    let (mebibytes, rounds) = (option("--mebibytes", 1024), option("--rounds", 3));
    let bench = Bench::prepare(mebibytes, rounds as usize);
    println!(
        "{mebibytes} MiB in lines of {LINE} bytes, {rounds} rounds, in {}; the median counts\n",
        bench.folder.display()
    );

    println!("into a file, untouched");
    let speeds = bench.compare(&[
        ("splice(2), a bare loop", &Bench::splice),
        ("cat >> file", &Bench::cat_to_file),
        ("curfew --output file=", &Bench::curfew_to_file),
        ("supervisord", &Bench::supervisord),
    ]);
    println!("  budget: at least 0.80 × splice: {}\n", verdict(speeds[2] >= 0.8 * speeds[0]));

    println!("into a pipe, a name before each line");
    let speeds = bench.compare(&[
        ("cat, untouched", &Bench::cat_to_pipe),
        ("curfew --output inherit", &|bench| bench.curfew_to_pipe("inherit")),
        ("curfew --output prefix", &|bench| bench.curfew_to_pipe("prefix")),
        ("curfew --output json", &|bench| bench.curfew_to_pipe("json")),
        ("honcho", &Bench::honcho),
    ]);
    println!("  budget: at least 300 MB/s: {}\n", verdict(speeds[2] >= 300.0));

    bench.check_every_line();
}

/// `--NAME NUMBER`. Whatever else cargo passes is none of ours.
fn option(name: &str, default: u64) -> u64 {
    let mut arguments = std::env::args().skip_while(|argument| argument != name).skip(1);
    arguments.next().map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} takes a number")))
}

fn verdict(is_met: bool) -> &'static str {
    if is_met { "met" } else { "NOT MET" }
}

fn curfew() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_curfew"));
    command.args(["run", "--log-level", "warn", "--control", "none"]);
    command
}

impl Bench {
    fn prepare(mebibytes: u64, rounds: usize) -> Self {
        let memory = Path::new("/dev/shm");
        let base =
            if has_room(memory, 3 * mebibytes * MEBIBYTE) { memory.to_owned() } else { std::env::temp_dir() };
        let folder = base.join(format!("curfew-bench-{}", std::process::id()));
        fs::create_dir(&folder).expect("a folder for the benchmark");
        let [lines, few_lines] =
            [("lines", mebibytes), ("few-lines", mebibytes.min(MEBIBYTES_OF_SLOW_PEERS))].map(
                |(name, mebibytes)| {
                    let path = folder.join(name);
                    let mut file = BufWriter::new(File::create(&path).expect("a file of lines"));
                    for number in 0..mebibytes * MEBIBYTE / LINE {
                        writeln!(file, "{number:0width$}", width = LINE as usize - 1).expect("there is room");
                    }
                    file.flush().expect("there is room");
                    path
                },
            );
        Self { folder, lines, few_lines, rounds }
    }

    /// Lets them take turns, and prints the throughput of each, and how it is beside the first. Returns it, in MB/s.
    fn compare(&self, contestants: &[Contestant]) -> Vec<f64> {
        let is_here = |name: &str| !PEERS.contains(&name) || is_installed(name);
        let mut runs: Vec<Vec<Run>> = contestants.iter().map(|_| Vec::new()).collect();
        for _ in 0..self.rounds {
            for ((name, contestant), runs) in contestants.iter().zip(&mut runs) {
                if is_here(name) {
                    runs.push(contestant(self));
                }
            }
        }
        let mut medians = Vec::new();
        for ((name, _), runs) in contestants.iter().zip(runs) {
            let mut speeds: Vec<f64> =
                runs.iter().map(|run| run.bytes as f64 / run.took.as_secs_f64() / 1e6).collect();
            if speeds.is_empty() {
                println!("  {name:<24} not installed");
                continue;
            }
            speeds.sort_by(f64::total_cmp);
            let speed = speeds[speeds.len() / 2];
            medians.push(speed);
            let memory = runs.iter().filter_map(|run| run.memory).max();
            let memory = memory.map_or_else(String::new, |memory| format!("   {memory:>6} KiB at most"));
            let (slowest, fastest, ratio) = (speeds[0], speeds[speeds.len() - 1], speed / medians[0]);
            let range = format!("({slowest:.0} to {fastest:.0})");
            println!("  {name:<24} {speed:>5.0} MB/s {range:<14} {ratio:>5.2} ×{memory}");
        }
        medians
    }

    fn target(&self) -> PathBuf {
        let path = self.folder.join("target.log");
        // It may not be there.
        let _ = fs::remove_file(&path);
        path
    }

    fn size(&self) -> u64 {
        fs::metadata(&self.lines).expect("it was made").len()
    }

    /// A service that writes all lines into a pipe, and the other end of it.
    fn source(&self) -> (Child, io::PipeReader) {
        let (read, write) = io::pipe().expect("a pipe");
        let child = Command::new("cat").arg(&self.lines).stdout(write).spawn().expect("cat is there");
        (child, read)
    }

    fn splice(&self) -> Run {
        let target = self.target();
        let file = File::create(&target).expect("a file");
        let since = Instant::now();
        let (mut child, pipe) = self.source();
        loop {
            let flags = libc::SPLICE_F_MOVE;
            let none = std::ptr::null_mut;
            // SAFETY: both descriptors are open, and the offsets are the files' own.
            let count = unsafe {
                libc::splice(pipe.as_raw_fd(), none(), file.as_raw_fd(), none(), MEBIBYTE as usize, flags)
            };
            match count {
                0 => break,
                count if count < 0 => panic!("splice: {}", io::Error::last_os_error()),
                _ => {}
            }
        }
        child.wait().expect("it is ours");
        self.finished(since, &target, None)
    }

    fn cat_to_file(&self) -> Run {
        let target = self.target();
        let file = File::options().append(true).create(true).open(&target).expect("a file");
        let since = Instant::now();
        let (mut child, pipe) = self.source();
        Command::new("cat").stdin(pipe).stdout(file).status().expect("cat is there");
        child.wait().expect("it is ours");
        self.finished(since, &target, None)
    }

    fn curfew_to_file(&self) -> Run {
        let target = self.target();
        let mut command = curfew();
        command
            .arg("--output")
            .arg(format!("file={}", target.display()))
            .args(["--", "cat"])
            .arg(&self.lines);
        let since = Instant::now();
        let memory = wait(command.spawn().expect("curfew is built"));
        self.finished(since, &target, Some(memory))
    }

    fn supervisord(&self) -> Run {
        let target = self.target();
        let config = self.folder.join("supervisord.conf");
        let (folder, lines, log) = (self.folder.display(), self.lines.display(), target.display());
        let text = format!(
            "[supervisord]\nnodaemon=true\nlogfile=/dev/null\nlogfile_maxbytes=0\npidfile={folder}/supervisord.pid\n\
             [program:a]\ncommand=cat {lines}\nautorestart=false\nstartsecs=0\nredirect_stderr=true\n\
             stdout_logfile={log}\nstdout_logfile_maxbytes=0\n"
        );
        fs::write(&config, text).expect("there is room");
        let mut command = Command::new("supervisord");
        command.arg("-c").arg(&config).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("supervisord is installed");
        // What it needs to start itself is none of its throughput.
        wait_until(|| fs::metadata(&target).is_ok_and(|file| file.len() > 0));
        let (since, before) = (Instant::now(), fs::metadata(&target).expect("it is there").len());
        wait_until(|| fs::metadata(&target).is_ok_and(|file| file.len() == self.size()));
        let took = since.elapsed();
        let memory = peak_memory(child.id());
        // SAFETY: a child of ours that was not waited for.
        unsafe { libc::kill(child.id() as i32, libc::SIGTERM) };
        child.wait().expect("it is ours");
        Run { took, bytes: self.size() - before, memory }
    }

    fn cat_to_pipe(&self) -> Run {
        let since = Instant::now();
        let (mut child, pipe) = self.source();
        let status = Command::new("cat").stdin(pipe).stdout(Stdio::null()).status();
        status.expect("cat is there");
        child.wait().expect("it is ours");
        Run { took: since.elapsed(), bytes: self.size(), memory: None }
    }

    fn curfew_to_pipe(&self, output: &str) -> Run {
        let mut command = curfew();
        command.args(["--output", output, "--", "cat"]).arg(&self.lines);
        self.through_pipe(command, self.size())
    }

    fn honcho(&self) -> Run {
        let procfile = self.folder.join("Procfile");
        fs::write(&procfile, format!("a: cat {}\n", self.few_lines.display())).expect("there is room");
        let mut command = Command::new("honcho");
        command.arg("-f").arg(procfile).args(["start"]).stderr(Stdio::null());
        self.through_pipe(command, fs::metadata(&self.few_lines).expect("it was made").len())
    }

    /// The command's output goes through a pipe to a `cat` that throws it away.
    fn through_pipe(&self, mut command: Command, bytes: u64) -> Run {
        let (read, write) = io::pipe().expect("a pipe");
        let since = Instant::now();
        let child = command.stdout(write).spawn().expect("it is there");
        // Our own copy of the other end goes with it.
        drop(command);
        let mut reader = Command::new("cat").stdin(read).stdout(Stdio::null()).spawn().expect("cat is there");
        let memory = wait(child);
        reader.wait().expect("it is ours");
        Run { took: since.elapsed(), bytes, memory: Some(memory) }
    }

    fn finished(&self, since: Instant, target: &Path, memory: Option<i64>) -> Run {
        let took = since.elapsed();
        let bytes = fs::metadata(target).expect("it was written").len();
        assert_eq!(bytes, self.size(), "all of it arrived");
        Run { took, bytes, memory }
    }

    /// No line is lost or torn: each is compared with what it should be.
    fn check_every_line(&self) {
        let (read, write) = io::pipe().expect("a pipe");
        let mut command = curfew();
        command.args(["--name", "a", "--output", "prefix", "--", "cat"]).arg(&self.lines).stdout(write);
        let child = command.spawn().expect("curfew is built");
        drop(command);
        let count = check(read, b"a | ");
        wait(child);
        println!("checked: {count} lines with a name, none lost or torn");
        let run = self.curfew_to_file();
        let count = check(File::open(self.folder.join("target.log")).expect("it was written"), b"");
        println!("checked: {count} lines in the file, {} bytes, none lost or torn", run.bytes);
        assert_eq!(count, self.size() / LINE);
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn check(stream: impl Read, prefix: &[u8]) -> u64 {
    let mut stream = BufReader::with_capacity(MEBIBYTE as usize, stream);
    let (mut count, mut line) = (0, Vec::new());
    loop {
        line.clear();
        if stream.read_until(b'\n', &mut line).expect("it can be read") == 0 {
            return count;
        }
        let text = line.strip_prefix(prefix).expect("the prefix is there");
        assert_eq!(text.len() as u64, LINE, "line {count}: {}", String::from_utf8_lossy(&line));
        let digits = std::str::from_utf8(&text[..text.len() - 1]).expect("digits");
        assert_eq!(digits.parse(), Ok(count), "the lines are in order");
        count += 1;
    }
}

/// Waits for the end of a child, which must be a good one, and tells the most memory that it had, in KiB.
#[expect(clippy::needless_pass_by_value, reason = "it is waited for here, and nowhere else")]
fn wait(child: Child) -> i64 {
    // SAFETY: a child of ours that was not waited for; both structures are valid for writing.
    let (status, usage) = unsafe {
        let (mut status, mut usage): (i32, libc::rusage) = (0, std::mem::zeroed());
        assert!(libc::wait4(child.id() as i32, &raw mut status, 0, &raw mut usage) > 0);
        (status, usage)
    };
    assert_eq!(status, 0, "it ended well");
    usage.ru_maxrss
}

fn peak_memory(pid: u32) -> Option<i64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Peers do not tell when they are done.
fn wait_until(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).exists())
}

fn has_room(folder: &Path, bytes: u64) -> bool {
    nix::sys::statvfs::statvfs(folder)
        .is_ok_and(|room| room.blocks_available().saturating_mul(room.fragment_size()) > bytes)
}
