use std::time::Duration;

use curfew::supervisor::{Cause, End, Notice, StartStep};

use crate::process::{Behaviour, Bond, Start, When};
use crate::spec::{ServiceSpec, Spec, ms, service, task};
use crate::world::World;

fn starts_in(name: &str, milliseconds: u64) -> ServiceSpec {
    service(name).that(Behaviour::obeys(ms(0)).starting(Start::Executes(ms(milliseconds))))
}

fn done_in(name: &str, milliseconds: u64) -> ServiceSpec {
    task(name).that(Behaviour::ends(ms(milliseconds), End::Exited(0)))
}

fn started(world: &World) -> Vec<String> {
    world.starts().into_iter().map(|(at, name)| format!("{name} {}", at.as_millis())).collect()
}

#[test]
fn a_service_starts_when_what_it_is_after_is_up_and_tasks_are_done() {
    let spec = Spec::many([
        done_in("migrate", 700),
        starts_in("db", 300),
        service("api").after([0, 1]),
        service("web").after([2]),
    ]);
    let world = spec.term(ms(2000)).run();
    assert_eq!(started(&world), ["migrate 0", "db 0", "api 700", "web 700"]);
    world.ends(0, ms(2000));
}

#[test]
fn a_stop_at_any_point_of_the_start_starts_nothing_new() {
    for at in 0..=1200 {
        let spec = Spec::many([
            done_in("migrate", 700),
            starts_in("db", 300),
            starts_in("api", 200).after([0, 1]),
            service("web").after([2]),
        ]);
        let world = spec.term(ms(at)).run();
        // In one wake-up the stop comes before the end of the task, and before the news of an exec.
        let started = match at {
            0..=700 => 2,
            701..=900 => 3,
            _ => 4,
        };
        assert_eq!(world.starts().len(), started, "stopped at {at} ms\n{world}");
        assert_eq!(world.finished_at(), ms(at));
        // Before its exec a task dies by the signal; afterwards it ends with success.
        assert_eq!(world.status(), 0, "stopped at {at} ms\n{world}");
    }
}

#[test]
fn a_process_that_has_not_executed_its_command_is_stopped_like_any_other() {
    let world = Spec::many([starts_in("api", 5000)]).term(ms(1000)).run();
    world.ends(0, ms(1000)).sent("1.000s api TERM → leader 100");
}

#[test]
fn a_process_that_hangs_in_its_exec_is_killed() {
    let api = service("api").grace("TERM 2s").that(Behaviour::obeys(ms(0)).starting(Start::Hangs));
    Spec::many([api]).term(ms(1000)).run().ends(80, ms(3000));
}

#[test]
fn a_failing_task_stops_everything_with_its_status() {
    let migrate = task("migrate").after([0]).that(Behaviour::ends(ms(500), End::Exited(9)));
    let world = Spec::many([service("db"), migrate, service("api").after([1])]).run();
    world.ends(9, ms(500)).sent("0.500s db TERM → leader 100");
    assert_eq!(started(&world), ["db 0", "migrate 0"]);
}

#[test]
fn a_dependency_that_is_not_essential_counts_as_reached_when_it_fails() {
    let warm_up = task("warm-up").not_essential().that(Behaviour::ends(ms(500), End::Exited(9)));
    let world = Spec::many([warm_up, service("api").after([0])]).term(ms(2000)).run();
    world.ends(0, ms(2000));
    assert_eq!(started(&world), ["warm-up 0", "api 500"]);
    assert_eq!(world.times_told(|notice| matches!(notice, Notice::DependencyFailed { .. })), 1);
}

#[test]
fn a_service_that_is_not_essential_ends_and_the_rest_runs_on() {
    let extra = service("extra").not_essential().that(Behaviour::ends(ms(500), End::Exited(3)));
    let world = Spec::many([extra, service("api")]).term(ms(9000)).run();
    world.ends(0, ms(9000)).sent("9.000s api TERM → leader 101");
    assert!(!world.told(|notice| matches!(notice, Notice::DependencyFailed { .. })));
}

#[test]
fn when_nothing_is_left_to_run_the_end_is_a_success() {
    let extra = service("extra").not_essential().that(Behaviour::ends(ms(800), End::Exited(3)));
    let world = Spec::many([done_in("one", 500), done_in("two", 200).after([0]), extra]).run();
    world.ends(0, ms(800));
    assert!(world.told(|notice| matches!(notice, Notice::StopRequested { cause: Cause::NothingLeft, .. })));
}

#[test]
fn no_service_at_all_is_nothing_left_to_run() {
    Spec::many([]).run().ends(0, ms(0));
}

#[test]
fn strays_of_a_task_are_gone_before_what_comes_after_it_starts() {
    let migrate = task("migrate").that(Behaviour::ends(ms(500), End::Exited(0)).forking(
        When::After(ms(0)),
        Bond::OwnSession,
        Behaviour::obeys(ms(300)),
    ));
    let world = Spec::many([migrate, service("api").after([0])]).term(ms(2000)).run();
    assert_eq!(started(&world), ["migrate 0", "api 800"]);
}

