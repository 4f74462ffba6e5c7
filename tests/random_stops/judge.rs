//! What must be true of every stop, judged from the outside.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use nix::libc;
use serde_json::Value;

use super::finished::check_report;
use super::plan::Plan;
use super::stop::{Evidence, Left, code};

/// How much later than its deadline a stop may be seen to end, on a machine that is never late. curfew keeps its margin free
/// before that.
const TOLERANCE: Duration = Duration::from_millis(100);
/// And how often curfew, those it waits for, and this test, one after another, may be as late as this machine was at most.
const TIMES_LATE: u32 = 5;
/// On a machine that was as late as that, what was killed may not have had a processor to end on before curfew had to go, and
/// so the helper that writes the report. The least that curfew keeps for them in these stops is about as much.
const STARVED: Duration = Duration::from_millis(20);

/// What a run of stops came to.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) stops: u64,
    born: usize,
    killed: usize,
    results: BTreeMap<String, u64>,
    statuses: BTreeMap<i32, u64>,
    /// The longest stop, as a part of its deadline.
    nearest: f64,
    /// The latest that this machine was in one of these.
    latest: Duration,
    /// The seeds of stops on a starved machine that ended with survivors, all of whom were dying, or without a report.
    starved: Vec<u64>,
}

/// Finds what is wrong with a stop, and counts it.
pub(crate) fn judge(plan: &Plan, evidence: &Evidence, tally: &mut Tally) -> Result<(), String> {
    let Some(status) = evidence.status else { return Err("it hung".to_owned()) };
    // The metronome sleeps, and so has its turn before others. Who is killed and could run, but does not, says more.
    let is_starved =
        evidence.lateness >= STARVED || evidence.left.iter().any(|left| left.is_dying && left.is_runnable);
    judge_left(evidence, is_starved)?;
    tally.stops += 1;
    tally.born += evidence.born.len();
    let status = match code(status) {
        Ok(status) => status,
        // The signal came before there was any handler: nothing had begun.
        Err(_) if evidence.born.is_empty() && evidence.log.is_empty() && evidence.report.is_none() => {
            *tally.results.entry("too early".to_owned()).or_default() += 1;
            return Ok(());
        }
        Err(signal) => return Err(format!("curfew was ended by signal {signal}")),
    };
    judge_time(plan, evidence, tally)?;
    let Some(report) = evidence.parsed() else {
        let why = ["\"report.failed\"", "the deadline has come before everything was written"]
            .iter()
            .any(|reason| evidence.log.contains(reason))
            || was_cut_short(evidence) && status == 81;
        if is_starved && evidence.report.is_none() && why {
            tally.starved.push(plan.seed);
            return Ok(());
        }
        return Err("there is no report, or it is no JSON".to_owned());
    };
    check_report(&report);
    judge_killed(evidence, &report, tally)?;
    judge_status(plan, &report, status)?;
    if !entries(&report, "survivors").is_empty() || !evidence.left.is_empty() {
        if !is_starved {
            return Err(format!("{} survivors on a machine that had time", report["survivors"]));
        }
        tally.starved.push(plan.seed);
    }
    *tally.results.entry(report["verdict"].as_str().unwrap_or("none").to_owned()).or_default() += 1;
    *tally.statuses.entry(status).or_default() += 1;
    Ok(())
}

/// Nobody outlives curfew. What the report names was killed, and is no more than slow to end; and there must be a reason.
fn judge_left(evidence: &Evidence, is_starved: bool) -> Result<(), String> {
    let report = evidence.parsed().unwrap_or_default();
    let survivors: BTreeSet<i32> = entries(&report, "survivors").iter().filter_map(pid).collect();
    let is_accounted_for = |left: &&Left| {
        let is_named = left.pid.is_none_or(|pid| survivors.contains(&pid)) && !survivors.is_empty()
            || was_cut_short(evidence);
        is_starved && left.is_dying && (is_named || left.is_helper)
    };
    let others: Vec<&str> =
        evidence.left.iter().filter(|left| !is_accounted_for(left)).map(|left| left.words.as_str()).collect();
    match others.is_empty() {
        true => Ok(()),
        false => Err(format!("somebody is left behind:\n{}", others.join("\n"))),
    }
}

/// The guard of the deadline has ended it: then there is no report, and nobody is named but whom it knew.
fn was_cut_short(evidence: &Evidence) -> bool {
    evidence.log.contains("held up in the middle of the stop")
}

fn judge_time(plan: &Plan, evidence: &Evidence, tally: &mut Tally) -> Result<(), String> {
    let (Some(deadline), Some(took)) = (plan.deadline, evidence.took) else { return Ok(()) };
    if took > deadline + TOLERANCE + TIMES_LATE * evidence.lateness {
        return Err(format!("it took {took:?}, and the deadline is {deadline:?}"));
    }
    tally.latest = tally.latest.max(evidence.lateness);
    tally.nearest = tally.nearest.max(took.as_secs_f64() / deadline.as_secs_f64());
    Ok(())
}

