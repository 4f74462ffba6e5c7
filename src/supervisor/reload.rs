use super::Settings;

/// A configuration that was read while services run: it is valid, and is to take the place of the one that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewConfiguration {
    /// What the supervisor is to do from now on. Services are told apart by their names. What is settled at curfew's start
    /// is left out of account: the mode, the seat, the seed, the platform's watchdog.
    pub settings: Settings,
    /// For each service whether what is executed for it is what runs now; `false` for a new one.
    pub keeps_process: Vec<bool>,
    /// Keys that changed, and hold from curfew's next start only.
    pub later: Vec<&'static str>,
}

/// What becomes of a service in a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Added,
    /// It is not in the configuration any more: it is stopped.
    Removed,
    /// What is executed has changed: it is started anew.
    Restarted,
    /// Only how it is looked after has changed: it goes on.
    Adjusted,
}
