use super::SyntaxError;
use crate::nearest::nearest;
use crate::supervisor::{Signal, SignalSet, SuccessStatuses};

/// How a signal may be written, for messages.
const NOTATIONS: &str = "write a signal such as `TERM`, `SIGTERM`, `15` or `RTMIN+3`";

/// Reads one signal: with or without `SIG`, by number, or `RTMIN+3`.
///
/// # Errors
/// What is no signal, with the nearest one that is; and 0, 32 and 33, with the reason.
pub fn parse_signal(text: &str) -> Result<Signal, SyntaxError> {
    if let Some(signal) = Signal::parse(text) {
        return Ok(signal);
    }
    if text.is_empty() {
        return Err(SyntaxError::whole(text, "no signal is given", NOTATIONS));
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        let (problem, cure) = match text.parse::<u32>() {
            Ok(0) => ("0 is no signal, it only asks whether a process exists".to_owned(), NOTATIONS),
            Ok(32 | 33) => (
                format!("signal {text} belongs to the C library, for its threads"),
                "take `RTMIN` (34) or above",
            ),
            _ => (format!("there is no signal {text}"), "signals are numbered 1 to 64"),
        };
        return Err(SyntaxError::whole(text, problem, cure));
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let cure = if name.starts_with("RTMIN") || name.starts_with("RTMAX") {
        "real-time signals are `RTMIN` to `RTMIN+30`, or `RTMAX-30` to `RTMAX`".to_owned()
    } else {
        nearest(name, Signal::names())
            .map_or_else(|| NOTATIONS.to_owned(), |nearest| format!("did you mean `{nearest}`?"))
    };
    Err(SyntaxError::whole(text, format!("unknown signal `{text}`"), cure))
}

/// Reads the signals that ask curfew to stop: `TERM, INT`.
///
/// # Errors
/// What is no signal, what cannot be caught, and what arrives without anybody asking.
pub(crate) fn parse_stop_signals(text: &str) -> Result<SignalSet, SyntaxError> {
    parse_list(text, parse_stop_signal).map(|signals| signals.into_iter().collect())
}

/// Reads one of the signals that ask curfew to stop.
///
/// # Errors
/// As [`parse_stop_signals`].
pub(crate) fn parse_stop_signal(text: &str) -> Result<Signal, SyntaxError> {
    let signal = parse_catchable(text)?;
    if signal == Signal::CHLD {
        return Err(SyntaxError::whole(
            text,
            "CHLD arrives with the death of every process, so curfew would stop at once",
            "take another signal",
        ));
    }
    if NEVER_HEARD.contains(&signal.number()) {
        return Err(SyntaxError::whole(
            text,
            format!(
                "{signal} reports a fault of curfew's own, or is ignored by it, so it would never stop anything"
            ),
            "take another signal",
        ));
    }
    Ok(signal)
}

/// ILL, BUS, FPE, SEGV, PIPE, TTIN, TTOU and XFSZ.
const NEVER_HEARD: [i32; 8] = [4, 7, 8, 11, 13, 21, 22, 25];

/// Reads the signals that are passed on: a list, `all`, or `none`.
///
/// # Errors
/// What is no signal, what cannot be caught, and CHLD, which is never passed on.
pub(crate) fn parse_forward(text: &str) -> Result<SignalSet, SyntaxError> {
    match text.trim() {
        "all" => Ok(SignalSet::all()),
        "none" => Ok(SignalSet::EMPTY),
        _ => parse_list(text, parse_forwarded).map(|signals| signals.into_iter().collect()),
    }
}

/// Reads one of the signals that are passed on.
///
/// # Errors
/// As [`parse_forward`].
pub(crate) fn parse_forwarded(text: &str) -> Result<Signal, SyntaxError> {
    let signal = parse_catchable(text)?;
    if signal == Signal::CHLD {
        return Err(SyntaxError::whole(
            text,
            "CHLD tells of curfew's own children and is never passed on",
            "leave it out",
        ));
    }
    Ok(signal)
}

/// One entry of `--map`: what is sent instead of a signal; `None`: nothing.
pub(crate) type Mapping = (Signal, Option<Signal>);

/// Reads `FROM=TO` or `FROM=none`.
///
/// # Errors
/// No `=`, what is no signal, and a FROM that curfew never gets to see.
pub(crate) fn parse_mapping(text: &str) -> Result<Mapping, SyntaxError> {
    let Some((from, to)) = text.split_once('=') else {
        return Err(SyntaxError::whole(
            text,
            "there is no `=`",
            "write FROM=TO, such as `HUP=TERM` or `USR1=none`",
        ));
    };
    let from_signal = shift(text, from, parse_forwarded)?;
    let to_signal = shift(text, to, parse_map_target)?;
    Ok((from_signal, to_signal))
}

/// Reads what is sent instead of a signal: another one, or `none`.
///
/// # Errors
/// What is no signal.
pub(crate) fn parse_map_target(text: &str) -> Result<Option<Signal>, SyntaxError> {
    if text == "none" { Ok(None) } else { parse_signal(text).map(Some) }
}

/// Reads the exit statuses and signals that count as success: `3, 143, TERM`. A number is always an exit status.
///
/// # Errors
/// What is neither.
pub(crate) fn parse_success(text: &str) -> Result<SuccessStatuses, SyntaxError> {
    parse_list(text, parse_success_code).map(success_statuses)
}

/// One entry of `success`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SuccessCode {
    /// This exit status.
    Status(u8),
    /// A death by this signal.
    Signal(Signal),
}

