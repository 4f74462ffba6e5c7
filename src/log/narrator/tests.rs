use std::time::UNIX_EPOCH;

use super::*;
use crate::log::{Collector, Level as LogLevel};
use crate::supervisor::{Failure, Limit, Pid, Scale, ServiceSettings, StartStep, StopOrder};

const PID: Pid = Pid::new(7).unwrap();

/// What is said of a system of two services, `db` and `api` after it: each level with its sentence.
fn said(notices: &[Notice]) -> Vec<String> {
    let order = StopOrder::new(&[Vec::new(), vec![ServiceId::new(0)]]).unwrap();
    let services = ["db", "api"].map(ServiceSettings::new).to_vec();
    said_by(&Settings::new(Mode::ManyServices, services, order), notices)
}

fn said_by(settings: &Settings, notices: &[Notice]) -> Vec<String> {
    let programs = settings.services.iter().map(|_| ProgramWords::default()).collect();
    let mut narrator = Narrator::new(settings, programs);
    let collector = Collector::new(|| UNIX_EPOCH);
    tracing::subscriber::with_default(collector.clone(), || {
        notices.iter().for_each(|notice| narrator.tell(notice));
    });
    let line = |record: crate::log::Record| {
        let service = record.service.map(|service| format!("{service}: ")).unwrap_or_default();
        format!("{} {service}{}", level(record.level), record.message)
    };
    collector.take().into_iter().map(line).collect()
}

const fn level(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Error => "ERROR",
        LogLevel::Warn => "WARN",
        LogLevel::Info => "INFO",
        LogLevel::Debug => "DEBUG",
    }
}

fn requested(cause: Cause) -> Notice {
    Notice::StopRequested { cause, budget: Some(Duration::from_secs(9)) }
}

fn complete(verdict: Verdict, status: u8) -> Notice {
    let (after, budget) = (Duration::from_millis(3), Some(Duration::from_secs(9)));
    Notice::StopComplete { verdict, status, after, budget, near_miss: false, overrun: None }
}

const TERM: Cause = Cause::Signal { signal: Signal::TERM, sender: Sender::Unknown };

#[test]
fn a_stop_that_was_asked_for_and_went_well_is_no_more_than_said() {
    assert_eq!(
        said(&[requested(TERM), complete(Verdict::Clean, 0)]),
        [
            "INFO 🛑 stop requested: SIGTERM; budget 9s",
            "INFO 🏁 shutdown complete: clean, exit status 0, 3ms of 9s"
        ]
    );
}

#[test]
fn a_stop_that_went_past_its_budget_was_no_near_miss() {
    let ends = |near_miss, overrun: Option<Duration>| {
        let (verdict, status, budget) = (Verdict::Killed, 80, Some(Duration::from_secs(9)));
        let after = Duration::from_secs(8) + overrun.unwrap_or_default();
        Notice::StopComplete { verdict, status, after, budget, near_miss, overrun }
    };
    assert_eq!(
        said(&[ends(true, None), ends(true, Some(Duration::from_secs(2)))]),
        [
            "WARN 🏁 shutdown complete: killed, a near miss, exit status 80, 8s of 9s",
            "WARN 🏁 shutdown complete: killed, 2s past its budget, exit status 80, 10s of 9s"
        ]
    );
}

#[test]
fn there_is_no_deadline_only_when_systemd_has_answered() {
    let order = StopOrder::new(&[Vec::new()]).unwrap();
    let settings = Settings::new(Mode::ManyServices, vec![ServiceSettings::new("api")], order);
    let requested = Notice::StopRequested { cause: TERM, budget: None };
    let said = |is_asked| {
        let mut narrator = Narrator::new(&settings, vec![ProgramWords::default()]);
        let collector = Collector::new(|| UNIX_EPOCH);
        tracing::subscriber::with_default(collector.clone(), || {
            narrator.deadline_is_asked(true);
            narrator.deadline_is_asked(is_asked);
            narrator.tell(&requested);
        });
        collector.take().remove(0).message
    };
    assert_eq!(said(true), "🛑 stop requested: SIGTERM; the deadline is asked of systemd");
    assert_eq!(said(false), "🛑 stop requested: SIGTERM; no deadline");
}

