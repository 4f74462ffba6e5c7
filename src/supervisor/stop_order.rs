use super::ServiceId;

/// Who is started after whom, and so stopped before whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StopOrder {
    dependencies: Vec<Vec<ServiceId>>,
    dependents: Vec<Vec<ServiceId>>,
    /// Every service behind its dependencies.
    start_order: Vec<ServiceId>,
}

/// Services that wait for each other, so that none could ever start: each is `after` the next, the last `after` the
/// first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cycle(pub Vec<ServiceId>);

impl StopOrder {
    /// Makes the order from what each service is `after`.
    ///
    /// # Errors
    /// The first cycle found.
    pub fn new(after: &[Vec<ServiceId>]) -> Result<Self, Cycle> {
        let mut dependencies = after.to_vec();
        let mut dependents = vec![Vec::new(); after.len()];
        for (index, list) in dependencies.iter_mut().enumerate() {
            // A name given twice is one dependency: each is counted once.
            list.sort_unstable();
            list.dedup();
            for dependency in list {
                dependents[dependency.index()].push(ServiceId::new(index));
            }
        }
        let mut missing: Vec<usize> = dependencies.iter().map(Vec::len).collect();
        let mut start_order: Vec<ServiceId> =
            (0..after.len()).filter(|index| missing[*index] == 0).map(ServiceId::new).collect();
        let mut next = 0;
        while let Some(service) = start_order.get(next).copied() {
            next += 1;
            for dependent in &dependents[service.index()] {
                missing[dependent.index()] -= 1;
                if missing[dependent.index()] == 0 {
                    start_order.push(*dependent);
                }
            }
        }
        if start_order.len() == after.len() {
            Ok(Self { dependencies, dependents, start_order })
        } else {
            Err(Self::find_cycle(&dependencies, &missing))
        }
    }

    /// Walks from one unplaced service to another: each has an unplaced dependency, so the walk must meet itself.
    fn find_cycle(dependencies: &[Vec<ServiceId>], missing: &[usize]) -> Cycle {
        let unplaced = |service: &&ServiceId| missing[service.index()] > 0;
        let first = (0..missing.len()).find(|index| missing[*index] > 0).expect("a service is left");
        let mut path = vec![ServiceId::new(first)];
        loop {
            let last = path[path.len() - 1];
            let next = *dependencies[last.index()]
                .iter()
                .find(unplaced)
                .expect("what is left waits for what is left");
            if let Some(start) = path.iter().position(|seen| *seen == next) {
                return Cycle(path.split_off(start));
            }
            path.push(next);
        }
    }

    /// What `service` is started after and stopped before.
    pub fn dependencies(&self, service: ServiceId) -> &[ServiceId] {
        &self.dependencies[service.index()]
    }

    /// What is started after `service` and stopped before it.
    pub fn dependents(&self, service: ServiceId) -> &[ServiceId] {
        &self.dependents[service.index()]
    }

    /// Every service, each behind its dependencies.
    pub fn start_order(&self) -> &[ServiceId] {
        &self.start_order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(lists: &[&[usize]]) -> Vec<Vec<ServiceId>> {
        lists.iter().map(|list| list.iter().copied().map(ServiceId::new).collect()).collect()
    }

    fn indices(services: &[ServiceId]) -> Vec<usize> {
        services.iter().map(|service| service.index()).collect()
    }

    #[test]
    fn each_service_stands_behind_its_dependencies() {
        let order = StopOrder::new(&after(&[&[2, 1, 2], &[2], &[], &[0]])).unwrap();
        assert_eq!(indices(order.start_order()), [2, 1, 0, 3]);
        assert_eq!(indices(order.dependencies(ServiceId::new(0))), [1, 2]);
        assert_eq!(indices(order.dependents(ServiceId::new(2))), [0, 1]);
    }

    #[test]
    fn a_cycle_is_told_without_what_only_leads_to_it() {
        let Cycle(cycle) = StopOrder::new(&after(&[&[1], &[2], &[1], &[]])).unwrap_err();
        assert_eq!(indices(&cycle), [1, 2]);
        assert_eq!(StopOrder::new(&after(&[&[0]])).unwrap_err(), Cycle(vec![ServiceId::new(0)]));
        // Nor what has its place already.
        let Cycle(cycle) = StopOrder::new(&after(&[&[], &[0, 2], &[0, 1]])).unwrap_err();
        assert_eq!(indices(&cycle), [1, 2]);
    }
}
