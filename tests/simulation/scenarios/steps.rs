//! Commands around a service: before its start, before its stop, after its end; and the last command of all.

use std::time::Duration;

use curfew::supervisor::{
    Cause, End, EndMeaning, Failure, HookKind, Notice, ReadyBy, RestartWhen, ServiceMessage, Signal,
};

use crate::process::{Behaviour, Bond, How, Start, When};
use crate::spec::{ServiceSpec, Spec, done_after, fails_after, ms, service, task};
use crate::world::World;

/// What was started, step by step, and when.
fn steps(world: &World) -> Vec<String> {
    world.steps()
}

fn hanging() -> Behaviour {
    Behaviour::stubborn()
}

fn ended_hooks(world: &World, kind: &HookKind, dismissed: bool) -> usize {
    world.times_told(|notice| matches!(notice, Notice::HookEnded { kind: of, dismissed: was, .. } if of == kind && *was == dismissed))
}

#[test]
fn what_runs_before_a_start_is_done_before_it_and_what_comes_after_waits_for_both() {
    let api = service("api").pre_start(ms(5000), done_after(ms(200)));
    let world = Spec::many([api, service("web").after([0])]).term(ms(1000)).run();
    assert_eq!(steps(&world), ["0 api pre-start", "200 api command", "200 web command"]);
    assert_eq!(ended_hooks(&world, &HookKind::PreStart, false), 1);
    world.ends(0, ms(1000));
}

#[test]
fn a_pre_start_that_fails_is_a_failed_start_with_its_status() {
    let api = service("api").pre_start(ms(5000), fails_after(ms(200)));
    let world = Spec::many([service("db"), api]).run();
    world.ends(3, ms(200));
    let cause = world.history.stop().map(|(_, _, cause)| cause);
    let end = End::Exited(3);
    assert!(matches!(cause, Some(Cause::ServiceFailed { failure: Failure::PreStart(of), .. }) if of == end));
    assert_eq!(steps(&world), ["0 db command", "0 api pre-start"]);
}

#[test]
fn a_pre_start_that_hangs_has_failed_when_its_time_is_over() {
    let api = service("api").grace("TERM 1s").pre_start(ms(500), hanging());
    let world = Spec::many([api]).run();
    world.ends(82, ms(1500)).sent("0.500s api TERM → leader 100\n1.500s api KILL → all 100");
    assert!(world.told(|notice| matches!(notice, Notice::ServiceFailing { failure: Failure::TimedOut, .. })));
}

#[test]
fn a_pre_start_that_cannot_be_executed_is_a_failed_start() {
    let fails = Start::Fails(ms(20), curfew::supervisor::StartStep::Execute, true);
    let api = service("api").pre_start(ms(500), Behaviour::obeys(ms(0)).starting(fails));
    Spec::many([api]).run().ends(127, ms(20));
    let refused = Behaviour::obeys(ms(0)).starting(Start::ForkRefused);
    Spec::many([service("api").pre_start(ms(500), refused)]).run().ends(71, ms(0));
}

#[test]
fn a_stop_ends_what_runs_before_a_start_and_nothing_is_started() {
    let api =
        service("api").grace("TERM 1s").pre_start(ms(5000), Behaviour::obeys(ms(300)).how(How::BySignal));
    let world = Spec::many([api]).term(ms(200)).run();
    world.ends(0, ms(500)).sent("0.200s api TERM → leader 100");
    assert_eq!(steps(&world), ["0 api pre-start"]);
}

#[test]
fn a_task_that_was_only_being_prepared_has_not_done_its_work() {
    let job = task("job").pre_start(ms(5000), Behaviour::obeys(ms(300)));
    let world = Spec::many([job]).term(ms(200)).run();
    world.ends(0, ms(500));
    assert!(world.told(|notice| matches!(notice, Notice::ServiceEnded { meaning: EndMeaning::Stopped, .. })));
}

#[test]
fn what_runs_after_an_end_does_so_however_the_service_came_to_it() {
    let with = |spec: ServiceSpec| spec.post_stop(ms(5000), done_after(ms(100)));
    for (spec, expected) in [
        (with(service("api")), ["1000 api post-stop", "1100"]),
        (with(service("api").that(fails_after(ms(400)))), ["400 api post-stop", "500"]),
        (with(task("api").that(done_after(ms(300)))), ["300 api post-stop", "400"]),
        (with(service("api").grace("TERM 1s").that(hanging())), ["2000 api post-stop", "2100"]),
        (
            with(service("api").that(Behaviour::obeys(ms(0)).starting(Start::ForkRefused))),
            ["0 api post-stop", "100"],
        ),
        (with(service("api").pre_start(ms(500), fails_after(ms(50)))), ["50 api post-stop", "150"]),
    ] {
        let world = Spec::many([spec]).term(ms(1000)).run();
        let last = world.finished_at().as_millis().to_string();
        assert_eq!([steps(&world).last().unwrap().as_str(), last.as_str()], expected);
    }
}

