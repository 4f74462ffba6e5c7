//! Whether the schedules fit the time that a stop has: told while they can still be changed.

use super::super::budget::{Budget, Path, Scale};
use super::super::{Deadline, Kind, Notice, ServiceId, Timestamp};
use super::Supervisor;

impl Supervisor {
    /// Says so if the longest way through a stop of all that runs will have to be shortened; again only if that changes.
    pub(super) fn check_schedules(&mut self, now: Timestamp) {
        if self.stop.is_some() || self.settings.deadline.is_none() {
            return;
        }
        let (chain, longest) = self.longest_chain();
        let deadline = self.extended_deadline(longest, now);
        let scale = deadline.map(|deadline| {
            Budget::new(deadline, now, longest.levels).share(now, longest, Path::default()).scale
        });
        let length = longest.bounded();
        // A wait without a length lasts as long as there is time, however short that is.
        let is_cut = |scale: &Scale| !length.is_zero() && !scale.is_full();
        let too_long = scale.filter(is_cut).map(|scale| Notice::SchedulesTooLong {
            chain,
            length,
            budget: deadline.map(Deadline::budget).unwrap_or_default(),
            scale,
        });
        if self.too_long != too_long {
            self.too_long.clone_from(&too_long);
            too_long.into_iter().for_each(|notice| self.tell(notice));
        }
    }

    /// Who is stopped one after another for longest, when all is up that can be at the same time; and how long that takes.
    fn longest_chain(&self) -> (Vec<ServiceId>, Path) {
        let order = &self.settings.order;
        // What of each service's dependencies, and of theirs, is stopped behind it: whose turn is next, and how long it takes.
        let mut behind: Vec<(Option<ServiceId>, Path)> = vec![(None, Path::default()); self.services.len()];
        let (mut first, mut longest) = (None, Path::default());
        for id in order.start_order().iter().copied() {
            for dependency in order.dependencies(id) {
                let (next, rest) = behind[dependency.index()];
                // A task is done when what comes after it runs.
                let candidate = match self.kind(*dependency) {
                    Kind::Task => (next, rest),
                    Kind::Service => (Some(*dependency), self.whole_stop(*dependency).then(rest)),
                };
                if candidate.1.bounded() >= behind[id.index()].1.bounded() {
                    behind[id.index()] = candidate;
                }
            }
            let whole = self.whole_stop(id).then(behind[id.index()].1);
            if first.is_none() || whole.bounded() > longest.bounded() {
                (first, longest) = (Some(id), whole);
            }
        }
        let chain = std::iter::successors(first, |id| behind[id.index()].0).collect();
        (chain, longest.then(self.path_of_the_end()))
    }

    /// All the time that the stop of a service may take.
    fn whole_stop(&self, id: ServiceId) -> Path {
        let settings = self.settings_of(id);
        let before = settings.drain.saturating_add(settings.hooks.pre_stop.unwrap_or_default());
        let waits =
            Path::of_service(before.saturating_add(settings.grace.bounded()), settings.grace.is_open());
        settings.hooks.post_stop.map_or(waits, |time| waits.then(Path::of_service(time, false)))
    }
}
