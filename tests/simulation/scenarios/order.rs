use std::time::Duration;

use curfew::supervisor::{End, Notice};

use crate::process::Behaviour;
use crate::spec::{ServiceSpec, Spec, ms, service, task};

fn slow(name: &str, milliseconds: u64) -> ServiceSpec {
    service(name).that(Behaviour::obeys(ms(milliseconds)))
}

#[test]
fn services_stop_in_the_reverse_order_of_after() {
    let world = Spec::many([slow("db", 100), slow("api", 200).after([0]), slow("web", 400).after([1])])
        .term(ms(1000))
        .run();
    world.ends(0, ms(1700)).sent(
        "1.000s web TERM → leader 102
         1.400s api TERM → leader 101
         1.600s db TERM → leader 100",
    );
}

#[test]
fn in_a_diamond_the_dependency_waits_for_both_sides() {
    let world = Spec::many([
        slow("db", 100),
        slow("left", 300).after([0]),
        slow("right", 700).after([0]),
        slow("top", 50).after([1, 2]),
    ])
    .term(ms(1000))
    .run();
    world.ends(0, ms(1850)).sent(
        "1.000s top TERM → leader 103
         1.050s right TERM → leader 102
         1.050s left TERM → leader 101
         1.750s db TERM → leader 100",
    );
}

#[test]
fn the_order_holds_through_a_task_that_is_done() {
    let world = Spec::many([
        slow("db", 100),
        task("migrate").after([0]).that(Behaviour::ends(ms(500), End::Exited(0))),
        slow("api", 300).after([1]),
    ])
    .term(ms(1000))
    .run();
    world.ends(0, ms(1400)).sent("1.000s api TERM → leader 102\n1.300s db TERM → leader 100");
}

#[test]
fn independent_services_stop_at_the_same_time() {
    let world = Spec::many([slow("a", 300), slow("b", 200), slow("c", 100)]).term(ms(1000)).run();
    world.ends(0, ms(1300)).sent(
        "1.000s c TERM → leader 102
         1.000s b TERM → leader 101
         1.000s a TERM → leader 100",
    );
}

#[test]
fn a_stubborn_service_does_not_keep_the_others_from_stopping() {
    let stubborn = service("stubborn").grace("TERM 30s").that(Behaviour::stubborn());
    let world = Spec::many([slow("db", 100), slow("api", 100).after([0]), stubborn]).term(ms(1000)).run();
    world.ends(80, ms(31_000)).sent(
        "1.000s stubborn TERM → leader 101
         1.000s api TERM → leader 102
         1.100s db TERM → leader 100
         31.000s stubborn KILL → all 101",
    );
}

#[test]
fn a_killed_service_that_lingers_lets_its_dependencies_stop() {
    let api = service("api").grace("TERM 1s").after([0]).that(Behaviour::unkillable());
    let world = Spec::many([slow("db", 100).grace("TERM 5s"), api])
        .deadline(ms(10_000), ms(1000))
        .term(ms(1000))
        .run();
    // Three levels: each keeps 300 ms for KILL.
    world.ends(81, ms(9900)).sent(
        "1.000s api TERM → leader 101
         2.000s api KILL → all 101
         2.300s db TERM → leader 100",
    );
    assert!(world.told(|notice| matches!(notice, Notice::Survivor { pid, .. } if pid.number() == 101)));
}

#[test]
fn a_dependency_that_is_not_running_any_more_is_passed_over() {
    let gone = service("gone").not_essential().after([0]).that(Behaviour::ends(ms(500), End::Exited(0)));
    let world = Spec::many([slow("db", 100), gone, slow("web", 100).after([1])]).term(ms(1000)).run();
    world.ends(0, ms(1200)).sent("1.000s web TERM → leader 102\n1.100s db TERM → leader 100");
}

#[test]
fn a_hundred_services_stop_in_the_time_of_the_slowest() {
    let services = (0..100).map(|index| slow(&format!("s{index}"), 10 * index)).collect();
    let world = Spec::many_of(services).term(ms(1000)).run();
    world.ends(0, ms(1990));
    assert_eq!(world.history.signal_lines().len(), 100);
}

#[test]
fn the_work_of_a_stop_is_linear_in_the_number_of_services() {
    let work = |count: u64| {
        let services = (0..count).map(|index| slow(&format!("s{index}"), index)).collect();
        let world = Spec::many_of(services).term(ms(1000)).run();
        assert_eq!(world.status(), 0);
        (world.event_count as u64, world.command_count as u64)
    };
    let (events, commands) = work(1000);
    // Per service: three events to start, and its death with what surrounds it; started, ready, a measurement, the stage,
    // two signals, ended, a census and down.
    assert!(events <= 7 * 1000, "{events} events");
    assert!(commands <= 10 * 1000 + 10, "{commands} commands");
    let (events_of_half, commands_of_half) = work(500);
    assert!(events.abs_diff(2 * events_of_half) < 20, "{events} events, and {events_of_half} for half");
    assert!(commands.abs_diff(2 * commands_of_half) < 20, "{commands}, and {commands_of_half} for half");
}

#[test]
fn a_chain_of_a_thousand_services_stops_one_by_one() {
    let mut services = vec![slow("s0", 1)];
    for index in 1..1000 {
        services.push(slow(&format!("s{index}"), 1).after([index - 1]));
    }
    Spec::many_of(services).term(ms(1000)).run().ends(0, ms(2000));
}

#[test]
fn a_chain_of_ten_that_ignores_everything_is_killed_inside_a_short_deadline() {
    let mut services = vec![service("s0").that(Behaviour::stubborn())];
    for index in 1..10 {
        services.push(service(&format!("s{index}")).after([index - 1]).that(Behaviour::stubborn()));
    }
    let world = Spec::many_of(services).deadline(ms(5000), ms(1000)).term(ms(1000)).run();
    assert_eq!(world.status(), 80);
    assert!(world.finished_at() < ms(4900), "{:?}", world.finished_at());
    let kills = world.history.signal_lines().iter().filter(|line| line.contains("KILL")).count();
    assert_eq!(kills, 10);
}

#[test]
fn a_chain_of_ten_that_cannot_even_be_killed_ends_inside_a_short_deadline() {
    let mut services = vec![service("s0").that(Behaviour::unkillable())];
    for index in 1..10 {
        services.push(service(&format!("s{index}")).after([index - 1]).that(Behaviour::unkillable()));
    }
    let world = Spec::many_of(services).deadline(ms(5000), ms(1000)).term(ms(1000)).run();
    world.ends(81, ms(4900));
    assert_eq!(world.times_told(|notice| matches!(notice, Notice::Survivor { .. })), 10);
}

#[test]
fn drains_count_along_the_order() {
    let db = slow("db", 100).drain(ms(500));
    let api = slow("api", 100).drain(ms(1000)).after([0]);
    let world = Spec::many([db, api]).term(Duration::ZERO + ms(10)).run();
    world.ends(0, ms(1710)).sent("1.010s api TERM → leader 101\n1.610s db TERM → leader 100");
}
