//! Who a process runs as, and with which limits: read back by the process itself, from the kernel.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Command;

use nix::libc::{self, SIGKILL, SIGTERM};
use tempfile::TempDir;

use crate::exit_status::{as_somebody, somebody};
use crate::support::{
    Curfew, Finished, children, curfew_binary, exists, fixture_binary, is_installed, is_root, skip,
    static_curfew_binary,
};

/// More than any of these tests needs.
const PROCESSES: u64 = 1000;

/// Each curfew that there is: linked dynamically, and statically.
fn binaries() -> Vec<String> {
    [Some(curfew_binary().to_owned()), static_curfew_binary()].into_iter().flatten().collect()
}

/// Limits the open files of this process.
fn with_open_files(soft: u64, hard: u64) -> std::io::Result<()> {
    let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
    // SAFETY: a system call with a valid argument.
    match unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// A line of `/proc/self/limits`, without its name.
fn limit<'a>(finished: &'a Finished, name: &str) -> &'a str {
    let marker = format!(": limit {name} ");
    let line = finished.stdout.iter().find_map(|line| line.split_once(&marker));
    line.unwrap_or_else(|| panic!("{name} is not told{finished}")).1
}

fn variable<'a>(finished: &'a Finished, name: &str) -> Option<&'a str> {
    let marker = format!(": env {name}=");
    finished.stdout.iter().find_map(|line| line.split_once(&marker)).map(|(_, value)| value)
}

/// The only failure of this run: step, number of the error, and sentence.
#[track_caller]
fn failure(finished: &Finished) -> (String, i64, String) {
    finished.assert_status(126);
    let failed = finished.events("service.start-failed");
    assert_eq!(failed.len(), 1, "{finished}");
    let text = |key: &str| failed[0][key].as_str().unwrap_or_default().to_owned();
    let of_report = &finished.report()["services"][0]["start_failure"];
    assert_eq!(
        (&of_report["step"], &of_report["errno"]),
        (&failed[0]["step"], &failed[0]["errno"]),
        "{finished}"
    );
    (text("step"), failed[0]["errno"].as_i64().unwrap(), text("message"))
}

/// The numbers of a user in `/etc/passwd`, and of its group.
fn numbers_of(user: &str) -> (u32, u32) {
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let line = users.lines().find(|line| line.starts_with(&format!("{user}:"))).unwrap();
    let fields: Vec<&str> = line.split(':').collect();
    (fields[2].parse().unwrap(), fields[3].parse().unwrap())
}

fn four_times(number: u32) -> String {
    format!("{number} {number} {number} {number}")
}

