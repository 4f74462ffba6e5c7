use serde_json::Value;

use super::super::cgroup::Figures;
use super::super::service_programs::ServicePrograms;
use super::super::spawn::Program;
use crate::protocol::{WatchLevel, WatchedLine};
use crate::supervisor::{Cause, HookKind, Notice, ServiceId, Settings, Timestamp};

/// Hears what is decided, and turns it into lines and a report.
pub trait Listener {
    /// The time since the start has come this far.
    fn time(&mut self, now: Timestamp);
    /// Something was decided.
    fn hear(&mut self, notice: &Notice);
    /// The platform was asked when it kills us, or has answered.
    fn deadline_is_asked(&mut self, is_asked: bool);
    /// Takes the lines to write to the log.
    fn take_lines(&mut self) -> Vec<Vec<u8>>;
    /// Something was found out about a service that does not stop: in words, and the whole.
    fn blame(&mut self, service: ServiceId, sentence: &str, whole: Value);
    /// Whether it wants to know what services used.
    fn wants_figures(&self) -> bool;
    /// What a service used, to its end.
    fn figures(&mut self, service: ServiceId, figures: Figures);
    /// A cause in words.
    fn cause(&self, cause: Cause) -> String;
    /// Somebody wants to hear of events that are at least so grave, or nobody of any.
    fn watch(&mut self, level: Option<WatchLevel>);
    /// Takes those events.
    fn take_watched(&mut self) -> Vec<WatchedLine>;
    /// How things are, in words, if that has changed.
    fn take_status(&mut self) -> Option<String>;
    /// A hook of a service says something.
    fn hook_output(&mut self, service: ServiceId, kind: &HookKind, line: &str);
    /// The settings were read anew: some services may be new. `programs` are those of all that there are.
    fn reconfigured(
        &mut self,
        settings: &Settings,
        programs: &[ServicePrograms],
        deadline_source: &'static str,
    );
    /// From now on this is executed for the service.
    fn adopted(&mut self, service: ServiceId, settings: &Settings, program: &Program);
    /// The run is over: write the report, without taking long. Returns the last lines of the log.
    fn finish(&mut self, status: u8) -> Vec<Vec<u8>>;
}
