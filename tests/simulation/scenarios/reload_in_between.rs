//! A reload that finds services, or the whole system, in the middle of something.

use std::time::Duration;

use curfew::supervisor::{Cause, Deadline, End, Notice, ReadyBy, RestartWhen, ServiceMessage, Signal};

use super::reload::{chain, obedient, ready_after, sees, two};
use crate::configuration::{Configuration, Reading};
use crate::process::{Answer, Behaviour, Bond, How, When};
use crate::spec::{Input, ServiceSpec, Spec, done_after, fails_after, ms, service, task};
use crate::world::World;

/// Asserts that nothing but a signal, at this time, has stopped the system, and that this is the exit status.
#[track_caller]
fn stopped_by_signal(world: &World, at: u64, status: u8) {
    let stop = world.history.stop();
    assert!(
        matches!(stop, Some((_, began, Cause::Signal { .. })) if began.since_start() == ms(at)),
        "{world}"
    );
    assert_eq!(world.status(), status, "{world}");
}

#[test]
fn a_service_that_is_changed_during_its_start_is_started_anew() {
    let api = |version| ready_after("api", 1000).version(version);
    let spec = Spec::many([api(0), obedient("web").after([0])]);
    let world = spec.reload(ms(500), [api(1), obedient("web").after([0])]).term(ms(5000)).run();
    // The system has not been ready: nobody is told of the reload.
    sees(
        &world,
        500,
        "500 read
         500 api changed, 1 kept
         500 api TERM
         600 api adopts
         600 api command
         1600 web command
         1600 complete
         1600 READY
         5000 STOPPING
         5000 web TERM
         5100 api TERM",
    );
}

#[test]
fn a_service_that_still_waits_is_changed_without_a_word_to_it() {
    let web = |version| obedient("web").after([0]).version(version);
    let spec = Spec::many([ready_after("api", 1000), web(0)]);
    let world = spec.reload(ms(500), [ready_after("api", 1000), web(1)]).term(ms(5000)).run();
    sees(
        &world,
        500,
        "500 read
         500 web changed, 1 kept
         500 web adopts
         1000 web command
         1000 READY
         1000 complete
         5000 STOPPING
         5000 web TERM
         5100 api TERM",
    );
}

#[test]
fn a_service_that_still_waits_is_removed_without_having_been_started() {
    let spec = Spec::many([ready_after("api", 1000), obedient("web").after([0])]);
    let world = spec.reload(ms(500), [ready_after("api", 1000)]).term(ms(5000)).run();
    sees(
        &world,
        500,
        "500 read
         500 web removed, 1 kept
         500 complete
         1000 READY
         5000 STOPPING
         5000 api TERM",
    );
}

#[test]
fn a_change_ends_a_back_off_and_gives_another_chance() {
    let mut broken = service("api").restart(RestartWhen::OnFailure).that(fails_after(ms(100)));
    (broken.settings.restart.delay, broken.settings.restart.delay_max) = (ms(9000), ms(9000));
    let mended = ServiceSpec { behaviour: Behaviour::obeys(ms(0)), ..broken.clone() }.version(1);
    let world = Spec::many([broken]).reload(ms(1000), [mended]).term(ms(2000)).run();
    sees(
        &world,
        1000,
        "1000 RELOADING
         1000 read
         1000 api changed, 0 kept
         1000 api adopts
         1000 api command
         1000 complete
         1000 RELOADED
         2000 STOPPING
         2000 api TERM",
    );
}

#[test]
fn a_service_in_back_off_that_is_removed_is_down_at_once() {
    let mut broken = service("api").restart(RestartWhen::OnFailure).that(fails_after(ms(100)));
    (broken.settings.restart.delay, broken.settings.restart.delay_max) = (ms(9000), ms(9000));
    let world = Spec::many([obedient("db"), broken.after([0])]).reload(ms(1000), []).run();
    sees(
        &world,
        1000,
        "1000 RELOADING
         1000 read
         1000 db removed, api removed, 0 kept
         1000 db TERM
         1100 STOPPING",
    );
    // It failed, and then somebody removed it: that is no failure of what is left.
    assert!(matches!(world.history.stop(), Some((_, _, Cause::NothingLeft))));
    world.ends(0, ms(1100));
}

