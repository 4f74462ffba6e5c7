use std::path::PathBuf;

use super::SyntaxError;

/// Where requests come in while curfew runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ControlChoice {
    /// At the usual place, if there are many services and it can be had.
    #[default]
    Auto,
    /// Nowhere.
    None,
    /// There, or nothing is started.
    Path(PathBuf),
}

/// Reads `none` or a path.
///
/// # Errors
/// An empty text.
pub(crate) fn parse_control(text: &str) -> Result<ControlChoice, SyntaxError> {
    match text {
        "" => Err(SyntaxError::whole(text, "no path is given", "write a path, or `none`")),
        "none" => Ok(ControlChoice::None),
        "auto" => Ok(ControlChoice::Auto),
        path => Ok(ControlChoice::Path(path.into())),
    }
}
