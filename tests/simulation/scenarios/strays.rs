use curfew::supervisor::{
    Command, End, Event, Notice, Pid, Sender, ServiceId, Signal, Step, Stray, Supervisor, Timestamp,
};

use crate::process::{Behaviour, Bond, When};
use crate::spec::{Input, SOMEBODY, Spec, done_after, grace, ms, service};
use crate::world::World;

fn leaving(when: When, bond: Bond, stray: Behaviour) -> Behaviour {
    Behaviour::obeys(ms(100)).forking(when, bond, stray)
}

const AT_ONCE: When = When::After(std::time::Duration::ZERO);

fn survivors(world: &World) -> Vec<i32> {
    let told = world.history.notices().filter_map(|(_, _, notice)| match notice {
        Notice::Survivor { pid, .. } => Some(pid.number()),
        _ => None,
    });
    told.collect()
}

#[test]
fn strays_begin_the_schedule_for_themselves_when_their_leader_ends_first() {
    let api = service("api").grace("TERM 3s, INT 2s").that(leaving(
        AT_ONCE,
        Bond::OwnSession,
        Behaviour::stubborn(),
    ));
    Spec::many([api]).term(ms(1000)).run().ends(80, ms(6100)).sent(
        "1.000s api TERM → leader 100
         1.100s api TERM → strays 101
         4.100s api INT → strays 101
         6.100s api KILL → strays 101",
    );
}

#[test]
fn a_wait_ends_when_the_last_stray_is_gone() {
    let api = service("api").that(leaving(AT_ONCE, Bond::SameGroup, Behaviour::obeys(ms(700))));
    Spec::many([api]).term(ms(0)).run().ends(0, ms(800));
}

#[test]
fn a_stray_forked_while_strays_are_stopped_joins_their_stage() {
    let late = Behaviour::obeys(ms(50));
    let stray = Behaviour::obeys(ms(400)).forking(When::AtDeath, Bond::Daemon, late);
    let api = service("api").that(leaving(AT_ONCE, Bond::OwnSession, stray));
    Spec::many([api]).term(ms(0)).run().ends(0, ms(550)).sent(
        "0.000s api TERM → leader 100
         0.100s api TERM → strays 101
         0.500s api TERM → stray 102",
    );
}

#[test]
fn strays_found_after_kill_are_killed() {
    let child = Behaviour::stubborn();
    let api =
        service("api").grace("TERM 1s").that(Behaviour::stubborn().forking(AT_ONCE, Bond::Daemon, child));
    // KILL goes to the leader and what descends from it; the daemon does not any more.
    Spec::many([api]).term(ms(0)).run().ends(80, ms(1000)).sent(
        "0.000s api TERM → leader 100
         1.000s api KILL → all 100
         1.000s api KILL → stray 101",
    );
}

#[test]
fn what_belongs_to_no_service_is_stopped_last() {
    let db = service("db").that(Behaviour::obeys(ms(300)));
    let api = service("api").after([0]).that(leaving(AT_ONCE, Bond::Hidden, Behaviour::obeys(ms(50))));
    let mut spec = Spec::many([db, api]).term(ms(1000));
    spec.stray_grace = Some(grace("INT 2s"));
    spec.run().ends(0, ms(1450)).sent(
        "1.000s api TERM → leader 101
         1.100s db TERM → leader 100
         1.400s (stray) INT → strays 102",
    );
}

#[test]
fn what_belongs_to_no_service_is_stopped_without_those_of_a_service_that_is_not_down() {
    // Both are given up, so that the turn of what belongs to none has come; and they die at last all the same.
    let slow = |time| Behaviour::stubborn().torn_down_in(ms(time));
    let daemon = done_after(ms(1000)).forking(AT_ONCE, Bond::Daemon, Behaviour::stubborn());
    let leader = slow(3000).forking(AT_ONCE, Bond::Hidden, Behaviour::stubborn());
    let api = service("api").grace("TERM 1s").post_stop(ms(5000), daemon).that(leader);
    // Its end leads to a census while the command after the end of the other runs.
    let other = service("other").grace("TERM 1s").that(slow(3200));
    let mut spec = Spec::many([api, other]).term(ms(1000));
    spec.stray_grace = Some(grace("TERM 3s, INT 1s"));
    spec.run().ends(80, ms(6500)).sent(
        "1.000s other TERM → leader 101
         1.000s api TERM → leader 100
         2.000s api KILL → all 100
         2.000s other KILL → all 101
         2.500s (stray) TERM → strays 102
         5.500s (stray) INT → strays 102
         6.000s api KILL → strays 104
         6.500s (stray) KILL → strays 102",
    );
}