#[test]
fn a_change_that_comes_while_a_service_is_stopped_by_name_does_not_start_it() {
    let api = |version| service("api").that(Behaviour::obeys(ms(1000))).version(version);
    let spec = Spec::many([api(0), obedient("other")]).stop(ms(1000), 0);
    let spec = spec.reload(ms(1500), [api(1), obedient("other")]).start(ms(3000), 0).term(ms(5000));
    let world = spec.run();
    sees(
        &world,
        1000,
        "1000 api TERM
         1500 RELOADING
         1500 read
         1500 api still stopped, 1 kept
         2000 api adopts
         2000 complete
         2000 RELOADED
         3000 api command
         5000 STOPPING
         5000 other TERM
         5000 api TERM",
    );
}

#[test]
fn what_a_person_stopped_stays_stopped_whatever_changes() {
    let spec = two().stop(ms(1000), 1);
    let spec = spec.reload(ms(2000), [obedient("db"), obedient("api").after([0]).version(1)]);
    let spec = spec.reload(ms(3000), [obedient("db"), obedient("api").version(1).grace("INT 1s")]);
    let world = spec.start(ms(4000), 1).term(ms(5000)).run();
    sees(
        &world,
        2000,
        "2000 RELOADING
         2000 read
         2000 api still stopped, 1 kept
         2000 api adopts
         2000 complete
         2000 RELOADED
         3000 RELOADING
         3000 read
         3000 api adjusted, 1 kept
         3000 api adopts
         3000 complete
         3000 RELOADED
         4000 api command
         5000 STOPPING
         5000 api INT
         5000 db TERM",
    );
}

#[test]
fn what_is_added_behind_what_a_person_stopped_waits_without_keeping_the_reload_open() {
    let spec = Spec::many([obedient("db"), obedient("other")]).stop(ms(1000), 0);
    let spec = spec.reload(ms(2000), [obedient("db"), obedient("other"), obedient("api").after([0])]);
    let world = spec.start(ms(3000), 2).term(ms(5000)).run();
    sees(
        &world,
        2000,
        "2000 RELOADING
         2000 read
         2000 api added, 2 kept
         2000 complete, api failed
         2000 RELOADED
         3000 db command
         3000 api command
         5000 STOPPING
         5000 api TERM
         5000 other TERM
         5100 db TERM",
    );
}

#[test]
fn a_death_that_is_held_back_is_explained_by_a_change() {
    let api = |version| service("api").that(Behaviour::obeys(ms(0)).how(How::BySignal)).version(version);
    let spec = Spec::many([api(0), obedient("db")]).at(ms(1000), Input::ToLeader(0, Signal::TERM));
    let world = spec.clone().reload(ms(1050), [api(1), obedient("db")]).term(ms(5000)).run();
    sees(
        &world,
        1050,
        "1050 RELOADING
         1050 read
         1050 api changed, 1 kept
         1050 api adopts
         1050 api command
         1050 complete
         1050 RELOADED
         5000 STOPPING
         5000 db TERM
         5000 api TERM",
    );
    // And by a removal.
    let world = spec.reload(ms(1050), [obedient("db")]).term(ms(5000)).run();
    stopped_by_signal(&world, 5000, 0);
}

#[test]
fn what_becomes_essential_while_its_death_is_held_back_is_started_again() {
    let api = || service("api").that(Behaviour::obeys(ms(0)).how(How::BySignal));
    let spec = Spec::many([api().not_essential(), obedient("db")]);
    let spec = spec.at(ms(1000), Input::ToLeader(0, Signal::TERM)).reload(ms(1050), [api(), obedient("db")]);
    let world = spec.term(ms(5000)).run();
    assert_eq!(world.steps(), ["0 api command", "0 db command", "1100 api command"]);
    stopped_by_signal(&world, 5000, 0);
}

#[test]
fn a_command_of_what_was_removed_is_told_of_as_long_as_others_wait_for_it() {
    let slow = Behaviour::stubborn().torn_down_in(ms(300));
    let api = obedient("api").after([0]).pre_stop(ms(1000), slow);
    let world = Spec::many([obedient("db"), api]).reload(ms(500), []).term(ms(800)).run();
    // In every wake-up the status is compared with what is so.
    stopped_by_signal(&world, 800, 0);
}

