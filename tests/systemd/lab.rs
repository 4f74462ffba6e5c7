//! A real systemd, booted as the first process of namespaces of its own, and what the tests do with it.
//!
//! It has the machine's files under a layer of its own, its own processes, mounts, network, control groups and journal.
//! Nothing in it can reach the machine's own manager. When the [`Lab`] is dropped, or the test process dies, however
//! that comes about, a small script (`lab/keeper.sh`) ends all of it and removes its control group.

mod background;
mod boot;
mod gate;
mod journal;
mod notifications;
mod outcome;
mod user;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub(crate) use background::Background;
pub(crate) use journal::Entry;
pub(crate) use outcome::Outcome;

use crate::lines::Lines;

/// The longest that anything may take. Nothing here waits for time to pass; this only ends a test that would otherwise
/// hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Where the inside finds what the test has put into [`Lab::directory`].
pub(crate) const SHARED: &str = "/run/lab";

/// A booted systemd.
pub(crate) struct Lab {
    /// Removed by the keeper.
    directory: PathBuf,
    keeper: Child,
    /// systemd, as this side numbers it.
    systemd: i32,
    /// What the keeper and the way to systemd complained about.
    complaints: Lines,
}

impl Lab {
    /// Boots a systemd. `None`: that cannot be done here, and it was said why. With `SYSTEMD_LAB=required` in the
    /// environment that is a failure.
    #[track_caller]
    pub(crate) fn boot() -> Option<Self> {
        match boot::boot() {
            Ok(lab) => Some(lab),
            Err(reason) => {
                let required = std::env::var("SYSTEMD_LAB").is_ok_and(|value| value == "required");
                assert!(!required, "no systemd can be booted here: {reason}");
                println!("skipped: no systemd can be booted here: {reason}");
                None
            }
        }
    }

    /// The same with the sample system inside; without its program the test is skipped.
    #[track_caller]
    pub(crate) fn boot_with_sample_system() -> Option<Self> {
        if !programs().join("supervised-app").is_file() {
            let reason =
                "the sample system is not built; `cargo test` in the root of the workspace builds it";
            println!("skipped: {reason}");
            return None;
        }
        Self::boot()
    }

    /// A directory that the inside sees as [`SHARED`].
    pub(crate) fn directory(&self) -> PathBuf {
        self.directory.join("inside")
    }

    /// Writes a file that the inside can read, and says where it is there.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        fs::write(self.directory().join(name), text).expect("the shared directory is writable");
        format!("{SHARED}/{name}")
    }

    /// A file anywhere inside, as this side can reach it. Links with absolute paths on the way lead out of the lab.
    pub(crate) fn inside(&self, path: &str) -> PathBuf {
        Path::new(&format!("/proc/{}/root", self.systemd)).join(path.trim_start_matches('/'))
    }

    /// Installs a unit, and lets systemd read it. A path such as `x.service.d/more.conf` is a drop-in.
    #[track_caller]
    pub(crate) fn unit(&self, name: &str, text: &str) {
        self.write(&format!("/etc/systemd/system/{name}"), text);
        self.systemctl(["daemon-reload"]).succeeds();
    }

    /// Writes a file inside, with the directories above it.
    #[track_caller]
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.inside(path);
        fs::create_dir_all(path.parent().expect("a path of a file")).expect("the inside is writable");
        fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// Runs a command inside, as root but outside of every unit, to its end.
    #[track_caller]
    pub(crate) fn run<const COUNT: usize>(&self, words: [&str; COUNT]) -> Outcome {
        self.start(words).finish()
    }

    /// The same, but does not wait for it.
    #[track_caller]
    pub(crate) fn start<const COUNT: usize>(&self, words: [&str; COUNT]) -> Background {
        Background::start(self.command(&words))
    }

    /// Runs `systemctl` to its end.
    #[track_caller]
    pub(crate) fn systemctl<const COUNT: usize>(&self, words: [&str; COUNT]) -> Outcome {
        Background::start(self.command(&[&["systemctl"], &words[..]].concat())).finish()
    }

    /// A property of a unit, as `systemctl show` has it.
    #[track_caller]
    pub(crate) fn show(&self, unit: &str, property: &str) -> String {
        self.systemctl(["show", "--value", "--property", property, unit]).succeeds().stdout.trim().to_owned()
    }

    /// The processes inside that run this program, by the last part of their program's path.
    pub(crate) fn processes(&self, program: &str) -> Vec<i32> {
        let entries = fs::read_dir(self.inside("/proc")).expect("proc is mounted inside");
        entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(|pid| {
                let path = fs::read_link(self.inside(&format!("/proc/{pid}/exe"))).unwrap_or_default();
                path.file_name().is_some_and(|name| name == program)
            })
            .collect()
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.systemd.to_string(), "--all", "--"]).args(words);
        command.env_clear();
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.envs([("LANG", "C.UTF-8"), ("SYSTEMD_PAGER", "cat"), ("SYSTEMD_COLORS", "0")]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Whatever it can still tell.
            let said =
                self.command(&["journalctl", "--no-pager", "--quiet", "-o", "short-monotonic"]).output();
            let said = said.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
            println!("--- the journal\n{}---", said.unwrap_or_default());
            println!("--- complaints\n{}\n---", self.complaints.so_far().join("\n"));
        }
        // Whoever waits for a FIFO in the shared directory ends as well: nothing outlives PID 1.
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// The directory of the programs under test.
fn programs() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_curfew_under_test")).parent().expect("a directory")
}
