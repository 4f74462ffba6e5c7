//! What the platform above is told, and the time it is asked for.

use std::time::Duration;

use curfew::supervisor::{
    Command, Deadline, DeadlineBasis, End, Notice, PlatformMessage, ReadyBy, ServiceMessage, UseOfExtension,
};

use crate::history::What;
use crate::process::{Behaviour, Start};
use crate::spec::{Spec, done_after, ms, service, task};
use crate::world::World;

/// What the platform was told, and when: a line each.
fn told(world: &World) -> Vec<String> {
    let line = |entry: &crate::history::Entry| match &entry.what {
        What::Command(Command::TellPlatform(message), _) => {
            let at = entry.at.since_start().as_millis();
            Some(match message {
                PlatformMessage::Extend(time) => format!("{at} extend {}", time.as_millis()),
                message => format!("{at} {message:?}").to_lowercase(),
            })
        }
        _ => None,
    };
    world.history.entries.iter().filter_map(line).collect()
}

#[test]
fn ready_is_said_once_when_all_that_is_essential_is_ready_and_stopping_at_the_first_cause() {
    let migrate = task("migrate").that(done_after(ms(300)));
    let slow = Behaviour::obeys(ms(100)).saying(ms(500), ServiceMessage::Ready);
    let api = service("api").after([0]).that(slow).ready(ReadyBy::Notify, ms(5000));
    let late = Behaviour::obeys(ms(0)).saying(ms(2000), ServiceMessage::Ready);
    let extra = service("extra").not_essential().that(late).ready(ReadyBy::Notify, ms(5000));
    let world = Spec::many([migrate, api, extra]).term(ms(4000)).term(ms(4050)).run();
    assert_eq!(told(&world), ["800 ready", "4000 stopping"]);
    world.ends(0, ms(4100));
}

#[test]
fn a_stop_before_all_is_ready_says_stopping_alone() {
    let api = service("api").ready(ReadyBy::Notify, ms(5000));
    assert_eq!(told(&Spec::many([api]).term(ms(1000)).run()), ["1000 stopping"]);
}

#[test]
fn one_command_is_ready_at_its_exec_whether_it_is_to_end_or_not() {
    for command in [service("app"), task("job").that(done_after(ms(9000)))] {
        let behaviour = command.behaviour.clone().starting(Start::Executes(ms(30)));
        let world = Spec::one(command.that(behaviour)).term(ms(1000)).run();
        assert_eq!(told(&world), ["30 ready", "1000 stopping"]);
    }
}

#[test]
fn the_error_number_of_a_failed_start_is_told_if_the_system_stops_because_of_it() {
    let refused = |name: &str| service(name).that(Behaviour::obeys(ms(0)).starting(Start::ForkRefused));
    let world =
        Spec::many([service("db"), refused("extra").not_essential(), refused("api").after([0])]).run();
    // `db` is up at the same time; the one that does not matter fails before.
    assert_eq!(told(&world), ["0 failed(11)", "0 stopping"]);
    let world = Spec::many([service("db"), refused("extra").not_essential()]).term(ms(10)).run();
    assert_eq!(told(&world), ["0 ready", "10 stopping"]);
}

#[test]
fn the_platform_hears_of_us_at_half_its_interval_through_start_and_stop() {
    let api = service("api").that(Behaviour::obeys(ms(900)));
    let world = Spec::many([api]).platform_watchdog(ms(1000)).term(ms(1200)).run();
    assert_eq!(told(&world), ["0 ready", "500 ping", "1000 ping", "1200 stopping", "1500 ping", "2000 ping"]);
    // Nobody asked for any.
    assert_eq!(told(&Spec::many([service("api")]).platform_watchdog(ms(0)).term(ms(1200)).run()).len(), 2);
}