#[test]
fn what_nothing_can_end_is_removed_and_named_at_the_end() {
    let api = service("api").grace("TERM 1s").that(Behaviour::unkillable());
    let world = Spec::many([api, obedient("db")]).reload(ms(1000), [obedient("db")]).term(ms(9000)).run();
    sees(
        &world,
        1000,
        "1000 RELOADING
         1000 read
         1000 api removed, 1 kept
         1000 api TERM
         2000 api KILL
         2500 complete, api failed
         2500 RELOADED
         9000 STOPPING
         9000 db TERM",
    );
    assert_eq!(world.status(), 81);
}

#[test]
fn what_lingers_and_is_changed_is_started_when_it_is_gone_after_all() {
    let api = |version| service("api").not_essential().grace("TERM 1s").version(version);
    let slow = api(0).that(Behaviour::stubborn().torn_down_in(ms(5000)));
    let spec = Spec::many([slow, obedient("db")]).reload(ms(1000), [api(1), obedient("db")]);
    let world = spec.term(ms(9000)).run();
    sees(
        &world,
        1000,
        "1000 RELOADING
         1000 read
         1000 api changed, 1 kept
         1000 api TERM
         2000 api KILL
         7000 api adopts
         7000 api command
         7000 complete
         7000 RELOADED
         9000 STOPPING
         9000 db TERM
         9000 api TERM",
    );
}

#[test]
fn what_failed_for_good_is_started_if_it_is_changed_in_any_way() {
    let broken = service("api").not_essential().that(fails_after(ms(100))).then(Behaviour::obeys(ms(0)));
    let changed = broken.clone().version(1).that(Behaviour::obeys(ms(0)));
    let adjusted = broken.clone().restart(RestartWhen::OnFailure);
    for (word, new) in [("changed", changed), ("adjusted", adjusted)] {
        let spec = Spec::many([broken.clone(), obedient("db")]).reload(ms(1000), [new, obedient("db")]);
        let world = spec.term(ms(5000)).run();
        sees(
            &world,
            1000,
            &format!(
                "1000 RELOADING
                 1000 read
                 1000 api {word}, 1 kept
                 1000 api adopts
                 1000 api command
                 1000 complete
                 1000 RELOADED
                 5000 STOPPING
                 5000 db TERM
                 5000 api TERM"
            ),
        );
    }
}

#[test]
fn what_ended_with_success_is_not_started_by_an_adjustment() {
    let done = service("api").not_essential().that(Behaviour::ends(ms(100), End::Exited(0)));
    let adjusted = done.clone().grace("INT 1s");
    let spec = Spec::many([done, obedient("db")]).reload(ms(1000), [adjusted, obedient("db")]);
    let world = spec.term(ms(5000)).run();
    assert_eq!(world.starts().len(), 2, "{world}");
}

#[test]
fn what_becomes_essential_while_it_is_down_is_started_and_stops_the_system_if_it_fails() {
    let ends = |status| service("api").that(Behaviour::ends(ms(100), End::Exited(status)));
    for status in [0, 3] {
        let spec = Spec::many([ends(status).not_essential(), obedient("db")]);
        let world = spec.reload(ms(1000), [ends(status), obedient("db")]).run();
        assert_eq!(world.starts().len(), 3, "{world}");
        world.ends(status, ms(1200));
    }
    // What a person stopped is down on purpose.
    let spec = Spec::many([obedient("api").not_essential(), obedient("db")]).stop(ms(500), 0);
    let world = spec.reload(ms(1000), [obedient("api"), obedient("db")]).term(ms(2000)).run();
    assert_eq!(world.starts().len(), 2, "{world}");
}

#[test]
fn what_was_removed_and_comes_back_before_it_has_begun_to_stop_just_goes_on() {
    // `db` waits for `api`, which takes its time.
    let api = || service("api").that(Behaviour::obeys(ms(2000))).after([0]);
    let spec = Spec::many([obedient("db"), api(), obedient("other")]);
    let spec =
        spec.reload(ms(1000), [obedient("other")]).reload(ms(1500), [obedient("db"), obedient("other")]);
    let world = spec.term(ms(5000)).run();
    sees(
        &world,
        1000,
        "1000 RELOADING
         1000 read
         1000 db removed, api removed, 1 kept
         1000 api TERM
         1500 RELOADING
         1500 read
         1500 2 kept
         3000 complete
         3000 RELOADED
         5000 STOPPING
         5000 other TERM
         5000 db TERM",
    );
}