#[test]
fn with_one_command_everything_belongs_to_it() {
    let app = service("app").that(leaving(AT_ONCE, Bond::Hidden, Behaviour::obeys(ms(50))));
    Spec::one(app).term(ms(0)).run().ends(0, ms(150)).sent(
        "0.000s app TERM → leader 100
         0.100s app TERM → strays 101",
    );
}

#[test]
fn a_fork_storm_is_followed_to_its_end() {
    let mut storm = Behaviour::obeys(ms(10));
    for _ in 0..30 {
        storm = Behaviour::obeys(ms(10)).forking(When::AtDeath, Bond::Daemon, storm);
    }
    let api = service("api").that(leaving(AT_ONCE, Bond::Daemon, storm));
    // A hundred milliseconds for the leader, ten for each of thirty-one strays.
    Spec::many([api]).term(ms(0)).run().ends(0, ms(410));
}

#[test]
fn a_stubborn_fork_storm_is_killed() {
    let mut storm = Behaviour::stubborn();
    for _ in 0..10 {
        storm = Behaviour::stubborn().forking(When::AtSignal, Bond::OwnSession, storm);
    }
    let api = service("api").grace("TERM 1s").that(leaving(AT_ONCE, Bond::Daemon, storm));
    let world = Spec::many([api]).deadline(ms(20_000), ms(1000)).term(ms(0)).run();
    assert_eq!(world.status(), 80);
    assert!(world.history.processes.iter().all(|process| process.ended.is_some()));
}

#[test]
fn strays_of_a_service_that_ended_unasked_are_stopped_while_the_rest_runs_on() {
    let extra = service("extra").not_essential().grace("TERM 1s").that(
        Behaviour::ends(ms(500), End::Exited(0)).forking(AT_ONCE, Bond::OwnSession, Behaviour::stubborn()),
    );
    let world = Spec::many([extra, service("api")]).term(ms(9000)).run();
    world.ends(80, ms(9000)).sent(
        "0.500s extra TERM → strays 102
         1.500s extra KILL → strays 102
         9.000s api TERM → leader 101",
    );
}

#[test]
fn what_was_killed_with_a_slowly_dying_leader_is_named_and_waited_for_too() {
    // Nothing tells whose the child is any more when the leader dies at last; but it is known whom it was killed with.
    let child = Behaviour::stubborn().torn_down_in(ms(4000));
    let leader = Behaviour::stubborn().torn_down_in(ms(2000)).forking(AT_ONCE, Bond::Anonymous, child);
    let api = service("api").grace("TERM 1s").that(leader);
    let world = Spec::many([api]).deadline(ms(20_000), ms(1000)).term(ms(0)).run();
    world.ends(80, ms(5000)).sent(
        "0.000s api TERM → leader 100
         1.000s api KILL → all 100 101
         3.000s api KILL → stray 101",
    );
    let killed =
        |notice: &Notice| matches!(notice, Notice::KilledWithLeader { pid, .. } if pid.number() == 101);
    assert_eq!(world.times_told(killed), 1);
    assert!(!world.told(|notice| matches!(notice, Notice::StrayFound { .. })));
}

#[test]
fn a_daemon_of_a_leader_that_cannot_be_killed_is_killed() {
    let api = service("api").grace("TERM 1s").that(Behaviour::unkillable().forking(
        AT_ONCE,
        Bond::Daemon,
        Behaviour::stubborn(),
    ));
    let world = Spec::many([api]).deadline(ms(10_000), ms(1000)).term(ms(0)).run();
    // 450 ms after KILL the leader is given up, and what is its, but not under it, comes to light.
    world.ends(81, ms(8900)).sent(
        "0.000s api TERM → leader 100
         1.000s api KILL → all 100
         1.450s api KILL → stray 101",
    );
    assert_eq!(survivors(&world), [100]);
}

#[test]
fn survivors_are_named_from_a_last_look() {
    // The parent may not be signalled, and reaps its child after KILL: nobody tells us.
    let child = Behaviour::stubborn().torn_down_in(ms(3000));
    let parent =
        Behaviour { forbidden: true, ..Behaviour::stubborn() }.forking(AT_ONCE, Bond::OwnSession, child);
    let api = service("api").grace("TERM 1s").that(leaving(AT_ONCE, Bond::Daemon, parent));
    let world = Spec::many([api]).deadline(ms(10_000), ms(1000)).term(ms(0)).run();
    assert_eq!(world.status(), 81);
    assert_eq!(survivors(&world), [101]);
}

