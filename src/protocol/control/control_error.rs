use serde_json::{Value, json};

/// Why a request is not granted, for programs and for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlError {
    /// One of a few stable words; `None`: one that this version does not know.
    pub code: Option<ErrorCode>,
    /// What is wrong, in words.
    pub message: String,
    /// What to do about it. May be empty.
    pub cure: String,
}

/// The stable words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// The line is no request.
    BadRequest,
    /// The request is of a version that is not spoken here.
    BadVersion,
    /// There is no such verb.
    UnknownVerb,
    /// There is no such service.
    UnknownService,
    /// The line is too long.
    TooLong,
    /// Whoever asks may not.
    Forbidden,
    /// There are too many clients, or too many that wait or watch.
    Busy,
    /// The system is being stopped.
    Stopping,
    /// The service has no process.
    NotRunning,
    /// There is nothing to reload, or the reload was refused.
    NotReloaded,
    /// It was done, and came to nothing.
    Failed,
}

impl ErrorCode {
    const ALL: [(&'static str, Self); 11] = [
        ("bad-request", Self::BadRequest),
        ("bad-version", Self::BadVersion),
        ("unknown-verb", Self::UnknownVerb),
        ("unknown-service", Self::UnknownService),
        ("too-long", Self::TooLong),
        ("forbidden", Self::Forbidden),
        ("busy", Self::Busy),
        ("stopping", Self::Stopping),
        ("not-running", Self::NotRunning),
        ("not-reloaded", Self::NotReloaded),
        ("failed", Self::Failed),
    ];

    const fn name(self) -> &'static str {
        Self::ALL[self as usize].0
    }
}

impl ControlError {
    /// An error of this kind.
    pub fn new(code: ErrorCode, message: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { code: Some(code), message: message.into(), cure: cure.into() }
    }

    /// As it stands in an answer.
    pub fn value(&self) -> Value {
        let code = self.code.map_or("unknown", ErrorCode::name);
        json!({ "code": code, "message": self.message, "cure": self.cure })
    }

    /// Reads it from an answer.
    pub fn read(value: &Value) -> Self {
        let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let code = ErrorCode::ALL.iter().find(|(name, _)| value["code"] == *name).map(|(_, code)| *code);
        Self { code, message: text("message"), cure: text("cure") }
    }
}

impl std::fmt::Display for ControlError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        formatter.write_str(&self.message)?;
        if self.cure.is_empty() { Ok(()) } else { write!(formatter, "; {}", self.cure) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_read_as_it_is_written() {
        for (place, (name, code)) in ErrorCode::ALL.into_iter().enumerate() {
            assert_eq!((code as usize, code.name()), (place, name));
            let error = ControlError::new(code, "no", "yes");
            assert_eq!(ControlError::read(&error.value()), error);
        }
        let foreign = ControlError::read(&json!({ "code": "new-word", "message": "so", "more": 1 }));
        assert_eq!((foreign.code, foreign.to_string().as_str()), (None, "so"));
    }
}
