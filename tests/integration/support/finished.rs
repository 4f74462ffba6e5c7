//! A run that is over, and what is true of every one.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::OnceLock;
use std::time::Duration;

use super::time::Moment;

use serde_json::Value;

/// What a run of curfew left behind.
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<String>,
    pub(crate) stderr: Vec<String>,
    /// The log is JSON.
    pub(crate) json: bool,
    /// The report; a string if it is no JSON.
    pub(crate) report: Option<Value>,
    pub(crate) report_wanted: bool,
    /// What is in the directory of the run.
    pub(crate) files: Vec<String>,
    /// Living processes of the run.
    pub(crate) left: Vec<i32>,
    pub(crate) streams_ended: bool,
    /// From the start of curfew to its end.
    pub(crate) took: Duration,
    /// When it ended: before all that is looked at afterwards.
    pub(crate) ended: Moment,
}

impl Finished {
    /// What is true of every run that ends by itself.
    #[track_caller]
    pub(crate) fn check(&self) {
        assert!(self.left.is_empty(), "processes outlived curfew: {:?}{self}", self.left);
        assert!(self.streams_ended, "somebody still holds curfew's standard streams{self}");
        assert!(
            self.files.iter().all(|name| !name.ends_with(".new")),
            "a temporary file is left: {:?}",
            self.files
        );
        if self.json {
            self.check_log();
        }
        if self.report_wanted {
            let report = self.report.as_ref().unwrap_or_else(|| panic!("there is no report{self}"));
            if let Some(status) = report["exit_status"].as_i64() {
                assert_eq!(
                    Some(status),
                    self.status.code().map(i64::from),
                    "the report names the status{self}"
                );
            }
        }
        if let Some(report) = &self.report {
            check_report(report);
        }
    }

    /// Each line of a JSON log is an object with a time, a level, an event and a message.
    #[track_caller]
    fn check_log(&self) {
        for line in self.stderr.iter().filter(|line| line.starts_with('{')) {
            let event: Value = serde_json::from_str(line)
                .unwrap_or_else(|error| panic!("a line of the log is no JSON: {error}: {line}"));
            for key in ["time", "level", "event", "message"] {
                assert!(event[key].is_string(), "a line of the log has no {key}: {line}");
            }
        }
    }

    /// The exit status; for a curfew that a signal ended, there is none.
    #[track_caller]
    pub(crate) fn code(&self) -> i32 {
        match self.status.code() {
            Some(code) => code,
            None => panic!("curfew was ended by signal {:?}{self}", self.status.signal()),
        }
    }

    /// The exit status is this one.
    #[track_caller]
    pub(crate) fn assert_status(&self, status: i32) -> &Self {
        assert_eq!(self.code(), status, "the exit status{self}");
        self
    }

    /// The report.
    #[track_caller]
    pub(crate) fn report(&self) -> &Value {
        self.report.as_ref().unwrap_or_else(|| panic!("there is no report{self}"))
    }

    /// The verdict, as the report has it.
    #[track_caller]
    pub(crate) fn verdict(&self) -> &str {
        self.report()["verdict"].as_str().unwrap_or("none")
    }

    /// A service, as the report has it.
    #[track_caller]
    pub(crate) fn service(&self, name: &str) -> &Value {
        let services = self.report()["services"].as_array().expect("a list of services");
        let found = services.iter().find(|service| service["name"] == name);
        found.unwrap_or_else(|| panic!("{name} is not in the report{self}"))
    }

    /// The signals that the stages of a service sent, in order.
    #[track_caller]
    pub(crate) fn stages(&self, name: &str) -> Vec<String> {
        let stages = self.service(name)["stages"].as_array().expect("a list of stages");
        stages.iter().map(|stage| stage["signal"].as_str().expect("a signal").to_owned()).collect()
    }

    /// When a stage of a service was sent, in milliseconds since curfew's start.
    #[track_caller]
    pub(crate) fn sent_at(&self, name: &str, stage: usize) -> u64 {
        let stage = &self.service(name)["stages"][stage];
        stage["sent_at_ms"].as_u64().unwrap_or_else(|| panic!("{name} has no such stage{self}"))
    }

    /// When the last process of a service was gone, in milliseconds since curfew's start.
    #[track_caller]
    pub(crate) fn down_at(&self, name: &str) -> u64 {
        self.service(name)["down_at_ms"].as_u64().unwrap_or_else(|| panic!("{name} did not go down{self}"))
    }

    /// From the first cause of the stop to the end of curfew, as the report has it.
    #[track_caller]
    pub(crate) fn stop_took(&self) -> Duration {
        Duration::from_millis(self.report()["took_ms"].as_u64().expect("a stop"))
    }

    /// The events of this name, from the JSON log.
    pub(crate) fn events(&self, event: &str) -> Vec<Value> {
        let events = self.stderr.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        events.filter(|value| value["event"] == event).collect()
    }

    /// Where the first line of standard output with this text is.
    #[track_caller]
    pub(crate) fn place(&self, text: &str) -> usize {
        let place = self.stdout.iter().position(|line| line.contains(text));
        place.unwrap_or_else(|| panic!("nobody said {text:?}{self}"))
    }

    /// The lines of standard output with this text.
    pub(crate) fn said(&self, text: &str) -> Vec<&str> {
        self.stdout.iter().map(String::as_str).filter(|line| line.contains(text)).collect()
    }

    /// What stands behind `key ` on a line of `prints-state`.
    #[track_caller]
    pub(crate) fn state(&self, key: &str) -> &str {
        let marker = format!(": {key} ");
        let mut values = self.stdout.iter().filter_map(|line| line.split_once(&marker));
        values.next().unwrap_or_else(|| panic!("nobody told {key:?}{self}")).1
    }
}

impl std::fmt::Display for Finished {
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        let (stdout, stderr) = (self.stdout.join("\n"), self.stderr.join("\n"));
        write!(
            formatter,
            "\n--- {} after {:?}; standard output\n{stdout}\n--- standard error\n{stderr}\n---",
            self.status, self.took
        )
    }
}

/// A report is what its schema says.
#[track_caller]
pub(crate) fn check_report(report: &Value) {
    static SCHEMA: OnceLock<jsonschema::Validator> = OnceLock::new();
    let schema = SCHEMA.get_or_init(|| {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/report.schema.json");
        let text = std::fs::read_to_string(path).expect("the schema is in docs/");
        jsonschema::validator_for(&serde_json::from_str(&text).expect("it is JSON")).expect("it is a schema")
    });
    let errors: Vec<String> =
        schema.iter_errors(report).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "the report does not fit its schema:\n{}\n{report:#}", errors.join("\n"));
}
