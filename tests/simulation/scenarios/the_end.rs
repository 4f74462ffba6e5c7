use curfew::supervisor::{
    Command, End, Event, Pid, Recipients, ServiceId, Signal, Step, Supervisor, Target, Timestamp,
};

use crate::process::{Behaviour, Bond, When};
use crate::spec::{SOMEBODY, Spec, ms, service};

/// Every surplus event that there is.
fn surplus_events() -> Vec<Event> {
    let service = ServiceId::new(0);
    let end = End::Exited(1);
    vec![
        Event::TimePassed,
        Event::SignalReceived { signal: Signal::QUIT, sender: SOMEBODY },
        Event::Executed { service },
        Event::LeaderEnded { service, end },
        Event::StrayEnded { pid: Pid::new(77).unwrap(), end },
        Event::Census { strays: Vec::new(), hidden: false },
        Event::LeaderStopped { service, signal: Signal::STOP, has_shell: true },
        Event::TimePassed,
    ]
}

#[test]
fn after_the_end_nothing_is_armed_and_nothing_happens() {
    let api = service("api").grace("TERM 2s").that(Behaviour::unkillable());
    let spec = Spec::many([api]).deadline(ms(10_000), ms(1000));
    let mut core = Supervisor::new(spec.settings());
    let at = |milliseconds| Timestamp::new(ms(milliseconds));
    let pid = Pid::new(100).unwrap();
    let service = ServiceId::new(0);
    core.handle(Event::Begin, at(0));
    assert_eq!(core.next_command(), Some(Command::Start { service, step: Step::Main }));
    core.handle(Event::Forked { service, pid }, at(0));
    core.handle(Event::Executed { service }, at(0));
    core.handle(Event::SignalReceived { signal: Signal::TERM, sender: SOMEBODY }, at(0));
    while let Some(deadline) = core.next_deadline() {
        core.handle(Event::TimePassed, deadline);
        core.handle(Event::Census { strays: Vec::new(), hidden: false }, deadline);
    }
    let commands: Vec<Command> = std::iter::from_fn(|| core.next_command()).collect();
    assert_eq!(commands.last(), Some(&Command::Finish { status: 81 }));
    for event in surplus_events() {
        core.handle(event, at(60_000));
        assert_eq!((core.next_command(), core.next_deadline()), (None, None));
    }
}

#[test]
fn nothing_is_commanded_behind_the_finish_when_the_last_wait_ends_with_the_budget() {
    let app = service("app").grace("TERM 60s").that(Behaviour::unkillable());
    let world = Spec::one(app).deadline(ms(10_000), ms(1000)).term(ms(1000)).run();
    world.ends(81, ms(9900));
    let last = world.history.entries.last().map(|entry| format!("{:?}", entry.what));
    assert!(last.is_some_and(|last| last.contains("Finish")), "{world}");
}

#[test]
fn an_old_timer_changes_nothing() {
    let spec = Spec::many([service("api").grace("TERM 2s").that(Behaviour::stubborn())]);
    let mut core = Supervisor::new(spec.settings());
    let service = ServiceId::new(0);
    core.handle(Event::Begin, Timestamp::ZERO);
    assert_eq!(core.next_command(), Some(Command::Start { service, step: Step::Main }));
    core.handle(Event::Forked { service, pid: Pid::new(100).unwrap() }, Timestamp::ZERO);
    core.handle(Event::Executed { service }, Timestamp::ZERO);
    core.handle(Event::SignalReceived { signal: Signal::TERM, sender: SOMEBODY }, Timestamp::ZERO);
    while core.next_command().is_some() {}
    assert_eq!(
        core.next_deadline(),
        Some(Timestamp::new(ms(1800))),
        "a look at what it does, before it is too late"
    );
    core.handle(Event::TimePassed, Timestamp::new(ms(1800)));
    assert_eq!(core.next_command(), Some(Command::Look { service }));
    let deadline = core.next_deadline();
    assert_eq!(deadline, Some(Timestamp::new(ms(2000))));
    for _ in 0..10 {
        core.handle(Event::TimePassed, Timestamp::new(ms(1999)));
        assert_eq!((core.next_command(), core.next_deadline()), (None, deadline));
    }
    core.handle(Event::TimePassed, Timestamp::new(ms(2000)));
    let kill = Command::Signal { service, recipients: Recipients::Leader(Target::All), signal: Signal::KILL };
    assert!(std::iter::from_fn(|| core.next_command()).any(|command| command == kill));
}

#[test]
fn what_is_told_twice_is_heard_once() {
    let tree = Behaviour::obeys(ms(300)).forking(When::After(ms(0)), Bond::Daemon, Behaviour::obeys(ms(100)));
    for seed in 0..200 {
        let job = service("job").not_essential().that(Behaviour::ends(ms(500), End::Exited(143)));
        let mut spec = Spec::many([service("api").that(tree.clone()), job]).term(ms(1000));
        let plain = spec.clone().run();
        spec.surplus = true;
        spec.seed = seed;
        let world = spec.run();
        assert_eq!(world.history.signal_lines(), plain.history.signal_lines());
        assert_eq!((world.status(), world.finished_at()), (plain.status(), plain.finished_at()));
    }
}