#[test]
fn what_runs_after_an_end_waits_for_the_last_stray_and_what_stops_next_waits_for_it() {
    let parent =
        Behaviour::obeys(ms(100)).forking(When::After(ms(0)), Bond::OwnSession, Behaviour::obeys(ms(300)));
    let api = service("api").after([0]).that(parent).post_stop(ms(5000), done_after(ms(200)));
    let world = Spec::many([service("db"), api]).term(ms(1000)).run();
    assert_eq!(steps(&world).last().unwrap(), "1400 api post-stop");
    world.ends(0, ms(1600)).sent(
        "1.000s api TERM → leader 101
         1.100s api TERM → strays 102
         1.600s db TERM → leader 100",
    );
}

#[test]
fn a_hanging_post_stop_is_killed_when_its_time_is_over_and_that_is_no_kill_of_the_service() {
    let api = service("api").post_stop(ms(700), hanging());
    let world = Spec::many([api]).term(ms(1000)).run();
    world.ends(0, ms(1700)).sent("1.000s api TERM → leader 100\n1.700s api KILL → all 101");
    assert_eq!(ended_hooks(&world, &HookKind::PostStop, true), 1);
}

#[test]
fn what_a_post_stop_leaves_behind_is_killed_at_once() {
    let leaves = done_after(ms(100)).forking(When::After(ms(0)), Bond::Daemon, hanging());
    let world = Spec::many([service("api").post_stop(ms(700), leaves)]).term(ms(1000)).run();
    world.ends(80, ms(1100)).sent("1.000s api TERM → leader 100\n1.100s api KILL → strays 102");
}

#[test]
fn what_a_killed_post_stop_leaves_that_nothing_can_end_holds_nobody_up() {
    let child = Behaviour::unkillable();
    let leaves = hanging().forking(When::After(ms(0)), Bond::OwnSession, child);
    let api = service("api").after([0]).post_stop(ms(500), leaves);
    let spec = Spec::many([service("db").that(hanging()), api]);
    let world = spec.clone().term(ms(1000)).run();
    // Given up after half a second; then `db` has its whole grace, and the survivor 10 s.
    world.ends(81, ms(20_000)).sent(
        "1.000s api TERM → leader 101
         1.500s api KILL → all 102 103
         1.500s api KILL → stray 103
         2.000s db TERM → leader 100
         10.000s db KILL → all 100",
    );
    let world = spec.deadline(ms(20_000), ms(1000)).term(ms(1000)).run();
    world.ends(81, ms(19_900));
}

#[test]
fn pre_stop_comes_before_drain_and_first_signal_for_who_had_been_ready() {
    let api = service("api").drain(ms(1000)).pre_stop(ms(5000), done_after(ms(300)));
    let world = Spec::many([api]).term(ms(1000)).run();
    world.ends(0, ms(2300)).sent("2.300s api TERM → leader 100");
    let unready =
        service("api").ready(ReadyBy::Notify, ms(9000)).drain(ms(1000)).pre_stop(ms(5000), hanging());
    let world = Spec::many([unready]).term(ms(1000)).run();
    world.ends(0, ms(1000)).sent("1.000s api TERM → leader 100");
}

#[test]
fn a_hanging_pre_stop_a_hanging_post_stop_and_a_hanging_cleanup_do_not_cost_the_deadline() {
    let api = |grace: &str| {
        service("api")
            .grace(grace)
            .drain(ms(2000))
            .pre_stop(ms(5000), hanging())
            .post_stop(ms(5000), hanging())
            .that(hanging())
    };
    for grace in ["TERM 8s", "TERM 8s, INT 2s", "TERM"] {
        let spec = Spec::many([api(grace), api(grace).after([0])]).cleanup(ms(5000), hanging());
        let world = spec.deadline(ms(10_000), ms(1000)).term(ms(500)).run();
        assert_eq!(world.status(), 80);
        assert!(world.finished_at() <= ms(9500), "{world}");
        assert_eq!(ended_hooks(&world, &HookKind::PreStop, true), 2);
        assert_eq!(ended_hooks(&world, &HookKind::PostStop, true), 3);
    }
}

