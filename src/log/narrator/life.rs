//! What is said of services between start and stop.

use super::{Narrator, describe_sender, words};
use crate::log::record::milliseconds;
use crate::supervisor::{
    Failure, Limit, Notice, Purpose, RefusedBecause, Request, Sender, ServiceId, Step, Wish,
};

impl Narrator {
    /// Says what was decided about a service that lives.
    pub(super) fn tell_of_life(&self, notice: &Notice) {
        match *notice {
            Notice::StepStarted { service, step, pid } => tracing::debug!(
                event = "hook.started",
                service = self.name(service),
                hook = self.step(service, step),
                pid = pid.number(),
                "running {}",
                self.step(service, step)
            ),
            Notice::PreStopBegun { service, wait } => tracing::info!(
                event = "hook.started",
                service = self.name(service),
                hook = "pre-stop",
                wait_ms = milliseconds(wait),
                "running pre-stop, up to {}",
                words(wait)
            ),
            Notice::SystemReady { after } => {
                let after_ms = milliseconds(after);
                tracing::debug!(event = "system.ready", after_ms, "everything essential is ready");
            }
            Notice::ProbeFailed { service, purpose: Purpose::Ready, ref reason, .. } => tracing::debug!(
                event = "probe.failed",
                service = self.name(service),
                reason = reason.as_str(),
                "not ready yet: {reason}"
            ),
            Notice::ProbeFailed { service, purpose: Purpose::Health, failures, ref reason } => {
                tracing::warn!(
                    event = "probe.failed",
                    service = self.name(service),
                    failures,
                    reason = reason.as_str(),
                    "health probe failed ({failures} in a row): {reason}"
                );
            }
            Notice::ProbeRecovered { service, failures } => tracing::info!(
                event = "probe.recovered",
                service = self.name(service),
                failures,
                "well again after {failures} failed probes"
            ),
            Notice::ServiceFailing { service, failure, ref last_seen, limit } => {
                let what = describe_failing(failure, limit);
                let seen = last_seen.as_ref().map(|seen| format!("; the last probe saw: {seen}"));
                tracing::error!(
                    event = "service.failing",
                    service = self.name(service),
                    failure = failure.name(),
                    last_seen = last_seen.as_deref(),
                    "{what}{}",
                    seen.unwrap_or_default()
                );
            }
            Notice::RestartPlanned { service, delay, attempt, limit } => tracing::warn!(
                event = "restart.planned",
                service = self.name(service),
                delay_ms = milliseconds(delay),
                attempt,
                limit,
                "will be started again in {} (restart {attempt} of {limit})",
                words(delay)
            ),
            Notice::RestartLimit { service, limit, within } => tracing::error!(
                event = "restart.limit",
                service = self.name(service),
                limit,
                "is not started again: {} {}",
                if limit == 1 { "1 restart".to_owned() } else { format!("{limit} restarts") },
                if within.as_secs() < MANY_YEARS {
                    format!("within {}", words(within))
                } else {
                    "were tried".into()
                }
            ),
            Notice::StatusSaid { service, ref text } => tracing::debug!(
                event = "service.status",
                service = self.name(service),
                status = text.as_str(),
                "says: {text}"
            ),
            Notice::Reloading { service, done } => tracing::info!(
                event = "service.reloading",
                service = self.name(service),
                done,
                "{}",
                if done { "has reloaded its configuration" } else { "reloads its configuration" }
            ),
            Notice::StopsByItself { service } => tracing::info!(
                event = "service.stopping",
                service = self.name(service),
                "says that it is stopping"
            ),
            Notice::WaitExtended { service, asked, granted } => tracing::info!(
                event = "wait.extended",
                service = self.name(service),
                asked_ms = milliseconds(asked),
                granted_ms = milliseconds(granted),
                "asked for {} more, and gets {}",
                words(asked),
                words(granted)
            ),
            Notice::LeaderMoved { service, pid } => tracing::info!(
                event = "service.moved",
                service = self.name(service),
                pid = pid.number(),
                "its first process ended; process {pid} leads it now"
            ),
            Notice::Asked { service, wish } => self.tell_wish(service, wish),
            Notice::RequestRefused { request, because } => self.tell_refusal(request, because),
            // Everything else is told elsewhere.
            _ => debug_assert!(false, "{notice:?} is not of a life"),
        }
    }

