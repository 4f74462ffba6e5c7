use curfew::supervisor::{
    Cause, End, EndMeaning, ExitStatusPolicy, Failure, Notice, STATUS_FAILURE, STATUS_KILLED, STATUS_REFUSED,
    STATUS_SURVIVORS, Signal, Verdict,
};

use crate::process::{Behaviour, Bond, How, Start, When};
use crate::spec::{Input, Spec, ms, service, task};
use crate::world::World;

const SEGV: End = End::Signaled { number: 11, core_dumped: false };
const BY_TERM: End = End::Signaled { number: 15, core_dumped: false };

fn segv() -> How {
    How::Crashes(Signal::from_number(11).unwrap())
}

fn verdict(world: &World) -> Verdict {
    let told = world.history.notices().find_map(|(_, _, notice)| match notice {
        Notice::StopComplete { verdict, .. } => Some(*verdict),
        _ => None,
    });
    told.expect("it is complete")
}

#[test]
fn survivors_are_81_and_named() {
    let world = Spec::many([service("api").that(Behaviour::unkillable())])
        .deadline(ms(10_000), ms(1000))
        .term(ms(0))
        .run();
    world.ends(STATUS_SURVIVORS, ms(8900));
    assert_eq!(verdict(&world), Verdict::Survivors);
}

#[test]
fn what_we_may_not_signal_is_a_survivor_too() {
    let api = service("api").grace("TERM 1s").that(Behaviour { forbidden: true, ..Behaviour::obeys(ms(0)) });
    let world = Spec::many([api]).deadline(ms(10_000), ms(1000)).term(ms(0)).run();
    world.ends(81, ms(8900));
    assert_eq!(world.times_told(|notice| matches!(notice, Notice::SignalRefused { .. })), 1);
}

#[test]
fn a_service_that_fails_unasked_gives_its_own_status() {
    let failing = |end| service("api").that(Behaviour::ends(ms(1000), end));
    Spec::many([failing(End::Exited(3)), service("db")]).run().ends(3, ms(1000));
    Spec::many([failing(SEGV), service("db")]).run().ends(139, ms(1000));
}

#[test]
fn a_service_that_ends_with_success_unasked_stops_the_system_with_0() {
    let api = service("api").that(Behaviour::ends(ms(1000), End::Exited(0)));
    let world = Spec::many([api, service("db")]).run();
    world.ends(0, ms(1000)).sent("1.000s db TERM → leader 101");
    assert!(
        world
            .told(|notice| matches!(notice, Notice::StopRequested { cause: Cause::ServiceEnded { .. }, .. }))
    );
}

#[test]
fn a_command_that_is_not_there_is_127_and_one_that_cannot_be_executed_126() {
    let broken = |not_found| {
        let start = Start::Fails(ms(1), curfew::supervisor::StartStep::Execute, not_found);
        service("api").that(Behaviour::obeys(ms(0)).starting(start))
    };
    Spec::many([broken(true)]).run().ends(127, ms(1));
    Spec::many([broken(false)]).run().ends(126, ms(1));
    Spec::one(broken(true)).run().ends(127, ms(1));
}

#[test]
fn a_refused_fork_is_71_before_anything_ran_and_82_afterwards() {
    let refused = service("refused").that(Behaviour::obeys(ms(0)).starting(Start::ForkRefused));
    Spec::many([refused.clone()]).run().ends(STATUS_REFUSED, ms(0));
    Spec::many([service("db"), refused.after([0])]).run().ends(STATUS_FAILURE, ms(0));
}

#[test]
fn a_bad_status_while_stopping_is_the_exit_status_and_the_first_one_counts() {
    let bad =
        |name: &str, after, status| service(name).that(Behaviour::obeys(ms(after)).how(How::Exits(status)));
    Spec::many([bad("api", 300, 3)]).term(ms(0)).run().ends(3, ms(300));
    Spec::many([bad("late", 500, 4), bad("first", 300, 6)]).term(ms(0)).run().ends(6, ms(500));
    let crash = service("api").that(Behaviour::obeys(ms(100)).how(segv()));
    Spec::many([crash]).term(ms(0)).run().ends(139, ms(100));
}

#[test]
fn a_death_by_any_stop_signal_is_clean_while_stopping() {
    for how in [How::BySignal, How::Exits128, How::Exits(0), How::Exits(130), How::Crashes(Signal::HUP)] {
        let world = Spec::many([service("api").that(Behaviour::obeys(ms(10)).how(how))]).term(ms(0)).run();
        world.ends(0, ms(10));
        assert_eq!(verdict(&world), Verdict::Clean);
    }
}

