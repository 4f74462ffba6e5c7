use super::SyntaxError;
use super::account_syntax::parse_account;
use super::output_choice::OutputChoice;
use super::resource_limit::ResourceLimit;
use super::toml_document::Value;
use crate::supervisor::Signal;

/// How processes are set up, as it was described: for one service, or, at the top of the file, for all that do not say
/// it themselves. What was not said is `None` or empty.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProcessTable {
    pub(crate) user: Option<String>,
    pub(crate) group: Option<String>,
    pub(crate) supplementary_groups: Option<Vec<String>>,
    pub(crate) umask: Option<u32>,
    pub(crate) nice: Option<i32>,
    pub(crate) oom_score_adjust: Option<i32>,
    pub(crate) limits: Vec<ResourceLimit>,
    pub(crate) clear_environment: Option<bool>,
    pub(crate) no_new_privileges: Option<bool>,
    pub(crate) parent_death: Option<Option<Signal>>,
    pub(crate) output: Option<OutputChoice>,
}

impl ProcessTable {
    /// This, and what it does not say from `defaults`.
    ///
    /// Who a process is goes together: the groups at the top of the file are those of the user there, and not of another.
    /// Of the limits each stands for itself.
    pub(crate) fn or(&self, defaults: &Self) -> Self {
        let who = if self.user.is_some() { &Self::default() } else { defaults };
        let mut limits = self.limits.clone();
        let is_own = |limit: &ResourceLimit| self.limits.iter().any(|own| own.resource == limit.resource);
        limits.extend(defaults.limits.iter().filter(|limit| !is_own(limit)));
        Self {
            user: self.user.clone().or_else(|| who.user.clone()),
            group: self.group.clone().or_else(|| who.group.clone()),
            supplementary_groups: self
                .supplementary_groups
                .clone()
                .or_else(|| who.supplementary_groups.clone()),
            umask: self.umask.or(defaults.umask),
            nice: self.nice.or(defaults.nice),
            oom_score_adjust: self.oom_score_adjust.or(defaults.oom_score_adjust),
            limits,
            clear_environment: self.clear_environment.or(defaults.clear_environment),
            no_new_privileges: self.no_new_privileges.or(defaults.no_new_privileges),
            parent_death: self.parent_death.or(defaults.parent_death),
            output: self.output.clone().or_else(|| defaults.output.clone()),
        }
    }
}

/// The name or the number of a user or a group.
pub(crate) fn account(value: &Value) -> Option<String> {
    const ACCOUNT: &str = "a name or a number";
    match value.integer() {
        Some(_) => {
            value.integer_within(ACCOUNT, 0..=i64::from(u32::MAX - 1)).map(|number| number.to_string())
        }
        None => value.parsed(ACCOUNT, parse_account),
    }
}

/// Names or numbers, one or several.
pub(crate) fn accounts(value: &Value) -> Option<Vec<String>> {
    let elements = value.elements().unwrap_or_else(|| vec![value.clone()]);
    // Every one is looked at, so that every error is told.
    let accounts: Vec<Option<String>> = elements.iter().map(account).collect();
    accounts.into_iter().collect()
}

/// A number of octal digits: a text, as systemd and chmod(1) write it, or one that TOML knows to be octal.
pub(crate) fn umask(value: &Value) -> Option<u32> {
    const UMASK: &str = "an octal number such as \"027\"";
    match value.integer() {
        Some(number) if number.starts_with("0o") => {
            value.integer_within(UMASK, 0..=0o777).map(|number| number as u32)
        }
        Some(number) => {
            let cure = format!("write \"{number:0>3}\"");
            value.fail(format!("it is not clear that {number} is octal"), cure);
            None
        }
        None => value.parsed(UMASK, parse_umask),
    }
}

fn parse_umask(text: &str) -> Result<u32, SyntaxError> {
    let is_octal = !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    u32::from_str_radix(text, 8).ok().filter(|umask| is_octal && *umask <= 0o777).ok_or_else(|| {
        SyntaxError::whole(text, format!("`{text}` is no umask"), "write 000 to 777, in octal digits")
    })
}

pub(crate) fn nice(value: &Value) -> Option<i32> {
    value.integer_within("a number from -20 to 19", -20..=19).map(|nice| nice as i32)
}

pub(crate) fn oom_score_adjust(value: &Value) -> Option<i32> {
    value.integer_within("a number from -1000 to 1000", -1000..=1000).map(|adjust| adjust as i32)
}
