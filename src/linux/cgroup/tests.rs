//! Against the cgroup2 file system of this machine. Each test makes a cgroup of its own, and runs itself again in a
//! process that is moved there: the test runner stays where it is.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Uid, seteuid};

use super::control_file::with_descendants;
use super::*;
use crate::supervisor::Pid;

/// Says to a test that it runs in its own cgroup, and which one that is.
const BASE_VARIABLE: &str = "CURFEW_TEST_CGROUP";

/// What the process is put through before it becomes the test: a command that executes its arguments.
#[derive(Clone, Copy)]
enum Wrapper {
    None,
    /// An ordinary user, to whom the cgroup is given as systemd does it.
    Nobody,
    /// An ordinary user, to whom nobody gave anything.
    Stranger,
    /// A shell script, as root, with namespaces of its own.
    Unshared(&'static str),
}

/// A cgroup of one test, removed at the end with all that is in it.
struct Sandbox(PathBuf);

impl Sandbox {
    fn new(name: &str) -> Result<Self, String> {
        let tree = CgroupTree::find().map_err(|reason| reason.to_string())?;
        let path = tree.base().join(format!("curfew-test-{}-{name}", std::process::id()));
        fs::create_dir(&path).map_err(|error| error.to_string())?;
        Ok(Self(path))
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = write(&self.0.join("cgroup.kill"), "1");
        for _ in 0..1000 {
            match remove_all(&self.0, &|| true) {
                // Whoever was killed is not dead at once.
                Err(Errno::EBUSY) => pause(),
                _ => return,
            }
        }
    }
}

/// A few milliseconds, for want of an event.
fn pause() {
    poll(&mut [], PollTimeout::from(5_u8)).unwrap();
}

/// Runs `body` in a process of its own that is in a cgroup of its own. `name` is the test's.
fn in_a_cgroup_of_its_own(name: &str, wrapper: Wrapper, body: impl FnOnce(&Path)) {
    if let Ok(base) = std::env::var(BASE_VARIABLE) {
        return body(Path::new(&base));
    }
    if !matches!(wrapper, Wrapper::None) && !geteuid().is_root() {
        return println!("skipped: this needs root");
    }
    let sandbox = match Sandbox::new(name) {
        Ok(sandbox) => sandbox,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let wrap: &[&str] = match wrapper {
        Wrapper::None => &[],
        Wrapper::Nobody | Wrapper::Stranger => {
            &["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        }
        Wrapper::Unshared(script) => &["unshare", "--mount", "--cgroup", "sh", "-ec", script, "sh"],
    };
    if matches!(wrapper, Wrapper::Nobody) {
        for file in ["", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control"] {
            std::os::unix::fs::chown(sandbox.0.join(file), Some(65534), Some(65534)).unwrap();
        }
    }
    // The file is opened first: another user may have no way to it.
    let script = r#"echo 0 >"$BASE/cgroup.procs" && exec "$@" 9<"$EXECUTABLE""#;
    let test = format!("{}::{name}", module_path!().split_once("::").unwrap().1);
    let output = Command::new("sh")
        .args(["-ec", script, "sh"])
        .args(wrap)
        .args(["/proc/self/fd/9", "--exact", &test, "--nocapture", "--test-threads=1"])
        .env("BASE", &sandbox.0)
        .env("EXECUTABLE", std::env::current_exe().unwrap())
        .env(BASE_VARIABLE, &sandbox.0)
        .output()
        .unwrap();
    let text =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    // The line begins with the name of the test.
    for (_, reason) in text.lines().filter_map(|line| line.split_once("skipped: ")) {
        println!("skipped: {reason}");
    }
}

/// Starts a shell script in the cgroup, as a service is started.
fn start(cgroup: &ServiceCgroup, script: &str) -> Pid {
    let descriptor = cgroup.descriptor().unwrap();
    execute(script, || {
        // SAFETY: the child executes or exits; see `execute`.
        unsafe { clone_into(descriptor.as_fd()) }.unwrap()
    })
}

/// Forks with `fork`, and executes the script in the child.
fn execute(script: &str, fork: impl FnOnce() -> libc::pid_t) -> Pid {
    let strings = ["sh", "-c", script].map(|argument| CString::new(argument).unwrap());
    let arguments = [strings[0].as_ptr(), strings[1].as_ptr(), strings[2].as_ptr(), std::ptr::null()];
    let environment = [c"PATH=/usr/bin:/bin".as_ptr(), std::ptr::null()];
    let pid = fork();
    if pid == 0 {
        // SAFETY: async-signal-safe calls only, with strings that were made before.
        unsafe {
            libc::execve(c"/bin/sh".as_ptr(), arguments.as_ptr(), environment.as_ptr());
            libc::_exit(127);
        }
    }
    Pid::new(pid).unwrap()
}

/// Waits until the kernel says that it is so.
fn wait_for(cgroup: &ServiceCgroup, population: Population) {
    while cgroup.population() != population {
        let ready = wait_for_event(cgroup);
        assert!(ready, "it stays {:?}, with {:?}", cgroup.population(), cgroup.processes());
    }
}

fn wait_for_event(cgroup: &ServiceCgroup) -> bool {
    let mut set = [PollFd::new(cgroup.events(), PollFlags::POLLPRI)];
    poll(&mut set, PollTimeout::from(10_000_u16)).unwrap() == 1
}

fn has_event(cgroup: &ServiceCgroup) -> bool {
    let mut set = [PollFd::new(cgroup.events(), PollFlags::POLLPRI)];
    poll(&mut set, PollTimeout::ZERO).unwrap() == 1
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..2000 {
        if is_so() {
            return;
        }
        pause();
    }
    panic!("never: {what}");
}

/// Reaps a child that was killed, and says by which signal.
fn reap(pid: Pid) -> i32 {
    match waitpid(nix::unistd::Pid::from_raw(pid.number()), None).unwrap() {
        WaitStatus::Signaled(_, signal, _) => signal as i32,
        other => panic!("{other:?}"),
    }
}

/// Where the kernel says we are, from the base on.
fn own_place(base: &Path) -> PathBuf {
    let text = fs::read("/proc/self/cgroup").unwrap();
    let own = own_path(&text).unwrap();
    let name = base.file_name().unwrap();
    own.iter().skip_while(|part| *part != name).skip(1).collect()
}

fn names_in(base: &Path) -> Vec<String> {
    let mut names: Vec<String> = with_descendants(base, usize::MAX)
        .unwrap()
        .iter()
        .skip(1)
        .map(|path| path.strip_prefix(base).unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

fn prepared() -> CgroupTree {
    let mut tree = CgroupTree::find().unwrap();
    tree.prepare(Moving::Always).unwrap();
    tree
}

#[test]
fn a_service_lives_in_its_leaf_from_fork_to_kill_and_nothing_stays() {
    let name = "a_service_lives_in_its_leaf_from_fork_to_kill_and_nothing_stays";
    in_a_cgroup_of_its_own(name, Wrapper::None, |base| {
        let mut tree = CgroupTree::find().unwrap();
        assert_eq!(tree.base(), base);
        tree.prepare(Moving::Always).unwrap();
        assert_eq!(own_place(base), Path::new("curfew"));
        let service = ServiceCgroup::create(&mut tree, "api").unwrap();
        assert_eq!(service.path(), base.join("service-api"));
        assert!(!service.is_populated() && !has_event(&service));
        // TERM is ignored, and one child goes its own way.
        let pid = start(&service, "trap '' TERM; setsid sleep 1000 & sleep 1000");
        assert!(wait_for_event(&service) && service.is_populated());
        // Asking is enough, until something changes.
        assert!(!has_event(&service));
        wait_until("three processes", || service.processes().unwrap().len() == 3);
        assert!(service.processes().unwrap().contains(&pid));
        wait_until("CPU time", || service.total_figures().cpu_usec.is_some_and(|time| time > 0));
        assert_eq!(service.remove(), Err(Errno::EBUSY));
        let stays = Leftover { path: service.path().to_owned(), errno: Errno::EBUSY };
        assert!(tree.restore(&|| true).contains(&stays));
        service.kill().unwrap();
        wait_for(&service, Population::Empty);
        assert_eq!(reap(pid), libc::SIGKILL);
        assert_eq!(service.processes().unwrap(), []);
        assert_eq!(tree.restore(&|| true), []);
        assert_eq!(tree.restore(&|| true), []);
        assert_eq!(own_place(base), Path::new(""));
        assert_eq!(names_in(base), [""; 0]);
    });
}

#[test]
fn a_forked_child_can_join_by_itself() {
    let name = "a_forked_child_can_join_by_itself";
    in_a_cgroup_of_its_own(name, Wrapper::None, |_| {
        let mut tree = prepared();
        let service = ServiceCgroup::create(&mut tree, "api").unwrap();
        let procs = service.procs_descriptor().unwrap();
        let pid = execute("exec sleep 1000", || {
            // SAFETY: the child joins, which is one write, and executes or exits.
            unsafe {
                let pid = libc::fork();
                if pid == 0 && !join(procs.as_raw_fd()) {
                    libc::_exit(126);
                }
                pid
            }
        });
        wait_for(&service, Population::Populated);
        assert_eq!(service.processes().unwrap(), [pid]);
        service.kill().unwrap();
        assert_eq!(reap(pid), libc::SIGKILL);
        wait_for(&service, Population::Empty);
        assert_eq!(tree.restore(&|| true), []);
    });
}

#[test]
fn what_a_service_makes_below_its_leaf_is_seen_killed_and_removed() {
    let name = "what_a_service_makes_below_its_leaf_is_seen_killed_and_removed";
    in_a_cgroup_of_its_own(name, Wrapper::None, |_| {
        let mut tree = prepared();
        for by_kernel in [true, false] {
            let service = ServiceCgroup::create(&mut tree, "nest").unwrap();
            let path = service.path().display();
            let script = format!(
                "mkdir -p {path}/a/b {path}/c && sleep 1000 & sleep 1000 & \
                 until echo 0 >{path}/a/b/cgroup.procs; do :; done 2>/dev/null; exec sleep 1000"
            );
            let pid = start(&service, &script);
            let deepest = service.path().join("a/b");
            wait_until("it moved", || list_processes(&deepest).is_ok_and(|there| !there.is_empty()));
            let found = service.processes().unwrap();
            assert!(found.contains(&pid) && found.len() >= 2, "{found:?}");
            if by_kernel {
                service.kill().unwrap();
            } else {
                service.kill_one_by_one().unwrap();
            }
            wait_for(&service, Population::Empty);
            reap(pid);
            service.remove().unwrap();
            service.remove().unwrap();
            assert_eq!(service.population(), Population::Gone);
        }
        assert_eq!(tree.restore(&|| true), []);
    });
}

#[test]
fn without_the_kernels_kill_a_forking_service_is_killed_one_by_one() {
    let name = "without_the_kernels_kill_a_forking_service_is_killed_one_by_one";
    in_a_cgroup_of_its_own(name, Wrapper::None, |_| {
        let mut tree = prepared();
        let service = ServiceCgroup::create(&mut tree, "storm").unwrap();
        let script = "trap '' TERM; i=0; while [ $i -lt 200 ]; do sleep 1000 & i=$((i+1)); done; wait";
        let pid = start(&service, script);
        wait_until("some forks", || service.processes().unwrap().len() > 20);
        service.kill_one_by_one().unwrap();
        wait_for(&service, Population::Empty);
        assert_eq!(reap(pid), libc::SIGKILL);
        // It is not left frozen.
        let pid = start(&service, "exit 0");
        wait_for(&service, Population::Empty);
        let end = waitpid(nix::unistd::Pid::from_raw(pid.number()), Some(WaitPidFlag::empty())).unwrap();
        assert!(matches!(end, WaitStatus::Exited(_, 0)), "{end:?}");
        assert_eq!(tree.restore(&|| true), []);
    });
}

#[test]
fn a_leaf_that_became_threaded_is_killed_all_the_same() {
    let name = "a_leaf_that_became_threaded_is_killed_all_the_same";
    in_a_cgroup_of_its_own(name, Wrapper::None, |base| {
        // Not prepared: as long as curfew is in a leaf of its own, the kernel lets no other become threaded.
        let mut tree = CgroupTree::find().unwrap();
        let service = ServiceCgroup::create(&mut tree, "threads").unwrap();
        write(&service.path().join("cgroup.type"), "threaded").unwrap();
        assert_eq!(check_is_domain(base), Err(CgroupUnavailable::Threaded));
        let pid = start(&service, "exec sleep 1000");
        wait_for(&service, Population::Populated);
        wait_until("it executed", || service.processes().unwrap() == [pid]);
        assert_eq!(write(&service.path().join("cgroup.kill"), "1"), Err(Errno::EOPNOTSUPP));
        service.kill().unwrap();
        wait_for(&service, Population::Empty);
        assert_eq!(reap(pid), libc::SIGKILL);
        assert_eq!(service.remove(), Ok(()));
    });
}

#[test]
fn what_a_crashed_curfew_left_is_replaced_if_empty_and_passed_over_if_not() {
    let name = "what_a_crashed_curfew_left_is_replaced_if_empty_and_passed_over_if_not";
    in_a_cgroup_of_its_own(name, Wrapper::None, |base| {
        for stale in ["curfew", "service-empty/below", "service-alive"] {
            fs::create_dir_all(base.join(stale)).unwrap();
        }
        write(&base.join("service-empty/cgroup.max.depth"), "0").unwrap();
        let mut tree = CgroupTree::find().unwrap();
        tree.prepare(Moving::Always).unwrap();
        assert_eq!(own_place(base), Path::new("curfew"));
        let mut sleeper = Command::new("sleep").arg("1000").spawn().unwrap();
        write(&base.join("service-alive/cgroup.procs"), &sleeper.id().to_string()).unwrap();
        let empty = ServiceCgroup::create(&mut tree, "empty").unwrap();
        assert_eq!(empty.path(), base.join("service-empty"));
        assert_eq!(read(&empty.path().join("cgroup.max.depth")).unwrap(), b"max\n");
        assert!(!empty.path().join("below").exists());
        let alive = ServiceCgroup::create(&mut tree, "alive").unwrap();
        assert_eq!(alive.path(), base.join("service-alive+2"));
        // Two names that become one are two leaves.
        for (name, leaf) in
            [("a/b", "service-a_b"), ("a b", "service-a_b+2"), ("", "service-"), ("..", "service-__")]
        {
            assert_eq!(ServiceCgroup::create(&mut tree, name).unwrap().path(), base.join(leaf));
        }
        let long = ServiceCgroup::create(&mut tree, &"ä".repeat(500)).unwrap();
        assert!(long.path().file_name().unwrap().len() < 200);
        assert_eq!(tree.restore(&|| true), []);
        assert_eq!(names_in(base), ["service-alive"]);
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
    });
}

#[test]
fn two_curfews_in_one_cgroup_do_not_share_a_leaf() {
    let name = "two_curfews_in_one_cgroup_do_not_share_a_leaf";
    in_a_cgroup_of_its_own(name, Wrapper::None, |base| {
        let [mut first, mut second] = [CgroupTree::find().unwrap(), CgroupTree::find().unwrap()];
        first.prepare(Moving::Always).unwrap();
        // It lives, though it is alone in this process: its lock says so.
        second.prepare(Moving::Always).unwrap();
        assert_eq!(own_place(base), Path::new("curfew.2"));
        ServiceCgroup::create(&mut first, "api").unwrap();
        ServiceCgroup::create(&mut second, "api").unwrap();
        assert_eq!(names_in(base), ["curfew", "curfew.2", "service-api", "service-api.2"]);
        // We are not in its leaf, so it does not move us.
        assert_eq!(first.restore(&|| true), []);
        assert_eq!(own_place(base), Path::new("curfew.2"));
        assert_eq!(names_in(base), ["curfew.2", "service-api.2"]);
        assert_eq!(second.restore(&|| true), []);
        assert_eq!(names_in(base), [""; 0]);
    });
}

#[test]
fn a_cgroup_that_somebody_removed_is_ordinary() {
    let name = "a_cgroup_that_somebody_removed_is_ordinary";
    in_a_cgroup_of_its_own(name, Wrapper::None, |base| {
        let mut tree = prepared();
        let service = ServiceCgroup::create(&mut tree, "gone").unwrap();
        let descriptor = service.descriptor().unwrap();
        fs::remove_dir(service.path()).unwrap();
        assert!(wait_for_event(&service));
        assert_eq!(service.population(), Population::Gone);
        assert!(!service.is_populated());
        assert_eq!(service.processes(), Ok(Vec::new()));
        assert_eq!((service.kill(), service.kill_one_by_one(), service.remove()), (Ok(()), Ok(()), Ok(())));
        assert_eq!(
            (service.current_figures(), service.total_figures()),
            (Figures::default(), Figures::default())
        );
        assert_eq!(service.descriptor().unwrap_err(), Errno::ENOENT);
        assert_eq!(service.procs_descriptor().unwrap_err(), Errno::ENOENT);
        // SAFETY: should there be a child, it exits at once.
        let refused = unsafe {
            let result = clone_into(descriptor.as_fd());
            if result == Ok(0) {
                libc::_exit(1);
            }
            result
        };
        let errno = refused.unwrap_err();
        assert!(is_gone(errno) && should_fork_instead(errno), "{errno}");
        // Our own, too, and we are moved out of it first.
        move_self(base).unwrap();
        fs::remove_dir(base.join("curfew")).unwrap();
        assert_eq!(tree.restore(&|| true), []);
    });
}

#[test]
fn controllers_are_enabled_one_by_one_and_only_ours_are_disabled() {
    let name = "controllers_are_enabled_one_by_one_and_only_ours_are_disabled";
    in_a_cgroup_of_its_own(name, Wrapper::None, |base| {
        let list = |file: &str| String::from_utf8(read(&base.join(file)).unwrap()).unwrap();
        let available: Vec<String> =
            list("cgroup.controllers").split_whitespace().map(str::to_owned).collect();
        // Threaded ones may be enabled with processes inside.
        let domain = ["memory", "io", "hugetlb", "rdma", "misc"];
        let Some(controller) = domain.into_iter().find(|name| available.iter().any(|known| known == name))
        else {
            return println!("skipped: no controller for whole processes reaches this cgroup: {available:?}");
        };
        let wanted = ["no-such-controller", controller];
        // Somebody else is in our cgroup.
        let mut other = Command::new("sleep").arg("1000").spawn().unwrap();
        let mut tree = CgroupTree::find().unwrap();
        tree.prepare(Moving::Always).unwrap();
        let refused = tree.enable_controllers(&wanted);
        assert_eq!(refused, Controllers { enabled: Vec::new(), refused: Some(Errno::EBUSY) });
        other.kill().unwrap();
        other.wait().unwrap();
        let enabled = tree.enable_controllers(&wanted);
        assert_eq!(enabled, Controllers { enabled: vec![controller], refused: None });
        assert_eq!(tree.enable_controllers(&wanted), enabled);
        assert_eq!(tree.enabled, [controller]);
        assert_eq!(move_self(base), Err(Errno::EBUSY));
        assert_eq!(tree.restore(&|| true), []);
        assert_eq!(list("cgroup.subtree_control").trim(), "");
        assert_eq!(own_place(base), Path::new(""));
    });
}

#[test]
fn curfew_stays_where_it_is_if_to_move_brings_no_figures() {
    let name = "curfew_stays_where_it_is_if_to_move_brings_no_figures";
    in_a_cgroup_of_its_own(name, Wrapper::None, |base| {
        // Somebody else is in our cgroup, so there can be no controllers.
        let mut other = Command::new("sleep").arg("1000").spawn().unwrap();
        let [mut first, mut second] = [CgroupTree::find().unwrap(), CgroupTree::find().unwrap()];
        assert_eq!(first.prepare(Moving::ForFigures).unwrap().enabled, [""; 0]);
        assert_eq!(first.prepare(Moving::ForFigures).unwrap().enabled, [""; 0]);
        second.prepare(Moving::ForFigures).unwrap();
        assert_eq!(own_place(base), Path::new(""));
        assert_eq!(names_in(base), ["curfew", "curfew.2"]);
        let service = ServiceCgroup::create(&mut first, "api").unwrap();
        let pid = start(&service, "exec sleep 1000");
        wait_for(&service, Population::Populated);
        assert_eq!(service.processes().unwrap(), [pid]);
        service.kill().unwrap();
        wait_for(&service, Population::Empty);
        reap(pid);
        assert_eq!((first.restore(&|| true), second.restore(&|| true)), (Vec::new(), Vec::new()));
        assert_eq!(names_in(base), [""; 0]);
        other.kill().unwrap();
        other.wait().unwrap();
    });
}

#[test]
fn the_limit_of_cgroups_is_told_and_leaves_nothing_half_done() {
    let name = "the_limit_of_cgroups_is_told_and_leaves_nothing_half_done";
    in_a_cgroup_of_its_own(name, Wrapper::None, |base| {
        let limit = base.join("cgroup.max.descendants");
        write(&limit, "0").unwrap();
        let mut tree = CgroupTree::find().unwrap();
        assert_eq!(tree.prepare(Moving::Always).unwrap_err(), CgroupUnavailable::TooMany);
        assert_eq!(own_place(base), Path::new(""));
        write(&limit, "1").unwrap();
        tree.prepare(Moving::Always).unwrap();
        assert_eq!(ServiceCgroup::create(&mut tree, "api").unwrap_err(), Errno::EAGAIN);
        assert_eq!(tree.restore(&|| true), []);
        assert_eq!(names_in(base), [""; 0]);
    });
}

#[test]
fn the_mark_of_systemd_is_what_delegates_to_root() {
    let name = "the_mark_of_systemd_is_what_delegates_to_root";
    in_a_cgroup_of_its_own(name, Wrapper::None, |base| {
        if !geteuid().is_root() {
            return println!("skipped: this needs root");
        }
        assert!(!CgroupTree::find().unwrap().is_delegated());
        assert_eq!(CgroupTree::find_delegated().unwrap_err(), CgroupUnavailable::NotDelegated);
        // To whom `require` would be refused it is not proposed. This process runs no other test.
        seteuid(Uid::from_raw(65534)).unwrap();
        assert_eq!(CgroupTree::find_delegated().unwrap_err(), CgroupUnavailable::NotPermitted);
        seteuid(Uid::from_raw(0)).unwrap();
        mark(base, c"user.delegate", "0");
        assert!(!CgroupTree::find().unwrap().is_delegated());
        mark(base, c"user.delegate", "1");
        assert!(CgroupTree::find_delegated().unwrap().is_delegated());
    });
}

#[test]
fn in_the_sub_group_that_systemd_made_for_us_its_parent_is_divided() {
    let name = "in_the_sub_group_that_systemd_made_for_us_its_parent_is_divided";
    in_a_cgroup_of_its_own(name, Wrapper::None, |base| {
        if !geteuid().is_root() {
            return println!("skipped: this needs root");
        }
        fs::create_dir(base.join("supervisor")).unwrap();
        move_self(&base.join("supervisor")).unwrap();
        mark(base, c"trusted.delegate", "1");
        let mut tree = CgroupTree::find_delegated().unwrap();
        assert_eq!(tree.base(), base);
        tree.prepare(Moving::Always).unwrap();
        assert_eq!(own_place(base), Path::new("supervisor"));
        ServiceCgroup::create(&mut tree, "api").unwrap();
        assert_eq!(names_in(base), ["service-api", "supervisor"]);
        // A second one divides the sub-group.
        assert_eq!(CgroupTree::find().unwrap().base(), base.join("supervisor"));
        assert_eq!(tree.restore(&|| true), []);
        assert_eq!(names_in(base), ["supervisor"]);
        assert_eq!(own_place(base), Path::new("supervisor"));
    });
}

fn mark(cgroup: &Path, name: &CStr, value: &str) {
    use std::os::unix::ffi::OsStrExt;
    let path = CString::new(cgroup.as_os_str().as_bytes()).unwrap();
    // SAFETY: valid strings, and a value as long as it is said to be.
    let result =
        unsafe { libc::setxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    Errno::result(result).unwrap();
}

#[test]
fn an_ordinary_user_divides_the_cgroup_that_was_given_to_it() {
    let name = "an_ordinary_user_divides_the_cgroup_that_was_given_to_it";
    in_a_cgroup_of_its_own(name, Wrapper::Nobody, |base| {
        assert_eq!(geteuid().as_raw(), 65534);
        let mut tree = CgroupTree::find_delegated().unwrap();
        assert_eq!(tree.base(), base);
        tree.prepare(Moving::Always).unwrap();
        assert_eq!(own_place(base), Path::new("curfew"));
        let service = ServiceCgroup::create(&mut tree, "api").unwrap();
        let pid = start(&service, "sleep 1000 & exec sleep 1000");
        wait_until("two processes", || service.processes().unwrap().len() == 2);
        // The file in our own leaf is ours; the one of the delegated cgroup is root's.
        service.kill().unwrap();
        wait_for(&service, Population::Empty);
        assert_eq!(reap(pid), libc::SIGKILL);
        assert_eq!(tree.restore(&|| true), []);
        assert_eq!(names_in(base), [""; 0]);
    });
}

#[test]
fn a_cgroup_of_somebody_else_is_not_divided() {
    let name = "a_cgroup_of_somebody_else_is_not_divided";
    in_a_cgroup_of_its_own(name, Wrapper::Stranger, |_| {
        assert_eq!(CgroupTree::find().unwrap_err(), CgroupUnavailable::NotPermitted);
    });
}

#[test]
fn a_mount_from_outside_of_our_namespace_is_not_taken_for_ours() {
    let name = "a_mount_from_outside_of_our_namespace_is_not_taken_for_ours";
    in_a_cgroup_of_its_own(name, Wrapper::Unshared(r#"exec "$@""#), |_| {
        assert_eq!(CgroupTree::find().unwrap_err(), CgroupUnavailable::Elsewhere);
    });
}

#[test]
fn the_root_of_a_cgroup_namespace_is_ours() {
    let name = "the_root_of_a_cgroup_namespace_is_ours";
    let script = r#"mount -t cgroup2 none /mnt && exec "$@""#;
    in_a_cgroup_of_its_own(name, Wrapper::Unshared(script), |_| {
        let mut tree = CgroupTree::find_delegated().unwrap();
        assert_eq!(tree.base(), Path::new("/mnt"));
        tree.prepare(Moving::Always).unwrap();
        let service = ServiceCgroup::create(&mut tree, "api").unwrap();
        let pid = start(&service, "exec sleep 1000");
        wait_for(&service, Population::Populated);
        service.kill().unwrap();
        wait_for(&service, Population::Empty);
        reap(pid);
        assert_eq!(tree.restore(&|| true), []);
        assert_eq!(own_path(&fs::read("/proc/self/cgroup").unwrap()), Some(Path::new("/")));
    });
}

#[test]
fn a_read_only_mount_says_so() {
    let name = "a_read_only_mount_says_so";
    let script = r#"mount -t cgroup2 none /mnt && mount -o remount,bind,ro /mnt && exec "$@""#;
    in_a_cgroup_of_its_own(name, Wrapper::Unshared(script), |_| {
        // The one from outside does not show us; what is told is the first problem of the two.
        let problem =
            CgroupTree::find_in(&cgroup2_mounts(b"1 1 0:1 / /mnt ro - cgroup2 none ro")[0], Path::new("/"));
        assert_eq!(problem.unwrap_err(), CgroupUnavailable::ReadOnly);
        assert!(CgroupTree::find().is_err());
    });
}

#[test]
fn without_proc_the_reason_is_told() {
    let name = "without_proc_the_reason_is_told";
    in_a_cgroup_of_its_own(name, Wrapper::Unshared(r#"exec "$@""#), |_| {
        // SAFETY: a valid string. Only the mount namespace of this process loses it.
        Errno::result(unsafe { libc::umount2(c"/proc".as_ptr(), libc::MNT_DETACH) }).unwrap();
        assert_eq!(CgroupTree::find().unwrap_err(), CgroupUnavailable::NoProc);
    });
}

#[test]
fn walks_end_however_much_a_service_has_made() {
    in_a_cgroup_of_its_own("walks_end_however_much_a_service_has_made", Wrapper::None, |base| {
        let many = base.join("many");
        for name in ["", "a", "a/b", "a/b/c", "d", "e", "f"] {
            fs::create_dir(many.join(name)).unwrap();
        }
        assert_eq!(with_descendants(&many, usize::MAX).unwrap().len(), 7);
        for most in 1..7 {
            let found = with_descendants(&many, most).unwrap();
            assert_eq!((found.len(), &found[0]), (most, &many));
        }
        let asked = std::cell::Cell::new(0);
        let goes_on = || asked.replace(asked.get() + 1) < 2;
        assert_eq!(remove_all(&many, &goes_on), Err(Errno::ETIME));
        // Of the two that it came to, `a` may be one, which has others below it.
        let left = with_descendants(&many, usize::MAX).unwrap().len();
        assert!((5..=6).contains(&left), "{left}");
        assert_eq!(remove_all(&many, &|| true), Ok(()));
        assert!(!many.exists());
    });
}
