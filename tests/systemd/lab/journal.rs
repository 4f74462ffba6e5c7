use serde_json::Value;

use super::{Background, Lab};

/// An entry of the journal, with all its fields.
#[derive(Clone, Debug)]
pub(crate) struct Entry(Value);

impl Entry {
    /// A field of it; empty if it has none.
    pub(crate) fn field(&self, name: &str) -> String {
        match &self.0[name] {
            Value::String(text) => text.clone(),
            // What is no text for journalctl is a list of bytes.
            Value::Array(bytes) => {
                let bytes: Vec<u8> = bytes.iter().filter_map(|byte| Some(byte.as_u64()? as u8)).collect();
                String::from_utf8_lossy(&bytes).into_owned()
            }
            _ => String::new(),
        }
    }

    pub(crate) fn message(&self) -> String {
        self.field("MESSAGE")
    }
}

impl Lab {
    /// Everything about a unit: what it said, and what systemd said of it, in order.
    #[track_caller]
    pub(crate) fn journal(&self, unit: &str) -> Vec<Entry> {
        self.journalctl(["--unit", unit])
    }

    /// What the journal has for these options.
    #[track_caller]
    pub(crate) fn journalctl<const COUNT: usize>(&self, options: [&str; COUNT]) -> Vec<Entry> {
        // What was sent to journald before is written when this returns.
        self.run(["journalctl", "--sync"]).succeeds();
        let words: Vec<&str> =
            [&["journalctl", "--quiet", "--all", "--output", "json"], &options[..]].concat();
        let text = Background::start(self.command(&words)).finish().stdout;
        let entries = text.lines().map(serde_json::from_str::<Value>);
        entries.map(|entry| Entry(entry.expect("a line of JSON"))).collect()
    }

    /// The messages of a unit's journal.
    #[track_caller]
    pub(crate) fn messages(&self, unit: &str) -> Vec<String> {
        self.journal(unit).iter().map(Entry::message).collect()
    }

    /// Follows the journal of a unit from its beginning: each line is a message.
    #[track_caller]
    pub(crate) fn follow(&self, unit: &str) -> Background {
        self.start(["journalctl", "--quiet", "--follow", "--lines", "all", "--output", "cat", "--unit", unit])
    }
}