#[test]
fn the_times_of_commands_shrink_with_the_budget_like_all_waits() {
    // 8.9 s, less 0.3 s for each of three levels, for 4 s of pre-stop, 8 s of grace and 4 s of post-stop: a half.
    let api = service("api")
        .grace("TERM 8s")
        .pre_stop(ms(4000), hanging())
        .post_stop(ms(4000), hanging())
        .that(hanging());
    let world = Spec::many([api]).deadline(ms(10_000), ms(1000)).term(ms(1000)).run();
    // What KILL does not need goes to the next.
    world.ends(80, ms(9300)).sent(
        "3.000s api TERM → leader 100
         7.000s api KILL → all 100
         9.300s api KILL → all 102",
    );
}

#[test]
fn an_open_wait_leaves_its_time_to_what_runs_after_the_end_and_to_what_stops_next() {
    let api = service("api").grace("TERM").after([0]).post_stop(ms(2000), hanging()).that(hanging());
    let db = service("db").grace("TERM 3s").that(hanging());
    let world = Spec::many([db, api]).deadline(ms(20_000), ms(1000)).term(ms(1000)).run();
    assert!(!world.told(|notice| matches!(notice, Notice::BudgetShrunk { .. })), "{world}");
    // 18.9 s, less four levels of 0.475 s, less 2 s and 3 s.
    world.sent(
        "1.000s api TERM → leader 101
         13.000s api KILL → all 101
         15.000s api KILL → all 102
         15.000s db TERM → leader 100
         18.000s db KILL → all 100",
    );
}

#[test]
fn strays_leave_its_time_to_what_runs_after_the_end() {
    let parent = Behaviour::obeys(ms(1000)).forking(When::AtSignal, Bond::OwnSession, hanging());
    let api = service("api").grace("TERM 8s").after([0]).post_stop(ms(2000), hanging()).that(parent);
    let db = service("db").grace("TERM 4s").that(hanging());
    let world = Spec::many([db, api]).deadline(ms(18_000), ms(1000)).term(ms(1000)).run();
    // 16.9 s, less four levels of 0.425 s: 15.2 s for 14 s. The strays' schedule ends where the leader's would have.
    assert_eq!(
        world.times_told(
            |notice| matches!(notice, Notice::BudgetShrunk { service, .. } if service.index() == 0)
        ),
        0,
        "{world}"
    );
    assert!(world.finished_at() <= ms(17_900));
}

#[test]
fn the_cleanup_comes_last_after_what_belongs_to_nobody() {
    let parent = Behaviour::obeys(ms(0)).forking(When::After(ms(0)), Bond::Hidden, Behaviour::obeys(ms(400)));
    let api = service("api").that(parent).post_stop(ms(1000), done_after(ms(100)));
    let world = Spec::many([api]).cleanup(ms(3000), done_after(ms(200))).term(ms(1000)).run();
    assert_eq!(steps(&world), ["0 api command", "1000 api post-stop", "1500 (cleanup) post-stop"]);
    world.ends(0, ms(1700));
}

#[test]
fn the_cleanup_runs_for_survivors_too_and_its_own_strays_are_swept() {
    let api = service("api").grace("TERM 1s").that(Behaviour::unkillable());
    let leaves = done_after(ms(200)).forking(When::After(ms(0)), Bond::Daemon, hanging());
    let spec = Spec::many([api]).cleanup(ms(3000), leaves);
    let world = spec.deadline(ms(10_000), ms(1000)).term(ms(0)).run();
    world.ends(81, ms(8900));
    assert_eq!(steps(&world).last().unwrap(), "1300 (cleanup) post-stop");
    assert!(world.told(|notice| matches!(notice, Notice::StrayEnded { pid, .. } if pid.number() == 102)));
}

#[test]
fn kill_now_skips_the_cleanup_and_what_runs_after_an_end() {
    let api = service("api").that(hanging()).post_stop(ms(1000), done_after(ms(100)));
    let spec = Spec::many([api]).cleanup(ms(3000), done_after(ms(200))).term(ms(1000));
    let world = spec.key(ms(2000), Signal::QUIT).run();
    world.ends(80, ms(2000));
    assert_eq!(steps(&world), ["0 api command"]);
}

