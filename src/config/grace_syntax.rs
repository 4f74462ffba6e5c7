use std::fmt;
use std::ops::Range;
use std::time::Duration;

use super::SyntaxError;
use super::duration_syntax::{format_duration, parse_duration};
use super::service_name::parse_name;
use super::signal_syntax::parse_signal;
use crate::nearest::proposal;
use crate::supervisor::{GraceSchedule, Signal, Stage, StageAction, Target, Wait};

/// The signal that curfew received, in a schedule.
const RECEIVED: &str = "(signal received)";

/// What comes before the name of a command.
const RUN: &str = "run:";

/// Who of a service gets a signal.
pub(crate) const TARGETS: [(&str, Target); 3] =
    [("leader", Target::Leader), ("group", Target::Group), ("all", Target::All)];

/// Reads a grace schedule: `TERM 10s, INT@group 5s, KILL`.
///
/// ```text
/// schedule = stage { "," stage }
/// stage    = signal [ "@" ( "leader" | "group" | "all" ) ] [ wait ] | "run:" name wait
/// signal   = "TERM" | "SIGTERM" | "15" | "RTMIN+3" | … | "(signal received)"
/// wait     = a duration such as "10s" or "1m 30s", not zero
/// ```
///
/// `KILL` takes neither wait nor target, comes last, and is added if missing. Only the last stage before it may go
/// without a wait: it lasts to the end of the budget, for ever without a deadline. STOP and CONT are refused.
/// `run:NAME` runs a command that `[run.NAME]` of the file describes, and takes a wait, but no target.
///
/// # Errors
/// Every mistake, with its place and its cure.
pub fn parse_schedule(text: &str) -> Result<GraceSchedule, SyntaxError> {
    const EXAMPLE: &str = "write stages such as `TERM 10s, KILL`";
    if text.trim().is_empty() {
        return Err(SyntaxError::whole(text, "the schedule is empty", EXAMPLE));
    }
    let mut stages = Vec::new();
    let mut errors = Vec::new();
    // What nothing may follow: a stage without a wait, and KILL.
    let mut open: Option<Range<usize>> = None;
    let mut kill: Option<Range<usize>> = None;
    let mut start = 0;
    for piece in text.split(',') {
        let end = start + piece.len();
        let part = Part::new(text, start..end).trimmed();
        if part.text().is_empty() {
            // Before a comma that one is too much, at the end the one before.
            let (comma, problem) = if end < text.len() {
                (end..end + 1, "a stage is missing before this comma")
            } else {
                (start - 1..start, "a stage is missing after the last comma")
            };
            errors.push(SyntaxError::new(comma, problem, "remove the comma"));
        } else {
            errors.extend(kill.take().map(|kill| {
                let problem = "nothing can follow KILL, since it ends every process";
                SyntaxError::new(kill, problem, "move KILL to the end")
            }));
            match parse_stage(part) {
                Ok(Some(stage)) => {
                    errors.extend(open.take().map(|span| {
                        let stage = &text[span.clone()];
                        let problem = format!("`{stage}` has no wait, but another stage follows");
                        SyntaxError::new(span, problem, format!("write `{stage} 10s`"))
                    }));
                    open = (stage.wait == Wait::Open).then(|| part.span());
                    stages.push(stage);
                }
                Ok(None) => kill = Some(part.span()),
                Err(error) => errors.push(error),
            }
        }
        start = end + 1;
    }
    if let Some(error) = SyntaxError::all(errors) {
        return Err(error);
    }
    GraceSchedule::new(stages).map_err(|error| SyntaxError::whole(text, error.to_string(), EXAMPLE))
}

