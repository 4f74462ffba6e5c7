//! Random worlds, in the manner of a swarm: each run switches whole kinds of behaviour off, so that no kind hides
//! another. A failure prints the seed, the command that repeats it, and the smallest spec that still fails.

use std::panic;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use curfew::supervisor::{
    Cause, Deadline, End, ExitStatusPolicy, GraceSchedule, Health, HookTimes, Kind, Mode, ReadyBy, Request,
    Restart, RestartWhen, Seat, Sender, ServiceId, ServiceMessage, ServiceSettings, Signal, Stage,
    StageAction, StartStep, StopOrder, Target, Wait,
};

use super::configuration::{Configuration, Reading};
use super::process::{Answer, Behaviour, Bond, Fork, How, Reaction, Saying, Start, When};
use super::random::Random;
use super::spec::{Input, SOMEBODY, ServiceSpec, Spec, done_after, ms, service};
use super::world::World;

/// How many events the ordinary run simulates at least. `CURFEW_EVENTS` asks for another number.
const EVENTS: usize = 1_000_000;

/// How many pairs of worlds are compared.
const PAIRS: usize = 500;

/// Always run, besides another: a part of every run is the same. What a seed found once is a scenario now.
const FIXED_SEEDS: [u64; 3] = [1, 2, 3];
/// Of an ordinary run.
const ORDINARY_SEED: u64 = 4;

#[test]
fn every_promise_holds_in_random_worlds() {
    let wanted = number("CURFEW_EVENTS").map_or(EVENTS, |events| events as usize);
    let fresh = first_seed();
    let fixed: Vec<u64> = FIXED_SEEDS.into_iter().filter(|_| number("CURFEW_SEED").is_none()).collect();
    let mut events = 0;
    for seed in &fixed {
        events += simulate(*seed, wanted / 10);
    }
    events += simulate(fresh, wanted.saturating_sub(events));
    println!("simulated {events} events, seed {fresh}");
}

#[test]
fn the_order_of_deaths_in_one_wake_up_does_not_change_the_exit_status() {
    for seed in world_seeds(first_seed()).take(PAIRS) {
        let spec = Spec { lateness: Duration::ZERO, surplus: false, shuffles: true, ..generate(seed) };
        let one = finished(&spec);
        let other = finished(&Spec { seed: seed ^ 1, ..spec });
        // Of two culprits in one wake-up the first that is heard of is the cause: the kernel's order, not ours.
        let causes = [&one, &other].map(|world| world.history.stop().map(|(_, _, cause)| cause));
        let by_signal =
            causes.iter().all(|cause| matches!(cause, Some(Cause::Signal { .. } | Cause::NothingLeft)));
        if causes[0] == causes[1] && by_signal {
            assert_eq!(one.status(), other.status(), "{}\n{one}\n{other}", reproduce(seed));
        }
    }
}

#[test]
fn a_repeated_term_changes_nothing_in_any_world() {
    for seed in world_seeds(first_seed()).take(PAIRS) {
        let mut random = Random::new(!seed);
        let mut once = Spec { lateness: Duration::ZERO, surplus: false, shuffles: false, ..generate(seed) };
        let term = random.up_to(ms(5000));
        once.inputs = vec![(term, Input::Signal(Signal::TERM, SOMEBODY))];
        once.map.clear();
        let mut often = once.clone();
        for _ in 0..random.within(1..=5) {
            let later = term + random.up_to(ms(10_000));
            often.inputs.push((later, Input::Signal(Signal::TERM, SOMEBODY)));
        }
        let (once, often) = (run(&once), run(&often));
        let facts = |world: &World| {
            (world.history.signal_lines(), world.history.finish().map(|(_, at, status)| (at, status)))
        };
        // Where another cause came first, the first TERM is an only one, and the rest its repeats.
        assert!(facts(&once) == facts(&often), "{}\n{once}\n{often}", reproduce(seed));
    }
}

/// Runs worlds until so many events were simulated.
fn simulate(seed: u64, wanted: usize) -> usize {
    let mut events = 0;
    for seed in world_seeds(seed) {
        if events >= wanted {
            break;
        }
        let spec = generate(seed);
        match World::try_run(spec.clone()) {
            Ok(world) => events += world.event_count,
            Err(failure) => report(seed, spec, failure),
        }
    }
    events
}

/// The seeds of the worlds of a run: its own first, so that a world can be repeated by its seed.
fn world_seeds(seed: u64) -> impl Iterator<Item = u64> {
    let mut random = Random::new(seed);
    std::iter::once(seed).chain(std::iter::repeat_with(move || random.next()))
}

fn run(spec: &Spec) -> World {
    World::try_run(spec.clone()).unwrap_or_else(|failure| panic!("{failure}\n{spec:#?}"))
}

