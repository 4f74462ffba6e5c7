//! The configuration read anew, while services run.

use std::time::Duration;

use curfew::supervisor::{Change, Command, End, Notice, PlatformMessage, ReadyBy, ServiceMessage, Signal};

use crate::configuration::Reading;
use crate::history::What;
use crate::process::Behaviour;
use crate::spec::{ServiceSpec, Spec, done_after, ms, service, task};
use crate::world::World;

/// What the world saw of a reload from this time on, a line each: starts, signals, and what is said of it.
pub(super) fn seen(world: &World, from: Duration) -> Vec<String> {
    let name = |id| world.history.settings.name(id);
    let of_entry = |what: &What| match what {
        What::Command(Command::Start { service, step }, _) => Some(format!("{} {step}", name(*service))),
        What::Command(Command::Signal { service, signal, .. }, _) if *signal != Signal::CONT => {
            Some(format!("{} {signal}", name(*service)))
        }
        What::Command(Command::TellPlatform(PlatformMessage::Reloading), _) => Some("RELOADING".to_owned()),
        What::Command(Command::TellPlatform(PlatformMessage::Reloaded), _) => Some("RELOADED".to_owned()),
        What::Command(Command::TellPlatform(PlatformMessage::Ready), _) => Some("READY".to_owned()),
        What::Command(Command::TellPlatform(PlatformMessage::Stopping), _) => Some("STOPPING".to_owned()),
        What::Command(Command::Adopt { service }, _) => Some(format!("{} adopts", name(*service))),
        What::Command(Command::ReadConfiguration, _) => Some("read".to_owned()),
        What::Command(Command::AbandonReading, _) => Some("read no more".to_owned()),
        What::Command(Command::Tell(Notice::ReloadRefused { .. }), _) => Some("refused".to_owned()),
        What::Command(Command::Tell(Notice::ReloadComplete { failed, .. }), _) => {
            let failed: Vec<String> = failed.iter().map(|id| format!(", {} failed", name(*id))).collect();
            Some(format!("complete{}", failed.concat()))
        }
        What::Command(Command::Tell(Notice::ReloadApplied { changes, kept, system, .. }), _) => {
            let word = |change| match change {
                Change::Added => "added",
                Change::Removed => "removed",
                Change::Restarted => "changed",
                Change::StillStopped => "still stopped",
                Change::Adjusted => "adjusted",
            };
            let changes = changes.iter().map(|(id, change)| format!("{} {}, ", name(*id), word(*change)));
            let system: String = system.iter().map(|key| format!(", {key} is new")).collect();
            Some(format!("{}{kept} kept{system}", changes.collect::<String>()))
        }
        _ => None,
    };
    let entries = world.history.entries.iter().filter(|entry| entry.at.since_start() >= from);
    let line = |entry: &crate::history::Entry| {
        of_entry(&entry.what).map(|line| format!("{} {line}", entry.at.since_start().as_millis()))
    };
    entries.filter_map(line).collect()
}

/// Asserts what the world saw from this time on.
#[track_caller]
pub(super) fn sees<'a>(world: &'a World, from: u64, expected: &str) -> &'a World {
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let seen = seen(world, ms(from));
    assert!(seen == expected, "expected\n{}\nbut saw\n{}\n{world}", expected.join("\n"), seen.join("\n"));
    world
}

pub(super) fn obedient(name: &str) -> ServiceSpec {
    service(name).that(Behaviour::obeys(ms(100)))
}

/// It says that it is ready after so long.
pub(super) fn ready_after(name: &str, after: u64) -> ServiceSpec {
    let behaviour = Behaviour::obeys(ms(100)).saying(ms(after), ServiceMessage::Ready);
    service(name).ready(ReadyBy::Notify, ms(9000)).that(behaviour)
}

/// `db`, and `api` after it.
pub(super) fn two() -> Spec {
    Spec::many([obedient("db"), obedient("api").after([0])])
}

/// `db`, `api` after it, `web` after that.
pub(super) fn chain() -> Spec {
    Spec::many([obedient("db"), obedient("api").after([0]), obedient("web").after([1])])
}

#[test]
fn one_is_added_one_changed_one_removed_and_one_left_alone() {
    let spec = Spec::many([obedient("db"), obedient("api"), obedient("old")]);
    let spec =
        spec.reload(ms(1000), [obedient("db"), obedient("api").version(1), obedient("new").after([1])]);
    let world = spec.term(ms(5000)).run();
    sees(
        &world,
        1000,
        "1000 RELOADING
         1000 read
         1000 api changed, old removed, new added, 1 kept
         1000 api TERM
         1000 old TERM
         1100 api adopts
         1100 api command
         1100 new command
         1100 complete
         1100 RELOADED
         5000 STOPPING
         5000 new TERM
         5000 db TERM
         5100 api TERM",
    );
    world.ends(0, ms(5200));
}

