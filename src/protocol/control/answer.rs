use serde_json::{Map, Value, json};

use super::{CONTROL_VERSION, ControlError};

/// What came back for a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The whole object.
    pub body: Map<String, Value>,
    /// Why it was not granted, or came to nothing.
    pub error: Option<ControlError>,
}

impl Answer {
    /// Reads a line. `None`: it is no answer of this protocol.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let Ok(Value::Object(body)) = serde_json::from_slice(line) else { return None };
        if *body.get("version")? != CONTROL_VERSION {
            return None;
        }
        let error = match body.get("ok")?.as_bool()? {
            true => None,
            false => Some(ControlError::read(body.get("error")?)),
        };
        Some(Self { body, error })
    }
}

/// The line of an answer that grants what was asked for; `more` is what it tells.
pub fn answer_line(id: Option<&Value>, verb: &str, more: Map<String, Value>) -> Vec<u8> {
    line(id, Some(verb), true, more)
}

/// The line of an answer that does not; `more` is what it tells besides.
pub fn error_line(
    id: Option<&Value>,
    verb: Option<&str>,
    error: &ControlError,
    more: Map<String, Value>,
) -> Vec<u8> {
    let mut all = Map::new();
    all.insert("error".into(), error.value());
    all.extend(more);
    line(id, verb, false, all)
}

/// What a watcher is told who has missed so many events: of the same form as an event.
pub fn lagged_line(time: &str, count: u64) -> Vec<u8> {
    let event = json!({
        "time": time,
        "level": "warn",
        "event": "watch.lagged",
        "message": "events were left out: they were not read in time",
        "count": count,
    });
    end_line(&event)
}

fn line(id: Option<&Value>, verb: Option<&str>, ok: bool, more: Map<String, Value>) -> Vec<u8> {
    let mut object = Map::new();
    object.insert("version".into(), CONTROL_VERSION.into());
    if let Some(id) = id {
        object.insert("id".into(), id.clone());
    }
    if let Some(verb) = verb {
        object.insert("verb".into(), verb.into());
    }
    object.insert("ok".into(), ok.into());
    object.extend(more);
    end_line(&Value::Object(object))
}

fn end_line(value: &Value) -> Vec<u8> {
    let mut line = value.to_string().into_bytes();
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::super::ErrorCode;
    use super::*;

    #[test]
    fn answers_are_read_as_they_are_written() {
        let more = Map::from_iter([("results".to_owned(), json!([1]))]);
        let granted = answer_line(Some(&json!(3)), "stop", more.clone());
        assert_eq!(
            String::from_utf8_lossy(&granted),
            "{\"version\":1,\"id\":3,\"verb\":\"stop\",\"ok\":true,\"results\":[1]}\n"
        );
        let read = Answer::parse(&granted).unwrap();
        assert_eq!((read.error, &read.body["results"]), (None, &json!([1])));
        let error = ControlError::new(ErrorCode::Stopping, "no", "wait");
        let read = Answer::parse(&error_line(None, None, &error, more)).unwrap();
        assert_eq!((read.error, &read.body["results"]), (Some(error), &json!([1])));
    }

    #[test]
    fn what_is_no_answer_is_none() {
        for line in ["", "x", "[]", "{}", "{\"version\":2,\"ok\":true}", "{\"version\":1,\"ok\":1}"] {
            assert_eq!(Answer::parse(line.as_bytes()), None, "{line}");
        }
    }
}