#[test]
fn what_was_removed_and_comes_back_on_its_way_down_is_started_again() {
    let api = || service("api").that(Behaviour::obeys(ms(1000)));
    let spec = Spec::many([api(), obedient("db")]);
    let spec = spec.reload(ms(1000), [obedient("db")]).reload(ms(1500), [obedient("db"), api()]);
    let world = spec.term(ms(5000)).run();
    sees(
        &world,
        1500,
        "1500 RELOADING
         1500 read
         1500 api added, 1 kept
         2000 api adopts
         2000 api command
         2000 complete
         2000 RELOADED
         5000 STOPPING
         5000 db TERM
         5000 api TERM",
    );
    // And later, when it is long gone.
    let spec = Spec::many([api(), obedient("db")]);
    let spec = spec.reload(ms(1000), [obedient("db")]).reload(ms(9000), [obedient("db"), api()]);
    let world = spec.term(ms(12_000)).run();
    sees(
        &world,
        9000,
        "9000 RELOADING
         9000 read
         9000 api added, 1 kept
         9000 api adopts
         9000 api command
         9000 complete
         9000 RELOADED
         12000 STOPPING
         12000 db TERM
         12000 api TERM",
    );
}

#[test]
fn a_task_that_was_removed_while_it_ran_and_comes_back_is_waited_for() {
    // It is kept by `old`, which takes its time to stop.
    let job = || {
        let work = Behaviour { unasked: Some((ms(2500), End::Exited(0))), ..Behaviour::obeys(ms(0)) };
        task("job").that(work)
    };
    let mut old = service("old").that(Behaviour::obeys(ms(1500)));
    old.after = vec![0];
    let spec = Spec::many([job(), obedient("db")]);
    let spec = spec
        .reload(ms(500), [obedient("db")])
        .reload(ms(600), [obedient("db"), job(), obedient("api").after([1])]);
    let world = spec.term(ms(9000)).run();
    let starts: Vec<(Duration, String)> = world.starts();
    assert!(starts.iter().any(|(at, name)| name == "api" && *at >= ms(2500)), "{world}");
}

#[test]
fn the_exit_status_is_not_that_of_what_was_removed() {
    let spec = |api: ServiceSpec| {
        let spec = Spec::many([obedient("db"), api]).reload(ms(5000), [obedient("db")]);
        spec.deadline(ms(20_000), ms(1000)).term(ms(9000))
    };
    // It had to be killed, crashes as it is told to end, or leaves its work undone; or did so before it was removed.
    let killed = service("api").grace("TERM 1s").that(Behaviour::stubborn());
    let crashes = service("api").that(Behaviour::obeys(ms(100)).how(How::Exits(3)));
    let interrupted = task("api").that(Behaviour::obeys(ms(100)));
    for api in [killed, crashes, interrupted] {
        stopped_by_signal(&spec(api.clone()).run(), 9000, 0);
        stopped_by_signal(&spec(api).stop(ms(1000), 1).run(), 9000, 0);
    }
}

#[test]
fn health_is_looked_after_from_the_reload_on() {
    let sick =
        |name: &str| service(name).that(Behaviour::obeys(ms(0)).seen_as(ms(0), Answer::Sick(ms(0), 500)));
    let watched = |name: &str| sick(name).health(ms(1000), ms(100), 2);
    let world = Spec::many([sick("api")]).reload(ms(1500), [watched("api")]).run();
    world.ends(82, ms(3500));
    // The interval is another: the next probe is made by it.
    let often = sick("api").health(ms(100), ms(100), 2);
    let slow = sick("api").health(ms(60_000), ms(100), 2);
    let world = Spec::many([slow]).reload(ms(1500), [often]).run();
    world.ends(82, ms(1700));
    // Nobody asks any more, not even to the end of the probe that is under way.
    let hanging = Behaviour::obeys(ms(0)).seen_as(ms(0), Answer::Never);
    let asked = service("api").health(ms(1000), ms(900), 1).that(hanging.clone());
    let world = Spec::many([asked]).reload(ms(1500), [service("api").that(hanging)]).term(ms(5000)).run();
    stopped_by_signal(&world, 5000, 0);
}

#[test]
fn what_need_not_show_any_more_that_it_is_ready_is_ready() {
    let unready = service("api").ready(ReadyBy::Notify, ms(3000));
    let spec = Spec::many([unready, obedient("web").after([0])]);
    let world = spec.reload(ms(1000), [service("api"), obedient("web").after([0])]).term(ms(5000)).run();
    sees(
        &world,
        1000,
        "1000 read
         1000 api adjusted, 1 kept
         1000 api adopts
         1000 web command
         1000 complete
         1000 READY
         5000 STOPPING
         5000 web TERM
         5100 api TERM",
    );
}

