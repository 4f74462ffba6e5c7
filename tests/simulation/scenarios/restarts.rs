//! Services that are started again when they end.

use std::time::Duration;

use curfew::supervisor::{
    Cause, End, Failure, Notice, ReadyBy, RestartWhen, ServiceMessage, Signal, Verdict,
};

use crate::process::{Answer, Behaviour, Bond, Start, When};
use crate::spec::{Input, ServiceSpec, Spec, done_after, fails_after, ms, service, task};
use crate::world::World;

fn crashing(after: u64) -> ServiceSpec {
    service("api").that(fails_after(ms(after))).restart(RestartWhen::OnFailure)
}

/// The waits between an end and the next start, in milliseconds, as they were told.
fn delays(world: &World) -> Vec<u128> {
    let delays = world.history.notices().filter_map(|(_, _, notice)| match notice {
        Notice::RestartPlanned { delay, .. } => Some(delay.as_millis()),
        _ => None,
    });
    delays.collect()
}

#[test]
fn a_crash_loop_is_started_again_after_growing_delays_then_its_failure_has_consequences() {
    for jitter in 0..20 {
        let spec = Spec::many([service("db"), crashing(100).after([0])]);
        let world = Spec { jitter, ..spec }.run();
        // 200 ms, doubled each time, and up to a quarter less: what failed together does not come back together.
        let delays = delays(&world);
        let full = [200, 400, 800, 1600, 3200];
        assert_eq!(delays.len(), full.len());
        for (delay, full) in delays.iter().zip(full) {
            assert!((full / 4 * 3..=full).contains(delay), "{delays:?}");
        }
        assert_eq!(world.starts().len(), 7);
        assert_eq!(world.status(), 3);
        assert_eq!(world.times_told(|notice| matches!(notice, Notice::RestartLimit { limit: 5, .. })), 1);
    }
}

