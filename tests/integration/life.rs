//! Between start and stop: what runs around a service, restarts, and tasks with a time.

use std::time::Duration;

use nix::libc::SIGTERM;

use crate::support::Curfew;

const AROUND: &str = r#"
pre-start = ["sh", "-c", "echo pre-start of $CURFEW_SERVICE"]
pre-stop  = ["sh", "-c", "echo pre-stop of $CURFEW_SERVICE, $CURFEW_PID"]
post-stop = ["sh", "-c", "echo post-stop of $CURFEW_SERVICE, $CURFEW_VERDICT $CURFEW_EXIT_STATUS"]
"#;

#[test]
fn what_runs_around_a_service_runs_at_its_place() {
    let config = format!(
        "service.late = {{ command = <obedient>, after = [\"api\"] }}\n\
         [cleanup]\ncommand = [\"sh\", \"-c\", \"echo cleanup, $CURFEW_VERDICT $CURFEW_EXIT_STATUS\"]\n\
         [service.api]\ncommand = <obedient>\n{AROUND}"
    );
    let curfew = Curfew::run([]).config(&config).start();
    // Nobody asks `api` whether it is ready: either may be the first to say so.
    curfew.wait_for("api: ready");
    curfew.wait_for("late: ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(0);
    let pid = finished.service("api")["pid"].as_i64().unwrap();
    let order = [
        "pre-start of api",
        "api: ready",
        "late: done",
        "api: got TERM",
        "api: done",
        "post-stop of api, clean 0",
        "cleanup, clean 0",
    ];
    let places: Vec<usize> = order.iter().map(|text| finished.place(text)).collect();
    assert!(places.is_sorted(), "{places:?}{finished}");
    // What runs beside the service speaks in the log.
    assert_eq!(finished.events("hook.output")[0]["message"], format!("pre-stop: pre-stop of api, {pid}"));
}

#[test]
fn a_failing_pre_start_is_a_failed_start_with_its_status_and_post_stop_cleans_up() {
    let config = "[service.api]\ncommand = <obedient>\npre-start = [\"sh\", \"-c\", \"exit 7\"]\n\
                  post-stop = [\"sh\", \"-c\", \"echo cleaned\"]";
    let finished = Curfew::run([]).config(config).finish();
    finished.assert_status(7);
    finished.place("cleaned");
    assert_eq!(finished.said("ready"), Vec::<&str>::new());
    assert_eq!(finished.report()["cause"]["failure"], "pre-start");
}

#[test]
fn hooks_that_hang_do_not_cost_the_deadline_and_leave_nobody() {
    let hangs = r#"["sh", "-c", "trap '' TERM; setsid sleep 1000 & sleep 1000"]"#;
    let config = format!(
        "[service.api]\ncommand = <obedient>\npre-stop = {hangs}\npost-stop = {hangs}\n[cleanup]\ncommand = {hangs}"
    );
    let curfew = Curfew::run(["--deadline", "3s", "--margin", "500ms"]).config(&config).start();
    curfew.wait_for("api: ready");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    assert!(finished.stop_took() < Duration::from_secs(3), "{finished}");
    let of = |name: &str| finished.service(name)["hooks"].as_array().unwrap().clone();
    for hook in of("api").iter().chain(&of("(cleanup)")) {
        assert_eq!(hook["killed"], true, "{hook}");
    }
    // The service itself stopped as it should: its schedule did not suffer.
    finished.place("api: done");
    assert_eq!(finished.events("service.ended")[0]["message"], "stopped");
}

#[test]
fn a_service_that_crashes_again_and_again_is_restarted_with_growing_delays_until_the_limit() {
    let config = "[service.api]\ncommand = <answers-with 3>\n\
                  restart = { when = \"on-failure\", delay = \"20ms\", limit = 4 }\n\
                  [service.other]\ncommand = <obedient>";
    let finished = Curfew::run([]).config(config).finish();
    finished.assert_status(3);
    let delays: Vec<u64> =
        finished.events("restart.planned").iter().map(|event| event["delay_ms"].as_u64().unwrap()).collect();
    assert_eq!(delays.len(), 4);
    for (index, delay) in delays.iter().enumerate() {
        let full = 20 << index;
        assert!((full * 3 / 4..=full).contains(delay), "{delays:?}");
    }
    assert_eq!(finished.events("restart.limit").len(), 1);
    assert_eq!(finished.service("api")["restarts"], 4);
    assert_eq!(finished.service("other")["restarts"], 0);
}

#[test]
fn a_stop_during_the_wait_before_a_restart_is_over_at_once() {
    let config = "[service.api]\ncommand = <answers-with 3>\n\
                  restart = { when = \"on-failure\", delay = \"50s\", delay-max = \"50s\" }";
    let curfew = Curfew::run([]).config(config).start();
    curfew.wait_for_event("restart.planned");
    curfew.signal(SIGTERM);
    let finished = curfew.finish();
    finished.assert_status(0);
    assert!(finished.stop_took() < Duration::from_secs(5));
}

#[test]
fn a_restart_waits_for_what_the_service_left_behind() {
    let config = "[service.api]\ncommand = <forks exits daemon+ignoring>\ngrace = \"TERM 200ms, KILL\"\n\
                  restart = { when = \"always\", delay = \"10ms\", limit = 1 }";
    let finished = Curfew::run([]).config(config).finish();
    let events: Vec<_> = finished.report()["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["event"].as_str().unwrap().to_owned())
        .filter(|event| event == "service.started" || event == "stray.ended")
        .collect();
    assert_eq!(events, ["service.started", "stray.ended", "service.started", "stray.ended"]);
}

#[test]
fn a_task_has_its_time_and_its_retries() {
    let config = "[service.job]\ntype = \"task\"\ncommand = <obedient>\ntimeout = \"200ms\"";
    let finished = Curfew::run([]).config(config).finish();
    finished.assert_status(82);
    assert_eq!(finished.events("service.failing")[0]["message"], "took longer than 200ms");

    let directory = tempfile::tempdir().unwrap();
    let script =
        format!("echo x >> {0}/tries; test $(cat {0}/tries | wc -l) -ge 3", directory.path().display());
    let config = format!(
        "service.job = {{ type = \"task\", command = [\"sh\", \"-c\", \"{script}\"], retries = 5, \
         restart = {{ delay = \"1ms\" }} }}"
    );
    let finished = Curfew::run([]).config(&config).finish();
    finished.assert_status(0);
    assert_eq!(finished.events("restart.planned").len(), 2);
}
