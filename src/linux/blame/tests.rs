//! Real processes in real trouble. They wait for what /proc shows, not for time.

use std::fs::File;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::fcntl::{Flock, FlockArg};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::SigSet;

use super::examination::wait_channel_of;
use super::thread::Wait;
use super::*;
use crate::linux::delivery::{to_child, to_group_of};
use crate::supervisor::Signal;

/// A program in a process group of its own, which is killed at the end.
struct Victim(Child);

impl Victim {
    fn start(command: &[&str]) -> Self {
        let mut program = Command::new(command[0]);
        program.args(&command[1..]).process_group(0);
        program.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // Whoever runs the tests in the background of a script has them ignored, and children inherit that.
        let heed_interrupts = || {
            for signal in [libc::SIGINT, libc::SIGQUIT] {
                // SAFETY: the default action is no handler.
                unsafe { libc::signal(signal, libc::SIG_DFL) };
            }
            Ok(())
        };
        // SAFETY: signal(2) may be called between fork and exec.
        unsafe { program.pre_exec(heed_interrupts) };
        Self(program.spawn().unwrap())
    }

    fn pid(&self) -> Pid {
        Pid::new(self.0.id() as i32).unwrap()
    }

    /// Until it is in the state that the test is about, of which more is seen here than by the quick look alone.
    fn until(&self, reached: impl Fn(&QuickLook) -> bool) -> QuickLook {
        loop {
            let mut seen = QuickLook::take(self.pid(), &|| true);
            for thread in &mut seen.threads {
                thread.wait_channel = wait_channel_of(&format!("/proc/{}/task/{}", self.pid(), thread.id));
            }
            if reached(&seen) {
                // It stays there, and when its state was read it may not have been there yet.
                return QuickLook::take(self.pid(), &|| true);
            }
            std::thread::yield_now();
        }
    }

    fn until_it_waits_for(&self, wait: &Wait) -> QuickLook {
        self.until(|look| look.threads.first().is_some_and(|thread| thread.wait() == *wait))
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = to_group_of(self.pid(), Signal::KILL);
        let _ = self.0.wait();
    }
}

const WAITED: Duration = Duration::new(10, 0);

fn investigate(pid: Pid, quick: QuickLook) -> Progress {
    let cpu_before = quick.cpu_time;
    follow(&mut Investigation::start(pid, quick, cpu_before, WAITED).unwrap())
}

/// To the end of the helper. Who wires it reaps it; here it stays a zombie until the tests are over.
fn follow(investigation: &mut Investigation) -> Progress {
    loop {
        match investigation.read() {
            Progress::Pending => {}
            progress => return progress,
        }
        let mut wait = [PollFd::new(std::os::fd::AsFd::as_fd(investigation), PollFlags::POLLIN)];
        let _ = poll(&mut wait, PollTimeout::NONE);
    }
}

#[track_caller]
fn done(progress: Progress) -> Blame {
    match progress {
        Progress::Done(blame) => {
            let blame = *blame;
            println!("{}", blame.sentence());
            assert!(blame.sentence().chars().count() <= 200);
            blame
        }
        other => panic!("{other:?}"),
    }
}

/// A file that is removed at the end.
struct TestFile(PathBuf);