#[test]
fn a_failure_is_the_first_thing_that_the_last_line_says_however_well_the_stop_went() {
    let failed = Cause::ServiceFailed { service: ServiceId::new(1), failure: Failure::Ended(End::Exited(5)) };
    assert_eq!(
        said(&[requested(failed), complete(Verdict::Clean, 5)]),
        [
            "WARN 🛑 stop requested: api failed with exit status 5; budget 9s",
            "ERROR 🏁 shutdown complete: api failed with exit status 5; the rest stopped cleanly; exit status 5, 3ms of 9s"
        ]
    );
    let stopping = Notice::ServiceEnded {
        service: ServiceId::new(0),
        pid: PID,
        end: End::Exited(3),
        meaning: EndMeaning::FailedStopping,
        after: Duration::from_secs(1),
    };
    assert_eq!(
        said(&[requested(TERM), stopping, complete(Verdict::Killed, 3)])[2],
        "ERROR 🏁 shutdown complete: db failed with exit status 3 while it was stopped; something had to be killed; \
         exit status 3, 3ms of 9s"
    );
    assert_eq!(
        said(&[requested(TERM), complete(Verdict::Survivors, 81)])[1],
        "ERROR 🏁 shutdown complete: survivors, exit status 81, 3ms of 9s"
    );
}

/// Its PATH alone may be longer than a line.
#[test]
fn why_a_service_could_not_be_started_is_said_once() {
    let failure = StartFailure { not_found: true, ..StartFailure::new(StartStep::Execute, 2) };
    let cause = Cause::ServiceFailed { service: ServiceId::new(1), failure: Failure::Start(failure) };
    let failed = |step| Notice::StartFailed { service: ServiceId::new(1), step, failure };
    let told = said(&[failed(Step::Main), requested(cause), complete(Verdict::Clean, 127)]);
    assert!(told[0].starts_with("ERROR api: cannot execute "), "{told:?}");
    assert_eq!(
        told[1..],
        [
            "WARN 🛑 stop requested: api could not be started; budget 9s",
            "ERROR 🏁 shutdown complete: api could not be started; the rest stopped cleanly; exit status 127, 3ms of 9s"
        ]
    );
    // It is another command than the service's own.
    let (service, kind, result) = (ServiceId::new(1), HookKind::PreStart, Err(failure));
    let ended = Notice::HookEnded { service, kind, result, dismissed: false };
    assert_eq!(
        said(&[failed(Step::PreStart), ended]),
        [
            "ERROR api: pre-start could not be started: executing its command: No such file or directory",
            "DEBUG api: pre-start could not be started"
        ]
    );
}

#[test]
fn schedules_that_are_too_long_are_told_with_their_chain() {
    let chain = |count| (0..count).map(|index| ServiceId::new(index % 2)).collect();
    let said = |count| {
        let (length, budget) = (Duration::from_secs(33), Duration::from_secs(9));
        said(&[Notice::SchedulesTooLong { chain: chain(count), length, budget, scale: Scale::FULL }])
            .remove(0)
    };
    assert_eq!(
        said(2),
        "WARN a stop of db, then api may take 33s, and there are 9s: waits will be shortened to 100 %; shorten the \
         schedules, or raise the deadline"
    );
    assert!(said(9).starts_with("WARN a stop of db, then 7 others, then db may take"));
}

#[test]
fn who_is_left_is_told_with_name_and_reason() {
    let service = ServiceId::new(1);
    let other = Pid::new(8).unwrap();
    let notices = [
        Notice::StrayFound { service, pid: PID, name: "sperl".into() },
        Notice::SignalRefused { service, pid: PID, errno: 1 },
        Notice::Survivor { service, pid: PID },
        Notice::Survivor { service, pid: other },
    ];
    assert_eq!(
        said(&notices)[2..],
        [
            "ERROR api: process 7 (sperl) may not be signalled by us (Operation not permitted), and is left behind",
            "ERROR api: process 8 could not be killed, and is left behind"
        ]
    );
}

