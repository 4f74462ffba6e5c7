use serde_json::{Map, Value, json};

use super::{CONTROL_VERSION, ControlError, ErrorCode, WatchLevel};
use crate::nearest::proposal;
use crate::supervisor::Signal;

/// A request: what is asked for, and what the client calls it.
#[derive(Clone, Debug, PartialEq)]
pub struct VerbRequest {
    /// Comes back in the answer; whatever the client likes.
    pub id: Option<Value>,
    /// What is asked for.
    pub verb: Verb,
}

/// What can be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verb {
    /// How everything is.
    Status,
    /// Every event from now on, to the end of the run.
    Watch {
        /// Only those that are at least so grave.
        level: WatchLevel,
    },
    /// Stop services, or the system.
    Stop {
        /// Which.
        whom: Whom,
        /// The answer comes when they are down.
        wait: bool,
    },
    /// Start services.
    Start {
        /// Which.
        whom: Whom,
        /// The answer comes when they are ready.
        wait: bool,
    },
    /// Stop services, and start them again.
    Restart {
        /// Which.
        whom: Whom,
        /// The answer comes when they are ready again.
        wait: bool,
    },
    /// Send services a signal.
    Signal {
        /// Which services.
        names: Vec<String>,
        /// Which signal.
        signal: Signal,
    },
    /// Read the configuration anew. The answer comes when it was read.
    Reload {
        /// The answer comes when everything that changed is up or down.
        wait: bool,
    },
    /// Open the files of services' output anew.
    Reopen,
}

/// Which services are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whom {
    /// Every one. For a stop: the system.
    All,
    /// These. Never empty.
    Named(Vec<String>),
}

/// A line that is no request, or one that is not granted whatever the system is like.
#[derive(Clone, Debug, PartialEq)]
pub struct Rejected {
    /// What the client calls it, if that could be read.
    pub id: Option<Value>,
    /// The verb, if that could be read; there may be none of that name.
    pub verb: Option<String>,
    /// Why.
    pub error: ControlError,
    /// The line is not even JSON: what follows it need not be either.
    pub is_garbage: bool,
}

const VERBS: [&str; 8] = ["status", "watch", "stop", "start", "restart", "signal", "reload", "reopen"];

impl Verb {
    /// Its name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Watch { .. } => "watch",
            Self::Stop { .. } => "stop",
            Self::Start { .. } => "start",
            Self::Restart { .. } => "restart",
            Self::Signal { .. } => "signal",
            Self::Reload { .. } => "reload",
            Self::Reopen => "reopen",
        }
    }
}

impl VerbRequest {
    /// Reads a line, without its end. Keys that are not known are passed over.
    ///
    /// # Errors
    /// Why it is none, or not one that is understood here.
    pub fn parse(line: &[u8]) -> Result<Self, Box<Rejected>> {
        let cure = "send one JSON object a line, such as {\"version\":1,\"verb\":\"status\"}";
        let garbage = |problem: &str| {
            let error = ControlError::new(ErrorCode::BadRequest, problem, cure);
            Box::new(Rejected { id: None, verb: None, error, is_garbage: true })
        };
        let object = match serde_json::from_slice(line) {
            Ok(Value::Object(object)) => object,
            Ok(_) => return Err(garbage("the line is JSON, but no object")),
            Err(_) => return Err(garbage("the line is no JSON")),
        };
        let id = object.get("id").filter(|id| !id.is_null()).cloned();
        match verb(&object) {
            Ok(verb) => Ok(Self { id, verb }),
            Err(error) => {
                let verb = object.get("verb").and_then(Value::as_str).map(str::to_owned);
                Err(Box::new(Rejected { id, verb, error, is_garbage: false }))
            }
        }
    }

    /// The line, with its end.
    pub fn line(&self) -> Vec<u8> {
        let mut object = Map::new();
        object.insert("version".into(), CONTROL_VERSION.into());
        if let Some(id) = &self.id {
            object.insert("id".into(), id.clone());
        }
        object.insert("verb".into(), self.verb.name().into());
        match &self.verb {
            Verb::Status | Verb::Reopen => {}
            Verb::Reload { wait } => {
                object.insert("wait".into(), (*wait).into());
            }
            Verb::Watch { level } => {
                object.insert("level".into(), level.name().into());
            }
            Verb::Stop { whom, wait } | Verb::Start { whom, wait } | Verb::Restart { whom, wait } => {
                match whom {
                    Whom::All => object.insert("all".into(), true.into()),
                    Whom::Named(names) => object.insert("services".into(), json!(names)),
                };
                object.insert("wait".into(), (*wait).into());
            }
            Verb::Signal { names, signal } => {
                object.insert("services".into(), json!(names));
                object.insert("signal".into(), signal.to_string().into());
            }
        }
        let mut line = Value::Object(object).to_string().into_bytes();
        line.push(b'\n');
        line
    }
}

