//! Performs a plan, and gathers what there is to know of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, File};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::libc;
use serde_json::Value;
use tempfile::TempDir;

use super::TOKEN;
use super::cgroup::Cgroup;
use super::metronome::Metronome;
use super::plan::{Containment, Plan};
use super::processes::{
    carriers, children, ends_before, exists, handle_of, kill, kill_carriers, open_to_all, state, wait_for_end,
};
use super::time::{now, pause};

/// When a stop counts as hung. No plan has waits that come to a tenth of it.
const HUNG: Duration = Duration::from_secs(30);

const NAMESPACE: [&str; 5] = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];

/// What was seen of one stop.
pub(crate) struct Evidence {
    /// `None`: it hung.
    pub(crate) status: Option<ExitStatus>,
    /// From the first signal to the end of curfew; `None` if it ended before.
    pub(crate) took: Option<Duration>,
    /// How late this machine was meanwhile.
    pub(crate) lateness: Duration,
    pub(crate) born: BTreeMap<i32, Born>,
    pub(crate) said_bye: BTreeSet<i32>,
    pub(crate) report: Option<String>,
    pub(crate) log: String,
    /// Who was still there when curfew was gone.
    pub(crate) left: Vec<Left>,
}

/// Somebody who was still there when curfew was gone.
#[derive(Clone, Debug)]
pub(crate) struct Left {
    /// Its pid, if it is a process.
    pub(crate) pid: Option<i32>,
    /// It has been sent KILL, and only a processor was missing for it to end.
    pub(crate) is_dying: bool,
    /// It has nothing to wait for but a processor.
    pub(crate) is_runnable: bool,
    /// It is curfew itself, as far as it looks at others or writes.
    pub(crate) is_helper: bool,
    pub(crate) words: String,
}

/// An entry of the diary.
#[derive(Debug)]
pub(crate) struct Born {
    pub(crate) parent: i32,
    pub(crate) traits: String,
}

impl Evidence {
    /// The report, if it is one.
    pub(crate) fn parsed(&self) -> Option<Value> {
        serde_json::from_str(self.report.as_ref()?).ok()
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        let status = self.status.map_or_else(|| "it hung".to_owned(), |status| status.to_string());
        let report = match self.parsed() {
            Some(mut report) => {
                // The log has them as well.
                report["events"] = Value::Null;
                report.to_string()
            }
            None => self.report.clone().unwrap_or_else(|| "none".to_owned()),
        };
        writeln!(
            formatter,
            "{status} after {:?}, on a machine that was late by {:?}\nborn: {:?}\nsaid bye: {:?}",
            self.took, self.lateness, self.born, self.said_bye
        )?;
        writeln!(formatter, "--- log\n{}\n--- report\n{report}", self.log)
    }
}

/// One at a time: whoever is left behind by a curfew that is gone becomes our child, and must not be taken for another's.
static TURN: Mutex<()> = Mutex::new(());

/// Whether curfew can be PID 1 here; says why not.
pub(crate) fn namespaces_work() -> bool {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let output = Command::new(NAMESPACE[0]).args(&NAMESPACE[1..]).arg("true").output();
    let works = output.is_ok_and(|output| output.status.success());
    if !works {
        eprintln!("skipped: the stops of PID 1: no pid namespace can be made here");
    }
    works
}

/// Whether there is a cgroup to be had; says why not.
pub(crate) fn cgroups_work() -> bool {
    let cgroup = Cgroup::make(&format!("curfew-stops.{}", std::process::id()));
    if cgroup.is_none() {
        eprintln!("skipped: the stops with a cgroup: no cgroup v2 can be made here");
    }
    cgroup.map(Cgroup::dissolve).is_some()
}