/// Reads one exit status or signal name.
///
/// # Errors
/// As [`parse_success`].
pub(crate) fn parse_success_code(text: &str) -> Result<SuccessCode, SyntaxError> {
    if text.starts_with(|first: char| first.is_ascii_digit() || first == '-') {
        return text.parse().map(SuccessCode::Status).map_err(|_| {
            SyntaxError::whole(
                text,
                format!("`{text}` is no exit status"),
                "write 0 to 255, or the name of a signal",
            )
        });
    }
    parse_signal(text).map(SuccessCode::Signal)
}

/// Puts the entries of `success` together.
pub(crate) fn success_statuses(codes: impl IntoIterator<Item = SuccessCode>) -> SuccessStatuses {
    let mut success = SuccessStatuses::default();
    for code in codes {
        match code {
            SuccessCode::Status(status) => success.statuses.push(status),
            SuccessCode::Signal(signal) => success.signals.insert(signal),
        }
    }
    success
}

fn parse_catchable(text: &str) -> Result<Signal, SyntaxError> {
    match parse_signal(text)? {
        signal @ (Signal::KILL | Signal::STOP) => Err(SyntaxError::whole(
            text,
            format!("{signal} can be caught by no process, so curfew never sees it"),
            "leave it out",
        )),
        signal => Ok(signal),
    }
}

/// Reads a list separated by commas. A comma at the end is a slip as any other.
fn parse_list<T>(text: &str, parse: fn(&str) -> Result<T, SyntaxError>) -> Result<Vec<T>, SyntaxError> {
    if text.trim().is_empty() {
        return Err(SyntaxError::whole(text, "the list is empty", "name at least one, such as `TERM`"));
    }
    let (mut read, mut errors) = (Vec::new(), Vec::new());
    for item in text.split(',') {
        match shift(text, item, parse) {
            Ok(item) => read.push(item),
            Err(error) => errors.push(error),
        }
    }
    SyntaxError::all(errors).map_or(Ok(read), Err)
}

