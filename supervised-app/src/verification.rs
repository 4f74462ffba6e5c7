//! Checks that no acknowledged order is lost.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::log::Log;
use crate::order_load::OrderLoadResult;
use crate::order_store::OrderStore;
use crate::outcome::Outcome;
use crate::program_error::ProgramError;

/// The options of the check.
#[derive(Debug, Clone, Args)]
pub struct VerificationOptions {
    /// The API's database file
    #[arg(long, value_name = "PATH")]
    pub database: PathBuf,
    /// The file with the line that `supervised-app orders` printed
    #[arg(long, value_name = "FILE")]
    pub acknowledged: PathBuf,
}

/// Checks that each acknowledged order is in the database, and that no id was given twice.
pub fn run(options: &VerificationOptions, log: Log) -> Result<Outcome, ProgramError> {
    let acknowledged = read(&options.acknowledged)
        .map_err(|source| ProgramError::ReadAcknowledged { path: options.acknowledged.clone(), source })?;
    let (missing, repeated) = check(&options.database, &acknowledged)
        .map_err(|source| ProgramError::OpenDatabase { path: options.database.clone(), source })?;
    let total = acknowledged.len();
    let path = options.database.display();
    if missing.is_empty() && repeated.is_empty() {
        log.tell(format_args!("all {total} acknowledged orders are in {path}"));
        return Ok(Outcome::Success);
    }
    if !missing.is_empty() {
        log.warn(format_args!(
            "of {total} acknowledged orders, {} are not in {path}: {}; check that this is the API's database, \
             otherwise they are lost",
            missing.len(),
            list(&missing)
        ));
    }
    if !repeated.is_empty() {
        log.warn(format_args!(
            "acknowledged more than once: {}; check that the file is of one API only, otherwise orders were \
             overwritten",
            list(&repeated)
        ));
    }
    Ok(Outcome::Failure)
}

fn read(path: &Path) -> io::Result<Vec<i64>> {
    let text = std::fs::read(path)?;
    let result: OrderLoadResult = serde_json::from_slice(&text)?;
    Ok(result.acknowledged)
}

/// The ids that are not in the database, and those that were given more than once.
fn check(database: &Path, acknowledged: &[i64]) -> rusqlite::Result<(Vec<i64>, Vec<i64>)> {
    let mut store = OrderStore::open_existing(database)?;
    let mut seen = BTreeSet::new();
    let (mut missing, mut repeated) = (Vec::new(), Vec::new());
    for &id in acknowledged {
        if !seen.insert(id) {
            repeated.push(id);
        } else if store.find(id)?.is_none() {
            missing.push(id);
        }
    }
    Ok((missing, repeated))
}

fn list(ids: &[i64]) -> String {
    ids.iter().map(i64::to_string).collect::<Vec<_>>().join(", ")
}