pub(crate) fn perform(plan: &Plan) -> Evidence {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: it takes integers.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) };
    let directory = TempDir::with_prefix("curfew-stop-").expect("a directory");
    open_to_all(directory.path());
    let path = |name: &str| directory.path().join(name).display().to_string();
    let [diary, report, log, config] = ["diary", "report.json", "log", "system.toml"].map(path);
    let token = format!("{}.{}", std::process::id(), plan.seed);
    let mut words: Vec<String> = Vec::new();
    if plan.pid_one {
        words.extend(NAMESPACE.map(str::to_owned));
    }
    words.extend([env!("CARGO_BIN_EXE_curfew_under_test"), "run", "--log", "json"].map(str::to_owned));
    words.extend(["--log-level", "debug", "--report", &report, "--grace", &plan.grace].map(str::to_owned));
    if let Some(deadline) = plan.deadline {
        words.extend(["--deadline".to_owned(), format!("{}ms", deadline.as_millis())]);
    }
    match plan.containment {
        Containment::Auto => {}
        Containment::Descent => words.extend(["--cgroup", "off"].map(str::to_owned)),
        Containment::Cgroup => words.extend(["--cgroup", "require"].map(str::to_owned)),
    }
    if plan.mirror {
        words.extend(["--exit-status", "mirror"].map(str::to_owned));
    }
    let fixture = env!("CARGO_BIN_EXE_fixture");
    if plan.one_command {
        words.extend(["--", fixture, "tree", &diary, &plan.services[0].tree].map(str::to_owned));
    } else {
        fs::write(&config, plan.configuration(fixture, &diary)).expect("the configuration is written");
        words.extend(["--config".to_owned(), config]);
    }
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).env(TOKEN, &token);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CURFEW_") {
            command.env_remove(name);
        }
    }
    command.env("CURFEW_CONTROL", "none");
    // A job in the background may have been given INT ignored, and then nobody hears it before curfew has its handlers.
    let heed = || {
        for signal in [libc::SIGINT, libc::SIGQUIT] {
            // SAFETY: a valid signal, and its default action.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
        Ok(())
    };
    // SAFETY: what it calls is async-signal-safe.
    unsafe { command.pre_exec(heed) };
    let is_wanted = plan.containment == Containment::Cgroup;
    let cgroup = is_wanted.then(|| Cgroup::make(&format!("curfew-stops.{token}")).expect("it worked before"));
    if let Some(cgroup) = &cgroup {
        // SAFETY: as above.
        unsafe { command.pre_exec(cgroup.entrance()) };
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log).expect("a log"));
    let metronome = Metronome::start();
    let since = now();
    let mut child = command.spawn().expect("curfew is executed");
    let pid = child.id() as i32;
    let hung = since.plus(HUNG);
    let target = if plan.pid_one { first_of_namespace(pid) } else { Some(pid) };
    let handle = target.and_then(handle_of);
    let is_over = |until| handle.as_ref().is_none_or(|handle| ends_before(handle, until));
    let since = now();
    let mut first = None;
    for (at, signal) in &plan.signals {
        if is_over(since.plus(*at)) {
            break;
        }
        first.get_or_insert_with(now);
        kill(target.expect("it was just there"), *signal);
    }
    // Of a namespace not the end is measured, which the kernel may take its time for, but that of its PID 1.
    let ended = is_over(hung);
    let took = first.map(|first| now().since(first));
    let ended = ended && wait_for_end(pid, hung);
    let lateness = metronome.latest();
    if !ended {
        kill(pid, libc::SIGKILL);
    }
    let status = child.wait().expect("it is our child");
    let mut left = clean_up(&token);
    // Whoever is in it is a process, and is judged as such.
    let of_cgroup = |words| Left { pid: None, is_dying: true, is_runnable: false, is_helper: false, words };
    left.extend(cgroup.map(Cgroup::dissolve).unwrap_or_default().into_iter().map(of_cgroup));
    let diary = fs::read_to_string(diary).unwrap_or_default();
    let entered = |what| {
        diary.lines().filter_map(move |line| {
            let mut words = line.strip_prefix(what)?.split_whitespace();
            let (pid, parent) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
            Some((pid, Born { parent, traits: words.collect() }))
        })
    };
    Evidence {
        status: ended.then_some(status),
        took,
        lateness,
        born: entered("born").collect(),
        said_bye: entered("bye").map(|(pid, _)| pid).collect(),
        report: fs::read_to_string(report).ok(),
        log: fs::read_to_string(log).unwrap_or_default(),
        left,
    }
}

