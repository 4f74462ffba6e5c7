//! Services that are looked after once they are ready.

use curfew::supervisor::{Failure, Limit, Notice, RestartWhen};

use crate::process::{Answer, Behaviour};
use crate::spec::{ServiceSpec, Spec, ms, service};
use crate::world::World;

/// Well for so long, then not.
fn sick_after(after: u64) -> Behaviour {
    Behaviour::obeys(ms(0)).seen_as(ms(0), Answer::Well(ms(10))).seen_as(ms(after), Answer::Sick(ms(10), 500))
}

fn watched() -> ServiceSpec {
    service("api").health(ms(1000), ms(300), 3)
}

fn probes(world: &World) -> Vec<u128> {
    world.commands_of("api probe Health").iter().map(std::time::Duration::as_millis).collect()
}

#[test]
fn a_service_that_turns_unhealthy_stops_the_system_with_82_after_so_many_failures_in_a_row() {
    let world = Spec::many([service("db"), watched().after([0]).that(sick_after(1500))]).run();
    // From one probe's end to the next: 10 ms each.
    assert_eq!(probes(&world), [1000, 2010, 3020, 4030]);
    world.ends(82, ms(4040)).sent("4.040s api TERM → leader 101\n4.040s db TERM → leader 100");
    assert!(world.told(|notice| matches!(
        notice,
        Notice::ServiceFailing { failure: Failure::Unhealthy, limit: Limit::Probes(3), last_seen: Some(seen), .. }
            if seen == "status 500"
    )));
}

#[test]
fn failures_that_are_not_in_a_row_are_no_illness() {
    let behaviour =
        sick_after(1500).seen_as(ms(3500), Answer::Well(ms(10))).seen_as(ms(4500), Answer::Sick(ms(10), 500));
    let behaviour = behaviour.seen_as(ms(6500), Answer::Well(ms(10)));
    let world = Spec::many([watched().that(behaviour)]).term(ms(9000)).run();
    world.ends(0, ms(9000));
    assert_eq!(world.times_told(|notice| matches!(notice, Notice::ProbeRecovered { failures: 2, .. })), 2);
}

#[test]
fn a_probe_that_hangs_has_failed_when_its_time_is_over() {
    let behaviour = Behaviour::obeys(ms(0)).seen_as(ms(0), Answer::Never);
    let world = Spec::many([watched().that(behaviour)]).run();
    // Each second, for 300 ms.
    assert_eq!(probes(&world), [1000, 2300, 3600]);
    world.ends(82, ms(3900));
}

#[test]
fn a_service_that_stands_still_is_found_unhealthy() {
    let spec = Spec::many([watched().grace("TERM 1s")]);
    let stopped = crate::spec::Input::ToLeader(0, curfew::supervisor::Signal::STOP);
    spec.at(ms(500), stopped).run().ends(82, ms(3900));
}

#[test]
fn failures_in_the_start_period_do_not_count() {
    let mut api = watched().that(sick_after(0));
    if let Some(health) = &mut api.settings.health {
        health.start_period = ms(5000);
    }
    let world = Spec::many([api]).run();
    // Those at 5.04 s and later.
    assert_eq!(probes(&world), [1000, 2010, 3020, 4030, 5040, 6050, 7060]);
    world.ends(82, ms(7070));
}

#[test]
fn an_unhealthy_service_is_stopped_by_its_schedule_and_started_again_if_it_is_to_be() {
    let api = watched().grace("TERM 2s").that(Behaviour { ..sick_after(1500) }).then(Behaviour::obeys(ms(0)));
    let stubborn = Behaviour { reaction: crate::process::Reaction::Ignores, ..api.behaviour.clone() };
    let api = ServiceSpec { behaviour: stubborn, ..api }.restart(RestartWhen::OnFailure);
    let world = Spec::many([api, service("web").after([0])]).term(ms(20_000)).run();
    world.sent(
        "4.040s api TERM → leader 100
         6.040s api KILL → all 100
         20.000s web TERM → leader 101
         20.000s api TERM → leader 102",
    );
    // What comes after it is left alone.
    world.ends(0, ms(20_000));
}

#[test]
fn a_probe_under_way_is_abandoned_when_a_stop_begins() {
    let behaviour = Behaviour::obeys(ms(0)).seen_as(ms(0), Answer::Never);
    let world = Spec::many([watched().that(behaviour)]).term(ms(1100)).run();
    world.ends(0, ms(1100));
    assert!(world.history.trace().contains("1.100s api abandon probe"));
}

#[test]
fn an_answer_and_the_end_of_its_time_in_one_wake_up_count_once() {
    let behaviour = Behaviour::obeys(ms(0)).seen_as(ms(0), Answer::Sick(ms(300), 500));
    let world = Spec::many([watched().that(behaviour)]).run();
    world.ends(82, ms(3900));
    assert_eq!(world.times_told(|notice| matches!(notice, Notice::ProbeFailed { .. })), 3);
}