#[test]
fn a_hung_service_does_not_keep_the_platform_from_hearing_of_us() {
    let hung = Behaviour::obeys(ms(0)).starting(Start::Hangs);
    let api = service("api").that(hung).ready(ReadyBy::Notify, ms(2000)).not_essential();
    let world = Spec::many([api, service("web")]).platform_watchdog(ms(2000)).term(ms(5500)).run();
    let told = told(&world).into_iter().filter(|line| line.ends_with("ping"));
    assert_eq!(
        told.take(5).collect::<Vec<_>>(),
        ["1000 ping", "2000 ping", "3000 ping", "4000 ping", "5000 ping"]
    );
}

#[test]
fn a_long_start_asks_the_platform_for_time_before_it_runs_out_until_it_is_ready() {
    let behaviour = Behaviour::obeys(ms(0)).saying(ms(8000), ServiceMessage::Ready);
    let api = service("api").that(behaviour).ready(ReadyBy::Notify, ms(60_000));
    let world = Spec::many([api]).extend(ms(600_000)).term(ms(20_000)).run();
    assert_eq!(
        told(&world),
        [
            "0 extend 10000",
            "3333 extend 10000",
            "6666 extend 10000",
            "8000 ready",
            "20000 stopping",
            "20000 extend 10000"
        ]
    );
}

#[test]
fn no_more_time_is_asked_for_than_configured_and_the_last_time_it_is_asked_once() {
    let api = service("api").that(Behaviour::obeys(ms(0))).ready(ReadyBy::Notify, ms(30_000));
    let world = Spec::many([api]).extend(ms(12_000)).run();
    // 10 s at a time, of which 2 s are over at the cap; then it is up to the platform.
    assert_eq!(told(&world), ["0 extend 10000", "3333 extend 8666", "30000 stopping", "30000 extend 10000"]);
}

#[test]
fn a_schedule_longer_than_the_deadline_takes_its_time_if_the_platform_can_be_asked() {
    let api = service("api").grace("TERM 8s").that(Behaviour::stubborn());
    let world = Spec::many([api]).deadline(ms(3000), ms(500)).extend(ms(60_000)).term(ms(1000)).run();
    world.ends(80, ms(9000)).sent("1.000s api TERM → leader 100\n9.000s api KILL → all 100");
    // 3 s is what the platform waits if nobody asks.
    let stop: Vec<String> = told(&world).into_iter().skip_while(|line| line != "1000 stopping").collect();
    assert_eq!(stop[..4], ["1000 stopping", "1000 extend 3000", "2000 extend 3000", "3000 extend 3000"]);
    assert_eq!(stop.last().map(String::as_str), Some("9000 extend 3000"));
}

#[test]
fn a_schedule_longer_than_all_that_can_be_asked_for_is_shortened_to_it() {
    let api = service("api").grace("TERM 60s").that(Behaviour::stubborn());
    let world = Spec::many([api]).deadline(ms(3000), ms(500)).extend(ms(10_000)).term(ms(0)).run();
    // 10 s, less the margin, 0.1 s for the report, and 0.475 s for each of two levels.
    world.ends(80, ms(8450));
    let world = Spec::many([service("api").grace("TERM").that(Behaviour::stubborn())])
        .deadline(ms(3000), ms(500))
        .extend(ms(10_000))
        .term(ms(0))
        .run();
    // An open wait takes all there is.
    world.ends(80, ms(8450));
}

#[test]
fn what_fits_the_deadline_is_not_extended() {
    let api = service("api").grace("TERM 1s").that(Behaviour::unkillable());
    let world = Spec::many([api]).deadline(ms(10_000), ms(1000)).extend(ms(60_000)).term(ms(0)).run();
    world.ends(81, ms(8900));
    let task = task("job").that(Behaviour::ends(ms(100), End::Exited(0)));
    let world = Spec::many([task]).extend(Duration::ZERO).run();
    assert_eq!(told(&world), ["100 ready", "100 stopping"]);
}