/// Reads one stage; `None` is KILL.
fn parse_stage(part: Part) -> Result<Option<Stage>, SyntaxError> {
    let (signal, rest) = if part.text().starts_with(RECEIVED) {
        part.split_at(RECEIVED.len())
    } else {
        let is_end = |character: char| character == '@' || character.is_whitespace();
        part.split_at(part.text().find(is_end).unwrap_or(part.text().len()))
    };
    let (target, wait) = if rest.text().starts_with('@') {
        let (target, wait) =
            rest.split_at(rest.text().find(char::is_whitespace).unwrap_or(rest.text().len()));
        (Some(target), wait.trimmed())
    } else {
        (None, rest.trimmed())
    };
    if let Some(name) = signal.text().strip_prefix(RUN) {
        return parse_run(signal, name, target, wait).map(Some);
    }
    let action = match signal.text() {
        RECEIVED => Ok(StageAction::Received),
        _ => parse_stage_signal(signal, wait),
    };
    if action == Ok(StageAction::Fixed(Signal::KILL)) {
        if let Some(target) = target {
            return Err(target.error("KILL always goes to the leader and all its strays", "write `KILL`"));
        }
        if !wait.text().is_empty() {
            return Err(wait.error("KILL takes no wait, since nothing can follow it", "write `KILL`"));
        }
        return Ok(None);
    }
    match (action, target.map(parse_target).transpose(), parse_wait(wait)) {
        (Ok(action), Ok(target), Ok(wait)) => Ok(Some(Stage { action, target, wait })),
        (action, target, wait) => {
            let errors = [action.err(), target.err(), wait.err()].into_iter().flatten();
            SyntaxError::all(errors.collect()).map_or(Ok(None), Err)
        }
    }
}

/// `run:NAME 5s`.
fn parse_run(run: Part, name: &str, target: Option<Part>, wait: Part) -> Result<Stage, SyntaxError> {
    if let Err(error) = parse_name(name) {
        return Err(error.shifted(run.start + RUN.len()));
    }
    if let Some(target) = target {
        return Err(target.error("a command takes no target", format!("write `run:{name}`")));
    }
    match parse_wait(wait)? {
        Wait::Open => Err(run.error(
            format!("`run:{name}` has no wait, and a command alone ends no service"),
            format!("write `run:{name} 5s`"),
        )),
        wait => Ok(Stage { action: StageAction::Run(name.into()), target: None, wait }),
    }
}

fn parse_stage_signal(part: Part, wait: Part) -> Result<StageAction, SyntaxError> {
    let text = part.text();
    match parse_signal(text) {
        Ok(Signal::STOP) => {
            Err(part.error("STOP halts a process and ends none", "write `TERM` or another signal"))
        }
        Ok(Signal::CONT) => {
            Err(part
                .error("CONT ends no process, and follows every signal by itself", "leave this stage out"))
        }
        Ok(signal) => Ok(StageAction::Fixed(signal)),
        Err(error) => {
            if wait.text().is_empty() && parse_duration(text).is_ok() {
                return Err(part
                    .error(format!("`{text}` is a wait without a signal"), format!("write `TERM {text}`")));
            }
            if let Some((signal, wait)) = glued(text) {
                let problem = format!("there is no space between signal and wait in `{text}`");
                return Err(part.error(problem, format!("write `{signal} {wait}`")));
            }
            Err(error.shifted(part.start))
        }
    }
}

/// The signal and the wait in `TERM10s`, `TERM=10s` or `TERM:10s`.
fn glued(text: &str) -> Option<(&str, &str)> {
    text.char_indices().rev().find_map(|(index, _)| {
        let (signal, wait) = text.split_at(index);
        let wait = wait.trim_start_matches([':', '=', '/']);
        (Signal::parse(signal).is_some() && parse_duration(wait).is_ok()).then_some((signal, wait))
    })
}

fn parse_target(part: Part) -> Result<Target, SyntaxError> {
    let name = &part.text()[1..];
    let words = TARGETS.iter().map(|(word, _)| *word);
    match TARGETS.iter().find(|(word, _)| *word == name) {
        Some((_, target)) => Ok(*target),
        None if name.is_empty() => {
            Err(part.error("no target follows the `@`", "write `@leader`, `@group` or `@all`"))
        }
        None => Err(part.error(format!("unknown target `{name}`"), proposal(name, words))),
    }
}

fn parse_wait(part: Part) -> Result<Wait, SyntaxError> {
    let text = part.text();
    if text.is_empty() {
        return Ok(Wait::Open);
    }
    if text.starts_with('@') {
        return Err(part.error("the target must follow the signal at once", "remove the space before `@`"));
    }
    match parse_duration(text) {
        Ok(Duration::ZERO) => {
            let cure =
                "write `1s` or more, or in the last stage leave it out, to wait as long as there is time";
            Err(part.error("a wait of zero gives a process no time to act", cure))
        }
        Ok(wait) => Ok(Wait::For(wait)),
        Err(error) => {
            // `TERM 10s KILL`: a comma is missing.
            let word = text.split_whitespace().skip(1).find(|word| {
                let signal = word.split('@').next().unwrap_or_default();
                !signal.starts_with(|first: char| first.is_ascii_digit()) && Signal::parse(signal).is_some()
            });
            if let Some(word) = word {
                let start = part.start + (word.as_ptr().addr() - text.as_ptr().addr());
                let problem = format!("a comma is missing before `{word}`");
                return Err(SyntaxError::new(
                    start..start + word.len(),
                    problem,
                    format!("write `, {word}`"),
                ));
            }
            Err(error.shifted(part.start))
        }
    }
}

