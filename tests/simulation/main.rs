//! The core on a fake kernel with a virtual clock: named scenarios, random worlds, a small world in full, and
//! checkers apart from the code.

mod broken_core;
mod checkers;
mod checkers_bite;
mod configuration;
mod exhaustive;
mod history;
mod kernel;
mod life;
mod process;
mod random;
mod scenarios;
mod spec;
mod swarm;
mod world;