#[test]
fn what_is_ready_by_a_reload_may_be_waited_for_by_what_that_reload_adds_or_changes() {
    let unready = service("api").ready(ReadyBy::Notify, ms(3000));
    let web = |version| obedient("web").after([0]).version(version);
    let spec = Spec::many([unready, web(0)]);
    let new = [service("api"), web(1), obedient("more").after([0]), obedient("yet-more").after([0, 2])];
    let world = spec.reload(ms(1000), new).term(ms(5000)).run();
    sees(
        &world,
        1000,
        "1000 read
         1000 api adjusted, web changed, more added, yet-more added, 0 kept
         1000 web adopts
         1000 api adopts
         1000 web command
         1000 more command
         1000 yet-more command
         1000 READY
         1000 complete
         5000 STOPPING
         5000 yet-more TERM
         5000 web TERM
         5100 more TERM
         5200 api TERM",
    );
}

#[test]
fn another_way_to_show_that_it_is_ready_is_asked_for_from_the_reload_on() {
    let notified = service("api").ready(ReadyBy::Notify, ms(3000));
    let probed = service("api").ready(ReadyBy::Probe, ms(3000));
    let world = Spec::many([notified.clone()]).reload(ms(1000), [probed.clone()]).term(ms(9000)).run();
    sees(
        &world,
        1000,
        "1000 read\n1000 api adjusted, 0 kept\n1000 api adopts\n1000 complete\n1000 READY\n9000 STOPPING\n9000 api TERM",
    );
    // And the other way round.
    let hanging = probed.that(Behaviour::obeys(ms(0)).ready_after(ms(0), Answer::Never));
    let world = Spec::many([hanging]).reload(ms(1000), [notified]).run();
    world.ends(82, ms(3000));
}

#[test]
fn what_must_be_ready_from_the_reload_on_has_its_time_for_it() {
    // Its exec takes a while.
    let slow = Behaviour::obeys(ms(0)).starting(crate::process::Start::Executes(ms(1000)));
    let plain = service("api").that(slow.clone());
    let notified = service("api").that(slow).ready(ReadyBy::Notify, ms(3000));
    let world = Spec::many([plain]).reload(ms(500), [notified]).run();
    world.ends(82, ms(3000));
}

#[test]
fn times_are_counted_anew_if_they_are_changed() {
    let hangs = |time| service("api").ready(ReadyBy::Notify, ms(time));
    let world = Spec::many([hangs(60_000)]).reload(ms(1000), [hangs(3000)]).run();
    world.ends(82, ms(3000));
    let world = Spec::many([hangs(3000)]).reload(ms(1000), [hangs(9000)]).run();
    world.ends(82, ms(9000));
    // A task may take as long as it likes from now on.
    let work = Behaviour { unasked: Some((ms(5000), End::Exited(0))), ..Behaviour::obeys(ms(0)) };
    let job = task("job").that(work);
    let world = Spec::many([job.clone().within(ms(3000))]).reload(ms(1000), [job]).run();
    world.ends(0, ms(5000));
}

#[test]
fn a_deadline_that_is_changed_holds_for_the_next_stop() {
    let stubborn = || service("api").grace("TERM 20s").that(Behaviour::stubborn());
    let spec = Spec::many([stubborn()]).deadline(ms(40_000), ms(1000));
    let new = Configuration {
        deadline: Some(Deadline { deadline: ms(10_000), margin: ms(1000) }),
        ..spec.configuration()
    };
    let world = spec.clone().reads(ms(1000), Reading::of(new)).term(ms(5000)).run();
    assert!(world.finished_at() <= ms(14_000), "{world}");
    let never = Configuration { deadline: None, ..spec.configuration() };
    let world = spec.reads(ms(1000), Reading::of(never)).term(ms(5000)).run();
    assert_eq!(world.finished_at(), ms(25_000));
}

