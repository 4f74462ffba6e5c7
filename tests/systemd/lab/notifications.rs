use super::{Entry, Lab};

/// What systemd writes for each message of a service, when it is told to write everything.
const HEARD: &str = "Got notification message from PID ";

impl Lab {
    /// From now on systemd writes down what its services tell it.
    #[track_caller]
    pub(crate) fn hear_notifications(&self) {
        self.systemctl(["log-level", "debug"]).succeeds();
    }

    /// What a unit told systemd, in order: the fields of each message, separated by commas.
    #[track_caller]
    pub(crate) fn notifications(&self, unit: &str) -> Vec<String> {
        self.journal(unit).iter().filter_map(message_of).collect()
    }
}

fn message_of(entry: &Entry) -> Option<String> {
    let message = entry.message();
    let (_, rest) = message.split_once(HEARD)?;
    let (_, fields) = rest.split_once(" (")?;
    Some(fields.trim_end_matches(')').to_owned())
}
