use std::fmt::Write;
use std::time::SystemTime;

use serde_json::{Map, Value};

use super::journal_entry::journal_entry;
use crate::supervisor::Timestamp;

/// One event, as the log, the report and the journal share it.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The time of day.
    pub time: SystemTime,
    /// The time since curfew started.
    pub at: Timestamp,
    /// How grave it is.
    pub level: Level,
    /// The stable name of the event, such as `stage.sent`.
    pub event: String,
    /// The service it is about.
    pub service: Option<String>,
    /// The sentence for people.
    pub message: String,
    /// The rest, in the order they were given.
    pub fields: Map<String, Value>,
}

/// How grave an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Somebody must act.
    Error,
    /// Somebody should know.
    Warn,
    /// The course of things.
    Info,
    /// For those who look for a fault.
    Debug,
}

/// How a record is written as a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineFormat {
    /// For people: time, level, service, sentence, `key=value`.
    Human {
        /// Whether the line begins with the time; the journal has its own.
        time: bool,
    },
    /// One JSON object.
    Json,
    /// An entry of the journal with its fields.
    Journal,
}

/// Fields that the sentence says already: people need them once, machines get them in JSON.
const IN_THE_SENTENCE: [&str; 18] = [
    "after_ms",
    "budget_ms",
    "cause",
    "deadline_ms",
    "errno",
    "from_ms",
    "near_miss",
    "of",
    "per_mille",
    "services",
    "setting",
    "stage",
    "status",
    "step",
    "to_ms",
    "verdict",
    "wait_ms",
    "waited_ms",
];

impl Level {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

impl Record {
    /// The line, with its end.
    pub fn line(&self, format: LineFormat) -> Vec<u8> {
        let mut line = match format {
            LineFormat::Human { time } => self.human(time),
            LineFormat::Json => self.json_line(),
            LineFormat::Journal => return journal_entry(self),
        };
        line.push('\n');
        line.into_bytes()
    }

    fn human(&self, time: bool) -> String {
        let mut line = String::new();
        if time {
            let _ = write!(line, "{} ", humantime::format_rfc3339_millis(self.time));
        }
        let _ = write!(line, "{:<5} {}", self.level.as_str().to_uppercase(), self.sentence());
        line
    }

    /// What people read.
    pub(super) fn sentence(&self) -> String {
        let mut line = String::new();
        if let Some(service) = &self.service {
            let _ = write!(line, "{service}: ");
        }
        push_without_control(&mut line, &self.message);
        for (key, value) in self.fields.iter().filter(|(key, _)| !IN_THE_SENTENCE.contains(&key.as_str())) {
            line.push(' ');
            push_without_control(&mut line, key);
            line.push('=');
            match value {
                Value::String(text) if !text.is_empty() && text.bytes().all(is_plain) => line.push_str(text),
                // Quoted and escaped, so that no value can look like a field or a line of its own.
                other => push_without_control(&mut line, &other.to_string()),
            }
        }
        line
    }

    fn json_line(&self) -> String {
        let mut object = Map::new();
        object.insert("time".into(), humantime::format_rfc3339_millis(self.time).to_string().into());
        self.fill(&mut object);
        Value::Object(object).to_string()
    }

    /// The record as the report's list of events holds it.
    pub fn report_entry(&self) -> Value {
        let mut object = Map::new();
        object.insert("at_ms".into(), milliseconds(self.at.since_start()).into());
        self.fill(&mut object);
        Value::Object(object)
    }

    fn fill(&self, object: &mut Map<String, Value>) {
        object.insert("level".into(), self.level.as_str().into());
        object.insert("event".into(), self.event.clone().into());
        if let Some(service) = &self.service {
            object.insert("service".into(), service.clone().into());
        }
        object.insert("message".into(), self.message.clone().into());
        for (key, value) in &self.fields {
            object.insert(key.clone(), value.clone());
        }
    }
}

/// Whole milliseconds, for JSON.
pub(crate) fn milliseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'+' | b'/' | b':' | b'@')
}

/// A process chooses its own name: it must not be able to write to the terminal with it.
fn push_without_control(line: &mut String, text: &str) {
    for character in text.chars() {
        if character.is_control() {
            let _ = write!(line, "{}", character.escape_default());
        } else {
            line.push(character);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn record() -> Record {
        Record {
            time: UNIX_EPOCH + Duration::from_millis(1_700_000_000_123),
            at: Timestamp::new(Duration::from_millis(1500)),
            level: Level::Warn,
            event: "stage.sent".into(),
            service: Some("api".into()),
            message: "sent SIGTERM".into(),
            fields: [("pid", Value::from(7)), ("name", "a b".into()), ("signal", "TERM".into())]
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect(),
        }
    }

    fn text(record: &Record, format: LineFormat) -> String {
        String::from_utf8(record.line(format)).unwrap()
    }

    #[test]
    fn a_human_line_has_time_level_service_sentence_and_fields() {
        assert_eq!(
            text(&record(), LineFormat::Human { time: true }),
            "2023-11-14T22:13:20.123Z WARN  api: sent SIGTERM pid=7 name=\"a b\" signal=TERM\n"
        );
        assert!(text(&record(), LineFormat::Human { time: false }).starts_with("WARN  api: "));
    }

    #[test]
    fn a_json_line_is_one_object_in_a_fixed_order() {
        assert_eq!(
            text(&record(), LineFormat::Json),
            "{\"time\":\"2023-11-14T22:13:20.123Z\",\"level\":\"warn\",\"event\":\"stage.sent\",\"service\":\"api\",\
             \"message\":\"sent SIGTERM\",\"pid\":7,\"name\":\"a b\",\"signal\":\"TERM\"}\n"
        );
    }

    #[test]
    fn a_name_cannot_forge_a_line_or_drive_the_terminal() {
        let mut record = record();
        record.message = "found \u{1b}[2Jevil\n2026 INFO ok".into();
        record.fields.insert("name".into(), "x\ny=z".into());
        for format in [LineFormat::Human { time: true }, LineFormat::Json] {
            let line = text(&record, format);
            assert_eq!(line.matches('\n').count(), 1, "{line}");
            assert!(!line.contains('\u{1b}'));
        }
        assert!(text(&record, LineFormat::Human { time: false }).contains("name=\"x\\ny=z\""));
    }
}