#[test]
fn a_zombie_of_a_careless_parent_is_reaped_after_the_parent() {
    let child = Behaviour::obeys(ms(10));
    let parent =
        Behaviour { reaps: false, ..Behaviour::obeys(ms(500)) }.forking(AT_ONCE, Bond::SameGroup, child);
    let mut api = service("api").that(parent);
    api.settings.grace = grace("TERM@group 8s");
    let world = Spec::many([api]).term(ms(1000)).run();
    world.ends(0, ms(1500)).sent("1.000s api TERM → group 100 101");
}

#[test]
fn a_process_that_we_may_not_signal_and_that_goes_on_forking_does_not_keep_us_for_ever() {
    let mut forker = Behaviour::stubborn();
    for _ in 0..20 {
        forker = Behaviour { forbidden: true, ..Behaviour::stubborn() }.forking(
            When::After(ms(900)),
            Bond::Hidden,
            forker,
        );
    }
    let api = service("api").grace("TERM 1s").that(leaving(AT_ONCE, Bond::Daemon, forker));
    let mut spec = Spec::many([api]).term(ms(0));
    spec.stray_grace = Some(grace("TERM 1s"));
    let world = spec.run();
    assert_eq!(world.status(), 81);
    assert!(world.finished_at() < ms(60_000), "{:?}", world.finished_at());
}

#[test]
fn an_int_moves_strays_to_their_next_stage_and_abort_kills_them() {
    let api = || {
        let stray = Behaviour::stubborn();
        let grace = "TERM 8s, INT 8s, QUIT 8s";
        service("api").grace(grace).that(leaving(AT_ONCE, Bond::OwnSession, stray))
    };
    let spec = Spec::many([api()]).term(ms(1000)).key(ms(2000), Signal::INT).key(ms(3000), Signal::INT);
    spec.signal(ms(3500), Signal::ABRT).run().ends(80, ms(3500)).sent(
        "1.000s api TERM → leader 100
         1.100s api TERM → strays 101
         2.000s api INT → strays 101
         3.000s api QUIT → strays 101
         3.500s api KILL → strays 101",
    );
}

#[test]
fn haste_between_a_leaders_death_and_the_census_does_not_skip_what_its_strays_never_heard() {
    let spec = Spec::many([service("api").grace("TERM 8s, INT 8s")]);
    let mut core = Supervisor::new(spec.settings());
    let (api, stray) = (ServiceId::new(0), Pid::new(101).unwrap());
    let at = |milliseconds| Timestamp::new(ms(milliseconds));
    core.handle(Event::Begin, at(0));
    assert_eq!(core.next_command(), Some(Command::Start { service: api, step: Step::Main }));
    core.handle(Event::Forked { service: api, pid: Pid::new(100).unwrap() }, at(0));
    core.handle(Event::Executed { service: api }, at(0));
    core.handle(Event::SignalReceived { signal: Signal::TERM, sender: SOMEBODY }, at(0));
    core.handle(Event::LeaderEnded { service: api, end: End::Exited(0) }, at(1000));
    core.handle(Event::SignalReceived { signal: Signal::INT, sender: Sender::Terminal }, at(1000));
    while core.next_command().is_some() {}
    let strays = vec![Stray { pid: stray, service: Some(api), name: "worker".to_owned() }];
    core.handle(Event::Census { strays, hidden: false }, at(1000));
    let sent: Vec<Signal> = std::iter::from_fn(|| core.next_command())
        .filter_map(|command| match command {
            Command::Signal { signal, .. } => Some(signal),
            _ => None,
        })
        .collect();
    assert_eq!(sent, [Signal::TERM, Signal::CONT]);
}

#[test]
fn strays_of_a_leader_that_died_while_curfew_slept_are_counted_before_they_are_killed() {
    let leader = Behaviour { unasked: Some((ms(6000), End::Exited(0))), ..Behaviour::stubborn() };
    let api = service("api").that(leader.forking(AT_ONCE, Bond::Daemon, Behaviour::obeys(ms(0))));
    let spec = Spec::many([api]).deadline(ms(10_000), ms(1000)).term(ms(1000));
    let world = spec.at(ms(2000), Input::Suspend(ms(60_000))).run();
    world.ends(80, ms(62_000)).sent("1.000s api TERM → leader 100\n62.000s api KILL → strays 101");
}