/// Parses `part`, a slice of `text`, without the space around it; an error is given its place in `text`.
fn shift<T>(text: &str, part: &str, parse: fn(&str) -> Result<T, SyntaxError>) -> Result<T, SyntaxError> {
    let part = part.trim();
    parse(part).map_err(|error| error.shifted(part.as_ptr().addr() - text.as_ptr().addr()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_signal_is_explained() {
        for (text, message) in [
            ("TERN", "unknown signal `TERN`; did you mean `TERM`?"),
            ("SIGTREM", "unknown signal `SIGTREM`; did you mean `TERM`?"),
            ("terminate", "unknown signal `terminate`; did you mean `TERM`?"),
            (
                "RTMIN+31",
                "unknown signal `RTMIN+31`; real-time signals are `RTMIN` to `RTMIN+30`, or `RTMAX-30` to `RTMAX`",
            ),
            (
                "0",
                "0 is no signal, it only asks whether a process exists; write a signal such as `TERM`, `SIGTERM`, `15` or `RTMIN+3`",
            ),
            ("32", "signal 32 belongs to the C library, for its threads; take `RTMIN` (34) or above"),
            ("33", "signal 33 belongs to the C library, for its threads; take `RTMIN` (34) or above"),
            ("65", "there is no signal 65; signals are numbered 1 to 64"),
            ("99999999999", "there is no signal 99999999999; signals are numbered 1 to 64"),
            ("", "no signal is given; write a signal such as `TERM`, `SIGTERM`, `15` or `RTMIN+3`"),
            ("xyzzy", "unknown signal `xyzzy`; write a signal such as `TERM`, `SIGTERM`, `15` or `RTMIN+3`"),
        ] {
            assert_eq!(parse_signal(text).unwrap_err().to_string(), message, "{text:?}");
        }
    }

    #[test]
    fn stop_signals_are_what_can_be_caught() {
        let set = parse_stop_signals("TERM, sigint,RTMIN+3").unwrap();
        let three: Vec<_> = [Signal::TERM, Signal::INT, Signal::RTMIN_3].into();
        assert_eq!(set, three.into_iter().collect());
        for text in ["KILL", "TERM, STOP", "CHLD", "", "TERM,", "TERM,,INT"] {
            assert!(parse_stop_signals(text).is_err(), "{text:?}");
        }
        let error = parse_stop_signals("TERM, 9").unwrap_err();
        assert_eq!(
            error.render("TERM, 9"),
            "KILL can be caught by no process, so curfew never sees it; leave it out\n  TERM, 9\n        ^"
        );
    }

    #[test]
    fn all_that_is_wrong_in_a_list_is_told() {
        let text = "TREM, INT, XX, KILL";
        let told = parse_stop_signals(text).unwrap_err();
        let told: Vec<_> = told.each().map(|error| &text[error.span.clone()]).collect();
        assert_eq!(told, ["TREM", "XX", "KILL"]);
    }

    #[test]
    fn forward_takes_a_list_or_all_or_none() {
        assert_eq!(parse_forward("all").unwrap(), SignalSet::all());
        assert_eq!(parse_forward("none").unwrap(), SignalSet::EMPTY);
        assert_eq!(parse_forward("USR1").unwrap(), [Signal::USR1].into_iter().collect());
        for text in ["KILL", "STOP", "CHLD", "", "USR1 USR2"] {
            assert!(parse_forward(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_mapping_is_from_and_to() {
        assert_eq!(parse_mapping("TERM=QUIT").unwrap(), (Signal::TERM, Signal::from_number(3)));
        assert_eq!(parse_mapping("15 = none").unwrap(), (Signal::TERM, None));
        let text = "TERM=QUTI";
        let rendering = "unknown signal `QUTI`; did you mean `QUIT`?\n  TERM=QUTI\n       ^^^^";
        assert_eq!(parse_mapping(text).unwrap_err().render(text), rendering);
        for text in ["TERM", "=TERM", "TERM=", "KILL=TERM", "CHLD=TERM", "none=TERM"] {
            assert!(parse_mapping(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn success_is_exit_statuses_and_names_of_signals() {
        let success = parse_success("3, 143, TERM").unwrap();
        assert_eq!(success.statuses, [3, 143]);
        assert_eq!(success.signals, [Signal::TERM].into_iter().collect());
        let text = "3, 256";
        let rendering =
            "`256` is no exit status; write 0 to 255, or the name of a signal\n  3, 256\n     ^^^";
        assert_eq!(parse_success(text).unwrap_err().render(text), rendering);
        for text in ["", "-1", "TERN", "3,"] {
            assert!(parse_success(text).is_err(), "{text:?}");
        }
    }
}