fn finished(spec: &Spec) -> World {
    let mut spec = spec.clone();
    // An open stage without a deadline never ends.
    let some = Some(Deadline::with_default_margin(ms(20_000)));
    spec.deadline = spec.deadline.or(some);
    for configuration in spec.readings.iter_mut().filter_map(|reading| reading.configuration.as_mut()) {
        configuration.deadline = configuration.deadline.or(some);
    }
    spec.inputs.push((ms(60_000), Input::Signal(Signal::TERM, SOMEBODY)));
    spec.horizon = ms(70_000);
    spec.map.clear();
    run(&spec)
}

fn reproduce(seed: u64) -> String {
    format!("CURFEW_SEED={seed} cargo test -p curfew-tests --test simulation swarm")
}

/// Makes the case smaller, and fails with it.
fn report(seed: u64, mut spec: Spec, mut failure: String) -> ! {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let fails = |spec: Spec| World::try_run(spec.clone()).err().map(|failure| (spec, failure));
    while let Some(smaller) = smaller(&spec).into_iter().find_map(fails) {
        (spec, failure) = smaller;
    }
    panic::set_hook(hook);
    panic!("{failure}\nthe smallest spec that fails: {spec:#?}\nrepeat it with: {}", reproduce(seed));
}

/// Simpler specs, simplest first.
fn smaller(spec: &Spec) -> Vec<Spec> {
    let mut specs = Vec::new();
    let mut add = |change: &dyn Fn(&mut Spec)| {
        let mut changed = spec.clone();
        change(&mut changed);
        if format!("{changed:?}") != format!("{spec:?}") {
            specs.push(changed);
        }
    };
    for index in (0..spec.services.len()).rev() {
        if spec.services.len() > 1 {
            add(&|spec| remove_service(spec, index));
        }
        add(&|spec| spec.services[index].behaviour = Behaviour::obeys(Duration::ZERO));
        add(&|spec| {
            let name = spec.services[index].settings.name.clone();
            spec.services[index].settings = service(&name).settings;
        });
        add(&|spec| spec.services[index].hook = done_after(Duration::ZERO));
        add(&|spec| spec.services[index].pre_start = vec![done_after(Duration::ZERO)]);
        add(&|spec| spec.services[index].pre_start.truncate(1));
        add(&|spec| spec.services[index].pre_stop = done_after(Duration::ZERO));
        add(&|spec| spec.services[index].post_stop = done_after(Duration::ZERO));
        add(&|spec| spec.services[index].settings.hooks.pre_start = None);
        add(&|spec| spec.services[index].settings.hooks.pre_stop = None);
        add(&|spec| spec.services[index].settings.hooks.post_stop = None);
        add(&|spec| spec.services[index].settings.health = None);
        add(&|spec| spec.services[index].settings.watchdog = None);
        add(&|spec| spec.services[index].settings.task_timeout = None);
        add(&|spec| spec.services[index].settings.restart = Restart::default());
        add(&|spec| spec.services[index].settings.ready.by = ReadyBy::Execution);
        add(&|spec| spec.services[index].settings.grace = service("").settings.grace);
        add(&|spec| spec.services[index].later.clear());
        add(&|spec| {
            spec.services[index].later.pop();
        });
        add(&|spec| spec.services[index].behaviour.says.clear());
        add(&|spec| {
            spec.services[index].behaviour.says.pop();
        });
        add(&|spec| spec.services[index].behaviour.health.clear());
        add(&|spec| spec.services[index].behaviour.readiness.clear());
        add(&|spec| spec.services[index].after.clear());
        add(&|spec| spec.services[index].behaviour.forks.clear());
        add(&|spec| {
            spec.services[index].behaviour.forks.truncate(1);
        });
        add(&|spec| {
            for fork in &mut spec.services[index].behaviour.forks {
                fork.child.forks.clear();
            }
        });
        add(&|spec| {
            for fork in &mut spec.services[index].behaviour.forks {
                fork.child = Behaviour::obeys(Duration::ZERO);
            }
        });
        add(&|spec| {
            for fork in &mut spec.services[index].behaviour.forks {
                fork.child.unasked = None;
            }
        });
        add(&|spec| spec.services[index].settings.drain = Duration::ZERO);
        add(&|spec| spec.services[index].settings.essential = true);
        add(&|spec| spec.services[index].settings.kind = Kind::Service);
        add(&|spec| spec.services[index].behaviour.unasked = None);
        add(&|spec| spec.services[index].behaviour.teardown = Some(Duration::ZERO));
        add(&|spec| spec.services[index].behaviour.start = Start::Executes(Duration::ZERO));
    }
    for index in (0..spec.inputs.len()).rev() {
        add(&|spec| {
            spec.inputs.remove(index);
        });
    }
    for index in 0..spec.readings.len() {
        add(&|spec| {
            spec.readings.remove(index);
        });
        add(&|spec| spec.readings[index].takes = Some(Duration::ZERO));
        if let Some(configuration) = &spec.readings[index].configuration {
            for service in 0..configuration.services.len() {
                add(&|spec| remove_from_reading(&mut spec.readings[index], service));
                add(&|spec| {
                    let started = spec.services.clone();
                    let Some(configuration) = &mut spec.readings[index].configuration else { return };
                    let new = &mut configuration.services[service];
                    if let Some(old) = started.iter().find(|old| old.settings.name == new.settings.name) {
                        *new = ServiceSpec { after: new.after.clone(), ..old.clone() };
                    }
                });
                add(&|spec| {
                    if let Some(configuration) = &mut spec.readings[index].configuration {
                        configuration.services[service].after.clear();
                    }
                });
            }
        }
    }
    add(&|spec| spec.deadline = None);
    add(&|spec| spec.cleanup = None);
    add(&|spec| spec.extend = None);
    add(&|spec| spec.platform_watchdog = None);
    add(&|spec| spec.stray_grace = None);
    add(&|spec| spec.lateness = Duration::ZERO);
    add(&|spec| spec.shuffles = false);
    add(&|spec| spec.surplus = false);
    add(&|spec| spec.map.clear());
    add(&|spec| spec.policy = ExitStatusPolicy::Verdict);
    specs
}