#[test]
fn what_is_new_for_the_whole_system_is_told() {
    let spec = two().deadline(ms(40_000), ms(1000)).cleanup(ms(1000), done_after(ms(100)));
    let new = Configuration {
        deadline: Some(Deadline { deadline: ms(10_000), margin: ms(2000) }),
        margin: Some(ms(2000)),
        stray_grace: Some(crate::spec::grace("INT 1s")),
        cleanup: None,
        extend: Some(ms(60_000)),
        ..spec.configuration()
    };
    let world = spec.reads(ms(1000), Reading::of(new.clone())).reads(ms(2000), Reading::of(new)).run();
    sees(
        &world,
        1000,
        "1000 RELOADING
         1000 read
         1000 2 kept, grace is new, deadline is new, margin is new, extend is new, cleanup is new
         1000 complete
         1000 RELOADED
         2000 RELOADING
         2000 read
         2000 2 kept
         2000 complete
         2000 RELOADED",
    );
    let told = world.history.notices().filter_map(|(_, _, notice)| match notice {
        Notice::ReloadApplied { deadline, .. } => Some(deadline.map(|it| it.map(Deadline::budget))),
        _ => None,
    });
    assert_eq!(told.collect::<Vec<_>>(), [Some(Some(ms(8000))), None]);
}

#[test]
fn a_deadline_that_the_platform_told_gives_way_to_a_fixed_one_and_is_asked_for_again() {
    let stubborn = || service("api").grace("TERM 20s").that(Behaviour::stubborn());
    let learns = || Spec::many([stubborn()]).learns(ms(500), ms(40_000));
    let guess = learns().configuration();
    let fixed = Configuration {
        deadline: Some(Deadline { deadline: ms(10_000), margin: ms(1000) }),
        asks_platform: false,
        ..guess.clone()
    };
    let world = learns().reads(ms(1000), Reading::of(fixed.clone())).term(ms(5000)).run();
    assert!(world.finished_at() <= ms(14_000), "{world}");
    // The answer comes when nobody asks any more.
    let late = Spec::many([stubborn()]).learns(ms(2000), ms(40_000));
    let world = late.reads(ms(1000), Reading::of(fixed.clone())).term(ms(5000)).run();
    assert!(world.finished_at() <= ms(14_000), "{world}");
    // Back to what the platform says, which answers once more.
    let again = learns().reads(ms(1000), Reading::of(fixed)).reads(ms(2000), Reading::of(guess.clone()));
    let world = again.learns(ms(2500), ms(40_000)).term(ms(5000)).run();
    assert_eq!(world.commands_of("learn deadline").len(), 3, "{world}");
    assert_eq!(world.finished_at(), ms(25_000));
    // What it told before holds on, if nothing of this is changed.
    let guess = Configuration { deadline: Some(Deadline::with_default_margin(ms(2000))), ..guess };
    let world = learns().reads(ms(1000), Reading::of(guess)).term(ms(5000)).run();
    assert_eq!(world.finished_at(), ms(25_000));
}

#[test]
fn the_cleanup_is_that_of_the_configuration_read_last() {
    let spec = two().cleanup(ms(1000), done_after(ms(100)));
    let other = Configuration { cleanup: Some((ms(3000), done_after(ms(700)))), ..spec.configuration() };
    let none = Configuration { cleanup: None, ..spec.configuration() };
    let world = spec.clone().reads(ms(1000), Reading::of(other)).term(ms(5000)).run();
    world.ends(0, ms(5900));
    let world = spec.reads(ms(1000), Reading::of(none)).term(ms(5000)).run();
    world.ends(0, ms(5200));
}

#[test]
fn the_reload_signal_goes_to_those_that_go_on() {
    let with = |name: &str| obedient(name).reload_signal(Signal::USR1);
    let spec =
        Spec::many([with("kept"), with("adjusted"), with("changed"), with("removed"), with("stopped")]);
    let stopped = with("stopped").that(Behaviour::obeys(ms(1000)));
    let started = [&spec.services[..4], std::slice::from_ref(&stopped)].concat();
    let spec = Spec { services: started, ..spec };
    let new =
        [with("kept"), with("adjusted").grace("INT 1s"), with("changed").version(1), stopped, with("new")];
    let world = spec.stop(ms(900), 4).reload(ms(1000), new).term(ms(5000)).run();
    sees(
        &world,
        1000,
        "1000 RELOADING
         1000 read
         1000 adjusted adjusted, changed changed, removed removed, new added, 2 kept
         1000 kept USR1
         1000 adjusted adopts
         1000 adjusted USR1
         1000 changed TERM
         1000 new command
         1000 removed TERM
         1100 changed adopts
         1100 changed command
         1100 complete
         1100 RELOADED
         5000 STOPPING
         5000 new TERM
         5000 changed TERM
         5000 adjusted INT
         5000 kept TERM",
    );
}