#[test]
fn the_same_configuration_changes_nothing() {
    let world = two().hup(ms(1000)).term(ms(5000)).run();
    sees(
        &world,
        1000,
        "1000 RELOADING
         1000 read
         1000 2 kept
         1000 complete
         1000 RELOADED
         5000 STOPPING
         5000 api TERM
         5100 db TERM",
    );
    world.ends(0, ms(5200));
}

#[test]
fn a_broken_file_changes_nothing() {
    let world = two().reads(ms(1000), Reading::broken().taking(ms(300))).term(ms(5000)).run();
    sees(
        &world,
        1000,
        "1000 RELOADING
         1000 read
         1300 refused
         1300 RELOADED
         5000 STOPPING
         5000 api TERM
         5100 db TERM",
    );
}

#[test]
fn reading_that_takes_too_long_is_given_up() {
    let world = two().reads(ms(1000), Reading::broken().taking(None)).term(ms(15_000)).run();
    sees(
        &world,
        1000,
        "1000 RELOADING
         1000 read
         11000 read no more
         11000 refused
         11000 RELOADED
         15000 STOPPING
         15000 api TERM
         15100 db TERM",
    );
}

#[test]
fn a_reload_that_is_asked_for_while_one_is_read_is_read_again_after_it() {
    let spec = two();
    let first = Reading::of(spec.with([obedient("db").version(1)])).taking(ms(500));
    let second = Reading::of(spec.with([obedient("db").version(2)])).taking(ms(500));
    let spec = spec.reads(ms(1000), first).hup(ms(1200)).hup(ms(1300)).reads(ms(1400), second);
    let world = spec.term(ms(5000)).run();
    // All who asked meanwhile are answered by one more reading.
    sees(
        &world,
        1000,
        "1000 RELOADING
         1000 read
         1200 RELOADING
         1300 RELOADING
         1400 RELOADING
         1500 db changed, api removed, 0 kept
         1500 db TERM
         1500 api TERM
         1500 read
         1600 db adopts
         1600 db command
         2000 db changed, 0 kept
         2000 db TERM
         2100 db adopts
         2100 db command
         2100 complete
         2100 RELOADED
         5000 STOPPING
         5000 db TERM",
    );
}

#[test]
fn a_reload_behind_another_that_is_not_complete_has_its_changes_too() {
    let slow = |version| service("db").that(Behaviour::obeys(ms(1000))).version(version);
    let spec = Spec::many([slow(0), obedient("api")]);
    let spec = spec
        .reload(ms(1000), [slow(1), obedient("api")])
        .reload(ms(1500), [slow(2), obedient("api"), obedient("web")]);
    let world = spec.term(ms(5000)).run();
    // It is on its way down, and comes back as the latest.
    sees(
        &world,
        1000,
        "1000 RELOADING
         1000 read
         1000 db changed, 1 kept
         1000 db TERM
         1500 RELOADING
         1500 read
         1500 db changed, web added, 1 kept
         1500 web command
         2000 db adopts
         2000 db command
         2000 complete
         2000 RELOADED
         5000 STOPPING
         5000 web TERM
         5000 api TERM
         5000 db TERM",
    );
}

#[test]
fn a_change_that_is_taken_back_leaves_what_has_begun_to_stop_to_come_back_as_it_was() {
    let slow = |version| service("db").that(Behaviour::obeys(ms(1000))).version(version);
    let spec = Spec::many([slow(0)]).reload(ms(1000), [slow(1)]).reload(ms(1500), [slow(0)]);
    let world = spec.term(ms(5000)).run();
    sees(
        &world,
        1500,
        "1500 RELOADING
         1500 read
         1500 1 kept
         2000 db command
         2000 complete
         2000 RELOADED
         5000 STOPPING
         5000 db TERM",
    );
}

#[test]
fn what_only_says_how_a_service_is_looked_after_is_adopted_while_it_runs() {
    let spec = two().reload(ms(1000), [obedient("db").grace("INT 3s"), obedient("api").after([0])]);
    let world = spec.term(ms(5000)).run();
    sees(
        &world,
        1000,
        "1000 RELOADING
         1000 read
         1000 db adjusted, 1 kept
         1000 db adopts
         1000 complete
         1000 RELOADED
         5000 STOPPING
         5000 api TERM
         5100 db INT",
    );
}

#[test]
fn a_changed_service_is_stopped_by_the_schedule_it_was_started_with() {
    let old = service("db").grace("INT 1s, QUIT 1s").that(Behaviour::stubborn());
    let new = service("db").grace("TERM 9s").version(1);
    let world =
        Spec::many([old, service("api")]).reload(ms(1000), [new, service("api")]).term(ms(5000)).run();
    sees(
        &world,
        1000,
        "1000 RELOADING
         1000 read
         1000 db changed, 1 kept
         1000 db INT
         2000 db QUIT
         3000 db KILL
         3000 db adopts
         3000 db command
         3000 complete
         3000 RELOADED
         5000 STOPPING
         5000 api TERM
         5000 db TERM",
    );
    world.ends(0, ms(5000));
}