#[test]
fn what_comes_after_a_task_starts_even_if_a_stray_of_it_cannot_be_killed() {
    let migrate = task("migrate").grace("TERM 1s").that(Behaviour::ends(ms(500), End::Exited(0)).forking(
        When::After(ms(0)),
        Bond::OwnSession,
        Behaviour::unkillable(),
    ));
    let world = Spec::many([migrate, service("api").after([0])]).term(ms(5000)).run();
    assert_eq!(started(&world), ["migrate 0", "api 2000"]);
    assert_eq!(world.status(), 81);
}

#[test]
fn when_only_what_cannot_be_killed_is_left_nothing_is_left_to_run() {
    let job = task("job").grace("TERM 1s").that(Behaviour::ends(ms(500), End::Exited(0)).forking(
        When::After(ms(0)),
        Bond::OwnSession,
        Behaviour::unkillable(),
    ));
    let world = Spec::many([job]).run();
    // The stray is given up at 2 s. Without a deadline it is waited for another 10 s.
    world.ends(81, ms(12_000));
}

#[test]
fn a_refused_fork_starts_nothing_else() {
    let refused = service("refused").that(Behaviour::obeys(ms(0)).starting(Start::ForkRefused));
    let world = Spec::many([refused, service("api"), service("web")]).run();
    assert_eq!(started(&world), ["refused 0"]);
    world.ends(71, ms(0)).sent("");
}

#[test]
fn a_refused_fork_after_others_ran_stops_them() {
    let refused = service("refused").after([0]).that(Behaviour::obeys(ms(0)).starting(Start::ForkRefused));
    let world = Spec::many([starts_in("db", 100), refused, service("api").after([0])]).run();
    assert_eq!(started(&world), ["db 0", "refused 100"]);
    world.ends(82, ms(100)).sent("0.100s db TERM → leader 100");
}

#[test]
fn a_fork_refused_to_a_service_that_is_not_essential_is_a_failed_dependency() {
    let refused =
        service("refused").not_essential().that(Behaviour::obeys(ms(0)).starting(Start::ForkRefused));
    let world = Spec::many([refused, service("api").after([0])]).term(ms(1000)).run();
    assert_eq!(started(&world), ["refused 0", "api 0"]);
    assert_eq!(world.times_told(|notice| matches!(notice, Notice::DependencyFailed { .. })), 1);
    world.ends(0, ms(1000));
}

#[test]
fn a_command_that_cannot_be_executed_stops_everything_after_its_process_is_gone() {
    for (step, not_found, status) in [
        (StartStep::Execute, true, 127),
        (StartStep::Execute, false, 126),
        (StartStep::Directory, false, 126),
        (StartStep::Session, false, 126),
    ] {
        let start = Start::Fails(ms(20), step, not_found);
        let broken = service("broken").that(Behaviour::obeys(Duration::ZERO).starting(start));
        let world = Spec::many([service("db"), broken]).run();
        world.ends(status, ms(20)).sent("0.020s db TERM → leader 100");
        assert!(
            !world.told(|notice| matches!(notice, Notice::ServiceEnded { pid, .. } if pid.number() == 101))
        );
    }
}

#[test]
fn a_service_that_fails_after_it_was_up_is_no_failed_dependency() {
    let db = service("db").not_essential().that(Behaviour::ends(ms(500), End::Exited(3)));
    let world = Spec::many([db, service("api").after([0])]).term(ms(1000)).run();
    world.ends(0, ms(1000));
    assert!(!world.told(|notice| matches!(notice, Notice::DependencyFailed { .. })));
}

#[test]
fn what_lingered_and_is_gone_at_last_is_not_counted_any_more() {
    let slow = Behaviour::stubborn().torn_down_in(ms(3000));
    let stray = Behaviour::ends(ms(500), End::Exited(0)).forking(When::After(ms(0)), Bond::OwnSession, slow);
    let job = task("job").grace("TERM 1s").that(stray);
    let world = Spec::many([job, done_in("other", 9000)]).run();
    // The stray is given up at 2 s, and gone at 4.5 s.
    world.ends(80, ms(9000));
    assert!(world.told(|notice| matches!(notice, Notice::ServiceLingers { .. })));
}

#[test]
fn that_a_service_is_down_is_told_in_a_stop_only_and_once() {
    let extra = service("extra").not_essential().that(Behaviour::ends(ms(500), End::Exited(0)));
    let culprit = service("culprit").that(Behaviour::ends(ms(1000), End::Exited(3)));
    let api = service("api").that(Behaviour::obeys(ms(300)));
    let world = Spec::many([extra, culprit, api]).run();
    world.ends(3, ms(1300));
    let down: Vec<_> = world
        .history
        .notices()
        .filter_map(|(_, _, notice)| match notice {
            Notice::ServiceDown { service, after } => Some((service.index(), *after)),
            _ => None,
        })
        .collect();
    // The culprit never had to be stopped; and nothing belonged to none.
    assert_eq!(down, [(1, None), (2, Some(ms(300)))]);
}
