//! The text of units with curfew in front. Of a key that comes twice, the last one counts.

/// A unit that is started when curfew says so.
pub(crate) fn notify(arguments: &str, more: &str) -> String {
    of_type("notify", arguments, more)
}

/// A unit that is started when curfew is executed.
pub(crate) fn exec(arguments: &str, more: &str) -> String {
    of_type("exec", arguments, more)
}

fn of_type(kind: &str, arguments: &str, more: &str) -> String {
    format!(
        "[Service]\nType={kind}\nNotifyAccess=main\nKillMode=mixed\nExecStart=/usr/local/bin/curfew run {arguments}\n\
         {more}\n"
    )
}