#[test]
fn a_death_by_a_stop_signal_is_a_failure_unasked() {
    for end in [End::Exited(143), BY_TERM] {
        let world = Spec::many([service("api").that(Behaviour::ends(ms(1000), end)), service("db")]).run();
        world.ends(143, ms(1100)).sent("1.100s db TERM → leader 101");
        assert!(world.told(|notice| matches!(notice, Notice::EndHeld { .. })));
    }
}

#[test]
fn a_death_by_a_stop_signal_is_clean_if_the_stop_request_comes_within_100_ms() {
    let died = |stop| {
        let api = service("api").that(Behaviour::obeys(ms(0)).how(How::BySignal));
        let spec = Spec::many([api, service("db")]).at(ms(1000), Input::ToLeader(0, Signal::TERM));
        spec.term(ms(stop)).run()
    };
    died(1000).ends(0, ms(1000));
    died(1099).ends(0, ms(1099));
    died(1100).ends(0, ms(1100));
    died(1101).ends(143, ms(1100));
}

#[test]
fn a_death_whose_hold_is_over_is_not_explained_by_the_failure_of_another() {
    let dies = || Behaviour::ends(ms(1000), BY_TERM);
    let world = Spec::many([service("api").that(dies()), task("job").that(dies()), service("db")]).run();
    world.ends(143, ms(1100));
    assert_eq!(verdict(&world), Verdict::Clean);
    let failed = |notice: &Notice| {
        matches!(notice, Notice::ServiceEnded { meaning: EndMeaning::Failed(Failure::Ended(_)), .. })
    };
    assert_eq!(world.times_told(failed), 2);
}

#[test]
fn another_end_is_not_held_back() {
    Spec::many([service("api").that(Behaviour::ends(ms(1000), SEGV))]).run().ends(139, ms(1000));
}

#[test]
fn an_interrupted_task_gives_128_plus_the_signal() {
    let interrupted = |behaviour: Behaviour, grace| {
        let world = Spec::many([task("job").grace(grace).that(behaviour)]).term(ms(0)).run();
        assert!(verdict(&world) >= Verdict::Interrupted);
        world.status()
    };
    assert_eq!(interrupted(Behaviour::obeys(ms(5)).how(How::BySignal), "TERM 8s"), 143);
    assert_eq!(interrupted(Behaviour::obeys(ms(5)).how(How::BySignal), "INT 8s"), 130);
    assert_eq!(interrupted(Behaviour::stubborn(), "TERM 8s"), 137);
}

#[test]
fn a_task_that_is_asked_to_stop_and_ends_with_success_was_done() {
    let world = Spec::many([task("job").that(Behaviour::obeys(ms(5)))]).term(ms(0)).run();
    world.ends(0, ms(5));
    assert_eq!(verdict(&world), Verdict::Clean);
}

#[test]
fn something_that_had_to_be_killed_is_80() {
    let api = service("api").grace("TERM 1s").that(Behaviour::stubborn());
    let world = Spec::many([api]).term(ms(0)).run();
    world.ends(STATUS_KILLED, ms(1000));
    assert_eq!(verdict(&world), Verdict::Killed);
}

#[test]
fn a_stray_that_had_to_be_killed_is_80_as_well() {
    let api = service("api").grace("TERM 1s").that(Behaviour::obeys(ms(0)).forking(
        When::AtSignal,
        Bond::OwnSession,
        Behaviour::stubborn(),
    ));
    Spec::many([api]).term(ms(0)).run().ends(80, ms(1000));
}

#[test]
fn a_stray_that_kill_could_not_reach_and_that_ended_by_itself_was_not_killed() {
    let stray = Behaviour { forbidden: true, ..Behaviour::ends(ms(1200), End::Exited(0)) };
    let leader = Behaviour::obeys(ms(0)).forking(When::AtSignal, Bond::Daemon, stray);
    let world = Spec::many([service("api").grace("TERM 1s").that(leader)]).term(ms(1000)).run();
    world.ends(0, ms(2200)).sent(
        "1.000s api TERM → leader 100
         1.000s api TERM → strays nobody
         2.000s api KILL → strays nobody",
    );
    assert_eq!(verdict(&world), Verdict::Escalated);
}