#[test]
fn kill_now_and_a_second_ctrl_c_end_the_cleanup() {
    for key in [Signal::QUIT, Signal::INT] {
        let spec = Spec::many([service("api")]).cleanup(ms(3000), hanging()).term(ms(1000));
        let world = spec.key(ms(2000), key).run();
        world.ends(0, ms(2000)).sent("1.000s api TERM → leader 100\n2.000s (cleanup) KILL → all 101");
    }
}

#[test]
fn a_cleanup_that_fails_or_cannot_be_started_is_reported_and_changes_no_status() {
    let refused = Behaviour::obeys(ms(0)).starting(Start::ForkRefused);
    for behaviour in [fails_after(ms(100)), refused] {
        let world = Spec::many([service("api")]).cleanup(ms(3000), behaviour).term(ms(1000)).run();
        assert_eq!(world.status(), 0);
        assert_eq!(ended_hooks(&world, &HookKind::PostStop, false), 1);
    }
}

#[test]
fn what_is_gone_at_last_while_the_cleanup_runs_has_no_post_stop_any_more() {
    let slow = hanging().torn_down_in(ms(2000));
    let api = service("api").grace("TERM 1s").that(slow).post_stop(ms(1000), done_after(ms(100)));
    let spec = Spec::many([api]).cleanup(ms(5000), done_after(ms(3000)));
    // Killed at 1 s, given up at 1.5 s, gone at 3 s.
    let world = spec.term(ms(0)).run();
    assert_eq!(steps(&world), ["0 api command", "1500 (cleanup) post-stop"]);
    world.ends(80, ms(4500));
}

#[test]
fn a_pre_stop_that_nothing_can_end_holds_nobody_up_even_without_a_deadline() {
    let db = service("db");
    let api = service("api").after([0]).pre_stop(ms(1000), Behaviour::unkillable());
    let world = Spec::many([db, api]).term(ms(1000)).run();
    // Nothing else is left of `api` at 2 s; after its reserve it is given up.
    world.sent("2.000s api TERM → leader 101\n2.500s db TERM → leader 100");
    world.ends(81, ms(12_500));
}

#[test]
fn what_was_prepared_leaves_strays_that_are_gone_before_it_is_tried_again() {
    // The second fork is refused: what runs before the start has left a daemon that takes its time.
    let daemon = Behaviour::obeys(ms(700));
    let before = done_after(ms(100)).forking(When::After(ms(0)), Bond::Daemon, daemon);
    let api = service("api")
        .pre_start(ms(1000), before)
        .that(Behaviour::obeys(ms(0)).starting(Start::ForkRefused))
        .then(Behaviour::obeys(ms(0)))
        .restart(RestartWhen::OnFailure);
    let world = Spec::many([api]).term(ms(5000)).run();
    assert_eq!(steps(&world)[..2], ["0 api pre-start", "100 api command"]);
    assert!(world.told(|notice| matches!(notice, Notice::StrayEnded { end: Some(_), .. })));
    world.ends(0, ms(5700));
}

#[test]
fn what_was_refused_after_other_lives_is_no_refusal_before_anything_ran() {
    let api = service("api")
        .that(fails_after(ms(100)))
        .then(Behaviour::obeys(ms(0)).starting(Start::ForkRefused))
        .restart(RestartWhen::OnFailure)
        .restart_limit(1, Duration::from_secs(60));
    let world = Spec::many([api]).run();
    assert_eq!(world.status(), 82);
}

#[test]
fn hooks_run_in_each_life_anew() {
    let api = service("api")
        .pre_start(ms(1000), done_after(ms(10)))
        .pre_stop(ms(1000), done_after(ms(20)))
        .post_stop(ms(1000), done_after(ms(30)))
        .that(Behaviour::obeys(ms(0)).saying(ms(500), ServiceMessage::Trouble))
        .watchdog(ms(60_000))
        .then(Behaviour::obeys(ms(0)))
        .restart(RestartWhen::OnFailure);
    let world = Spec::many([api]).term(ms(5000)).run();
    let names: Vec<String> =
        steps(&world).iter().map(|step| step.split_once(' ').unwrap().1.to_owned()).collect();
    assert_eq!(
        names,
        ["api pre-start", "api command", "api post-stop", "api pre-start", "api command", "api post-stop"]
    );
    assert_eq!(ended_hooks(&world, &HookKind::PreStop, false), 2);
    assert_eq!(world.status(), 0);
}