#[test]
fn a_service_of_root_becomes_nobody_with_the_groups_and_limits_that_were_asked_for() {
    if !is_root() {
        return skip("only root can become nobody");
    }
    let (user, group) = numbers_of("nobody");
    for binary in binaries() {
        let place = TempDir::new().unwrap();
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o700)).unwrap();
        chown(place.path(), Some(user), Some(group)).unwrap();
        let directory = fs::canonicalize(place.path()).unwrap();
        let curfew = Curfew::run([])
            .program(&binary)
            .env("HOME", "/of/root")
            .env("SHELL", "/bin/of-root")
            // Low enough for curfew to raise its own.
            .before_exec(|| with_open_files(500, 20_000))
            .config(&format!(
                "user = \"nobody\"\n\
                 limits = {{ core = 0, nofile = \"9999:9999\" }}\n\
                 no-new-privileges = true\n\
                 [service.a]\n\
                 command = <prints-state stays>\n\
                 supplementary-groups = [\"daemon\", 4242]\n\
                 umask = \"027\"\n\
                 nice = 12\n\
                 oom-score-adjust = 345\n\
                 limits = {{ nofile = \"64:128\", stack = \"4M:8M\", cpu = \"1h\", sigpending = 100 }}\n\
                 parent-death = \"USR1\"\n\
                 directory = {directory:?}\n"
            ))
            .start();
        curfew.wait_for("a: ready");
        // Root can stop whom it made another user.
        curfew.signal(SIGTERM);
        let finished = curfew.finish();
        finished.assert_status(0);
        assert_eq!(finished.verdict(), "clean");
        assert_eq!(finished.state("uids"), four_times(user));
        assert_eq!(finished.state("gids"), four_times(group));
        let mut groups: Vec<u32> =
            finished.state("groups").split(' ').map(|group| group.parse().unwrap()).collect();
        groups.sort_unstable();
        let mut expected = vec![numbers_of("daemon").1, 4242, group];
        expected.sort_unstable();
        assert_eq!(groups, expected);
        assert_eq!(finished.state("capabilities"), "0000000000000000 0000000000000000");
        assert_eq!(finished.state("no-new-privileges"), "1");
        assert_eq!(finished.state("umask"), "027");
        assert_eq!(finished.state("nice"), "12");
        assert_eq!(finished.state("oom-score-adjust"), "345");
        assert_eq!(finished.state("parent-death"), "USR1", "a change of user clears it");
        assert_eq!(finished.state("cwd"), directory.to_str().unwrap());
        for (name, value) in [
            ("Max core file size", "0 0 bytes"),
            ("Max open files", "64 128 files"),
            ("Max stack size", "4194304 8388608 bytes"),
            ("Max cpu time", "3600 3600 seconds"),
            ("Max pending signals", "100 100 signals"),
        ] {
            assert_eq!(limit(&finished, name), value, "{name}");
        }
        assert_eq!([variable(&finished, "USER"), variable(&finished, "LOGNAME")], [Some("nobody"); 2]);
        assert_eq!(variable(&finished, "HOME"), Some("/nonexistent"));
        assert_eq!(variable(&finished, "SHELL"), None, "nobody may not log in");
    }
}

#[test]
fn without_settings_a_process_is_what_curfew_is() {
    let one = Curfew::run([]).fixture("prints-state");
    let many = Curfew::run([]).config("service.a = { type = \"task\", command = <prints-state> }");
    let mut said = [one, many].into_iter().map(|curfew| {
        let finished = curfew.env("HOME", "/of/curfew").finish();
        assert_eq!(variable(&finished, "HOME"), Some("/of/curfew"));
        assert_eq!(finished.state("no-new-privileges"), "0");
        ["uids", "gids", "groups", "capabilities", "umask", "nice", "oom-score-adjust"]
            .map(|key| finished.state(key).to_owned())
    });
    let output = Command::new(fixture_binary()).arg("prints-state").output().unwrap();
    let of_ours = String::from_utf8(output.stdout).unwrap();
    for (key, value) in ["uids", "gids", "groups", "capabilities", "umask", "nice", "oom-score-adjust"]
        .into_iter()
        .zip(said.next().unwrap())
    {
        assert!(of_ours.contains(&format!(": {key} {value}\n")), "{key} {value}\n{of_ours}");
    }
    let again = said.next().unwrap();
    assert!(of_ours.contains(&format!(": uids {}\n", again[0])));
}

/// Runs curfew where these are the users and groups of the system.
fn with_accounts(curfew: Curfew, users: &str, groups: &str) -> Curfew {
    let [users, groups] = [("passwd", users), ("group", groups)].map(|(name, content)| {
        let path = curfew.directory().join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    });
    let script =
        format!("mount --bind {users} /etc/passwd && mount --bind {groups} /etc/group && exec \"$@\"");
    curfew.wrapped_by(["unshare", "--mount", "--propagation", "private", "sh", "-c", &script, "sh"])
}

fn can_mount() -> bool {
    let script = "mount --bind /etc/passwd /etc/group";
    let can = is_root()
        && is_installed("unshare")
        && Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", script])
            .output()
            .is_ok_and(|output| output.status.success());
    if !can {
        skip("users of the test's own need root, unshare(1) and a mount namespace");
    }
    can
}

const USERS: &str = "root:x:0:0:root:/nowhere:/bin/bash\n\
    # nobody reads this: x:1:1:\n\
    api:x:61001:61002:A P I:/srv/api:/bin/zsh\n\
    homeless:x:61003:61003::/:/usr/sbin/nologin\n\
    61001:x:61009:61009:::\n";
