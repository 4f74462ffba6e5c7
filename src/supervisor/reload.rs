use super::Settings;

/// A configuration that was read while services run: it is valid, and is to take the place of the one that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewConfiguration {
    /// What the supervisor is to do from now on. Services are told apart by their names. What is settled at curfew's start
    /// is left out of account: the mode, the seat, the seed, the platform's watchdog.
    pub settings: Settings,
    /// For each service how what is executed for it differs from what runs now.
    pub programs: Vec<ProgramChange>,
    /// Keys of the whole system of which only what is executed differs. Those that are settings are found out.
    pub executed: Vec<&'static str>,
    /// Keys that changed, and hold from curfew's next start only.
    pub later: Vec<&'static str>,
}

/// How what is executed for a service differs from what runs now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgramChange {
    /// In nothing.
    None,
    /// Its process would be the same, but not all of the commands and probes beside it.
    Beside,
    /// Its process would be another, or it is new.
    Process,
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
    /// What is executed has changed, but somebody stopped it: it stays down.
    StillStopped,
    /// Only how it is looked after has changed: it goes on.
    Adjusted,
}