#[test]
fn a_chain_that_is_removed_is_stopped_in_reverse_order() {
    let other = obedient("other");
    let spec =
        Spec::many([obedient("db"), obedient("api").after([0]), obedient("web").after([1]), other.clone()]);
    let world = spec.reload(ms(1000), [other]).term(ms(5000)).run();
    sees(
        &world,
        1000,
        "1000 RELOADING
         1000 read
         1000 db removed, api removed, web removed, 1 kept
         1000 web TERM
         1100 api TERM
         1200 db TERM
         1300 complete
         1300 RELOADED
         5000 STOPPING
         5000 other TERM",
    );
    world.ends(0, ms(5100));
}

#[test]
fn what_is_removed_is_stopped_behind_the_old_life_of_what_needed_it() {
    // `api` does without `db` from now on, and is another program for that.
    let world = two().reload(ms(1000), [obedient("api").version(1)]).term(ms(5000)).run();
    sees(
        &world,
        1000,
        "1000 RELOADING
         1000 read
         1000 db removed, api changed, 0 kept
         1000 api TERM
         1100 api adopts
         1100 db TERM
         1100 api command
         1200 complete
         1200 RELOADED
         5000 STOPPING
         5000 api TERM",
    );
}

#[test]
fn what_is_removed_is_stopped_at_once_if_what_came_after_it_does_without_it() {
    let world = two().reload(ms(1000), [obedient("api")]).term(ms(5000)).run();
    sees(
        &world,
        1000,
        "1000 RELOADING
         1000 read
         1000 db removed, 1 kept
         1000 db TERM
         1100 complete
         1100 RELOADED
         5000 STOPPING
         5000 api TERM",
    );
}

#[test]
fn what_is_removed_is_stopped_behind_a_restart_of_what_needed_it() {
    let api = service("api").that(Behaviour::obeys(ms(1000)));
    let spec = Spec::many([obedient("db"), api.clone().after([0])]).restart(ms(800), 1);
    let world = spec.reload(ms(1000), [api]).term(ms(5000)).run();
    sees(
        &world,
        1000,
        "1000 RELOADING
         1000 read
         1000 db removed, 1 kept
         1800 db TERM
         1800 api command
         1900 complete
         1900 RELOADED
         5000 STOPPING
         5000 api TERM",
    );
}

#[test]
fn what_is_removed_is_stopped_though_nothing_can_end_what_needed_it() {
    let api = service("api").not_essential().grace("TERM 1s").that(Behaviour::unkillable());
    let spec = Spec::many([obedient("db"), api.clone().after([0]), obedient("other")]);
    let world = spec.reload(ms(1000), [api.version(1), obedient("other")]).term(ms(20_000)).run();
    sees(
        &world,
        1000,
        "1000 RELOADING
         1000 read
         1000 db removed, api changed, 1 kept
         1000 api TERM
         2000 api KILL
         12500 db TERM
         12600 complete, api failed
         12600 RELOADED
         20000 STOPPING
         20000 other TERM",
    );
    assert_eq!(world.status(), 81);
}

#[test]
fn an_order_that_is_reversed_by_the_reload_holds_for_the_next_stop() {
    let spec = two().reload(ms(1000), [obedient("db").after([1]), obedient("api")]);
    let world = spec.term(ms(5000)).run();
    sees(
        &world,
        5000,
        "5000 STOPPING
         5000 db TERM
         5100 api TERM",
    );
}

#[test]
fn an_order_that_would_be_a_circle_with_the_old_one_keeps_as_much_of_it_as_it_can() {
    // Old: `web` after `mid` after `db`. New: `db` after `web`, and `mid` is gone; so is `y`, which is after `x`.
    let spec = Spec::many([
        obedient("db"),
        obedient("mid").after([0]),
        obedient("web").after([1]),
        obedient("x"),
        obedient("y").after([3]),
    ]);
    let world = spec.reload(ms(1000), [obedient("db").after([1]), obedient("web")]).term(ms(5000)).run();
    sees(
        &world,
        1000,
        "1000 RELOADING
         1000 read
         1000 mid removed, x removed, y removed, 2 kept
         1000 mid TERM
         1000 y TERM
         1100 x TERM
         1200 complete
         1200 RELOADED
         5000 STOPPING
         5000 db TERM
         5100 web TERM",
    );
}