#[test]
fn a_reload_in_a_stop_is_ignored() {
    let world = two().term(ms(1000)).hup(ms(1050)).run();
    world.ends(0, ms(1200));
    assert!(world.commands_of("read configuration").is_empty());
}

#[test]
fn a_stop_of_the_system_ends_a_reload_at_every_moment_of_it() {
    // `changed` takes 300 ms to stop and 200 ms to be ready, `removed` is stopped behind its old life, `new` comes last.
    let says = |after| Behaviour::obeys(ms(300)).saying(ms(after), ServiceMessage::Ready);
    let changed =
        |version| service("changed").ready(ReadyBy::Notify, ms(9000)).that(says(200)).version(version);
    let spec = Spec::many([obedient("removed"), changed(0).after([0]), obedient("kept").after([1])]);
    let new = spec.with([changed(1), obedient("kept").after([0]), obedient("new").after([0])]);
    let reading = Reading::of(new).taking(ms(100));
    let spec = spec.deadline(ms(5000), ms(500)).reads(ms(1000), reading);
    for at in (990..1800).step_by(10) {
        let world = spec.clone().term(ms(at)).run();
        // Two services in a row, at most three.
        assert!(world.finished_at() <= ms(at + 600), "stopped at {at}\n{world}");
        assert_eq!(world.status(), 0);
        let (stop, ..) = world.history.stop().expect("it was asked for");
        let starts = world.starts();
        assert!(starts.iter().all(|(start, _)| *start <= ms(at)), "stopped at {at}\n{world}");
        let late = world.history.entries[stop..].iter().any(|entry| {
            matches!(entry.what, crate::history::What::Command(curfew::supervisor::Command::Adopt { .. }, _))
        });
        assert!(!late, "something is adopted in the stop\n{world}");
    }
}

#[test]
fn a_removed_service_whose_turn_has_not_come_is_stopped_in_its_turn_by_a_stop_of_the_system() {
    let slow = |name: &str| service(name).that(Behaviour::obeys(ms(1000)));
    let spec = Spec::many([obedient("db"), slow("api").after([0]), slow("web").after([0])]);
    // `api` is started anew without `db`, which is removed; `web` is removed as well.
    let world = spec.reload(ms(1000), [slow("api").version(1)]).term(ms(1500)).run();
    sees(
        &world,
        1000,
        "1000 RELOADING
         1000 read
         1000 db removed, api changed, web removed, 0 kept
         1000 api TERM
         1000 web TERM
         1500 STOPPING
         2000 db TERM",
    );
    world.ends(0, ms(2100));
}

#[test]
fn a_stop_by_name_that_is_under_way_goes_on_through_a_reload() {
    let web = service("web").that(Behaviour::obeys(ms(1000)));
    let spec =
        Spec::many([obedient("db"), obedient("api").after([0]), web.clone().after([1])]).stop(ms(1000), 0);
    let spec = spec.reload(ms(1500), [obedient("db"), obedient("api").after([0]).version(1), web.after([1])]);
    let world = spec.start(ms(5000), 1).term(ms(6000)).run();
    sees(
        &world,
        1000,
        "1000 web TERM
         1500 RELOADING
         1500 read
         1500 api still stopped, 2 kept
         2000 api TERM
         2100 api adopts
         2100 db TERM
         2100 complete
         2100 RELOADED
         5000 db command
         5000 api command
         6000 STOPPING
         6000 api TERM
         6100 db TERM",
    );
}

#[test]
fn a_reload_that_fails_in_a_service_that_matters_stops_the_system() {
    let world =
        two().reload(ms(1000), [obedient("db"), service("api").version(1).that(fails_after(ms(500)))]).run();
    sees(
        &world,
        1000,
        "1000 RELOADING
         1000 read
         1000 api changed, 1 kept
         1000 api TERM
         1100 api adopts
         1100 api command
         1100 complete
         1100 RELOADED
         1600 STOPPING
         1600 db TERM",
    );
    world.ends(3, ms(1700));
}