impl TestFile {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("curfew-blame-{}-{name}", std::process::id())))
    }

    fn text(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for TestFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn a_process_stuck_in_flock_names_the_file_and_the_holder() {
    let file = TestFile::new("lock");
    let _lock = Flock::lock(File::create(&file.0).unwrap(), FlockArg::LockExclusive).unwrap();
    let victim = Victim::start(&["flock", file.text(), "true"]);
    let quick = victim.until_it_waits_for(&Wait::FileLock);
    let blame = done(investigate(victim.pid(), quick));
    let start =
        format!("main thread waits for a file lock on {} held by pid {} (", file.text(), std::process::id());
    assert!(blame.sentence().starts_with(&start), "{}", blame.sentence());
    assert!(blame.sentence().ends_with("); no CPU for 10 s"), "{}", blame.sentence());
    let report = blame.report_value();
    assert_eq!(report["command"][0], "flock");
    assert_eq!(report["locks"][0]["path"], file.text());
    assert_eq!(report["locks"][0]["held_by"][0]["pid"], std::process::id());
}

#[test]
fn a_long_and_hostile_path_stays_a_short_sentence() {
    let file = TestFile::new(&format!("{}\n\u{1b}[2J", "x".repeat(200)));
    let _lock = Flock::lock(File::create(&file.0).unwrap(), FlockArg::LockExclusive).unwrap();
    let victim = Victim::start(&["flock", file.text(), "true"]);
    let quick = victim.until_it_waits_for(&Wait::FileLock);
    let blame = done(investigate(victim.pid(), quick));
    assert!(blame.sentence().contains("file lock on "), "{}", blame.sentence());
}

#[test]
fn a_process_that_holds_a_lock_is_known_to_keep_others_waiting() {
    let file = TestFile::new("held");
    let holder = Victim::start(&["flock", "--no-fork", file.text(), "sleep", "1000"]);
    holder.until_it_waits_for(&Wait::Timer);
    let waiter = Victim::start(&["flock", file.text(), "true"]);
    waiter.until_it_waits_for(&Wait::FileLock);
    let blame = done(investigate(holder.pid(), QuickLook::take(holder.pid(), &|| true)));
    let lock = &blame.report_value()["locks"][0];
    assert_eq!((&lock["waits"], &lock["path"]), (&Value::from(false), &Value::from(file.text())));
    assert_eq!(lock["wanted_by"][0]["pid"], waiter.pid().number());
}

#[test]
fn a_busy_loop_is_called_busy() {
    let victim = Victim::start(&["sh", "-c", "while :; do :; done"]);
    let before = cpu_time(victim.pid()).unwrap();
    let waited = Duration::new(0, 20_000_000);
    let quick = victim.until(|look| look.cpu_time.unwrap() >= before + waited);
    let mut investigation = Investigation::start(victim.pid(), quick, Some(before), waited).unwrap();
    let blame = done(follow(&mut investigation));
    assert!(blame.sentence().starts_with("busy: "), "{}", blame.sentence());
    assert!(blame.sentence().contains(" ms of CPU in 20 ms"), "{}", blame.sentence());
}

#[test]
fn an_open_connection_names_its_peer() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = listener.local_addr().unwrap().to_string();
    let script = format!("exec 3<>/dev/tcp/127.0.0.1/{}; read x <&3", listener.local_addr().unwrap().port());
    let victim = Victim::start(&["bash", "-c", &script]);
    let _connection = listener.accept().unwrap();
    let quick = victim.until(|look| {
        look.threads.first().is_some_and(|thread| thread.state == 'S' && !thread.wait_channel.is_empty())
    });
    let blame = done(investigate(victim.pid(), quick));
    assert!(blame.sentence().contains(&peer), "{}", blame.sentence());
    let report = blame.report_value();
    assert_eq!(
        (&report["sockets"][0]["remote"], &report["sockets"][0]["state"]),
        (&peer.into(), &"ESTABLISHED".into())
    );
}