/// A part of the schedule that knows where it is.
#[derive(Clone, Copy)]
struct Part<'a> {
    whole: &'a str,
    start: usize,
    end: usize,
}

impl<'a> Part<'a> {
    fn new(whole: &'a str, span: Range<usize>) -> Self {
        Self { whole, start: span.start, end: span.end }
    }

    fn text(self) -> &'a str {
        &self.whole[self.span()]
    }

    fn span(self) -> Range<usize> {
        self.start..self.end
    }

    fn trimmed(self) -> Self {
        let start = self.end - self.text().trim_start().len();
        Self { start, end: start + self.text().trim().len(), ..self }
    }

    fn split_at(self, offset: usize) -> (Self, Self) {
        let middle = self.start + offset;
        (Self { end: middle, ..self }, Self { start: middle, ..self })
    }

    fn error(self, problem: impl Into<String>, cure: impl Into<String>) -> SyntaxError {
        SyntaxError::new(self.span(), problem, cure)
    }
}

impl fmt::Display for GraceSchedule {
    /// As [`parse_schedule`] reads it: `TERM 10s, INT@group 5s, KILL`.
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        for stage in self.stages() {
            write!(formatter, "{stage}, ")?;
        }
        formatter.write_str("KILL")
    }
}

impl fmt::Display for Stage {
    /// As it stands in a schedule: `INT@group 5s`.
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        match &self.action {
            StageAction::Fixed(signal) => write!(formatter, "{signal}")?,
            StageAction::Received => formatter.write_str(RECEIVED)?,
            StageAction::Run(name) => write!(formatter, "{RUN}{name}")?,
        }
        if let Some((word, _)) = TARGETS.iter().find(|(_, target)| Some(*target) == self.target) {
            write!(formatter, "@{word}")?;
        }
        match self.wait {
            Wait::For(wait) => write!(formatter, " {}", format_duration(wait)),
            Wait::Open => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::defaults;

    fn stage(signal: Signal, target: Option<Target>, wait: Wait) -> Stage {
        Stage { action: StageAction::Fixed(signal), target, wait }
    }

    fn seconds(seconds: u64) -> Wait {
        Wait::For(Duration::from_secs(seconds))
    }

    #[test]
    fn a_schedule_is_read_as_the_manual_writes_it() {
        let schedule = parse_schedule("TERM 10s, INT@group 5s, KILL").unwrap();
        let expected =
            [stage(Signal::TERM, None, seconds(10)), stage(Signal::INT, Some(Target::Group), seconds(5))];
        assert_eq!(schedule.stages(), expected);
    }

    #[test]
    fn the_same_schedule_can_be_written_in_many_ways() {
        let expected = parse_schedule("TERM 1m 30s, RTMIN+3@all 5s, QUIT, KILL").unwrap();
        for text in [
            "SIGTERM 90s,RTMIN+3@all 5s,SIGQUIT",
            " sigterm  1m30s ,\t37@all 5000ms , 3 , sigkill ",
            "15 1.5m,\n SIGRTMIN+3@all 5s,\n 3, 9",
        ] {
            assert_eq!(parse_schedule(text), Ok(expected.clone()), "{text:?}");
        }
    }

    #[test]
    fn kill_alone_is_a_schedule_and_kill_is_added_if_missing() {
        assert_eq!(parse_schedule("KILL").unwrap().stages(), []);
        assert_eq!(parse_schedule("TERM 8s"), parse_schedule("TERM 8s, KILL"));
        assert_eq!(parse_schedule("TERM 8s").unwrap().to_string(), "TERM 8s, KILL");
    }

    #[test]
    fn the_last_stage_may_be_open() {
        for text in ["TERM", "TERM, KILL", "TERM 5s, INT@all", "TERM 5s, INT@all, KILL"] {
            assert!(parse_schedule(text).unwrap().is_open(), "{text:?}");
        }
    }

    #[test]
    fn both_defaults_are_read_back_as_they_are_printed() {
        let [many, one] = [defaults::grace_for_services(), defaults::grace_for_one_command()];
        assert_eq!(many.to_string(), "TERM 8s, KILL");
        assert_eq!(one.to_string(), "(signal received) 8s, KILL");
        assert_eq!(parse_schedule(&many.to_string()), Ok(many));
        assert_eq!(parse_schedule(&one.to_string()), Ok(one));
        let group = "(signal received)@group, KILL";
        assert_eq!(parse_schedule(group).unwrap().to_string(), group);
    }

    /// Every signal with every target and wait, alone and after each of the others.
    #[test]
    fn every_schedule_is_read_back_as_it_is_printed() {
        let signals: Vec<_> = Signal::all()
            .filter(|signal| ![Signal::KILL, Signal::STOP, Signal::CONT].contains(signal))
            .map(StageAction::Fixed)
            .chain([StageAction::Received])
            .collect();
        let targets = [None, Some(Target::Leader), Some(Target::Group), Some(Target::All)];
        let waits =
            [1, 999_999, 1_000_000_000, 61_000_000_001, 2_592_000_000_000_000].map(Duration::from_nanos);
        let waits: Vec<_> = waits.into_iter().map(Wait::For).collect();
        let mut bounded = Vec::new();
        for signal in &signals {
            for target in targets {
                let stage = |wait: &Wait| Stage { action: signal.clone(), target, wait: *wait };
                bounded.extend(waits.iter().map(stage));
            }
        }
        let mut checked = 0;
        let mut check = |stages: Vec<Stage>| {
            let schedule = GraceSchedule::new(stages).unwrap();
            assert_eq!(parse_schedule(&schedule.to_string()), Ok(schedule));
            checked += 1;
        };
        for (index, stage) in bounded.iter().enumerate() {
            let open = Stage { wait: Wait::Open, ..stage.clone() };
            let other = bounded[(index * 7919) % bounded.len()].clone();
            check(vec![stage.clone()]);
            check(vec![open.clone()]);
            check(vec![other.clone(), stage.clone()]);
            check(vec![stage.clone(), other.clone(), other, open]);
        }
        assert_eq!(checked, 4 * 60 * 4 * 5);
    }

    #[test]
    fn all_mistakes_are_told_in_their_order() {
        let text = "TERN 10, INT, KILL, QUIT 0s,";
        let told = parse_schedule(text).unwrap_err();
        let told: Vec<_> = told.each().map(|error| (&text[error.span.clone()], &*error.problem)).collect();
        assert_eq!(
            told,
            [
                ("TERN", "unknown signal `TERN`"),
                ("10", "`10` has no unit"),
                ("KILL", "nothing can follow KILL, since it ends every process"),
                ("0s", "a wait of zero gives a process no time to act"),
                (",", "a stage is missing after the last comma"),
            ]
        );
        let shifted = parse_schedule(text).unwrap_err().shifted(4);
        assert_eq!(shifted.also[1].span, 18..22);
    }

    #[test]
    fn every_mistake_is_underlined_and_has_a_cure() {
        for rendering in [
            "unknown signal `TERN`; did you mean `TERM`?
  TERN 10s, KILL
  ^^^^",
            "unknown signal `SIGQUTI`; did you mean `QUIT`?
  TERM 10s, SIGQUTI 5s
            ^^^^^^^",
            "STOP halts a process and ends none; write `TERM` or another signal
  TERM 1s, STOP 5s
           ^^^^",
            "CONT ends no process, and follows every signal by itself; leave this stage out
  SIGCONT 5s
  ^^^^^^^",
            "0 is no signal, it only asks whether a process exists; write a signal such as `TERM`, `SIGTERM`, `15` or `RTMIN+3`
  0 5s
  ^",
            "signal 32 belongs to the C library, for its threads; take `RTMIN` (34) or above
  32 5s
  ^^",
            "signal 33 belongs to the C library, for its threads; take `RTMIN` (34) or above
  33@all 5s
  ^^",
            "unknown target `gruop`; did you mean `group`?
  TERM@gruop 5s
      ^^^^^^",
            "unknown target `everyone`; write one of leader, group, all
  TERM@everyone
      ^^^^^^^^^",
            "no target follows the `@`; write `@leader`, `@group` or `@all`
  TERM@ 5s
      ^",
            "the target must follow the signal at once; remove the space before `@`
  TERM @group 5s
       ^^^^^^^^^",
            "a wait of zero gives a process no time to act; write `1s` or more, or in the last stage leave it out, to wait as long as there is time
  TERM 0s, KILL
       ^^",
            "`10` has no unit; write `10s`
  TERM 10, KILL
       ^^",
            "unknown unit `x`; write `10s`; the units are ms, s, m, h, d
  TERM 10x, KILL
       ^^^",
            "unknown unit `x`; write `10s`; the units are ms, s, m, h, d
  INT@group 1m 10x
               ^^^",
            "unknown signal `ТЕРМ`; write a signal such as `TERM`, `SIGTERM`, `15` or `RTMIN+3`
  TERM 5s, ТЕРМ 10s
           ^^^^",
            "`soon` is no duration; write one such as `10s`; the units are ms, s, m, h, d
  TERM soon
       ^^^^",
            "`TERM` has no wait, but another stage follows; write `TERM 10s`
  TERM, INT 5s, KILL
  ^^^^",
            "`INT@group` has no wait, but another stage follows; write `INT@group 10s`
  TERM 1s, INT@group, QUIT
           ^^^^^^^^^",
            "nothing can follow KILL, since it ends every process; move KILL to the end
  KILL, TERM 5s
  ^^^^",
            "nothing can follow KILL, since it ends every process; move KILL to the end
  TERM 5s, SIGKILL, KILL
           ^^^^^^^",
            "KILL takes no wait, since nothing can follow it; write `KILL`
  TERM 5s, KILL 5s
                ^^",
            "KILL always goes to the leader and all its strays; write `KILL`
  TERM 5s, KILL@group
               ^^^^^^",
            "a stage is missing before this comma; remove the comma
  TERM 5s,, KILL
          ^",
            "a stage is missing before this comma; remove the comma
  , KILL
  ^",
            "a stage is missing after the last comma; remove the comma
  TERM 5s, KILL,
               ^",
            "a stage is missing after the last comma; remove the comma
  TERM 5s, 
         ^",
            "the schedule is empty; write stages such as `TERM 10s, KILL`
  
  ^",
            "`10M` is absurdly long; `M` means months, write `10m` for minutes
  TERM 10M
       ^^^",
            "`99999h` is absurdly long; write `30days` or less
  TERM 99999h
       ^^^^^^",
            "`99999999999999999999s` is too long or too fine to be a duration; write between `1ms` and `30days`
  TERM 99999999999999999999s
       ^^^^^^^^^^^^^^^^^^^^^",
            "there is no space between signal and wait in `TERM10s`; write `TERM 10s`
  TERM10s, KILL
  ^^^^^^^",
            "there is no space between signal and wait in `SIGINT=10s`; write `SIGINT 10s`
  SIGINT=10s
  ^^^^^^^^^^",
            "`10s` is a wait without a signal; write `TERM 10s`
  TERM 5s, 10s
           ^^^",
            "a comma is missing before `KILL`; write `, KILL`
  TERM 10s KILL
           ^^^^",
            "a comma is missing before `INT@group`; write `, INT@group`
  TERM 10s INT@group 5s
           ^^^^^^^^^",
            "unknown signal `TERM/5/KILL/5`; did you mean `TERM`?
  TERM/5/KILL/5
  ^^^^^^^^^^^^^",
        ] {
            let text = rendering.split('\n').nth(1).unwrap();
            // The lines are indented by two.
            let text = &text[2..];
            assert_eq!(parse_schedule(text).unwrap_err().render(text), rendering, "{text:?}");
        }
    }

    #[test]
    fn wide_characters_before_the_place_move_no_caret() {
        let text = "\u{3000}TERM 10x";
        let rendering =
            "unknown unit `x`; write `10s`; the units are ms, s, m, h, d\n  \u{3000}TERM 10x\n         ^^^";
        assert_eq!(parse_schedule(text).unwrap_err().render(text), rendering);
    }

    #[test]
    fn no_text_at_all_makes_the_parser_panic() {
        // Every sequence of up to five of the characters that mean something, and two that do not.
        let characters = ['T', '1', 's', '@', ',', ' ', 'é', '-'];
        let mut texts = vec![String::new()];
        for _ in 0..5 {
            texts = texts
                .iter()
                .flat_map(|text| characters.iter().map(move |character| format!("{text}{character}")))
                .collect();
            for text in &texts {
                if let Err(error) = parse_schedule(text) {
                    assert!(text.get(error.span.clone()).is_some(), "{text:?}: {error:?}");
                    assert!(!error.cure.is_empty());
                }
            }
        }
    }
}
