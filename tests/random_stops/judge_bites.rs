//! A judge that finds nothing any more would go unnoticed.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use nix::libc::SIGTERM;
use serde_json::{Value, json};

use super::judge::{Tally, judge};
use super::plan::{Containment, Plan, ServicePlan};
use super::stop::{Evidence, Left, perform};

/// One that has to be killed, and one that it leaves behind and that has to be killed as well.
fn plan() -> Plan {
    Plan {
        seed: 0,
        one_command: true,
        services: vec![ServicePlan {
            tree: "plain+ignores(plain+session+ignores)".to_owned(),
            after: None,
            is_task: false,
            is_essential: true,
        }],
        pid_one: false,
        containment: Containment::Auto,
        mirror: false,
        grace: "TERM 50ms, KILL".to_owned(),
        deadline: Some(Duration::from_secs(2)),
        // Long enough for the family to be there.
        signals: vec![(Duration::from_millis(300), SIGTERM)],
    }
}

#[test]
fn the_judge_finds_what_is_wrong() {
    let plan = plan();
    let complaint = |doctor: &dyn Fn(&mut Evidence)| {
        let mut evidence = perform(&plan);
        doctor(&mut evidence);
        judge(&plan, &evidence, &mut Tally::default()).err().unwrap_or_default()
    };
    let with_report = |doctor: &dyn Fn(&mut Value)| {
        complaint(&|evidence| {
            let mut report = evidence.parsed().expect("a report");
            doctor(&mut report);
            evidence.report = Some(report.to_string());
        })
    };
    assert_eq!(complaint(&|_| {}), "");
    let bites = |complaint: String, words: &str| assert!(complaint.contains(words), "{words}: {complaint:?}");
    bites(complaint(&|evidence| evidence.status = None), "hung");
    let daemon = |is_dying, is_helper| {
        let words = "a daemon".to_owned();
        move |evidence: &mut Evidence| {
            let lateness = if is_dying { Duration::from_secs(1) } else { Duration::ZERO };
            evidence.lateness = lateness;
            evidence.left.push(Left {
                pid: Some(77),
                is_dying,
                is_runnable: false,
                is_helper,
                words: words.clone(),
            });
        }
    };
    bites(complaint(&daemon(false, false)), "left behind");
    bites(complaint(&daemon(false, true)), "left behind");
    // Not named.
    bites(complaint(&daemon(true, false)), "left behind");
    assert_eq!(complaint(&daemon(true, true)), "");
    bites(complaint(&|evidence| evidence.status = Some(ExitStatus::from_raw(SIGTERM))), "ended by signal");
    let late = |evidence: &mut Evidence| {
        evidence.took = Some(Duration::from_secs(3));
        evidence.lateness = Duration::from_millis(100);
    };
    bites(complaint(&late), "the deadline is");
    bites(complaint(&|evidence| evidence.report = None), "no report");
    bites(complaint(&|evidence| evidence.report = Some("{".to_owned())), "no JSON");
    bites(complaint(&|evidence| evidence.status = Some(ExitStatus::from_raw(3 << 8))), "the report says");
    bites(with_report(&|report| report["services"][0]["strays"] = json!([])), "not named");
    bites(with_report(&|report| report["services"][0]["pid"] = Value::Null), "not named");
    bites(with_report(&|report| report["verdict"] = json!("clean")), "the verdict is");
    bites(
        with_report(&|report| report["survivors"] = json!([{"service": "fixture", "pid": 77}])),
        "should be",
    );
    bites(
        with_report(&|report| {
            report["services"][0]["result"] = json!("failed-stopping");
            report["services"][0]["end"] = json!({"exit_status": 3});
        }),
        "should be",
    );
}