#[test]
fn a_poll_on_one_connection_names_its_peer() {
    let listener = TcpListener::bind("[::1]:0").or_else(|_| TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let script = format!(
        "import select,socket\ns=socket.create_connection(({:?},{}))\np=select.poll()\np.register(s,1)\np.poll()",
        address.ip().to_string(),
        address.port()
    );
    match Command::new("python3").arg("--version").output() {
        Ok(output) if output.status.success() => {}
        _ => return println!("skipped: there is no python3"),
    }
    let victim = Victim::start(&["python3", "-c", &script]);
    let _connection = listener.accept().unwrap();
    let quick = victim.until_it_waits_for(&Wait::Call("poll"));
    let blame = done(investigate(victim.pid(), quick));
    assert!(blame.sentence().contains(&address.to_string()), "{}", blame.sentence());
}

#[test]
fn a_shell_that_waits_says_for_which_child() {
    let victim = Victim::start(&["sh", "-c", "sleep 1000; :"]);
    let quick = victim.until_it_waits_for(&Wait::Child);
    let child = loop {
        let blame = done(investigate(victim.pid(), quick.clone()));
        // At first the child is a shell itself.
        match &blame.children[..] {
            [child] if child.name == "sleep" && child.wait() == Wait::Timer => {
                break (child.id, blame.sentence());
            }
            _ => std::thread::yield_now(),
        }
    };
    let expected =
        format!("main thread waits for its child {} (sleep), which sleeps; no CPU for 10 s", child.0);
    assert_eq!(child.1, expected);
}

#[test]
fn a_stopped_process_is_called_stopped() {
    let victim = Victim::start(&["sleep", "1000"]);
    to_child(victim.pid(), Signal::STOP).unwrap();
    let quick = victim.until(|look| look.threads.first().is_some_and(|thread| thread.state == 'T'));
    let blame = done(investigate(victim.pid(), quick));
    assert!(blame.sentence().starts_with("stopped by a signal (state T)"), "{}", blame.sentence());
}

#[test]
fn a_process_that_ignores_term_is_said_to() {
    let victim = Victim::start(&["sh", "-c", "trap '' TERM; exec sleep 1000"]);
    let quick = victim.until(|look| look.name == "sleep" && look.threads[0].wait() == Wait::Timer);
    let blame = done(investigate(victim.pid(), quick));
    assert_eq!(blame.sentence(), "main thread sleeps; ignores SIGTERM; no CPU for 10 s");
    assert!(blame.report_value()["signals"]["ignored"].as_array().unwrap().contains(&"TERM".into()));
}

#[test]
fn of_a_vanished_process_there_is_nothing_to_say() {
    let mut victim = Victim::start(&["sleep", "1000"]);
    let pid = victim.pid();
    victim.0.kill().unwrap();
    victim.0.wait().unwrap();
    let quick = QuickLook::take(pid, &|| true);
    assert_eq!(quick.sight, Sight::Vanished);
    assert!(matches!(investigate(pid, quick), Progress::Nothing));
}

#[test]
fn what_vanishes_after_the_quick_look_is_what_the_quick_look_saw() {
    let mut victim = Victim::start(&["sleep", "1000"]);
    let pid = victim.pid();
    let quick = victim.until_it_waits_for(&Wait::Timer);
    victim.0.kill().unwrap();
    victim.0.wait().unwrap();
    let blame = done(investigate(pid, quick));
    assert_eq!(blame.sentence(), "main thread waits; no CPU for 10 s");
}

#[test]
fn a_zombie_is_said_to_be_one() {
    let mut victim = Victim::start(&["sleep", "1000"]);
    victim.0.kill().unwrap();
    let quick = victim.until(|look| look.threads.first().is_some_and(|thread| thread.state == 'Z'));
    let blame = done(investigate(victim.pid(), quick));
    assert!(blame.sentence().starts_with("has ended, but was not reaped"), "{}", blame.sentence());
}

#[test]
fn a_killed_helper_leaves_what_the_quick_look_saw() {
    let victim = Victim::start(&["sleep", "1000"]);
    let quick = victim.until_it_waits_for(&Wait::Timer);
    let mut investigation = Investigation::start(victim.pid(), quick, None, WAITED).unwrap();
    to_child(investigation.pid(), Signal::KILL).unwrap();
    let blame = done(follow(&mut investigation));
    // Where it waits the helper may have told before its end.
    let start = ["main thread waits", "main thread sleeps"];
    assert!(start.iter().any(|start| blame.sentence().starts_with(start)), "{}", blame.sentence());
    assert_eq!(investigation.so_far().sentence(), blame.sentence());
}

#[test]
fn the_signal_mask_is_left_as_it_was() {
    let victim = Victim::start(&["sleep", "1000"]);
    let before = SigSet::thread_get_mask().unwrap();
    let quick = QuickLook::take(victim.pid(), &|| true);
    done(investigate(victim.pid(), quick));
    assert_eq!(SigSet::thread_get_mask().unwrap(), before);
}

#[test]
fn of_another_users_process_less_is_known() {
    if !nix::unistd::geteuid().is_root() {
        return println!("skipped: needs root, to become another user");
    }
    let victim = Victim::start(&["sleep", "1000"]);
    victim.until_it_waits_for(&Wait::Timer);
    let pid = victim.pid();
    let looking = std::thread::spawn(move || {
        // SAFETY: these take integers only. Called like this, and not through the C library, they change this thread
        // alone, which ends with the test.
        let result = unsafe { libc::syscall(libc::SYS_setresuid, 65534, 65534, 65534) };
        assert_eq!(result, 0);
        investigate(pid, QuickLook::take(pid, &|| true))
    });
    let blame = done(looking.join().unwrap());
    assert_eq!(blame.sentence(), "main thread waits; no CPU for 10 s");
    let report = blame.report_value();
    assert_eq!(report["command"][0], "sleep");
    assert_eq!(report["threads"][0]["wchan"], "");
}

#[test]
fn what_may_not_be_seen_is_said() {
    let me = Pid::new(std::process::id() as i32).unwrap();
    let mut quick = QuickLook::take(me, &|| false);
    let sentence = |quick: &QuickLook| Blame::from_quick_look(quick.clone(), None, WAITED).sentence();
    assert_eq!(sentence(&quick), "nothing is known of it: there was no time to look");
    quick.sight = Sight::Denied;
    assert_eq!(sentence(&quick), "nothing is known of it: permission denied");
    quick.sight = Sight::Hidden;
    let blame = Blame::from_quick_look(quick, Some(Duration::ZERO), WAITED);
    assert_eq!(blame.sentence(), "no CPU for 10 s; nothing is known of it: /proc does not show it");
}