const GROUPS: &str = "root:x:0:\n\
    api:x:61002:\n\
    wheel:x:61010:root,api,api2\n\
    log:x:61011:api2,api\n\
    disk:x:61012:\n";

#[test]
fn a_user_brings_along_its_groups_its_home_and_its_shell() {
    if !can_mount() {
        return;
    }
    for binary in binaries() {
        let run = |settings: &str| {
            let config = format!(
                "environment = {{ USER = \"configured\" }}\n\
                 service.a = {{ type = \"task\", command = <prints-state>, {settings} }}"
            );
            let curfew = Curfew::run([]).program(&binary).env("HOME", "/of/root").env("SHELL", "/of/root");
            let finished = with_accounts(curfew.config(&config), USERS, GROUPS).finish();
            let who = ["uids", "gids", "groups"].map(|key| finished.state(key).to_owned());
            let variables = ["HOME", "SHELL", "USER", "LOGNAME"]
                .map(|name| variable(&finished, name).unwrap_or("-").to_owned());
            (who, variables.join(" "))
        };
        let (who, variables) = run("user = \"api\"");
        assert_eq!(who, [four_times(61001), four_times(61002), "61002 61010 61011".to_owned()]);
        assert_eq!(variables, "/srv/api /bin/zsh configured api");
        assert_eq!(run("user = 61001").0, who, "the number of api, and not the user that is called so");
        let (who, variables) = run("user = \"api\", group = \"disk\", environment.HOME = \"/own\"");
        assert_eq!(who, [four_times(61001), four_times(61012), "61010 61011 61012".to_owned()]);
        assert_eq!(variables, "/own /bin/zsh configured api");
        let (who, variables) = run("user = \"homeless\", supplementary-groups = \"log\"");
        assert_eq!(who, [four_times(61003), four_times(61003), "61003 61011".to_owned()]);
        assert_eq!(variables, "/ - configured homeless");
        // One without an entry, as containers have them.
        let (who, variables) = run("user = 777, group = 778");
        assert_eq!(who, [four_times(777), four_times(778), "778".to_owned()]);
        assert_eq!(variables, "/ - configured 777");
        let (who, variables) = run("group = \"disk\"");
        assert_eq!([&who[0], &who[1]], [&four_times(0), &four_times(61012)]);
        assert_eq!(variables, "/of/root /of/root configured -");
    }
}

#[test]
fn without_an_etc_passwd_a_user_is_a_number() {
    if !can_mount() {
        return;
    }
    for binary in binaries() {
        let run = |user: &str| {
            let curfew = Curfew::run([]).program(&binary).arg("--user").arg(user).fixture("prints-state");
            // An empty /etc, as in a container from scratch.
            let script = "mount -t tmpfs none /etc && exec \"$@\"";
            curfew
                .wrapped_by(["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"])
                .finish()
        };
        let finished = run("777:778");
        finished.assert_status(0);
        assert_eq!(finished.state("uids"), four_times(777));
        assert_eq!(finished.state("groups"), "778");
        let (step, errno, message) = failure(&run("nobody"));
        assert_eq!((step.as_str(), errno), ("user", 3));
        assert!(
            message.contains("(user = \"nobody\") failed: there is no such user in /etc/passwd"),
            "{message}"
        );
    }
}

#[test]
fn an_option_names_the_user_of_one_command() {
    if !is_root() {
        return skip("only root can become another user");
    }
    let (user, group) = numbers_of("nobody");
    let option = Curfew::run(["--user", "nobody"]).fixture("prints-state").finish();
    let variable = Curfew::run([]).env("CURFEW_USER", "nobody:4243").fixture("prints-state").finish();
    for (finished, group) in [(option, group), (variable, 4243)] {
        finished.assert_status(0);
        assert_eq!(finished.state("uids"), four_times(user));
        assert_eq!(finished.state("gids"), four_times(group));
        assert_eq!(finished.state("groups"), group.to_string());
    }
}