#[test]
fn what_is_removed_is_no_tie_between_those_that_are_left() {
    // `web` was after `mid`, which was after `db`.
    let spec = chain().reload(ms(1000), [obedient("db"), obedient("web")]).stop(ms(2000), 0).term(ms(5000));
    let world = spec.run();
    sees(
        &world,
        2000,
        "2000 db TERM
         5000 STOPPING
         5000 web TERM",
    );
    let spec = chain().reload(ms(1000), [obedient("db"), obedient("web")]).stop(ms(2000), 0);
    let world = spec.stop(ms(3000), 2).start(ms(4000), 2).term(ms(5000)).run();
    sees(
        &world,
        3000,
        "3000 web TERM
         4000 web command
         5000 STOPPING
         5000 web TERM",
    );
}

#[test]
fn what_is_added_waits_for_what_it_comes_after() {
    let spec = Spec::many([obedient("db")]);
    let world = spec
        .reload(ms(1000), [obedient("db"), obedient("web").after([2]), ready_after("api", 500).after([0])])
        .term(ms(5000))
        .run();
    sees(
        &world,
        1000,
        "1000 RELOADING
         1000 read
         1000 web added, api added, 1 kept
         1000 api command
         1500 web command
         1500 complete
         1500 RELOADED
         5000 STOPPING
         5000 web TERM
         5100 api TERM
         5200 db TERM",
    );
}

#[test]
fn what_is_added_waits_for_a_change_of_what_it_comes_after() {
    let db = |version| ready_after("db", 500).version(version);
    let spec = Spec::many([db(0)]).reload(ms(1000), [db(1), obedient("api").after([0])]);
    let world = spec.term(ms(5000)).run();
    sees(
        &world,
        1000,
        "1000 RELOADING
         1000 read
         1000 db changed, api added, 0 kept
         1000 db TERM
         1100 db adopts
         1100 db command
         1600 api command
         1600 complete
         1600 RELOADED
         5000 STOPPING
         5000 api TERM
         5100 db TERM",
    );
}

#[test]
fn a_task_that_is_added_before_a_running_service_leaves_that_alone() {
    let migrate = task("migrate").that(done_after(ms(300)));
    let spec = Spec::many([obedient("api")]).reload(ms(1000), [migrate, obedient("api").after([0])]);
    let world = spec.term(ms(5000)).run();
    sees(
        &world,
        1000,
        "1000 RELOADING
         1000 read
         1000 migrate added, 1 kept
         1000 migrate command
         1300 complete
         1300 RELOADED
         5000 STOPPING
         5000 api TERM",
    );
}

#[test]
fn a_task_that_is_done_runs_again_only_if_its_command_changed() {
    let migrate = |version| task("migrate").that(done_after(ms(300))).version(version);
    let api = || obedient("api").after([0]);
    let spec = Spec::many([migrate(0), api()])
        .reload(ms(1000), [migrate(0).within(ms(9000)), api()])
        .reload(ms(2000), [migrate(1).within(ms(9000)), api()]);
    let world = spec.term(ms(5000)).run();
    sees(
        &world,
        1000,
        "1000 RELOADING
         1000 read
         1000 migrate adjusted, 1 kept
         1000 migrate adopts
         1000 complete
         1000 RELOADED
         2000 RELOADING
         2000 read
         2000 migrate changed, 1 kept
         2000 migrate adopts
         2000 migrate command
         2300 complete
         2300 RELOADED
         5000 STOPPING
         5000 api TERM",
    );
    world.ends(0, ms(5100));
}

#[test]
fn a_task_that_is_changed_while_it_runs_is_run_anew() {
    let migrate = |version| {
        task("migrate")
            .that(Behaviour { unasked: Some((ms(2000), End::Exited(0))), ..Behaviour::obeys(ms(100)) })
            .version(version)
    };
    let api = || obedient("api").after([0]);
    let spec = Spec::many([migrate(0), api()]).reload(ms(1000), [migrate(1), api()]).term(ms(5000));
    let world = spec.run();
    sees(
        &world,
        1000,
        "1000 read
         1000 migrate changed, 1 kept
         1000 migrate TERM
         1100 migrate adopts
         1100 migrate command
         3100 api command
         3100 complete
         3100 READY
         5000 STOPPING
         5000 api TERM",
    );
    world.ends(0, ms(5100));
}

#[test]
fn another_command_beside_a_service_is_taken_over_while_that_runs() {
    let api = |version, time| obedient("api").pre_stop(ms(900), done_after(ms(time))).version_beside(version);
    let world = Spec::many([api(0, 100)]).reload(ms(1000), [api(1, 500)]).term(ms(5000)).run();
    sees(
        &world,
        1000,
        "1000 RELOADING
         1000 read
         1000 api adjusted, 0 kept
         1000 api adopts
         1000 complete
         1000 RELOADED
         5000 STOPPING
         5500 api TERM",
    );
}
