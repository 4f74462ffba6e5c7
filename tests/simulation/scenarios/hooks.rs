//! Commands that run beside a leader, and processes that nobody can list.

use std::time::Duration;

use curfew::supervisor::{End, Failure, HookKind, Notice, Signal};

use crate::process::{Behaviour, Bond, Start, When};
use crate::spec::{Spec, ms, service, task};

const GRACE: &str = "TERM 3s, run:dump 2s, INT 1s";

fn dump() -> HookKind {
    HookKind::Stage("dump".into())
}

#[test]
fn a_stage_that_runs_a_command_comes_in_its_turn_and_lasts_its_wait() {
    let world = Spec::many([service("api").grace(GRACE).that(Behaviour::stubborn())]).term(ms(1000)).run();
    world.sent(
        "1.000s api TERM → leader 100
         6.000s api INT → leader 100
         7.000s api KILL → all 100",
    );
    world.ends(80, ms(7000));
    assert!(world.told(|notice| matches!(
        notice,
        Notice::HookEnded { kind, result: Ok(End::Exited(0)), dismissed: false, .. } if *kind == dump()
    )));
    // Only who was asked to end can be blamed for still being there.
    assert_eq!(world.times_told(|notice| matches!(notice, Notice::StageExpired { .. })), 2);
}

#[test]
fn a_command_that_hangs_is_killed_when_its_stage_is_over() {
    let api = service("api").grace(GRACE).that(Behaviour::stubborn()).hook(Behaviour::stubborn());
    let world = Spec::many([api]).term(ms(0)).run();
    world.ends(80, ms(6000));
    assert!(world.told(|notice| matches!(notice, Notice::HookEnded { dismissed: true, .. })));
}

#[test]
fn a_command_is_ended_with_the_service_it_runs_for() {
    let api = service("api").grace(GRACE).that(Behaviour::obeys(ms(4000))).hook(
        Behaviour::stubborn().forking(When::After(Duration::ZERO), Bond::SameGroup, Behaviour::stubborn()),
    );
    let world = Spec::many([api]).term(ms(0)).run();
    world.ends(0, ms(4000));
}

#[test]
fn what_a_command_leaves_behind_is_stopped_with_the_service() {
    let child = Behaviour::stubborn();
    let leaves = Behaviour::ends(ms(100), End::Exited(0)).forking(When::After(ms(50)), Bond::Daemon, child);
    let api = service("api").grace("run:dump 1s, TERM 1s").that(Behaviour::obeys(ms(10))).hook(leaves);
    let world = Spec::many([api]).term(ms(0)).run();
    // Strays skip the stage that runs a command.
    world.sent(
        "1.000s api TERM → leader 100
         1.010s api TERM → strays 102
         2.010s api KILL → strays 102",
    );
    world.ends(80, ms(2010));
}

#[test]
fn what_comes_to_light_when_only_a_command_was_left_begins_the_schedule() {
    let child = Behaviour::stubborn().torn_down_in(ms(400));
    let leaves = Behaviour::stubborn().torn_down_in(ms(200));
    let leaves = leaves.forking(When::After(Duration::ZERO), Bond::SameGroup, child);
    let dumped = Behaviour::ends(ms(500), End::Exited(0));
    let api = service("api").grace("run:dump 1s, TERM 1s").that(dumped).hook(leaves);
    let world = Spec::many([api]).term(ms(400)).run();
    world.sent("0.700s api TERM → strays 102").ends(0, ms(900));
}

#[test]
fn a_command_that_cannot_be_started_holds_nothing_up() {
    let refused = Behaviour::obeys(Duration::ZERO).starting(Start::ForkRefused);
    let api = service("api").grace("run:dump 1s, TERM 1s").that(Behaviour::obeys(ms(10))).hook(refused);
    let world = Spec::many([api]).term(ms(0)).run();
    world.ends(0, ms(1010));
    assert!(world.told(|notice| matches!(notice, Notice::HookEnded { result: Err(_), .. })));
}