#[test]
fn what_a_stage_runs_is_set_up_as_its_service_is() {
    if !is_root() {
        return skip("only root can become another user");
    }
    let curfew = Curfew::run([])
        .config(
            "grace = \"run:who 5s, TERM 5s, KILL\"\n\
             run.who.command = [\"sh\", \"-c\", \"echo I am $(id -u)/$(id -g), $(umask)\"]\n\
             service.a = { command = <obedient>, user = 4711, group = 4712, umask = \"077\" }",
        )
        .start();
    curfew.wait_for("ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    let said = finished.events("hook.output");
    assert!(said[0]["message"].as_str().unwrap().ends_with("I am 4711/4712, 0077"), "{finished}");
}

#[test]
fn a_parent_death_signal_outlives_the_change_of_user() {
    if !is_root() {
        return skip("only root can become another user");
    }
    let config = "service.a = { command = <prints-state stays>, user = \"nobody\", parent-death = \"TERM\" }";
    let mut curfew = Curfew::run([]).config(config).start();
    curfew.wait_for("ready");
    let child = children(curfew.pid())[0];
    curfew.signal(SIGKILL);
    curfew.end();
    curfew.eventually("the service is gone too", || !exists(child));
}

#[test]
fn a_cleared_environment_has_only_what_is_configured() {
    let finished = Curfew::run([])
        .env("FRUIT", "apple")
        .config(
            "environment = { A = \"of all\", PATH = \"/bin\" }\n\
             service.a = { type = \"task\", command = <prints-state>, clear-environment = true, environment.B = \"own\" }\n\
             service.b = { type = \"task\", command = [\"sh\", \"-c\", \"echo b has $FRUIT\"] }",
        )
        .finish();
    let mut names: Vec<&str> = finished
        .said("a: env ")
        .into_iter()
        .map(|line| line.trim_start_matches("a: env ").split('=').next().unwrap())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["A", "B", "CURFEW_DEADLINE", "CURFEW_RUN", "CURFEW_SERVICE", "PATH"]);
    finished.place("b has apple");
}

#[test]
fn a_directory_is_entered_as_the_user_and_where_curfew_was_started_as_curfew() {
    if !is_root() {
        return skip("only root can become another user");
    }
    // Nobody but root may enter it.
    let place = TempDir::new().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let directory = fs::canonicalize(place.path()).unwrap();
    // Started when curfew itself has left the directory.
    let config = "service.first = { type = \"task\", command = [\"true\"] }\n\
                  service.a = { type = \"task\", command = <prints-state>, user = \"nobody\", after = [\"first\"] }";
    let one = Curfew::run(["--user", "nobody"]).fixture("prints-state");
    for curfew in [one, Curfew::run([]).config(config)] {
        let finished = curfew.working_directory(&directory).finish();
        finished.assert_status(0);
        assert_eq!(finished.state("cwd"), directory.to_str().unwrap());
    }
    let one = Curfew::run(["--user", "nobody", "--directory"]).arg(&directory).fixture("prints-state");
    let (step, errno, message) = failure(&one.finish());
    assert_eq!((step.as_str(), errno), ("directory", libc::EACCES.into()));
    let expected =
        format!("(directory = {directory:?}) failed: Permission denied; its user may not enter it");
    assert!(message.ends_with(&expected), "{message}");
}

/// Each failure that root can have too.
#[test]
fn a_setting_that_cannot_be_made_is_named_with_the_reason_and_the_cure() {
    for binary in binaries() {
        for (settings, step, errno, words) in [
            (
                "user = \"nobdy\"",
                "user",
                libc::ESRCH,
                "changing to its user (user = \"nobdy\") failed: there is no such user in /etc/passwd; \
                 add it, or write numbers: `user` and `group`, or --user USER:GROUP",
            ),
            (
                "user = 77777",
                "group",
                libc::ESRCH,
                "changing to its group failed: it is not known; its user is not in /etc/passwd: \
                 write its `group` too, or --user USER:GROUP",
            ),
            (
                "group = \"nogrup\"",
                "group",
                libc::ESRCH,
                "changing to its group (group = \"nogrup\") failed: there is no such group in /etc/group; \
                 add it, or write its number",
            ),
            (
                "user = 0, supplementary-groups = [\"root\", \"nogrup\"]",
                "supplementary-groups",
                libc::ESRCH,
                "setting its supplementary groups (supplementary-groups = \"nogrup\") failed: there is no such group in \
                 /etc/group; add it, or write its number",
            ),
        ] {
            let config = format!("service.a = {{ type = \"task\", command = <prints-state>, {settings} }}");
            let finished = Curfew::run([]).program(&binary).config(&config).finish();
            let (of_log, number, message) = failure(&finished);
            assert_eq!((of_log.as_str(), number), (step, errno.into()), "{settings}");
            assert!(message.ends_with(words), "{message}");
            assert!(finished.said("ready").is_empty(), "nothing was executed{finished}");
        }
    }
}