#[test]
fn what_was_restarted_by_one_reload_and_comes_up_by_the_next_has_not_failed() {
    let api = |version, behaviour| service("api").not_essential().version(version).that(behaviour);
    let slow = || service("slow").that(Behaviour::obeys(ms(2000)));
    let spec = Spec::many([api(0, Behaviour::obeys(ms(0))), slow(), obedient("db")]);
    let broken = api(1, fails_after(ms(0))).ready(ReadyBy::Notify, ms(9000));
    let mended = api(2, Behaviour::obeys(ms(0)));
    let spec = spec
        .reload(ms(1000), [broken, slow().version(1), obedient("db")])
        .reload(ms(1500), [mended, slow().version(1), obedient("db")]);
    let world = spec.term(ms(5000)).run();
    assert!(
        world.told(|notice| matches!(notice, Notice::ReloadComplete { failed, .. } if failed.is_empty()))
    );
}

#[test]
fn what_a_changed_service_left_behind_is_gone_before_it_is_started_anew() {
    let stray = Behaviour::obeys(ms(700));
    let api =
        service("api").that(Behaviour::obeys(ms(100)).forking(When::After(ms(0)), Bond::OwnSession, stray));
    let spec = Spec::many([api.clone()]).reload(ms(1000), [api.version(1)]).term(ms(5000));
    let world = spec.run();
    sees(
        &world,
        1000,
        "1000 RELOADING
         1000 read
         1000 api changed, 0 kept
         1000 api TERM
         1100 api TERM
         1800 api adopts
         1800 api command
         1800 complete
         1800 RELOADED
         5000 STOPPING
         5000 api TERM
         5100 api TERM",
    );
}

#[test]
fn commands_around_a_changed_service_are_those_that_it_was_started_with() {
    let api = |version, after| {
        let hook = |time| done_after(ms(time));
        obedient("api").version(version).pre_stop(ms(900), hook(after)).post_stop(ms(900), hook(after))
    };
    let world = Spec::many([api(0, 200)]).reload(ms(1000), [api(1, 0)]).term(ms(5000)).run();
    // Pre-stop 200 ms, its end 100 ms, post-stop 200 ms; in the end neither takes any time.
    sees(
        &world,
        1000,
        "1000 RELOADING
         1000 read
         1000 api changed, 0 kept
         1200 api TERM
         1300 api post-stop
         1500 api adopts
         1500 api command
         1500 complete
         1500 RELOADED
         5000 STOPPING
         5000 api TERM
         5100 api post-stop",
    );
    world.ends(0, ms(5100));
}

#[test]
fn everything_may_be_removed_and_then_nothing_is_left() {
    let world = chain().reload(ms(1000), []).run();
    world.ends(0, ms(1300));
    assert!(matches!(world.history.stop(), Some((_, _, Cause::NothingLeft))));
}

#[test]
fn what_failed_and_was_then_stopped_by_a_person_is_waited_for_by_what_is_added_behind_it() {
    let broken = service("db").not_essential().that(fails_after(ms(100)));
    let spec = Spec::many([broken.clone(), obedient("other")]).stop(ms(1000), 0);
    let spec = spec.reload(ms(2000), [broken, obedient("other"), obedient("api").after([0])]);
    let world = spec.term(ms(5000)).run();
    sees(
        &world,
        2000,
        "2000 RELOADING
         2000 read
         2000 api added, 2 kept
         2000 complete, api failed
         2000 RELOADED
         5000 STOPPING
         5000 other TERM",
    );
}

#[test]
fn what_has_failed_for_good_and_is_still_on_its_way_down_is_started_if_it_is_changed() {
    let api = |time| service("api").not_essential().ready(ReadyBy::Notify, ms(time));
    let slow = api(500).that(Behaviour::obeys(ms(1000)));
    let spec = Spec::many([slow, obedient("db")]);
    let patient = api(9000).that(Behaviour::obeys(ms(0)).saying(ms(0), ServiceMessage::Ready));
    let spec = spec.reload(ms(1000), [patient, obedient("db"), obedient("web").after([0])]);
    let world = spec.term(ms(5000)).run();
    sees(
        &world,
        500,
        "500 api TERM
         1000 RELOADING
         1000 read
         1000 api adjusted, web added, 1 kept
         1500 api adopts
         1500 api command
         1500 web command
         1500 complete
         1500 RELOADED
         5000 STOPPING
         5000 web TERM
         5000 db TERM
         5100 api TERM",
    );
}