    /// What a step is called.
    fn step(&self, service: ServiceId, step: Step) -> String {
        if self.is_pseudo(service) { "cleanup".to_owned() } else { step.to_string() }
    }

    fn tell_wish(&self, service: ServiceId, wish: Wish) {
        let (name, what) = match wish {
            Wish::Start => ("start", "to be started"),
            Wish::Stop => ("stop", "to be stopped"),
            Wish::Restart => ("restart", "to be restarted"),
        };
        tracing::info!(
            event = "service.asked",
            service = self.name(service),
            wish = name,
            "was asked {what}"
        );
    }

    fn tell_refusal(&self, request: Request, because: RefusedBecause) {
        let (request, service) = match request {
            Request::StopSystem { .. } => ("stop", None),
            Request::Stop(service) => ("stop", Some(service)),
            Request::Start(service) => ("start", Some(service)),
            Request::Restart(service) => ("restart", Some(service)),
            Request::Signal(service, _) => ("signal", Some(service)),
            Request::Reload { .. } => ("reload", None),
            Request::Reopen => ("reopen", None),
        };
        let why = match because {
            RefusedBecause::Removed => "the service was removed from the configuration",
            RefusedBecause::Stopping => "the system is being stopped",
            RefusedBecause::NotRunning => "it has no process",
            RefusedBecause::NothingToReload => "there is no configuration file",
        };
        tracing::info!(
            event = "request.refused",
            service = service.map(|service| self.name(service)),
            request,
            "a request to {request} is refused: {why}"
        );
    }

    /// Who asked for a stop.
    pub(super) fn request(sender: Sender) -> String {
        format!("a request on the control socket{}", describe_sender(sender))
    }
}

/// No window at all, in seconds.
const MANY_YEARS: u64 = 1 << 32;

fn describe_failing(failure: Failure, limit: Limit) -> String {
    match (failure, limit) {
        (Failure::NotReady, Limit::Closed) => {
            "closed its readiness descriptor without saying that it is ready".to_owned()
        }
        (Failure::NotReady, Limit::Time(time)) => {
            format!("was not ready within {}", humantime::format_duration(time))
        }
        (Failure::TimedOut, Limit::Time(time)) => {
            format!("took longer than {}", humantime::format_duration(time))
        }
        (Failure::Watchdog, Limit::Time(time)) => {
            format!("did not say within {} that it is well (watchdog)", humantime::format_duration(time))
        }
        (Failure::Watchdog, _) => "says that it is not well (watchdog)".to_owned(),
        (Failure::Unhealthy, Limit::Probes(probes)) => {
            format!("is unhealthy: {probes} health probes failed in a row")
        }
        _ => describe_failure(failure),
    }
}

/// A failure that has no figures of its own.
pub(super) fn describe_failure(failure: Failure) -> String {
    match failure {
        Failure::Ended(end) => format!("failed with {end}"),
        Failure::PreStart(end) => format!("could not be started: pre-start failed with {end}"),
        Failure::Start(_) => "could not be started".to_owned(),
        Failure::Daemonised => "has daemonised".to_owned(),
        Failure::NotReady => "was not ready in time".to_owned(),
        Failure::Unhealthy => "is unhealthy".to_owned(),
        Failure::Watchdog => "did not say in time that it is well (watchdog)".to_owned(),
        Failure::TimedOut => "took too long".to_owned(),
        Failure::RestartLimit => "ended again and again".to_owned(),
        Failure::NotGone => "cannot be started again: what is left of it cannot be killed".to_owned(),
    }
}