/// Whoever was born and said no bye was killed: the report names him. But if his own parent reaped him before anybody
/// looked, nobody can know of him.
fn judge_killed(evidence: &Evidence, report: &Value, tally: &mut Tally) -> Result<(), String> {
    let services = entries(report, "services");
    let mut named: BTreeSet<i32> = services.iter().filter_map(pid).collect();
    named.extend(
        services.iter().flat_map(|service| entries(service, "strays")).filter_map(|stray| pid(&stray)),
    );
    named.extend(entries(report, "survivors").iter().filter_map(pid));
    let killed: Vec<_> = evidence.born.iter().filter(|(pid, _)| !evidence.said_bye.contains(pid)).collect();
    tally.killed += killed.len();
    let was_reaped =
        |parent| evidence.born.get(&parent).is_some_and(|parent| parent.traits.contains("reaps"));
    let unnamed: Vec<_> =
        killed.iter().filter(|(pid, born)| !named.contains(pid) && !was_reaped(born.parent)).collect();
    if !unnamed.is_empty() {
        return Err(format!("{unnamed:?} were killed, and are not named in the report"));
    }
    if !killed.is_empty() && !["killed", "survivors"].contains(&report["verdict"].as_str().unwrap_or("none"))
    {
        return Err(format!("{killed:?} were killed, and the verdict is {}", report["verdict"]));
    }
    Ok(())
}

/// The exit status is what the table in the README makes of the report.
fn judge_status(plan: &Plan, report: &Value, status: i32) -> Result<(), String> {
    if report["exit_status"] != status {
        return Err(format!("the report says {}, and the status is {status}", report["exit_status"]));
    }
    let expected = expected_statuses(plan, report);
    if !expected.contains(&status) {
        return Err(format!("the status is {status}; by the report it should be one of {expected:?}"));
    }
    Ok(())
}

/// Which statuses fit the report: of several bad ones the first counts, and the report does not say which that was.
fn expected_statuses(plan: &Plan, report: &Value) -> BTreeSet<i32> {
    let services = entries(report, "services");
    let with_result = |wanted: &str| {
        let services = services.iter().filter(|service| service["result"] == wanted);
        services.map(|service| end_status(&service["end"])).collect::<BTreeSet<i32>>()
    };
    let one = |status: i32| BTreeSet::from([status]);
    if plan.mirror && !services[0]["end"].is_null() {
        return one(end_status(&services[0]["end"]));
    }
    if !entries(report, "survivors").is_empty() {
        return one(81);
    }
    let cause = &report["cause"];
    match cause["kind"].as_str() {
        Some("service-failed") if cause["start_failure"].is_object() => {
            return BTreeSet::from([126, 127, 71, 82]);
        }
        Some("service-failed") => {
            // A leader that daemonised has no bad status of its own.
            let status = if cause["end"].is_null() { 0 } else { end_status(&cause["end"]) };
            return one(if status == 0 { 82 } else { status });
        }
        Some("service-ended") if plan.one_command => return one(end_status(&cause["end"])),
        _ => {}
    }
    let interrupted: BTreeSet<i32> = services
        .iter()
        .filter(|service| {
            service["kind"] == "task" && ["interrupted", "killed"].contains(&text(&service["result"]))
        })
        .map(|service| end_status(&service["end"]))
        .collect();
    let failed = with_result("failed-stopping");
    match () {
        () if !failed.is_empty() => failed,
        () if !interrupted.is_empty() => interrupted,
        () if report["verdict"] == "killed" => one(80),
        () => one(0),
    }
}

fn pid(value: &Value) -> Option<i32> {
    value["pid"].as_i64().map(|pid| pid as i32)
}

fn entries(value: &Value, key: &str) -> Vec<Value> {
    value[key].as_array().cloned().unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("none")
}

/// The status of an end as the report has it: 128 + n for a signal.
fn end_status(end: &Value) -> i32 {
    if let Some(status) = end["exit_status"].as_i64() {
        return status as i32;
    }
    match text(&end["signal"]) {
        "HUP" => 128 + libc::SIGHUP,
        "INT" => 128 + libc::SIGINT,
        "QUIT" => 128 + libc::SIGQUIT,
        "KILL" => 128 + libc::SIGKILL,
        "TERM" => 128 + libc::SIGTERM,
        _ => -1,
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(
            formatter,
            "{} stops, {} processes, {} of them killed; {:?}; statuses {:?}; the longest took {:.0} % of its deadline, \
             on a machine up to {:?} late; \
             starved stops {:?}",
            self.stops,
            self.born,
            self.killed,
            self.results,
            self.statuses,
            self.nearest * 100.0,
            self.latest,
            self.starved
        )
    }
}
