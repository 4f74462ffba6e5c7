//! Checkers that never complain prove nothing: each must notice the bug that it is there for, put in on purpose.

use std::panic::{self, AssertUnwindSafe};
use std::time::Duration;

use curfew::supervisor::{ReadyBy, RestartWhen, ServiceMessage};

use super::broken_core::Fault;
use super::checkers;
use super::process::{Answer, Behaviour, Bond, When};
use super::spec::{ServiceSpec, Spec, done_after, fails_after, ms, service};
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

fn crashing() -> ServiceSpec {
    service("api").that(fails_after(ms(100))).restart(RestartWhen::OnFailure)
}

/// A leader that crashes, and leaves somebody behind who takes his time.
fn crashing_with_a_stray() -> ServiceSpec {
    let stray = Behaviour::obeys(ms(500));
    let parent = fails_after(ms(100)).forking(When::After(ms(0)), Bond::OwnSession, stray);
    ServiceSpec { behaviour: parent, ..crashing() }.then(Behaviour::obeys(ms(0)))
}

fn with_hooks() -> Spec {
    let hanging = Behaviour::stubborn;
    let api = service("api")
        .pre_start(ms(500), done_after(ms(100)))
        .pre_stop(ms(500), hanging())
        .post_stop(ms(500), hanging());
    Spec::many([api]).cleanup(ms(500), done_after(ms(100))).term(ms(1000))
}

fn sick() -> Spec {
    let behaviour = Behaviour::obeys(ms(0)).seen_as(ms(0), Answer::Sick(ms(10), 500));
    Spec::many([service("api").health(ms(1000), ms(500), 2).that(behaviour)])
}

fn well() -> Spec {
    Spec::many([service("api").health(ms(1000), ms(500), 2)]).term(ms(5000))
}

fn watched() -> Spec {
    let pings = Behaviour::obeys(ms(0)).pinging(ms(600), 5);
    Spec::many([service("api").watchdog(ms(1000)).that(pings)])
}