#[test]
fn a_command_that_nothing_can_end_is_named_as_a_survivor() {
    let api = service("api").grace("run:dump 1s, TERM 1s").hook(Behaviour::unkillable());
    let world = Spec::many([api]).deadline(ms(10_000), ms(1000)).term(ms(0)).run();
    assert_eq!(world.status(), 81);
    assert!(world.told(|notice| matches!(notice, Notice::Survivor { pid, .. } if pid.number() == 101)));
}

#[test]
fn waits_of_commands_shrink_like_all_others() {
    let api = service("api").grace("TERM 6s, run:dump 6s").that(Behaviour::stubborn());
    let world = Spec::many([api]).deadline(ms(8000), ms(1000)).term(ms(0)).run();
    assert!(world.finished_at() <= ms(7000));
    assert_eq!(world.times_told(|notice| matches!(notice, Notice::StageRun { .. })), 1);
}

#[test]
fn a_leader_that_ends_at_once_and_leaves_processes_has_daemonised() {
    let daemon = Behaviour::obeys(ms(5));
    let parent = Behaviour::ends(ms(200), End::Exited(0)).forking(When::AtDeath, Bond::Daemon, daemon);
    let world = Spec::many([service("nginx").that(parent), service("api")]).run();
    assert!(world.told(|notice| matches!(notice, Notice::Daemonised { processes: 1, .. })));
    world.ends(82, ms(205));
    let cause = world.history.stop().map(|(_, _, cause)| cause);
    assert!(matches!(
        cause,
        Some(curfew::supervisor::Cause::ServiceFailed { failure: Failure::Daemonised, .. })
    ));
}

#[test]
fn a_leader_that_ends_later_or_leaves_nobody_has_just_ended() {
    let daemon = || Behaviour::obeys(ms(5));
    let late = Behaviour::ends(ms(5000), End::Exited(0)).forking(When::AtDeath, Bond::Daemon, daemon());
    let alone = Behaviour::ends(ms(200), End::Exited(0));
    let job = Behaviour::ends(ms(200), End::Exited(0)).forking(When::AtDeath, Bond::Daemon, daemon());
    for spec in [service("api").that(late), service("api").that(alone), task("job").that(job)] {
        let world = Spec::many([spec]).run();
        assert_eq!(world.status(), 0);
        assert!(!world.told(|notice| matches!(notice, Notice::Daemonised { .. })));
    }
}

#[test]
fn one_command_that_daemonises_is_told_so_and_keeps_its_status() {
    let parent = Behaviour::ends(ms(200), End::Exited(0)).forking(
        When::AtDeath,
        Bond::Daemon,
        Behaviour::obeys(ms(5)),
    );
    let world = Spec::one(service("nginx").that(parent)).run();
    assert!(world.told(|notice| matches!(notice, Notice::Daemonised { .. })));
    world.ends(0, ms(205));
}

#[test]
fn without_proc_what_is_left_has_its_grace_and_is_killed_unseen() {
    let stubborn = Behaviour::stubborn();
    let parent = Behaviour::obeys(ms(5)).forking(When::After(Duration::ZERO), Bond::Daemon, stubborn);
    let world = Spec::many([service("api").grace("TERM 1s").that(parent)]).blind().term(ms(100)).run();
    world.sent(
        "0.100s api TERM → leader 100
         0.105s (stray) TERM → strays 101
         8.105s (stray) KILL → strays 101",
    );
    world.ends(80, ms(8105));
    assert_eq!(world.times_told(|notice| *notice == Notice::StraysHidden), 1);
    assert!(world.told(|notice| matches!(
        notice,
        Notice::StrayEnded { end: Some(_), signal: Some(Signal::KILL), .. }
    )));
}

#[test]
fn without_proc_what_nothing_can_end_is_still_told() {
    let parent =
        Behaviour::obeys(ms(5)).forking(When::After(Duration::ZERO), Bond::Daemon, Behaviour::unkillable());
    let world =
        Spec::many([service("api").that(parent)]).blind().deadline(ms(5000), ms(500)).term(ms(100)).run();
    assert_eq!(world.status(), 81);
    assert!(world.told(|notice| *notice == Notice::HiddenSurvivors));
}
