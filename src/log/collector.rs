use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::span;
use tracing::{Event, Metadata, Subscriber};

use super::record::{Level, Record};
use crate::supervisor::Timestamp;

/// The subscriber of every tracing event: it keeps them as records until the loop takes them.
///
/// It writes nothing itself: a slow reader of the log must not hold up whoever says something.
#[derive(Clone)]
pub struct Collector {
    time_of_day: fn() -> SystemTime,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    now: Timestamp,
    records: Vec<Record>,
}

impl Collector {
    /// A collector that asks `time_of_day` for the time of each record.
    pub fn new(time_of_day: fn() -> SystemTime) -> Self {
        Self { time_of_day, state: Arc::default() }
    }

    /// Sets the time since the start that the next records get.
    pub fn set_now(&self, now: Timestamp) {
        self.state().now = now;
    }

    /// Takes what has been said since this was last called.
    pub fn take(&self) -> Vec<Record> {
        std::mem::take(&mut self.state().records)
    }

    /// After a panic the list is still a list.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata) -> bool {
        metadata.is_event() && *metadata.level() <= tracing::Level::DEBUG
    }

    fn event(&self, event: &Event) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let level = match *event.metadata().level() {
            tracing::Level::ERROR => Level::Error,
            tracing::Level::WARN => Level::Warn,
            tracing::Level::INFO => Level::Info,
            tracing::Level::DEBUG | tracing::Level::TRACE => Level::Debug,
        };
        let Fields { event, service, message, rest } = fields;
        let mut state = self.state();
        let at = state.now;
        let time = (self.time_of_day)();
        state.records.push(Record { time, at, level, event, service, message, fields: rest });
    }

    fn max_level_hint(&self) -> Option<tracing::level_filters::LevelFilter> {
        Some(tracing::level_filters::LevelFilter::DEBUG)
    }

    // Nothing in curfew opens a span: it is one thread with one loop.
    fn new_span(&self, _: &span::Attributes) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[derive(Default)]
struct Fields {
    event: String,
    service: Option<String>,
    message: String,
    rest: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("event", Value::String(text)) => self.event = text,
            ("service", Value::String(text)) => self.service = Some(text),
            ("message", Value::String(text)) => self.message = text,
            (name, value) => {
                self.rest.insert(name.to_owned(), value);
            }
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn an_event_becomes_a_record_with_its_fields() {
        let collector = Collector::new(|| UNIX_EPOCH);
        collector.set_now(Timestamp::new(Duration::from_secs(3)));
        tracing::subscriber::with_default(collector.clone(), || {
            let missing: Option<u64> = None;
            tracing::warn!(event = "a.b", service = "api", pid = 7, missing, ok = true, name = %"x", "said {}", 1);
            tracing::trace!("not heard");
        });
        let records = collector.take();
        assert_eq!(records.len(), 1);
        let record = &records[0];
        assert_eq!(
            (record.level, record.event.as_str(), record.message.as_str()),
            (Level::Warn, "a.b", "said 1")
        );
        assert_eq!(record.service.as_deref(), Some("api"));
        assert_eq!(record.at, Timestamp::new(Duration::from_secs(3)));
        assert_eq!(Value::Object(record.fields.clone()).to_string(), r#"{"pid":7,"ok":true,"name":"x"}"#);
        assert!(collector.take().is_empty());
    }
}