fn ready_late() -> Spec {
    let says = Behaviour::obeys(ms(0)).saying(ms(15_000), ServiceMessage::Ready);
    let api = service("api").ready(ReadyBy::Notify, ms(20_000)).that(says);
    Spec::many([api]).extend(ms(60_000)).platform_watchdog(ms(1000)).term(ms(18_000))
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
    caught(Fault::StartsTwice, Spec::many([service("api")]).term(ms(1000)), "one leader at a time");
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

#[test]
fn a_limit_that_is_not_kept_is_caught() {
    caught(Fault::KeepsNoLimit, Spec::many([crashing()]), "restarts are planned");
}

#[test]
fn a_restart_that_does_not_come_is_caught() {
    caught(Fault::NeverRestarts, Spec::many([crashing()]), "restarts are planned");
}

#[test]
fn a_restart_before_its_delay_is_over_is_caught() {
    let api = crashing().restart_limit(1, Duration::from_secs(60));
    caught(Fault::HurriesRestarts, Spec::many([api]), "its delay is over");
}

#[test]
fn a_restart_beside_strays_is_caught() {
    caught(Fault::OverlooksStrays, Spec::many([crashing_with_a_stray()]).term(ms(2000)), "all of it is gone");
}

#[test]
fn a_start_without_its_pre_start_is_caught() {
    caught(Fault::SkipsPreStart, with_hooks(), "at their place");
}

#[test]
fn a_stop_without_its_pre_stop_is_caught() {
    caught(Fault::SkipsPreStop, with_hooks(), "at their place");
}

#[test]
fn an_end_without_its_post_stop_is_caught() {
    caught(Fault::SkipsPostStop, with_hooks(), "at their place");
}

#[test]
fn a_post_stop_beside_strays_is_caught() {
    let api = crashing_with_a_stray().post_stop(ms(500), done_after(ms(10)));
    caught(Fault::OverlooksStrays, Spec::many([api]).term(ms(2000)), "at their place");
}

#[test]
fn a_hook_that_lasts_too_long_is_caught() {
    caught(Fault::WaitsForHooks, with_hooks(), "no longer than they may");
}

#[test]
fn a_cleanup_that_does_not_come_is_caught() {
    caught(Fault::SkipsCleanup, with_hooks(), "the cleanup comes last");
}

#[test]
fn a_cleanup_that_comes_too_soon_is_caught() {
    caught(Fault::CleansUpEarly, with_hooks(), "the cleanup comes last");
}

#[test]
fn two_probes_at_once_are_caught() {
    caught(Fault::ProbesTwice, well(), "one at a time");
}

#[test]
fn a_probe_in_a_stop_is_caught() {
    caught(Fault::ProbesInAStop, well(), "where they belong");
}

#[test]
fn probes_that_do_not_come_are_caught() {
    let spec = Spec { horizon: ms(5000), ..well() };
    caught(Fault::NeverProbes, Spec { inputs: Vec::new(), ..spec }, "where they belong");
}

#[test]
fn a_failure_too_many_is_caught() {
    caught(Fault::SuffersOneFailure, sick(), "who failed too many probes");
}

#[test]
fn a_wait_for_the_unready_that_is_too_long_is_caught() {
    let api = service("api").ready(ReadyBy::Notify, ms(1000));
    caught(Fault::WaitsForTheUnready, Spec::many([api]), "ready or done by a time");
}

#[test]
fn a_watchdog_that_bites_too_soon_or_not_at_all_is_caught() {
    caught(Fault::BitesTooSoon, watched(), "late for its watchdog");
    caught(Fault::NeverBites, watched(), "late for its watchdog");
}

#[test]
fn more_time_than_was_asked_for_is_caught() {
    let api = service("api")
        .grace("TERM 1s")
        .that(Behaviour::obeys(ms(2000)).answering(ServiceMessage::Extend(ms(5000))));
    caught(Fault::GrantsTooMuch, Spec::many([api]).term(ms(1000)), "more time is given");
}

#[test]
fn ready_that_is_said_twice_or_too_soon_is_caught() {
    caught(Fault::SaysReadyTwice, ready_late(), "READY and STOPPING");
    caught(Fault::SaysReadyTooSoon, ready_late(), "READY and STOPPING");
}

#[test]
fn stopping_that_is_not_said_is_caught() {
    caught(Fault::ForgetsStopping, ready_late(), "READY and STOPPING");
}

#[test]
fn pings_that_are_late_are_caught() {
    caught(Fault::PingsTooLate, ready_late(), "pings come in time");
}

#[test]
fn time_that_is_not_asked_for_or_too_much_is_caught() {
    caught(Fault::ForgetsToExtend, ready_late(), "asked for time");
    let never_ready = Spec::many([service("api").ready(ReadyBy::Notify, ms(20_000))]).extend(ms(8000));
    caught(Fault::ExtendsTooMuch, never_ready, "asked for time");
}

#[test]
fn a_wish_that_is_not_heard_is_caught() {
    let spec = Spec { horizon: ms(9000), ..two_obedient_services() };
    let spec = Spec { inputs: Vec::new(), ..spec };
    caught(Fault::IsDeafToWishes, spec.stop(ms(1000), 0), "as they are asked to be");
}

#[test]
fn a_start_of_what_somebody_stopped_is_caught() {
    let spec = Spec::many([crashing(), service("db")]).stop(ms(150), 0).term(ms(5000));
    caught(Fault::IsDeafToWishes, spec, "starts follow");
}

#[test]
fn a_stop_by_wish_in_the_wrong_order_is_caught() {
    let spec = Spec { inputs: Vec::new(), ..two_obedient_services() };
    caught(Fault::SwapsTheOrder, spec.stop(ms(1000), 0).term(ms(5000)), "as they are asked to be");
}

#[test]
fn a_stop_that_nobody_has_asked_for_is_caught() {
    let api = service("api").that(Behaviour::stubborn());
    caught(Fault::StopsForNothing, Spec::many([api]).term(ms(1000)), "as they are asked to be");
}

#[test]
fn a_request_in_a_stop_that_is_not_answered_is_caught() {
    caught(Fault::IsSilentInAStop, two_stubborn_services().start(ms(2000), 0), "refused");
}

#[test]
fn a_status_that_is_not_true_is_caught() {
    caught(Fault::HidesProcesses, two_obedient_services(), "told the truth");
}

#[test]
fn a_reload_that_has_no_end_or_comes_in_a_stop_is_caught() {
    let spec = Spec { inputs: Vec::new(), ..two_obedient_services() };
    let new = [service("db").version(1), service("api").after([0])];
    caught(Fault::LeavesReloadsOpen, spec.reload(ms(1000), new), "every reload has an end");
    caught(Fault::ReadsInAStop, two_obedient_services(), "every reload has an end");
}

#[test]
fn a_reload_that_disturbs_what_it_leaves_alone_is_caught() {
    let spec = Spec { inputs: Vec::new(), ..two_obedient_services() }.hup(ms(1000));
    caught(Fault::DisturbsWhatIsKept, spec.term(ms(5000)), "left alone");
}

#[test]
fn a_change_that_is_not_taken_over_or_too_soon_is_caught() {
    let spec = Spec { inputs: Vec::new(), ..two_obedient_services() };
    let new = [service("db").version(1), service("api").after([0])];
    let spec = spec.reload(ms(1000), new).term(ms(5000));
    caught(Fault::AdoptsNothing, spec.clone(), "as the configuration read last says");
    caught(Fault::AdoptsAtOnce, spec, "another when all of it is gone");
}

#[test]
fn a_removal_in_the_wrong_order_is_caught() {
    let spec = Spec { inputs: Vec::new(), ..two_obedient_services() };
    let spec = spec.reload(ms(1000), [service("other")]).term(ms(5000));
    caught(Fault::RemovesAtOnce, spec, "stopped behind what came after it");
}