/// Each failure of a curfew that is nobody special.
#[test]
fn what_only_root_may_set_is_refused_in_words_to_everybody_else() {
    if !is_root() {
        return skip("only root can run curfew as an ordinary user who has no rights");
    }
    let (me, limits) = (somebody(5), "limits = { core = 0, nofile = \"100:5000\" }");
    for (settings, step, errno, words) in [
        (
            "user = \"nobody\"",
            "user",
            libc::EPERM,
            "changing to its user (user = \"nobody\") failed: Operation not permitted; \
             only root may become another user: start curfew as root, or leave it out",
        ),
        (
            "user = \"root\"",
            "user",
            libc::EPERM,
            "changing to its user (user = \"root\") failed: Operation not permitted; \
             only root may become another user: start curfew as root, or leave it out",
        ),
        (
            "group = \"daemon\"",
            "group",
            libc::EPERM,
            "changing to its group (group = \"daemon\") failed: Operation not permitted; \
             only root may change its groups: start curfew as root, or leave it out",
        ),
        (
            "supplementary-groups = [\"daemon\"]",
            "supplementary-groups",
            libc::EPERM,
            "setting its supplementary groups (supplementary-groups = \"daemon\") failed: Operation not permitted; \
             only root may change its groups: start curfew as root, or leave it out",
        ),
        (
            &format!("user = {me}, group = \"daemon\""),
            "group",
            libc::EPERM,
            "changing to its group (group = \"daemon\") failed: Operation not permitted; \
             only root may change its groups: start curfew as root, or leave it out",
        ),
        (
            &format!("user = {me}, group = {me}, supplementary-groups = [\"root\", \"daemon\"]"),
            "supplementary-groups",
            libc::EPERM,
            "setting its supplementary groups (supplementary-groups = \"root\") failed: Operation not permitted; \
             only root may change its groups: start curfew as root, or leave it out",
        ),
        (
            "nice = -20",
            "nice",
            libc::EACCES,
            "setting its nice value (nice = -20) failed: Permission denied; \
             only root may go below the nice value that curfew has",
        ),
        (
            "oom-score-adjust = -1000",
            "oom-score-adjust",
            libc::EACCES,
            "setting its oom-score-adjust (oom-score-adjust = -1000) failed: Permission denied; \
             only root may go below the value that curfew has",
        ),
        (
            limits,
            "limits",
            libc::EPERM,
            "setting its resource limits (limits.nofile = \"100:5000\") failed: Operation not permitted; \
             raising a hard limit takes CAP_SYS_RESOURCE, which root may lack in a container: raise it from outside \
             (docker run --ulimit, LimitNOFILE= of the unit), or ask for less; nobody may have more open files than \
             /proc/sys/fs/nr_open",
        ),
    ] {
        let config = format!("service.a = {{ type = \"task\", command = <prints-state>, {settings} }}");
        let curfew = Curfew::run([]).config(&config).before_exec(|| with_open_files(200, 4000));
        let (of_log, number, message) = failure(&as_somebody(curfew, me, PROCESSES).finish());
        assert_eq!((of_log.as_str(), number), (step, errno.into()), "{settings}");
        assert!(message.ends_with(words), "{message}");
    }
}

#[test]
fn a_user_that_curfew_is_already_needs_no_rights() {
    if !is_root() {
        return skip("only root can run curfew as an ordinary user");
    }
    let me = somebody(6);
    let user = format!("{me}:{me}");
    let curfew = Curfew::run(["--user", &user]).fixture("prints-state");
    let finished = as_somebody(curfew, me, PROCESSES).finish();
    finished.assert_status(0);
    assert_eq!(finished.state("uids"), four_times(me));
    assert_eq!(variable(&finished, "USER"), Some(me.to_string().as_str()));
}

