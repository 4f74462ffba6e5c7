//! Services that are meant to end.

use std::time::Duration;

use curfew::supervisor::{Cause, Failure, Limit, Notice, RestartWhen};

use crate::process::Behaviour;
use crate::spec::{Spec, done_after, fails_after, ms, service, task};

#[test]
fn a_task_that_takes_too_long_has_failed_and_stops_everything_with_82() {
    let migrate = task("migrate").within(ms(2000)).grace("TERM 1s").that(Behaviour::stubborn());
    let world = Spec::many([service("db"), migrate.after([0]), service("api").after([1])]).run();
    world.ends(82, ms(3000)).sent(
        "2.000s migrate TERM → leader 101
         3.000s migrate KILL → all 101
         3.000s db TERM → leader 100",
    );
    assert!(world.told(|notice| matches!(
        notice,
        Notice::ServiceFailing { failure: Failure::TimedOut, limit: Limit::Time(time), .. } if *time == ms(2000)
    )));
}

#[test]
fn a_task_that_fails_is_tried_again_and_what_comes_after_it_waits() {
    let migrate =
        task("migrate").that(fails_after(ms(100))).then(fails_after(ms(100))).then(done_after(ms(100)));
    let migrate = migrate.restart(RestartWhen::OnFailure).restart_limit(3, Duration::from_secs(60));
    let world = Spec::many([migrate, service("api").after([0])]).term(ms(9000)).run();
    let names: Vec<String> = world.starts().into_iter().map(|(_, name)| name).collect();
    assert_eq!(names, ["migrate", "migrate", "migrate", "api"]);
    world.ends(0, ms(9000));
}

#[test]
fn a_task_that_failed_as_often_as_it_may_fails_with_its_status() {
    // Its retries are counted from its start: there is no window that moves.
    let mut migrate = task("migrate").that(fails_after(ms(30_000))).restart(RestartWhen::OnFailure);
    migrate = migrate.restart_limit(3, Duration::from_secs(1));
    let world = Spec::many([migrate]).run();
    assert_eq!(world.starts().len(), 4);
    assert_eq!(world.status(), 3);
}

#[test]
fn a_task_that_took_too_long_is_stopped_and_tried_again() {
    let job = task("job").within(ms(1000)).that(Behaviour::obeys(ms(0))).then(done_after(ms(100)));
    let world = Spec::many([job.restart(RestartWhen::OnFailure)]).run();
    assert_eq!(world.status(), 0);
    assert_eq!(world.starts().len(), 2);
    assert!(matches!(world.history.stop(), Some((_, _, Cause::NothingLeft))));
}

#[test]
fn a_task_that_is_done_is_done_even_if_it_is_always_to_be_started_again() {
    let job = task("job").that(done_after(ms(100))).restart(RestartWhen::Always);
    let world = Spec::many([job]).run();
    world.ends(0, ms(100));
    assert_eq!(world.starts().len(), 1);
}

#[test]
fn a_task_that_is_not_essential_and_takes_too_long_lets_the_rest_go_on() {
    let warm_up = task("warm-up").not_essential().within(ms(1000)).that(Behaviour::obeys(ms(200)));
    let world = Spec::many([warm_up, service("api").after([0])]).term(ms(5000)).run();
    assert_eq!(world.starts()[1], (ms(1200), "api".to_owned()));
    world.ends(0, ms(5000));
    assert_eq!(world.times_told(|notice| matches!(notice, Notice::DependencyFailed { .. })), 1);
}

#[test]
fn all_tasks_done_and_no_service_left_is_a_success() {
    let [one, two] = [task("one").that(done_after(ms(100))), task("two").that(done_after(ms(300)))];
    Spec::many([one, two]).run().ends(0, ms(300));
}