/// PID 1 of the namespace, when it can hear a TERM: before, the kernel discards it, as for every PID 1.
fn first_of_namespace(unshare: i32) -> Option<i32> {
    let end = now().plus(HUNG);
    while now() < end && exists(unshare) {
        if let [init] = children(unshare)[..]
            && is_curfew(init)
            && hears_term(init)
        {
            return Some(init);
        }
        // The kernel tells nobody when a process changes its signal mask.
        pause(Duration::from_micros(200));
    }
    None
}

/// Whether it has come that far: before, it is what makes the namespace.
fn is_curfew(pid: i32) -> bool {
    fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.ends_with("curfew_under_test"))
}

fn hears_term(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let sets =
        status.lines().filter_map(|line| line.strip_prefix("SigBlk:").or(line.strip_prefix("SigCgt:")));
    sets.filter_map(|bits| u64::from_str_radix(bits.trim(), 16).ok())
        .any(|bits| bits >> (libc::SIGTERM - 1) & 1 == 1)
}

/// Ends and reaps whoever is left: told by what they carry, and, since they may have lost that, by having become ours.
fn clean_up(token: &str) -> Vec<Left> {
    let me = std::process::id() as i32;
    let mut left: Vec<Left> = carriers(token).into_iter().map(Left::see).collect();
    // Only we reap our children. Who is in the state X was reaped before he became one: by the kernel, for a parent that ignores
    // CHLD and that ended just then. He is in the list for a moment, and wait(2) knows him no more.
    let ours = children(me).into_iter().filter(|pid| !matches!(state(*pid), Some('X') | None));
    left.extend(ours.map(Left::see));
    kill_carriers(token);
    // Their children become ours in turn.
    while let Some(pid) = children(me).first().copied() {
        kill(pid, libc::SIGKILL);
        // SAFETY: a null pointer means that nothing is asked.
        unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::__WALL) };
    }
    left
}

impl Left {
    fn see(pid: i32) -> Self {
        let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}"));
        let status = read("status").unwrap_or_default();
        let pending =
            status.lines().filter_map(|line| line.strip_prefix("SigPnd:").or(line.strip_prefix("ShdPnd:")));
        let is_killed = pending
            .filter_map(|bits| u64::from_str_radix(bits.trim(), 16).ok())
            .any(|bits| bits >> (libc::SIGKILL - 1) & 1 == 1);
        let stat = read("stat").unwrap_or_else(|_| "gone meanwhile".to_owned());
        let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let threads: Vec<String> =
            threads.filter_map(|thread| fs::read_to_string(thread.path().join("stat")).ok()).collect();
        // The kernel's PF_EXITING: the signal is not pending any more, and the work of ending has begun.
        let is_exiting = |stat: &String| {
            let flags = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(6)?.parse().ok());
            flags.is_some_and(|flags: u64| flags & 4 != 0)
        };
        let short = |text: &str, length| text.chars().take(length).collect::<String>();
        let states: Vec<String> = threads.iter().map(|stat| short(stat, 30)).collect();
        Self {
            pid: Some(pid),
            is_dying: is_killed || threads.iter().all(is_exiting),
            is_runnable: threads.iter().any(|stat| stat.contains(") R ")),
            is_helper: stat.contains("(curfew_under_te)"),
            words: format!("{pid}: {}; threads: {states:?}", short(&stat, 60)),
        }
    }
}

/// The status as a shell would show it; `None` for a curfew that a signal ended.
pub(crate) fn code(status: ExitStatus) -> Result<i32, i32> {
    status.code().ok_or_else(|| status.signal().unwrap_or(0))
}