#[test]
fn delays_differ_by_the_seed_alone() {
    let run = |jitter| delays(&Spec { jitter, ..Spec::many([crashing(100)]) }.run());
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn a_crash_loop_costs_few_events_and_few_lines() {
    let world = Spec::many([crashing(0)]).run();
    assert!(world.event_count < 60, "{}", world.event_count);
    assert!(world.history.notices().count() < 50);
}

#[test]
fn a_service_that_ends_with_success_again_and_again_is_a_failure_of_its_own() {
    let api = service("api").that(done_after(ms(6000))).restart(RestartWhen::Always);
    let world = Spec::many([api.restart_limit(2, Duration::from_secs(60))]).run();
    assert_eq!(delays(&world).len(), 2);
    assert_eq!(world.status(), 82);
    let cause = world.history.stop().map(|(_, _, cause)| cause);
    assert!(matches!(cause, Some(Cause::ServiceFailed { failure: Failure::RestartLimit, .. })));
}

#[test]
fn success_is_not_started_again_on_failure_nor_anything_by_default() {
    let api = service("api").that(done_after(ms(6000))).restart(RestartWhen::OnFailure);
    Spec::many([api]).run().ends(0, ms(6000));
    Spec::many([service("api").that(fails_after(ms(6000)))]).run().ends(3, ms(6000));
}

#[test]
fn after_a_stable_run_delays_begin_anew() {
    let api =
        crashing(100).then(fails_after(ms(100))).then(fails_after(ms(61_000))).then(Behaviour::obeys(ms(0)));
    let world = Spec::many([api]).term(ms(100_000)).run();
    let delays = delays(&world);
    assert!(delays[0] <= 200 && delays[1] > 200 && delays[2] <= 200, "{delays:?}");
    world.ends(0, ms(100_000));
}

#[test]
fn the_window_moves_and_old_restarts_are_forgotten() {
    // One end in 15 s: never five within a minute.
    let api = crashing(15_000).restart_limit(5, Duration::from_secs(60));
    let world = Spec::many([api]).term(ms(300_000)).run();
    world.ends(0, ms(300_000));
    assert!(!world.told(|notice| matches!(notice, Notice::RestartLimit { .. })));
}

#[test]
fn delays_grow_no_longer_than_the_most() {
    let mut api = crashing(0).restart_limit(9, Duration::from_secs(600));
    (api.settings.restart.delay, api.settings.restart.delay_max) = (ms(1000), ms(3000));
    let delays = delays(&Spec::many([api]).run());
    assert!(delays[2..].iter().all(|delay| (2250..=3000).contains(delay)), "{delays:?}");
}

#[test]
fn a_limit_of_zero_is_no_restart_at_all() {
    let world = Spec::many([crashing(100).restart_limit(0, Duration::from_secs(60))]).run();
    world.ends(3, ms(100));
}

#[test]
fn a_restart_waits_for_strays_and_for_what_runs_after_the_end() {
    let parent =
        fails_after(ms(1000)).forking(When::After(ms(0)), Bond::OwnSession, Behaviour::obeys(ms(700)));
    let api = service("api")
        .that(parent)
        .then(Behaviour::obeys(ms(0)))
        .post_stop(ms(5000), done_after(ms(300)))
        .restart(RestartWhen::OnFailure);
    let world = Spec::many([api]).term(ms(9000)).run();
    let delay = delays(&world)[0];
    assert_eq!(world.steps()[1], "1700 api post-stop");
    // To the millisecond, rounded down.
    let second: u128 = world.steps()[2].split_once(' ').unwrap().0.parse().unwrap();
    assert!((2000 + delay..=2001 + delay).contains(&second), "{:?} {delay}", world.steps());
    world.ends(0, ms(9300));
}

#[test]
fn what_is_slow_to_die_is_started_again_when_it_is_gone_and_the_system_goes_on() {
    // It takes a second to be torn down, twice as long as it is waited for.
    let hung = Behaviour::stubborn().torn_down_in(ms(1000)).seen_as(ms(0), Answer::Sick(ms(0), 500));
    let api = service("api")
        .grace("TERM 1s")
        .health(ms(1000), ms(500), 1)
        .that(hung)
        .then(Behaviour::obeys(ms(0)))
        .restart(RestartWhen::OnFailure);
    let world = Spec::many([api]).term(ms(9000)).run();
    // Unhealthy at 1 s, killed at 2 s, gone at 3 s.
    world.ends(0, ms(9000));
    assert_eq!(world.starts().len(), 2);
}

#[test]
fn what_comes_after_a_service_that_will_be_started_again_waits_until_that_is_ready() {
    // It never says that it is ready, and is slow to die; its second life is better.
    let hung = Behaviour::stubborn().torn_down_in(ms(2000));
    let api = service("api")
        .grace("TERM 1s")
        .ready(ReadyBy::Notify, ms(1000))
        .that(hung)
        .then(Behaviour::obeys(ms(0)).saying(ms(500), ServiceMessage::Ready))
        .restart(RestartWhen::OnFailure);
    let world = Spec::many([api, service("web").after([0])]).term(ms(9000)).run();
    let starts = world.starts();
    assert_eq!(starts.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>(), ["api", "api", "web"]);
    // Gone at 4 s.
    assert!(starts[1].0 > ms(4000) && starts[2].0 > ms(4500));
}

#[test]
fn the_restart_of_a_dependency_leaves_its_dependents_alone() {
    let db = service("db").that(fails_after(ms(1000))).then(Behaviour::obeys(ms(0)));
    let world =
        Spec::many([db.restart(RestartWhen::OnFailure), service("api").after([0])]).term(ms(5000)).run();
    assert_eq!(world.starts().len(), 3);
    world.ends(0, ms(5000)).sent("5.000s api TERM → leader 101\n5.000s db TERM → leader 102");
}

#[test]
fn a_dependent_that_waits_for_another_is_started_though_one_is_in_back_off() {
    let db = service("db")
        .that(fails_after(ms(900)))
        .restart(RestartWhen::OnFailure)
        .then(Behaviour::obeys(ms(0)));
    let migrate = task("migrate").that(done_after(ms(1000)));
    let world = Spec::many([db, migrate, service("api").after([0, 1])]).term(ms(5000)).run();
    let starts = world.starts();
    assert_eq!(starts[2], (ms(1000), "api".to_owned()));
}

#[test]
fn a_stop_during_the_wait_before_a_restart_finds_the_service_down() {
    let mut api = crashing(100);
    (api.settings.restart.delay, api.settings.restart.delay_max) = (ms(4000), ms(4000));
    let world = Spec::many([service("db"), api.after([0])]).term(ms(1000)).run();
    world.ends(0, ms(1000)).sent("1.000s db TERM → leader 100");
}

#[test]
fn a_stop_in_every_state_of_a_life_starts_nothing_and_ends_in_time() {
    // Prepared, started, unready, up, ended, its strays stopped, tidied up, waiting: over and over.
    let stray = Behaviour::obeys(ms(300));
    let main = Behaviour::ends(ms(900), End::Exited(3))
        .starting(Start::Executes(ms(100)))
        .saying(ms(300), ServiceMessage::Ready)
        .forking(When::After(ms(0)), Bond::OwnSession, stray);
    let by_term = Behaviour {
        unasked: Some((ms(900), End::Signaled { number: 15, core_dumped: false })),
        ..main.clone()
    };
    let api = service("api")
        .pre_start(ms(1000), done_after(ms(200)))
        .pre_stop(ms(1000), done_after(ms(50)))
        .post_stop(ms(1000), done_after(ms(200)))
        .ready(ReadyBy::Notify, ms(1000))
        .restart(RestartWhen::Always)
        .that(main)
        .then(by_term);
    let web = service("web").after([0]).that(Behaviour::obeys(ms(100)));
    for at in (0..5000).step_by(10) {
        let spec = Spec::many([api.clone(), web.clone()]).cleanup(ms(1000), done_after(ms(70)));
        let world = spec.deadline(ms(20_000), ms(1000)).term(ms(at)).run();
        assert!(world.finished_at() <= ms(at + 1500), "stopped at {at}\n{world}");
        assert!([0, 3].contains(&world.status()), "stopped at {at}\n{world}");
    }
}

#[test]
fn a_death_by_a_stop_signal_is_held_before_it_leads_to_a_restart() {
    let spec = Spec::many([service("api")
        .restart(RestartWhen::OnFailure)
        .that(Behaviour::obeys(ms(0)).how(crate::process::How::BySignal))]);
    // Everybody gets TERM, and curfew a little later.
    let world = spec.clone().at(ms(1000), Input::ToLeader(0, Signal::TERM)).term(ms(1050)).run();
    world.ends(0, ms(1050));
    let world = spec.at(ms(1000), Input::ToLeader(0, Signal::TERM)).term(ms(5000)).run();
    assert_eq!(world.starts().len(), 2);
    world.ends(0, ms(5000));
}

#[test]
fn a_start_that_is_refused_is_tried_again() {
    let api = service("api")
        .that(Behaviour::obeys(ms(0)).starting(Start::ForkRefused))
        .then(Behaviour::obeys(ms(0)))
        .restart(RestartWhen::OnFailure);
    let world = Spec::many([api]).term(ms(5000)).run();
    assert_eq!(delays(&world).len(), 1);
    world.ends(0, ms(5000));
}

#[test]
fn a_start_that_is_refused_is_no_stable_run_however_long_it_was_waited_for() {
    let refused = || Behaviour::obeys(ms(0)).starting(Start::ForkRefused);
    let mut api = crashing(0).then(refused()).restart_limit(4, Duration::from_secs(6000));
    (api.settings.restart.delay, api.settings.restart.delay_max) = (ms(50_000), ms(900_000));
    let delays = delays(&Spec::many([api]).run());
    assert!(delays.is_sorted_by(|one, other| one < other), "{delays:?}");
}

#[test]
fn one_that_is_not_essential_and_ended_too_often_stays_down_and_the_rest_runs_on() {
    let extra = ServiceSpec { ..crashing(50) }.not_essential();
    let world = Spec::many([service("db"), extra.after([0])]).term(ms(60_000)).run();
    assert_eq!(world.starts().len(), 7);
    world.ends(0, ms(60_000)).sent("60.000s db TERM → leader 100");
}

#[test]
fn what_had_daemonised_is_started_again_when_the_daemon_is_gone() {
    let daemonises = done_after(ms(200)).forking(When::AtDeath, Bond::Daemon, Behaviour::obeys(ms(500)));
    let api = service("api").that(daemonises).then(Behaviour::obeys(ms(0))).restart(RestartWhen::OnFailure);
    let world = Spec::many([api]).term(ms(9000)).run();
    assert_eq!(world.starts().len(), 2);
    world.ends(0, ms(9000));
}

#[test]
fn a_restart_that_waits_for_what_cannot_be_killed_is_given_up_after_a_while() {
    let parent = fails_after(ms(1000)).forking(When::After(ms(0)), Bond::OwnSession, Behaviour::unkillable());
    let api = service("api").grace("TERM 1s").that(parent).restart(RestartWhen::OnFailure);
    let world = Spec::many([api.clone(), service("db")]).deadline(ms(5000), ms(500)).run();
    // Killed at 2 s, waited for until 2.5 s and 10 s more.
    let cause = world.history.stop().map(|(_, at, cause)| (at.since_start(), cause));
    assert!(matches!(
        cause,
        Some((at, Cause::ServiceFailed { failure: Failure::NotGone, .. })) if at == ms(12_500)
    ));
    assert_eq!(world.status(), 81);
    let world = Spec::many([api.not_essential(), service("db").after([0])]).term(ms(20_000)).run();
    assert_eq!(world.starts().len(), 2);
    assert_eq!(world.finished_at(), ms(30_000));
}

#[test]
fn how_it_ended_counts_until_it_has_another_process() {
    let refused = Behaviour::obeys(ms(0)).starting(Start::ForkRefused);
    let db = service("db").that(Behaviour::obeys(ms(500))).then(refused);
    let api = service("api").grace("TERM 500ms").that(Behaviour::stubborn());
    let world = Spec::many([db, api]).restart(ms(1000), 0).restart(ms(1000), 1).run();
    // The failure of the one comes before the start of the other.
    assert_eq!(world.starts().len(), 3);
    assert!(world.told(|notice| matches!(notice, Notice::StopComplete { verdict: Verdict::Killed, .. })));
}
