/// The candidate that was probably meant, if one is near enough. Case, and `_` for `-`, do not count.
pub(crate) fn nearest<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .filter_map(|candidate| Some((distance(given, candidate)?, candidate)))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How far they are from each other, if one can be meant by the other.
fn distance(given: &str, candidate: &str) -> Option<usize> {
    let [given, candidate] = [given, candidate].map(|text| text.to_ascii_lowercase().replace('_', "-"));
    let length = given.chars().count();
    let is_long_enough = length.min(candidate.len()) >= 3;
    // What was cut short is no slip of the finger: `stat` is `status`, and not `start`.
    if is_long_enough && candidate.starts_with(&given) {
        return Some(0);
    }
    let distance = strsim::osa_distance(&given, &candidate);
    // `TERMINATE` is far from `TERM`, and yet it is clear what is meant.
    let is_close = distance <= (length / 3).max(1) && distance < length;
    (is_close || is_long_enough && given.starts_with(&candidate)).then_some(distance)
}

/// ``did you mean `NEAREST`?``, or else the list of what there is.
pub(crate) fn proposal<'a>(given: &str, candidates: impl Iterator<Item = &'a str> + Clone) -> String {
    match nearest(given, candidates.clone()) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => format!("write one of {}", candidates.collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 5] = ["after", "command", "env-file", "essential", "grace"];

    #[test]
    fn a_slip_of_the_finger_is_recognised() {
        for (given, meant) in [
            ("comand", "command"),
            ("afetr", "after"),
            ("env_file", "env-file"),
            ("Grace", "grace"),
            ("commands-of-it", "command"),
            ("esential", "essential"),
        ] {
            assert_eq!(nearest(given, KEYS), Some(meant), "{given}");
        }
    }

    #[test]
    fn what_was_cut_short_goes_before_a_slip_of_the_finger() {
        let verbs = ["start", "status", "stop"];
        for (given, meant) in
            [("stat", "status"), ("star", "start"), ("strat", "start"), ("statsu", "status")]
        {
            assert_eq!(nearest(given, verbs), Some(meant), "{given}");
        }
    }

    #[test]
    fn what_is_far_from_everything_gets_no_proposal() {
        for given in ["", "x", "port", "workers", "a"] {
            assert_eq!(nearest(given, KEYS), None, "{given}");
        }
        assert_eq!(
            proposal("port", KEYS.into_iter()),
            "write one of after, command, env-file, essential, grace"
        );
        assert_eq!(proposal("gracee", KEYS.into_iter()), "did you mean `grace`?");
    }
}