#[test]
fn the_cleanup_is_no_post_stop_and_a_stray_is_left_by_nobody() {
    let [stray, cleanup] = [2, 3].map(ServiceId::new);
    let killed = Notice::HookEnded {
        service: cleanup,
        kind: HookKind::PostStop,
        result: Ok(End::Exited(3)),
        dismissed: false,
    };
    let notices = [
        Notice::StepStarted { service: cleanup, step: Step::PostStop, pid: PID },
        killed,
        Notice::StrayFound { service: stray, pid: PID, name: "sleep".into() },
    ];
    assert_eq!(
        said(&notices),
        [
            "DEBUG (cleanup): running cleanup",
            "WARN (cleanup): cleanup failed with exit status 3",
            "INFO (stray): found a process that belongs to none"
        ]
    );
}

#[test]
fn a_failing_pre_start_is_an_error_for_the_service_does_not_start() {
    let (service, result) = (ServiceId::new(0), Ok(End::Exited(4)));
    let notice = Notice::HookEnded { service, kind: HookKind::PreStart, result, dismissed: false };
    assert_eq!(said(&[notice]), ["ERROR db: pre-start failed with exit status 4"]);
}

#[test]
fn the_first_abort_is_not_called_a_second_one() {
    let notice = Notice::StopEscalated { signal: Signal::ABRT, level: Level::KillNow };
    assert_eq!(said(&[notice]), ["WARN SIGABRT: everything that is left is killed now"]);
}

#[test]
fn a_limit_is_told_as_it_was_set_however_short_it_is() {
    let (service, limit) = (ServiceId::new(0), Limit::Time(Duration::from_micros(1)));
    let failing = Notice::ServiceFailing { service, failure: Failure::Watchdog, last_seen: None, limit };
    assert_eq!(said(&[failing]), ["ERROR db: did not say within 1us that it is well (watchdog)"]);
}

#[test]
fn one_restart_is_one() {
    let told = |limit| {
        let notice =
            Notice::RestartLimit { service: ServiceId::new(0), limit, within: Duration::from_secs(60) };
        said(&[notice]).remove(0)
    };
    assert_eq!(told(1), "ERROR db: is not started again: 1 restart within 1m");
    assert_eq!(told(5), "ERROR db: is not started again: 5 restarts within 1m");
}

#[test]
fn the_one_task_that_is_done_in_a_stop_that_was_asked_for_is_told() {
    let order = StopOrder::new(&[Vec::new()]).unwrap();
    let task = ServiceSettings { kind: Kind::Task, ..ServiceSettings::new("job") };
    let settings = Settings::new(Mode::OneCommand, vec![task], order);
    let done = Notice::ServiceEnded {
        service: ServiceId::new(0),
        pid: PID,
        end: End::Exited(0),
        meaning: EndMeaning::TaskDone,
        after: Duration::from_secs(1),
    };
    assert_eq!(said_by(&settings, std::slice::from_ref(&done)), ["DEBUG job: done after 1s"]);
    assert_eq!(said_by(&settings, &[requested(TERM), done])[1], "INFO job: done after 1s");
}

#[test]
fn a_task_is_started_and_a_service_is_up() {
    let order = StopOrder::new(&[Vec::new(), Vec::new()]).unwrap();
    let task = ServiceSettings { kind: Kind::Task, ..ServiceSettings::new("job") };
    let settings = Settings::new(Mode::ManyServices, vec![task, ServiceSettings::new("api")], order);
    let ready =
        |index| Notice::ServiceReady { service: ServiceId::new(index), pid: PID, after: Duration::ZERO };
    assert_eq!(said_by(&settings, &[ready(0), ready(1)]), ["INFO job: started", "INFO api: up"]);
}
