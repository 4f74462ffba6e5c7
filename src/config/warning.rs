/// Something in the surroundings that is probably a slip, but stops nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// A variable that looks as if it were meant for curfew, but is not known. It is passed on to the services.
    #[error("unknown variable {name}, passed on to the services{}", proposal(.nearest.as_deref()))]
    UnknownVariable {
        /// Its name.
        name: String,
        /// The one that was probably meant.
        nearest: Option<String>,
    },
}

fn proposal(nearest: Option<&str>) -> String {
    nearest.map_or_else(
        || "; `curfew run --help` lists those that curfew reads".to_owned(),
        |nearest| format!("; did you mean {nearest}?"),
    )
}
