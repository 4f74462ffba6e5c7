use std::fmt;
use std::time::Duration;

use nix::libc::{SIGABRT, SIGINT, SIGPWR, SIGQUIT, SIGTERM};

use super::random::Random;

/// One stop as data: what runs, how it is configured, and who is told what when.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// One command instead of a system of services.
    pub(crate) one_command: bool,
    pub(crate) services: Vec<ServicePlan>,
    /// curfew is PID 1 of a namespace.
    pub(crate) pid_one: bool,
    pub(crate) containment: Containment,
    /// `--exit-status mirror`.
    pub(crate) mirror: bool,
    pub(crate) grace: String,
    pub(crate) deadline: Option<Duration>,
    /// What curfew gets, and when; from its start, or as PID 1, from when it could hear.
    pub(crate) signals: Vec<(Duration, i32)>,
}

/// How curfew is to keep processes together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Containment {
    /// As it sees fit.
    Auto,
    /// By descent alone.
    Descent,
    /// With a cgroup that it was given.
    Cgroup,
}

/// What can be had on this machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Means {
    pub(crate) namespaces: bool,
    pub(crate) cgroups: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct ServicePlan {
    /// The family, as the fixture `tree` reads it.
    pub(crate) tree: String,
    pub(crate) after: Option<usize>,
    pub(crate) is_task: bool,
    pub(crate) is_essential: bool,
}

/// The traits that one process may have. Those of a plan are drawn first, so that no trait hides another.
const TRAITS: [&str; 15] = [
    "group", "session", "daemon", "ignores", "stubborn", "slow", "crashes", "respawns", "quick", "ends",
    "storm", "stopped", "silent", "nameless", "headless",
];

/// How many processes a plan may have in all.
const PROCESSES: usize = 80;

impl Plan {
    pub(crate) fn random(seed: u64, means: Means) -> Self {
        let mut random = Random::new(seed);
        let mut traits: Vec<&str> = TRAITS.to_vec();
        traits.retain(|_| random.one_in(2));
        let one_command = random.one_in(2);
        let count = if one_command { 1 } else { random.within(1..=4) };
        let mut room = PROCESSES;
        let services = (0..count)
            .map(|index| ServicePlan {
                tree: leader(&mut random, &traits, &mut room),
                after: (index > 0 && random.one_in(2)).then(|| random.below(index)),
                is_task: !one_command && random.one_in(6),
                is_essential: !random.one_in(4),
            })
            .collect();
        // Drawn whatever there is, so that a seed means the same everywhere as far as it can.
        let pid_one = random.one_in(4) && means.namespaces;
        let choices = [Containment::Auto, Containment::Descent, Containment::Cgroup];
        let containment = match random.pick(&choices) {
            Containment::Cgroup if !means.cgroups => Containment::Auto,
            containment => containment,
        };
        // PID 1 would assume ten seconds, as of `docker stop`.
        let has_deadline = pid_one || random.one_in(2);
        Self {
            seed,
            one_command,
            services,
            pid_one,
            containment,
            mirror: one_command && random.one_in(6),
            // Sometimes much more than the deadline has room for.
            grace: if has_deadline && random.one_in(5) {
                grace(&mut random, 1500)
            } else {
                grace(&mut random, 150)
            },
            deadline: has_deadline.then(|| Duration::from_millis(random.within(500..=1500) as u64)),
            signals: signals(&mut random),
        }
    }

    /// The configuration of a system of services.
    pub(crate) fn configuration(&self, fixture: &str, diary: &str) -> String {
        let mut text = String::new();
        for (index, service) in self.services.iter().enumerate() {
            let command = [fixture, "tree", diary, &service.tree];
            text += &format!("[service.s{index}]\ncommand = {command:?}\n");
            if let Some(after) = service.after {
                text += &format!("after = [\"s{after}\"]\n");
            }
            if service.is_task {
                text += "type = \"task\"\n";
            }
            if !service.is_essential {
                text += "essential = false\n";
            }
        }
        text
    }
}

/// A family that stays, most often: else every stop would have another cause.
fn leader(random: &mut Random, traits: &[&str], room: &mut usize) -> String {
    let leaves = ["quick", "ends", "daemon"];
    let mut own: Vec<&str> = traits.to_vec();
    // A leader that stops itself is stopped for good, until the stop; and curfew has made its session already.
    own.retain(|one| !["session", "group"].contains(one) && (!leaves.contains(one) || random.one_in(6)));
    member(random, &own, traits, room, 0)
}

fn member(random: &mut Random, own: &[&str], traits: &[&str], room: &mut usize, depth: usize) -> String {
    *room = room.saturating_sub(1);
    let mut words = vec!["plain".to_owned()];
    for one in own {
        if !random.one_in(3) {
            continue;
        }
        words.push(match *one {
            "slow" => format!("slow={}", random.within(1..=60)),
            "ends" => format!("ends={}", random.within(0..=120)),
            "storm" => {
                let count = random.within(1..=40).min(*room);
                *room -= count;
                format!("storm={count}")
            }
            other => other.to_owned(),
        });
    }
    if random.one_in(3) {
        words.push("reaps".to_owned());
    }
    let mut children = Vec::new();
    if depth < 3 {
        for _ in 0..random.below(4) {
            if *room > 0 {
                children.push(member(random, traits, traits, room, depth + 1));
            }
        }
    }
    let traits = words.join("+");
    if children.is_empty() { traits } else { format!("{traits}({})", children.join(" ")) }
}

fn grace(random: &mut Random, longest: usize) -> String {
    let mut text = String::new();
    for stage in 0..random.within(1..=3) {
        let signal =
            random.pick(&[["TERM", "TERM"], ["INT", "TERM"], ["QUIT", "INT"]])[usize::from(stage == 0)];
        let target = random.pick(&["", "", "@leader", "@group", "@all"]);
        text += &format!("{signal}{target} {}ms, ", random.within(5..=longest));
    }
    text + "KILL"
}

fn signals(random: &mut Random) -> Vec<(Duration, i32)> {
    // A third right at the start, a third while the families grow, a third when they have.
    let longest = random.pick(&[3_000, 30_000, 250_000]);
    let first = Duration::from_micros(random.below(longest) as u64);
    let mut signals = vec![(first, random.pick(&[SIGTERM, SIGTERM, SIGTERM, SIGTERM, SIGINT, SIGPWR]))];
    while random.one_in(3) {
        let later = first + Duration::from_micros(random.below(900_000) as u64);
        signals.push((later, random.pick(&[SIGTERM, SIGTERM, SIGINT, SIGINT, SIGQUIT, SIGABRT])));
    }
    signals.sort();
    signals
}

impl fmt::Display for Plan {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        let mode = if self.one_command { "one command" } else { "services" };
        let place = if self.pid_one { ", as PID 1" } else { "" };
        let mirror = if self.mirror { ", --exit-status mirror" } else { "" };
        writeln!(
            formatter,
            "plan {}: {mode}{place}, {:?}{mirror}; --grace '{}'; {:?}",
            self.seed, self.containment, self.grace, self.deadline
        )?;
        for (index, service) in self.services.iter().enumerate() {
            writeln!(
                formatter,
                "  s{index}{}{}{}: tree DIARY '{}'",
                service.after.map_or_else(String::new, |after| format!(" after s{after}")),
                if service.is_task { " (task)" } else { "" },
                if service.is_essential { "" } else { " (not essential)" },
                service.tree
            )?;
        }
        for (at, signal) in &self.signals {
            writeln!(formatter, "  signal {signal} after {at:?}")?;
        }
        Ok(())
    }
}
