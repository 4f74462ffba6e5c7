//! Checkers that never complain prove nothing: each must notice the bug that it is there for, put in on purpose.

use std::panic::{self, AssertUnwindSafe};

use super::broken_core::Fault;
use super::checkers;
use super::process::{Behaviour, Bond, When};
use super::spec::{Spec, ms, service};
use super::world::World;

/// Runs with the bug, and asserts that this checker complains; without it nobody does.
#[track_caller]
fn caught(fault: Fault, spec: Spec, by: &str) {
    spec.clone().run();
    let mut world = World::new(Spec { fault: Some(fault), ..spec });
    // A broken core may also never come to an end, or be told what it cannot understand.
    let panicked = panic::catch_unwind(AssertUnwindSafe(|| world.run_to_the_end())).is_err();
    assert!(!panicked, "{fault:?}: {world}");
    let complaints = checkers::complaints(&world.history);
    assert!(complaints.iter().any(|(checker, _)| checker.contains(by)), "{fault:?}: {complaints:?}\n{world}");
}

fn two_stubborn_services() -> Spec {
    let stubborn = |name: &str| service(name).grace("TERM 3s, INT 2s, QUIT 1s").that(Behaviour::stubborn());
    Spec::many([stubborn("db"), stubborn("api").after([0])]).deadline(ms(30_000), ms(1000)).term(ms(1000))
}

fn two_obedient_services() -> Spec {
    let obedient = |name: &str| service(name).that(Behaviour::obeys(ms(200)));
    Spec::many([obedient("db"), obedient("api").after([0])]).deadline(ms(30_000), ms(1000)).term(ms(1000))
}

fn with_a_stray() -> Spec {
    let stray = Behaviour::obeys(ms(500));
    let leader = Behaviour::obeys(ms(100)).forking(When::After(ms(0)), Bond::OwnSession, stray);
    Spec::many([service("api").that(leader)]).term(ms(1000))
}

fn with_a_survivor() -> Spec {
    let api = service("api").grace("TERM 1s").that(Behaviour::unkillable());
    Spec::many([api]).deadline(ms(10_000), ms(1000)).term(ms(1000))
}

#[test]
fn a_kill_one_stage_early_is_caught() {
    caught(Fault::KillsOneStageEarly, two_stubborn_services(), "killed before its grace");
}

#[test]
fn a_kill_in_the_place_of_the_first_signal_is_caught() {
    caught(
        Fault::SkipsTheFirstSignal,
        Spec::many([service("api").that(Behaviour::stubborn())]).term(ms(0)),
        "killed unasked",
    );
}

#[test]
fn the_wrong_order_is_caught() {
    caught(Fault::SwapsTheOrder, two_obedient_services(), "a dependency is signalled");
}

#[test]
fn an_end_before_the_strays_are_gone_is_caught() {
    caught(Fault::FinishesBeforeStraysAreGone, with_a_stray(), "everybody is dead or named");
}

#[test]
fn a_dropped_cont_is_caught() {
    caught(Fault::DropsCont, two_obedient_services(), "CONT follows");
}

#[test]
fn a_wrong_exit_status_is_caught() {
    caught(Fault::WrongStatus, two_obedient_services(), "the exit status");
}

#[test]
fn a_wrong_verdict_is_caught() {
    caught(Fault::WrongVerdict, two_stubborn_services(), "the verdict");
}

#[test]
fn a_kill_after_the_end_of_the_budget_is_caught() {
    caught(Fault::WakesLate, two_stubborn_services(), "inside the budget");
}

#[test]
fn a_signal_to_a_reaped_process_is_caught() {
    caught(Fault::SignalsTheDead, two_obedient_services(), "was reaped");
}

#[test]
fn a_start_after_the_stop_began_is_caught() {
    // The stop finds its first service on the way up, and the second one not begun.
    let slow = Behaviour::obeys(ms(0)).starting(super::process::Start::Executes(ms(5000)));
    let spec = Spec::many([service("db").that(slow), service("api").after([0])]).term(ms(1000));
    caught(Fault::StartsAfterTheStop, spec, "never after a stop began");
}

#[test]
fn a_second_start_is_caught() {
    caught(Fault::StartsTwice, Spec::many([service("api")]).term(ms(1000)), "once");
}

#[test]
fn a_start_before_its_dependency_is_caught() {
    let slow = Behaviour::obeys(ms(0)).starting(super::process::Start::Executes(ms(500)));
    let spec = Spec::many([service("db").that(slow), service("api").after([0])]).term(ms(100));
    caught(Fault::StartsTooSoon, spec, "follow their dependencies");
}

#[test]
fn a_level_that_falls_is_caught() {
    let api = service("api").grace("TERM 1s").that(Behaviour::stubborn().torn_down_in(ms(50)));
    caught(Fault::LevelFalls, Spec::many([api]).term(ms(0)), "levels never fall");
}

#[test]
fn a_survivor_that_is_not_named_is_caught() {
    caught(Fault::ForgetsSurvivors, with_a_survivor(), "everybody is dead or named");
}

#[test]
fn a_survivor_that_is_dead_is_caught() {
    caught(Fault::NamesTheDead, two_obedient_services(), "everybody is dead or named");
}

#[test]
fn a_timer_left_at_the_end_is_caught() {
    caught(Fault::LeavesATimer, two_obedient_services(), "nothing is armed");
}

#[test]
fn a_signal_that_is_not_told_is_caught() {
    caught(Fault::IsSilent, two_obedient_services(), "what is told");
}

#[test]
fn needless_shrinking_is_caught() {
    caught(Fault::ShrinksForNothing, two_obedient_services(), "would have fitted");
}

#[test]
fn a_stop_request_that_is_not_heard_is_caught() {
    caught(Fault::IsDeaf, two_obedient_services(), "first cause");
}

#[test]
fn a_death_that_is_heard_of_late_is_caught() {
    caught(Fault::HearsDeathsLate, two_obedient_services(), "the time of the slowest");
}

#[test]
fn a_run_that_never_ends_is_caught() {
    caught(Fault::NeverFinishes, two_obedient_services(), "comes to an end");
}