/// The groups that a user would bring along are not curfew's to take if it has no rights: it keeps those it has.
#[test]
fn a_user_that_curfew_is_already_keeps_the_groups_that_curfew_has() {
    if !is_root() {
        return skip("only root can run curfew as an ordinary user");
    }
    let (user, group) = numbers_of("nobody");
    let curfew = Curfew::run(["--user", "nobody"]).fixture("prints-state");
    let finished = as_somebody_in(curfew, user, 4244).finish();
    finished.assert_status(0);
    assert_eq!(finished.state("uids"), four_times(user));
    assert_eq!(finished.state("gids"), four_times(4244), "{group} is in /etc/passwd");
    assert_eq!(finished.state("groups"), "");
}

fn as_somebody_in(curfew: Curfew, user: u32, group: u32) -> Curfew {
    curfew.before_exec(move || {
        // SAFETY: system calls alone, with valid arguments.
        let result =
            unsafe { libc::setgroups(0, std::ptr::null()) | libc::setgid(group) | libc::setuid(user) };
        if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    })
}

/// A curfew that is no root but may change users: what it can must not be passed on to another user.
#[test]
fn capabilities_of_curfew_are_not_passed_on_to_another_user() {
    if !is_root() || !is_installed("setpriv") {
        return skip("capabilities need root and setpriv(1)");
    }
    let [me, other] = [7, 8].map(somebody);
    let with = |user: &str| {
        let (uid, gid) = (format!("--reuid={me}"), format!("--regid={me}"));
        let capabilities = "+setuid,+setgid,+kill";
        let [inheritable, ambient] = ["inh", "ambient"].map(|kind| format!("--{kind}-caps={capabilities}"));
        let curfew = Curfew::run([]).arg("--user").arg(user).fixture("prints-state");
        curfew.wrapped_by(["setpriv", &uid, &gid, "--clear-groups", &inheritable, &ambient]).finish()
    };
    let finished = with(&format!("{other}:{other}"));
    finished.assert_status(0);
    assert_eq!(finished.state("uids"), four_times(other));
    assert_eq!(finished.state("groups"), other.to_string());
    assert_eq!(finished.state("capabilities"), "0000000000000000 0000000000000000");
    let finished = with(&format!("{me}:{me}"));
    assert_eq!(finished.state("capabilities"), "00000000000000e0 00000000000000e0", "as curfew has them");
}

/// The number of processes is counted per user: whoever has too many cannot execute.
#[test]
fn a_limit_of_processes_that_is_reached_is_told() {
    if !is_root() {
        return skip("only root can become a user with a limit of its own");
    }
    let user = somebody(9);
    let config = format!(
        "service.a = {{ command = <obedient>, user = {user}, group = {user} }}\n\
         service.b = {{ command = <obedient>, user = {user}, group = {user}, limits.nproc = 0, after = [\"a\"] }}"
    );
    let finished = Curfew::run([]).config(&config).finish();
    finished.assert_status(126);
    let failed = finished.events("service.start-failed");
    assert_eq!((&failed[0]["step"], &failed[0]["errno"]), (&"execute".into(), &libc::EAGAIN.into()));
    let message = failed[0]["message"].as_str().unwrap();
    assert!(
        message.ends_with("its user has as many processes as its limit allows (limits.nproc)"),
        "{message}"
    );
}

#[test]
fn a_program_that_the_user_may_not_execute_is_told_so() {
    if !is_root() {
        return skip("only root can become another user");
    }
    let curfew = Curfew::run(["--user", "nobody"]);
    let program = curfew.directory().join("mine");
    fs::copy(fixture_binary(), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
    let (step, errno, message) = failure(&curfew.command([program.to_str().unwrap()]).finish());
    assert_eq!((step.as_str(), errno), ("execute", libc::EACCES.into()));
    assert!(
        message.ends_with("Permission denied; it runs as its own user, who needs the right to"),
        "{message}"
    );
}