#[test]
fn a_stray_that_its_own_parent_reaped_after_its_kill_counts_as_killed() {
    let child = Behaviour::stubborn();
    let parent = Behaviour { forbidden: true, ..Behaviour::ends(ms(3000), End::Exited(0)) };
    let parent = parent.forking(When::After(ms(0)), Bond::OwnSession, child);
    let leader = Behaviour::obeys(ms(0)).forking(When::AtSignal, Bond::Daemon, parent);
    let world = Spec::many([service("api").grace("TERM 1s").that(leader)]).term(ms(1000)).run();
    world.ends(80, ms(4000)).sent(
        "1.000s api TERM → leader 100
         1.000s api TERM → strays 102
         2.000s api KILL → strays 102",
    );
}

#[test]
fn an_escalated_stop_is_a_success() {
    let api = service("api").grace("TERM 1s, INT 1s").that(Behaviour::obeys(ms(0)).ignoring(&[Signal::TERM]));
    let world = Spec::many([api]).term(ms(0)).run();
    world.ends(0, ms(1000));
    assert_eq!(verdict(&world), Verdict::Escalated);
}

#[test]
fn one_command_that_ends_by_itself_gives_its_own_status() {
    for end in [End::Exited(0), End::Exited(7), SEGV] {
        Spec::one(service("app").that(Behaviour::ends(ms(1000), end))).run().ends(end.status(), ms(1000));
        Spec::one(task("app").that(Behaviour::ends(ms(1000), end))).run().ends(end.status(), ms(1000));
    }
    Spec::one(service("app").that(Behaviour::ends(ms(1000), BY_TERM))).run().ends(143, ms(1100));
}

#[test]
fn one_command_that_leaves_a_stubborn_stray_still_gives_its_own_status() {
    let app = service("app").that(Behaviour::ends(ms(1000), End::Exited(7)).forking(
        When::After(ms(0)),
        Bond::Hidden,
        Behaviour::stubborn(),
    ));
    Spec::one(app).run().ends(7, ms(9000));
}

#[test]
fn mirror_is_always_the_commands_own_status() {
    let mirror = |behaviour| {
        let mut spec = Spec::one(service("app").that(behaviour)).term(ms(1000));
        spec.policy = ExitStatusPolicy::Mirror;
        spec.run().status()
    };
    assert_eq!(mirror(Behaviour::obeys(ms(10))), 0);
    assert_eq!(mirror(Behaviour::obeys(ms(10)).how(How::BySignal)), 143);
    assert_eq!(mirror(Behaviour::stubborn()), 137);
    assert_eq!(mirror(Behaviour::ends(ms(100), End::Exited(9))), 9);
    // It has none of its own.
    assert_eq!(mirror(Behaviour::unkillable()), 81);
}

#[test]
fn mirror_tells_a_command_that_is_not_there() {
    let start = Start::Fails(ms(1), curfew::supervisor::StartStep::Execute, true);
    let mut spec = Spec::one(service("app").that(Behaviour::obeys(ms(0)).starting(start)));
    spec.policy = ExitStatusPolicy::Mirror;
    spec.run().ends(127, ms(1));
}

#[test]
fn statuses_that_count_as_success_are_no_failure() {
    let mut api = service("api").that(Behaviour::obeys(ms(10)).how(How::Exits(3)));
    api.settings.success.statuses.push(3);
    Spec::many([api.clone()]).term(ms(0)).run().ends(0, ms(10));
    // Unasked it is the end of a service all the same.
    api.behaviour = Behaviour::ends(ms(500), End::Exited(3));
    Spec::many([api]).run().ends(0, ms(500));
}

#[test]
fn every_row_that_is_true_at_once_gives_way_to_the_one_above() {
    let bad = service("bad").that(Behaviour::obeys(ms(10)).how(How::Exits(3)));
    let job = task("job").that(Behaviour::obeys(ms(10)).how(How::BySignal));
    let stubborn = service("stubborn").that(Behaviour::stubborn());
    let survivor = service("survivor").that(Behaviour::unkillable());
    let culprit = service("culprit").that(Behaviour::ends(ms(500), End::Exited(9)));
    let status =
        |services| Spec::many_of(services).deadline(ms(20_000), ms(1000)).term(ms(1000)).run().status();
    let all = [survivor, culprit, bad, job, stubborn];
    assert_eq!(status(all[..].to_vec()), 81);
    assert_eq!(status(all[1..].to_vec()), 9);
    assert_eq!(status(all[2..].to_vec()), 3);
    assert_eq!(status(all[3..].to_vec()), 143);
    assert_eq!(status(all[4..].to_vec()), 80);
}
