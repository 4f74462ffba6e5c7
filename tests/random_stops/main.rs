//! Thousands of random real stops: the real curfew over random families of misbehaving processes, told to stop at a random
//! moment, often while it is still starting. After each nobody may be left, nothing may have hung or come late, and the
//! exit status and the report must tell the truth.
//!
//! A short run is one of the ordinary tests. The long one, which takes about half an hour:
//!
//! ```sh
//! CURFEW_STOPS=10000 cargo test --release -p curfew-tests --test random_stops -- --nocapture
//! ```
//!
//! A failure prints the seed of its stop, and the command that repeats it: `CURFEW_SEED` is the seed of the first stop,
//! `CURFEW_REPEAT` how often each is done, since real processes do not take turns in the same way twice.

mod cgroup;
#[allow(dead_code, reason = "the integration tests use the rest")]
#[path = "../integration/support/finished.rs"]
mod finished;
mod judge;
mod judge_bites;
mod metronome;
mod plan;
#[allow(dead_code, reason = "the integration tests use the rest")]
#[path = "../integration/support/processes.rs"]
mod processes;
#[allow(dead_code, reason = "the simulation uses the rest")]
#[path = "../simulation/random.rs"]
mod random;
mod stop;
#[path = "../integration/support/time.rs"]
mod time;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use judge::{Tally, judge};
use plan::{Means, Plan};
use random::Random;

/// How many stops an ordinary run makes. `CURFEW_STOPS` asks for another number.
const STOPS: u64 = 60;
/// Always made, besides fresh ones: a part of every run is the same.
const FIXED_SEEDS: [u64; 2] = [1, 2];
/// Marks every process of one stop.
pub(crate) const TOKEN: &str = "RANDOM_STOP_TOKEN";

#[test]
fn random_stops_leave_nobody_and_nothing_unsaid() {
    let stops = number("CURFEW_STOPS").unwrap_or(STOPS);
    let repeat = number("CURFEW_REPEAT").unwrap_or(1);
    let means = Means { namespaces: stop::namespaces_work(), cgroups: stop::cgroups_work() };
    let mut tally = Tally::default();
    for seed in seeds().take(stops as usize) {
        let plan = Plan::random(seed, means);
        for _ in 0..repeat {
            let evidence = stop::perform(&plan);
            if let Err(complaint) = judge(&plan, &evidence, &mut tally) {
                panic!("{complaint}\n\n{}\n\n{plan}\n{evidence}", reproduce(seed));
            }
        }
        if tally.stops.is_multiple_of(500) {
            println!("{tally}");
        }
    }
    println!("{tally}");
}

/// The seeds of the stops: the first is the run's own, so that a stop can be repeated by its seed.
fn seeds() -> impl Iterator<Item = u64> {
    let wanted = number("CURFEW_SEED");
    let fixed = FIXED_SEEDS.into_iter().filter(move |_| wanted.is_none());
    let first = wanted.unwrap_or_else(fresh_seed);
    println!("seed {first}");
    let mut random = Random::new(first);
    fixed.chain(std::iter::once(first)).chain(std::iter::repeat_with(move || random.next()))
}

#[expect(clippy::disallowed_methods, reason = "any number will do")]
fn fresh_seed() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_nanos() as u64
}

fn reproduce(seed: u64) -> String {
    format!(
        "CURFEW_SEED={seed} CURFEW_STOPS=1 CURFEW_REPEAT=50 cargo test -p curfew-tests --test random_stops -- --nocapture"
    )
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}