fn bad(problem: impl Into<String>, cure: impl Into<String>) -> ControlError {
    ControlError::new(ErrorCode::BadRequest, problem, cure)
}

fn verb(object: &Map<String, Value>) -> Result<Verb, ControlError> {
    match object.get("version") {
        Some(version) if *version == CONTROL_VERSION => {}
        Some(version) => {
            let problem = format!("version {version} of the protocol is not spoken here");
            let cure =
                format!("this is curfew {}; it speaks version {CONTROL_VERSION}", env!("CARGO_PKG_VERSION"));
            return Err(ControlError::new(ErrorCode::BadVersion, problem, cure));
        }
        None => return Err(bad("there is no `version`", format!("say \"version\":{CONTROL_VERSION}"))),
    }
    let Some(name) = object.get("verb").and_then(Value::as_str) else {
        return Err(bad("there is no `verb`", format!("say one of {}", VERBS.join(", "))));
    };
    match name {
        "status" => Ok(Verb::Status),
        "watch" => Ok(Verb::Watch { level: level(object)? }),
        "stop" => Ok(Verb::Stop { whom: whom(object)?, wait: flag(object, "wait")? }),
        "start" => Ok(Verb::Start { whom: whom(object)?, wait: flag(object, "wait")? }),
        "restart" => Ok(Verb::Restart { whom: whom(object)?, wait: flag(object, "wait")? }),
        "signal" => Ok(Verb::Signal { names: names(object)?, signal: signal(object)? }),
        "reload" => Ok(Verb::Reload { wait: flag(object, "wait")? }),
        "reopen" => Ok(Verb::Reopen),
        other => {
            let cure = proposal(other, VERBS.into_iter());
            Err(ControlError::new(ErrorCode::UnknownVerb, format!("there is no verb `{other}`"), cure))
        }
    }
}

fn flag(object: &Map<String, Value>, key: &str) -> Result<bool, ControlError> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(value)) => Ok(*value),
        Some(_) => Err(bad(format!("`{key}` is neither true nor false"), "write it without quotes")),
    }
}

fn whom(object: &Map<String, Value>) -> Result<Whom, ControlError> {
    if !flag(object, "all")? {
        return names(object).map(Whom::Named);
    }
    match object.get("services") {
        None | Some(Value::Null) => Ok(Whom::All),
        Some(_) => Err(bad("there are both `all` and `services`", "say one of them")),
    }
}

fn names(object: &Map<String, Value>) -> Result<Vec<String>, ControlError> {
    let cure = "say \"services\":[\"NAME\"]";
    let list = match object.get("services") {
        Some(Value::Array(list)) if !list.is_empty() => list,
        None | Some(Value::Null | Value::Array(_)) => return Err(bad("no service is named", cure)),
        Some(_) => return Err(bad("`services` is no list", cure)),
    };
    let names = list.iter().map(|name| name.as_str().map(str::to_owned));
    names.collect::<Option<_>>().ok_or_else(|| bad("a service's name is a string", cure))
}

fn level(object: &Map<String, Value>) -> Result<WatchLevel, ControlError> {
    match object.get("level") {
        None | Some(Value::Null) => Ok(WatchLevel::default()),
        Some(level) => level
            .as_str()
            .and_then(WatchLevel::parse)
            .ok_or_else(|| bad(format!("there is no level {level}"), "say one of error, warn, info, debug")),
    }
}

