use serde_json::Value;

use super::message_id::message_id;
use super::record::{Level, Record};

/// An entry of the journal in its native form: a field a line, or with its length where it has lines of its own.
///
/// Source: systemd's "Native Journal Protocol"; systemd.journal-fields(7).
pub(super) fn journal_entry(record: &Record) -> Vec<u8> {
    let mut entry = Vec::new();
    push(&mut entry, "MESSAGE", &record.sentence());
    push(&mut entry, "PRIORITY", priority(record.level));
    push(&mut entry, "SYSLOG_IDENTIFIER", "curfew");
    if let Some(id) = message_id(&record.event) {
        push(&mut entry, "MESSAGE_ID", id);
    }
    push(&mut entry, "CURFEW_EVENT", &record.event);
    if let Some(service) = &record.service {
        push(&mut entry, "CURFEW_SERVICE", service);
    }
    for (key, value) in &record.fields {
        let text = match value {
            Value::Null => continue,
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        push(&mut entry, &format!("CURFEW_{}", field_name(key)), &text);
    }
    entry
}

/// As syslog(3) numbers them.
const fn priority(level: Level) -> &'static str {
    match level {
        Level::Error => "3",
        Level::Warn => "4",
        Level::Info => "6",
        Level::Debug => "7",
    }
}

/// Capital letters, digits and underscores: all that a field's name may have.
fn field_name(key: &str) -> String {
    let plain = |character: char| match character.to_ascii_uppercase() {
        character @ ('A'..='Z' | '0'..='9') => character,
        _ => '_',
    };
    key.chars().map(plain).collect()
}

fn push(entry: &mut Vec<u8>, name: &str, value: &str) {
    entry.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        entry.push(b'\n');
        entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        entry.push(b'=');
    }
    entry.extend_from_slice(value.as_bytes());
    entry.push(b'\n');
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use serde_json::json;

    use super::*;
    use crate::supervisor::Timestamp;

    #[test]
    fn an_entry_has_its_id_its_priority_and_its_fields() {
        let record = Record {
            time: UNIX_EPOCH,
            at: Timestamp::ZERO,
            level: Level::Warn,
            event: "stage.expired".into(),
            service: Some("api".into()),
            message: "still there".into(),
            fields: json!({"waited_ms": 7, "signal": "TERM", "a-b": "x\ny"}).as_object().unwrap().clone(),
        };
        let id = message_id("stage.expired").unwrap();
        let mut expected = format!(
            "MESSAGE=api: still there signal=TERM a-b=\"x\\ny\"\nPRIORITY=4\nSYSLOG_IDENTIFIER=curfew\nMESSAGE_ID={id}\n\
             CURFEW_EVENT=stage.expired\nCURFEW_SERVICE=api\nCURFEW_WAITED_MS=7\nCURFEW_SIGNAL=TERM\nCURFEW_A_B\n"
        )
        .into_bytes();
        expected.extend([3, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend(b"x\ny\n");
        assert_eq!(String::from_utf8_lossy(&journal_entry(&record)), String::from_utf8_lossy(&expected));
    }
}