fn remove_service(spec: &mut Spec, index: usize) {
    spec.services.remove(index);
    for service in &mut spec.services {
        service.after.retain(|after| *after != index);
        for after in &mut service.after {
            *after -= usize::from(*after > index);
        }
    }
    let services = spec.services.len();
    spec.inputs.retain(|(_, input)| match input {
        Input::ToLeader(service, _) => *service < services,
        Input::Request(
            Request::Stop(id) | Request::Start(id) | Request::Restart(id) | Request::Signal(id, _),
        ) => id.index() < services,
        Input::Signal(..)
        | Input::Suspend(_)
        | Input::Learn(_)
        | Input::Hears(_)
        | Input::Request(Request::StopSystem { .. } | Request::Reload { .. } | Request::Reopen) => true,
    });
}

fn remove_from_reading(reading: &mut Reading, index: usize) {
    let Some(configuration) = &mut reading.configuration else { return };
    configuration.services.remove(index);
    for service in &mut configuration.services {
        service.after.retain(|after| *after != index);
        for after in &mut service.after {
            *after -= usize::from(*after > index);
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// The seed that was asked for. A run whose length was asked for looks for what is new, and has a fresh one; every other is
/// the same each time, so that a change is judged by what it changes.
fn first_seed() -> u64 {
    let is_search = number("CURFEW_EVENTS").is_some();
    number("CURFEW_SEED").unwrap_or_else(|| if is_search { fresh_seed() } else { ORDINARY_SEED })
}

#[expect(clippy::disallowed_methods, reason = "a fresh seed for each run; it is printed")]
fn fresh_seed() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_nanos() as u64)
}

/// The kinds of behaviour; each world has about half of them.
#[derive(Clone, Copy)]
enum Has {
    Order,
    Deadline,
    TightDeadline,
    ManyStages,
    RunStages,
    OpenStages,
    Drains,
    Tasks,
    NotEssential,
    Stubborn,
    Slow,
    Crashes,
    EndsUnasked,
    Stopped,
    Unkillable,
    SlowTeardown,
    Forbidden,
    StartFailures,
    SlowStarts,
    Strays,
    HiddenStrays,
    ForkStorms,
    Lateness,
    Suspension,
    Haste,
    Repeats,
    OutsideSignals,
    Forwarding,
    Mapping,
    PreStarts,
    PreStops,
    PostStops,
    Cleanup,
    ReadyProbes,
    ReadyWords,
    Health,
    Watchdogs,
    Restarts,
    OtherLives,
    TaskTimes,
    Extensions,
    Wishes,
    PlatformWatchdog,
    PlatformExtends,
    Heirs,
    Reloads,
}

#[derive(Clone, Copy)]
struct Kinds(u64);

impl Kinds {
    const fn has(self, kind: Has) -> bool {
        self.0 & (1 << kind as u64) != 0
    }
}

fn generate(seed: u64) -> Spec {
    let mut random = Random::new(seed);
    let mut bits = random.next();
    if random.one_in(2) {
        bits &= random.next();
    }
    let kinds = Kinds(bits);
    let one_command = random.one_in(5);
    let count = if one_command { 1 } else { random.pick(&[1, 2, 2, 3, 3, 4, 5, 8]) };
    let services = (0..count).map(|index| random_service(&mut random, kinds, index)).collect();
    let mut spec = if one_command {
        Spec { mode: Mode::OneCommand, ..Spec::many_of(services) }
    } else {
        Spec::many_of(services)
    };
    // One command is the whole system.
    spec.services[0].settings.essential |= one_command;
    if one_command {
        spec.seat = random.pick(&[Seat::NoTerminal, Seat::OwnGroup, Seat::SharedGroup]);
        spec.has_shell = !random.one_in(3);
    }
    if one_command && random.one_in(4) {
        spec.policy = ExitStatusPolicy::Mirror;
    }
    if one_command && random.one_in(2) {
        spec.services[0].settings.grace = received_grace(&mut random);
    }
    if kinds.has(Has::Deadline) {
        let most = if kinds.has(Has::TightDeadline) { 4_000 } else { 60_000 };
        let deadline = ms(200) + random.up_to(ms(most));
        spec.deadline = Some(if random.one_in(2) {
            Deadline::with_default_margin(deadline)
        } else {
            Deadline { deadline, margin: random.up_to(deadline / 2) }
        });
    }
    if random.one_in(2) {
        spec.stray_grace = Some(random_grace(&mut random, kinds));
    }
    spec.reloadable = random.one_in(3);
    spec.has_output_files = random.one_in(3);
    if kinds.has(Has::Mapping) && random.one_in(3) {
        let from = random.pick(&[Signal::TERM, Signal::INT, Signal::HUP]);
        let to = random.pick(&[None, Some(Signal::QUIT), Some(Signal::USR1)]);
        spec.map.insert(from, to);
    }
    spec.lateness =
        if kinds.has(Has::Lateness) { random.pick(&[ms(1), ms(5), ms(20)]) } else { Duration::ZERO };
    spec.shuffles = random.one_in(2);
    spec.surplus = random.one_in(2);
    spec.seed = random.next();
    spec.jitter = random.next();
    spec.horizon = ms(60_000);
    if kinds.has(Has::Cleanup) {
        spec.cleanup = Some((ms(1) + random.up_to(ms(5_000)), random_hook(&mut random, kinds)));
    }
    if kinds.has(Has::PlatformWatchdog) {
        spec.platform_watchdog = Some(ms(300) + random.up_to(ms(4_000)));
    }
    if kinds.has(Has::PlatformExtends) {
        spec.extend = Some(random.up_to(ms(60_000)));
    }
    random_inputs(&mut random, kinds, &mut spec);
    random_reloads(&mut random, kinds, &mut spec);
    spec
}

fn random_inputs(random: &mut Random, kinds: Kinds, spec: &mut Spec) {
    let services = spec.services.len();
    // Often right at the start, where starts are in progress.
    let stop = if random.one_in(3) { random.up_to(ms(50)) } else { random.up_to(ms(6_000)) };
    if !random.one_in(8) {
        let signal = random.pick(&[Signal::TERM, Signal::TERM, Signal::INT, Signal::QUIT, Signal::HUP]);
        let sender = if random.one_in(4) { Sender::Terminal } else { SOMEBODY };
        spec.inputs.push((stop, Input::Signal(signal, sender)));
    }
    if kinds.has(Has::Repeats) {
        for _ in 0..random.within(1..=3) {
            let at = stop + random.up_to(ms(1_200));
            let signal = random.pick(&[Signal::TERM, Signal::PWR, Signal::INT, Signal::RTMIN_3]);
            spec.inputs.push((at, Input::Signal(signal, SOMEBODY)));
        }
    }
    if kinds.has(Has::Haste) {
        for _ in 0..random.within(1..=3) {
            let at = stop + random.up_to(ms(8_000));
            let signal = random.pick(&[Signal::INT, Signal::INT, Signal::QUIT, Signal::ABRT]);
            let sender = if random.one_in(3) { Sender::Terminal } else { SOMEBODY };
            spec.inputs.push((at, Input::Signal(signal, sender)));
        }
    }
    if kinds.has(Has::Forwarding) {
        for _ in 0..random.within(1..=3) {
            let at = random.up_to(ms(8_000));
            let signal = random.pick(&[Signal::USR1, Signal::WINCH, Signal::HUP, Signal::TSTP, Signal::CONT]);
            let at_terminal = spec.mode == Mode::OneCommand && random.one_in(3);
            let sender = if at_terminal { Sender::Terminal } else { SOMEBODY };
            spec.inputs.push((at, Input::Signal(signal, sender)));
        }
    }
    if kinds.has(Has::OutsideSignals) {
        for _ in 0..random.within(1..=3) {
            // A platform that signals everybody at once may be a little early or late.
            let near = (stop + random.up_to(ms(250))).saturating_sub(ms(125));
            let at = if random.one_in(2) { near } else { random.up_to(ms(8_000)) };
            let signal = random.pick(&[
                Signal::TERM,
                Signal::TERM,
                Signal::STOP,
                Signal::TSTP,
                Signal::CONT,
                Signal::INT,
            ]);
            spec.inputs.push((at, Input::ToLeader(random.below(services), signal)));
        }
    }
    if kinds.has(Has::Wishes) {
        for _ in 0..random.within(1..=6) {
            let at = random.up_to(ms(8_000));
            let service = ServiceId::new(random.below(services));
            let request = match random.below(11) {
                0..3 => Request::Stop(service),
                3..6 => Request::Start(service),
                6..8 => Request::Restart(service),
                8 => Request::Signal(service, random.pick(&[Signal::USR1, Signal::TERM, Signal::INT])),
                9 => random.pick(&[Request::Reload { sender: SOMEBODY }, Request::Reopen]),
                _ if random.one_in(4) => Request::StopSystem { sender: SOMEBODY },
                _ => Request::Restart(service),
            };
            spec.inputs.push((at, Input::Request(request)));
        }
    }
    if kinds.has(Has::PlatformExtends) && random.one_in(4) {
        spec.inputs.push((random.up_to(ms(8_000)), Input::Hears(false)));
    }
    if kinds.has(Has::Suspension) && random.one_in(3) {
        spec.inputs.push((random.up_to(ms(8_000)), Input::Suspend(random.up_to(ms(90_000)))));
    }
}

/// The configuration is read anew, each time another one.
fn random_reloads(random: &mut Random, kinds: Kinds, spec: &mut Spec) {
    if !kinds.has(Has::Reloads) || spec.mode == Mode::OneCommand {
        return;
    }
    spec.reloadable = true;
    let mut before = spec.configuration();
    let mut new_count = spec.services.len();
    for _ in 0..random.within(1..=3) {
        let at = random.up_to(ms(6_000));
        for _ in 0..random.pick(&[1, 1, 1, 2]) {
            let again = at + random.up_to(ms(300));
            spec.inputs.push((again, Input::Signal(Signal::HUP, SOMEBODY)));
        }
        let takes = random.up_to(ms(400));
        let takes = random.pick(&[Some(Duration::ZERO), Some(takes), Some(takes), None]);
        let configuration = (!random.one_in(6)).then(|| {
            // What was there at the start comes back every now and then.
            let from = if random.one_in(4) { spec.configuration() } else { before.clone() };
            random_configuration(random, kinds, &from, &mut new_count)
        });
        before = configuration.clone().unwrap_or(before);
        spec.readings.push(Reading { takes, configuration });
    }
}

/// Another configuration: some services are removed, some changed or adjusted, some new, and the order is another.
fn random_configuration(
    random: &mut Random,
    kinds: Kinds,
    before: &Configuration,
    new_count: &mut usize,
) -> Configuration {
    let mut services: Vec<ServiceSpec> = Vec::new();
    let mut is_kept = Vec::new();
    for old in &before.services {
        if random.one_in(4) {
            is_kept.push(None);
            continue;
        }
        is_kept.push(Some(services.len()));
        let mut new = old.clone();
        match random.below(5) {
            0 => {
                new.version += 1;
                new.behaviour = random_leader(random, kinds, &new.settings);
            }
            1 => {
                let other = random_service(random, kinds, 0);
                new.version += 1;
                new = ServiceSpec { version: new.version, after: new.after, ..other };
                new.settings.name.clone_from(&old.settings.name);
            }
            2 => {
                // How it is looked after: its process stays.
                let settings = random_service(random, kinds, 0).settings;
                new.settings = ServiceSettings {
                    name: old.settings.name.clone(),
                    kind: old.settings.kind,
                    watchdog: old.settings.watchdog,
                    ..settings
                };
            }
            _ => {}
        }
        services.push(new);
    }
    for service in &mut services {
        service.after = service.after.iter().filter_map(|after| is_kept[*after]).collect();
    }
    while random.one_in(2) {
        let mut new = random_service(random, kinds, services.len());
        new.settings.name = format!("s{new_count}");
        *new_count += 1;
        services.push(new);
    }
    if kinds.has(Has::Order) && random.one_in(3) {
        // Another order: of those that stand before it, or behind it.
        let is_reversed = random.one_in(2);
        let count = services.len();
        for (index, service) in services.iter_mut().enumerate() {
            let others = if is_reversed { index + 1..count } else { 0..index };
            service.after = others.filter(|_| random.one_in(2)).collect();
        }
    } else if !kinds.has(Has::Order) {
        services.iter_mut().for_each(|service| service.after.clear());
    }
    let mut new = Configuration { services, ..before.clone() };
    if StopOrder::new(&new.after()).is_err() {
        new.services.iter_mut().for_each(|service| service.after.clear());
    }
    if kinds.has(Has::Cleanup) && random.one_in(3) {
        new.cleanup = Some((ms(1) + random.up_to(ms(5_000)), random_hook(random, kinds)));
    }
    if kinds.has(Has::Deadline) && random.one_in(3) {
        new.deadline = Some(Deadline::with_default_margin(ms(200) + random.up_to(ms(60_000))));
    }
    new
}

fn random_service(random: &mut Random, kinds: Kinds, index: usize) -> ServiceSpec {
    let mut spec = service(&format!("s{index}"));
    let settings = &mut spec.settings;
    if kinds.has(Has::Tasks) && random.one_in(3) {
        settings.kind = Kind::Task;
    }
    settings.grace = random_grace(random, kinds);
    settings.signal_target = random.pick(&[Target::Leader, Target::Leader, Target::Group, Target::All]);
    if kinds.has(Has::Drains) && random.one_in(2) {
        settings.drain = random.up_to(ms(3_000));
    }
    settings.essential = !(kinds.has(Has::NotEssential) && random.one_in(2));
    if random.one_in(8) {
        settings.success.statuses.push(3);
    }
    if random.one_in(8) {
        settings.success.signals.insert(Signal::TERM);
    }
    if kinds.has(Has::Forwarding) {
        settings.forward = [Signal::USR1, Signal::WINCH, Signal::HUP].into_iter().collect();
    }
    if kinds.has(Has::Order) {
        spec.after = (0..index).filter(|_| random.one_in(2)).collect();
    }
    random_surroundings(random, kinds, &mut spec);
    spec.behaviour = random_leader(random, kinds, &spec.settings);
    if kinds.has(Has::OtherLives) {
        spec.later =
            (0..random.within(0..=2)).map(|_| random_leader(random, kinds, &spec.settings)).collect();
    }
    if kinds.has(Has::SlowStarts) && random.one_in(2) {
        spec.behaviour.start = Start::Executes(random.up_to(ms(3_000)));
    }
    if kinds.has(Has::StartFailures) && random.one_in(4) {
        let step =
            random.pick(&[StartStep::Session, StartStep::Directory, StartStep::Execute, StartStep::Execute]);
        let fails = Start::Fails(random.up_to(ms(50)), step, random.one_in(2) && step == StartStep::Execute);
        spec.behaviour.start = random.pick(&[fails, fails, Start::ForkRefused, Start::Hangs]);
    }
    spec
}

/// What a service is looked after by, and the commands around it.
fn random_surroundings(random: &mut Random, kinds: Kinds, spec: &mut ServiceSpec) {
    let settings = &mut spec.settings;
    let time = |kind, random: &mut Random| {
        (kinds.has(kind) && random.one_in(2)).then(|| ms(1) + random.up_to(ms(4_000)))
    };
    settings.hooks = HookTimes {
        pre_start: time(Has::PreStarts, random),
        pre_stop: time(Has::PreStops, random),
        post_stop: time(Has::PostStops, random),
    };
    settings.ready.by = match random.below(4) {
        0 | 1 if kinds.has(Has::ReadyProbes) => ReadyBy::Probe,
        2 if kinds.has(Has::ReadyWords) => ReadyBy::Notify,
        3 if kinds.has(Has::ReadyWords) => ReadyBy::Descriptor,
        _ => ReadyBy::Execution,
    };
    settings.ready.timeout = ms(100) + random.up_to(ms(4_000));
    settings.ready.every = ms(50) + random.up_to(ms(400));
    if kinds.has(Has::Health) && random.one_in(2) {
        settings.health = Some(Health {
            every: ms(100) + random.up_to(ms(2_000)),
            timeout: ms(20) + random.up_to(ms(1_000)),
            failures: random.within(1..=3) as u32,
            start_period: random.pick(&[Duration::ZERO, ms(1_500)]),
        });
    }
    if kinds.has(Has::Watchdogs) && random.one_in(2) {
        settings.watchdog = Some(ms(100) + random.up_to(ms(2_000)));
    }
    if kinds.has(Has::TaskTimes) && random.one_in(2) {
        settings.task_timeout = Some(ms(100) + random.up_to(ms(4_000)));
    }
    if kinds.has(Has::Restarts) && !random.one_in(3) {
        let delay = random.pick(&[Duration::ZERO, ms(10), ms(200), ms(1_000)]);
        settings.restart = Restart {
            when: random.pick(&[RestartWhen::OnFailure, RestartWhen::Always]),
            delay,
            delay_max: delay + random.up_to(ms(3_000)),
            limit: random.within(0..=4) as u32,
            within: ms(1_000) + random.up_to(ms(59_000)),
        };
    }
    spec.hook = random_hook(random, kinds);
    spec.pre_stop = random_hook(random, kinds);
    spec.post_stop = random_hook(random, kinds);
    spec.pre_start = (0..random.within(1..=2)).map(|_| random_hook(random, kinds)).collect();
}

/// The service's own process.
fn random_leader(random: &mut Random, kinds: Kinds, settings: &ServiceSettings) -> Behaviour {
    let mut leader = random_behaviour(random, kinds, 3);
    match settings.ready.by {
        ReadyBy::Execution => {}
        ReadyBy::Probe => {
            let times = random.within(1..=3);
            leader.readiness = random_answers(random, times, settings.ready.timeout);
        }
        ReadyBy::Notify | ReadyBy::Descriptor => {
            if !random.one_in(5) {
                let after = random.up_to(settings.ready.timeout);
                let after = random.pick(&[Duration::ZERO, after]);
                leader = leader.saying(after, ServiceMessage::Ready);
            } else if settings.ready.by == ReadyBy::Descriptor {
                leader = leader.saying(random.up_to(settings.ready.timeout), ServiceMessage::NeverReady);
            }
        }
    }
    if settings.health.is_some() && !random.one_in(3) {
        let times = random.within(1..=4);
        leader.health = random_answers(random, times, ms(8_000));
    }
    if let Some(time) = settings.watchdog {
        leader = leader.pinging(time / 2, random.within(0..=15) as u32);
        let message = random.pick(&[Some(time * 2), Some(time / 2), None]);
        match random.below(4) {
            0 => leader = leader.saying(random.up_to(ms(4_000)), ServiceMessage::WatchdogEvery(message)),
            1 => leader = leader.saying(random.up_to(ms(8_000)), ServiceMessage::Trouble),
            _ => {}
        }
    }
    if kinds.has(Has::Extensions) {
        for _ in 0..random.within(0..=2) {
            let message = ServiceMessage::Extend(random.up_to(ms(15_000)));
            let after = When::After(random.up_to(ms(9_000)));
            let when = random.pick(&[When::AtSignal, after]);
            leader.says.push(Saying { when, message });
        }
        for message in
            [ServiceMessage::Reloading, ServiceMessage::Ready, ServiceMessage::Status("busy".into())]
        {
            if random.one_in(4) {
                leader = leader.saying(random.up_to(ms(5_000)), message);
            }
        }
    }
    if kinds.has(Has::Heirs) && random.one_in(3) {
        let after = When::After(random.up_to(ms(2_000)));
        let mut child = random_behaviour(random, kinds, 1);
        child.readiness.clone_from(&leader.readiness);
        child.health.clone_from(&leader.health);
        leader.forks.push(Fork { when: after, bond: Bond::Heir, child });
    }
    leader
}

/// What probes see: another thing every now and then.
fn random_answers(random: &mut Random, times: usize, until: Duration) -> Vec<(Duration, Answer)> {
    let mut from = Duration::ZERO;
    let mut answers = Vec::new();
    for _ in 0..times {
        let after = random.up_to(ms(300));
        let sick = Answer::Sick(after, random.pick(&[500, 503]));
        answers.push((
            from,
            random.pick(&[Answer::Well(Duration::ZERO), Answer::Well(after), sick, sick, Answer::Never]),
        ));
        from += random.up_to(until / times as u32);
    }
    answers
}

/// A command that runs beside the leader: most end soon.
fn random_hook(random: &mut Random, kinds: Kinds) -> Behaviour {
    let after = random.up_to(ms(3_000));
    let status = if kinds.has(Has::Crashes) { random.pick(&[0, 0, 0, 3]) } else { 0 };
    let mut hook = Behaviour::ends(random.pick(&[Duration::ZERO, ms(20), after]), End::Exited(status));
    if kinds.has(Has::Stubborn) && random.one_in(2) {
        hook.unasked = None;
    }
    if kinds.has(Has::StartFailures) && random.one_in(3) {
        hook.start = random.pick(&[Start::ForkRefused, Start::Fails(ms(10), StartStep::Execute, true)]);
    }
    if kinds.has(Has::Unkillable) && random.one_in(8) {
        hook.teardown = None;
    }
    if kinds.has(Has::Strays) && random.one_in(3) {
        hook.forks.push(random_fork(random, kinds, 1));
    }
    hook
}

fn random_grace(random: &mut Random, kinds: Kinds) -> GraceSchedule {
    let most = if kinds.has(Has::ManyStages) { 3 } else { 1 };
    let count = if random.one_in(10) { 0 } else { random.within(1..=most) };
    let mut stages: Vec<Stage> = (0..count)
        .map(|_| Stage {
            action: StageAction::Fixed(random.pick(&[Signal::TERM, Signal::INT, Signal::QUIT, Signal::USR2])),
            target: random.pick(&[None, None, Some(Target::Leader), Some(Target::Group), Some(Target::All)]),
            wait: Wait::For(ms(1) + random.up_to(ms(10_000))),
        })
        .collect();
    if kinds.has(Has::RunStages) {
        for stage in &mut stages {
            if random.one_in(3) {
                (stage.action, stage.target) = (StageAction::Run("dump".into()), None);
            }
        }
    }
    if let (true, true, Some(last)) = (kinds.has(Has::OpenStages), random.one_in(3), stages.last_mut())
        && !matches!(last.action, StageAction::Run(_))
    {
        last.wait = Wait::Open;
    }
    GraceSchedule::new(stages).expect("a schedule")
}

fn received_grace(random: &mut Random) -> GraceSchedule {
    let wait = Wait::For(ms(1) + random.up_to(ms(10_000)));
    GraceSchedule::new(vec![Stage { action: StageAction::Received, target: None, wait }]).expect("a schedule")
}

fn random_behaviour(random: &mut Random, kinds: Kinds, depth: usize) -> Behaviour {
    let slow = if kinds.has(Has::Slow) { random.up_to(ms(12_000)) } else { random.up_to(ms(20)) };
    let mut behaviour = Behaviour::obeys(random.pick(&[Duration::ZERO, ms(10), slow, slow]));
    let crash = [How::Exits(3), How::Crashes(Signal::from_number(11).expect("SEGV"))];
    let how = random.pick(&[How::Exits(0), How::BySignal, How::Exits128, How::BySignal]);
    behaviour =
        behaviour.how(if kinds.has(Has::Crashes) && random.one_in(4) { random.pick(&crash) } else { how });
    if kinds.has(Has::Stubborn) {
        match random.below(4) {
            0 => behaviour.reaction = Reaction::Ignores,
            1 => behaviour = behaviour.ignoring(&[Signal::TERM]),
            2 => behaviour.needs = random.within(2..=3) as u32,
            _ => {}
        }
    }
    if kinds.has(Has::EndsUnasked) && random.one_in(3) {
        let by = |number| End::Signaled { number, core_dumped: false };
        let end =
            random.pick(&[End::Exited(0), End::Exited(0), End::Exited(3), End::Exited(143), by(15), by(11)]);
        behaviour.unasked = Some((random.up_to(ms(8_000)), end));
    }
    behaviour.stopped = kinds.has(Has::Stopped) && random.one_in(3);
    if kinds.has(Has::SlowTeardown) && random.one_in(3) {
        behaviour.teardown = Some(random.up_to(ms(1_500)));
    }
    if kinds.has(Has::Unkillable) && random.one_in(5) {
        behaviour.teardown = None;
        behaviour.reaction = Reaction::Ignores;
    }
    behaviour.forbidden = kinds.has(Has::Forbidden) && random.one_in(8);
    behaviour.reaps = !random.one_in(5);
    if kinds.has(Has::Strays) && depth > 0 {
        for _ in 0..random.pick(&[0, 0, 1, 1, 2]) {
            let fork = random_fork(random, kinds, depth);
            behaviour.forks.push(fork);
        }
        if kinds.has(Has::ForkStorms) && depth == 3 && random.one_in(4) {
            behaviour.forks.push(storm(random, kinds));
        }
    }
    behaviour
}

fn random_fork(random: &mut Random, kinds: Kinds, depth: usize) -> Fork {
    let after = When::After(random.up_to(ms(9_000)));
    let bonds = [Bond::SameGroup, Bond::OwnSession, Bond::Daemon, Bond::Hidden, Bond::Anonymous];
    let most = if kinds.has(Has::HiddenStrays) { 5 } else { 3 };
    let bond = bonds[random.below(most)];
    let when = random.pick(&[When::After(Duration::ZERO), after, When::AtSignal, When::AtDeath]);
    Fork { when, bond, child: random_behaviour(random, kinds, depth - 1) }
}

/// Each process forks another when it is asked to end, or ends: a storm of bounded length.
fn storm(random: &mut Random, kinds: Kinds) -> Fork {
    let when = random.pick(&[When::AtSignal, When::AtDeath]);
    let bond = random.pick(&[Bond::Daemon, Bond::SameGroup, Bond::OwnSession]);
    let calm = Kinds(kinds.0 & !(1 << Has::Strays as u64) & !(1 << Has::EndsUnasked as u64));
    let mut child = random_behaviour(random, calm, 0);
    for _ in 0..random.within(2..=12) {
        let parent = random_behaviour(random, calm, 0).forking(when, bond, child);
        child = parent;
    }
    Fork { when, bond, child }
}