/// The lines of those that ask for time.
fn asked_for_time(world: &World) -> Vec<String> {
    told(world).into_iter().filter(|line| line.contains("extend")).collect()
}

#[test]
fn where_nobody_hears_us_the_deadline_is_not_extended_and_it_is_said_why() {
    let api = || service("api").grace("TERM 8s").that(Behaviour::stubborn());
    let spec = || Spec::many([api()]).deadline(ms(3000), ms(500)).extend(ms(60_000)).term(ms(1000));
    let world = spec().hears(ms(1), false).run();
    // 2.5 s, less 0.1 s for the report, and 0.125 s for each of two levels.
    world.ends(80, ms(3150)).sent("1.000s api TERM → leader 100\n3.150s api KILL → all 100");
    let said = |deadline| Notice::Extension { use_of_it: UseOfExtension::Unheard, deadline };
    let deadline = Some(Deadline { deadline: ms(3000), margin: ms(500) });
    assert!(world.told(|notice| *notice == said(deadline)));
    assert_eq!(asked_for_time(&world), ["0 extend 10000"]);
    // It is said of those alone who would have it.
    let plain = Spec { extend: None, ..spec() }.hears(ms(1), false).run();
    assert!(!plain.told(|notice| matches!(notice, Notice::Extension { .. })));
}

#[test]
fn a_platform_that_ceases_to_hear_us_in_a_stop_kills_us_when_it_would_have_and_so_we_are_in_time() {
    let api = service("api").grace("TERM 8s").that(Behaviour::stubborn());
    let spec = Spec::many([api]).deadline(ms(3000), ms(500)).extend(ms(60_000)).term(ms(1000));
    let world = spec.clone().hears(ms(1001), false).run();
    world.ends(80, ms(3150)).sent("1.000s api TERM → leader 100\n3.150s api KILL → all 100");
    // It hears us again before it would have used its KILL, and is asked anew.
    let world = spec.clone().hears(ms(1001), false).hears(ms(2500), true).run();
    world.ends(80, ms(9000)).sent("1.000s api TERM → leader 100\n9.000s api KILL → all 100");
    assert_eq!(asked_for_time(&world)[..3], ["0 extend 10000", "1000 extend 3000", "2500 extend 3000"]);
    // Far into the extended time there is nothing left.
    spec.hears(ms(6000), false).run().ends(80, ms(6000));
}

#[test]
fn who_hears_us_again_before_the_stop_grants_more() {
    let api = service("api").grace("TERM 8s").that(Behaviour::stubborn());
    let spec = Spec::many([api]).deadline(ms(3000), ms(500)).extend(ms(60_000)).term(ms(1000));
    spec.hears(ms(1), false).hears(ms(500), true).run().ends(80, ms(9000));
}

#[test]
fn a_deadline_that_is_only_assumed_is_nobodys_to_extend() {
    let api = service("api").grace("TERM 14s").that(Behaviour::stubborn());
    let spec = Spec::many([api]).deadline(ms(10_000), ms(1000)).extend(ms(60_000)).term(ms(0));
    let world = Spec { deadline_basis: DeadlineBasis::Assumed, ..spec.clone() }.run();
    // 9 s, less 0.1 s for the report, and 0.45 s for each of two levels.
    world.ends(80, ms(8000));
    assert!(world.told(|notice| matches!(
        notice,
        Notice::Extension { use_of_it: UseOfExtension::DeadlineAssumed, .. }
    )));
    spec.run().ends(80, ms(14_000));
}

#[test]
fn what_was_asked_for_and_used_is_no_near_miss() {
    let api = service("api").grace("TERM 8s").that(Behaviour::stubborn());
    let near = |most| {
        let spec = Spec::many([api.clone()]).deadline(ms(3000), ms(500)).term(ms(0));
        spec.extend(most).run().told(|notice| matches!(notice, Notice::StopComplete { near_miss: true, .. }))
    };
    assert!(!near(ms(60_000)));
    assert!(near(ms(9_200)));
}
