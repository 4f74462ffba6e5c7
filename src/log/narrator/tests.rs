use std::time::UNIX_EPOCH;

use super::*;
use crate::log::{Collector, Level as LogLevel};
use crate::supervisor::{Pid, Scale, ServiceSettings, StopOrder};

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
    Notice::StopComplete { verdict, status, after, budget, near_miss: false }
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