fn signal(object: &Map<String, Value>) -> Result<Signal, ControlError> {
    let given = match object.get("signal") {
        Some(Value::String(text)) => Signal::parse(text),
        Some(number) => number.as_i64().and_then(|number| Signal::from_number(i32::try_from(number).ok()?)),
        None => return Err(bad("no signal is named", "say \"signal\":\"HUP\"")),
    };
    given.ok_or_else(|| bad("there is no such signal", "say a name such as HUP or RTMIN+3, or a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(line: &str) -> (Option<ErrorCode>, String, bool) {
        let Rejected { error, is_garbage, .. } = *VerbRequest::parse(line.as_bytes()).unwrap_err();
        (error.code, error.to_string(), is_garbage)
    }

    #[test]
    fn every_request_is_read_as_it_is_written() {
        let names = || vec!["api".to_owned(), "db".to_owned()];
        let verbs = [
            Verb::Status,
            Verb::Watch { level: WatchLevel::Debug },
            Verb::Stop { whom: Whom::All, wait: true },
            Verb::Stop { whom: Whom::Named(names()), wait: false },
            Verb::Start { whom: Whom::Named(names()), wait: true },
            Verb::Restart { whom: Whom::All, wait: false },
            Verb::Signal { names: names(), signal: Signal::RTMIN_3 },
            Verb::Reload { wait: true },
            Verb::Reopen,
        ];
        for verb in verbs {
            for id in [None, Some(json!(7)), Some(json!({ "a": ["b"] }))] {
                let request = VerbRequest { id, verb: verb.clone() };
                let line = request.line();
                assert_eq!(
                    (line.last(), line.iter().filter(|byte| **byte == b'\n').count()),
                    (Some(&b'\n'), 1)
                );
                assert_eq!(VerbRequest::parse(&line[..line.len() - 1]), Ok(request));
            }
        }
    }

    #[test]
    fn what_is_not_known_is_passed_over_and_what_is_not_said_has_a_default() {
        let line = br#"{"verb":"stop","services":["api"],"wait":null,"id":null,"colour":"red","version":1}"#;
        let whom = Whom::Named(vec!["api".into()]);
        assert_eq!(
            VerbRequest::parse(line),
            Ok(VerbRequest { id: None, verb: Verb::Stop { whom, wait: false } })
        );
        let watch = VerbRequest::parse(br#" {"version":1,"verb":"watch"} "#).unwrap().verb;
        assert_eq!(watch, Verb::Watch { level: WatchLevel::Info });
        let signal = VerbRequest::parse(br#"{"version":1,"verb":"signal","services":["a"],"signal":15}"#);
        assert_eq!(signal.unwrap().verb, Verb::Signal { names: vec!["a".into()], signal: Signal::TERM });
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_cure() {
        use ErrorCode::{BadRequest, BadVersion, UnknownVerb};
        for (line, code, words, is_garbage) in [
            ("", BadRequest, "no JSON", true),
            ("GET / HTTP/1.1\r", BadRequest, "no JSON", true),
            ("[1]", BadRequest, "no object", true),
            ("{\"verb\":\"status\"}", BadRequest, "say \"version\":1", false),
            ("{\"version\":2,\"verb\":\"status\"}", BadVersion, "it speaks version 1", false),
            ("{\"version\":1}", BadRequest, "say one of status, watch", false),
            ("{\"version\":1,\"verb\":\"statsu\"}", UnknownVerb, "did you mean `status`?", false),
            ("{\"version\":1,\"verb\":\"fly\"}", UnknownVerb, "write one of status, watch", false),
            ("{\"version\":1,\"verb\":\"stop\"}", BadRequest, "no service is named", false),
            ("{\"version\":1,\"verb\":\"stop\",\"services\":[]}", BadRequest, "no service is named", false),
            ("{\"version\":1,\"verb\":\"stop\",\"services\":\"api\"}", BadRequest, "no list", false),
            ("{\"version\":1,\"verb\":\"stop\",\"services\":[1]}", BadRequest, "is a string", false),
            ("{\"version\":1,\"verb\":\"stop\",\"all\":1}", BadRequest, "neither true nor false", false),
            (
                "{\"version\":1,\"verb\":\"stop\",\"all\":true,\"services\":[\"a\"]}",
                BadRequest,
                "both",
                false,
            ),
            ("{\"version\":1,\"verb\":\"watch\",\"level\":\"loud\"}", BadRequest, "no level \"loud\"", false),
            ("{\"version\":1,\"verb\":\"signal\",\"services\":[\"a\"]}", BadRequest, "no signal", false),
            (
                "{\"version\":1,\"verb\":\"signal\",\"services\":[\"a\"],\"signal\":0}",
                BadRequest,
                "no such signal",
                false,
            ),
        ] {
            let (given, text, garbage) = refused(line);
            assert_eq!((given, garbage), (Some(code), is_garbage), "{line}: {text}");
            assert!(text.contains(words), "{line}: {text}");
        }
        let Rejected { id, verb, .. } =
            *VerbRequest::parse(br#"{"version":1,"id":"x","verb":"fly"}"#).unwrap_err();
        assert_eq!(verb.as_deref(), Some("fly"));
        assert_eq!(id, Some(json!("x")));
    }
}
