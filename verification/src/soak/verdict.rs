//! Decides whether the resources in use grow.

use std::fmt;

use super::Sample;

/// This is a resource that grows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Growth {
    /// This is the name of the resource.
    pub what: &'static str,
    /// This is the amount in the middle of the run.
    pub before: u64,
    /// This is the amount at the end of the run.
    pub after: u64,
}

/// This is a measure: its name, the function that reads it, and the growth beyond a tenth that may
/// occur by chance.
type Measure = (&'static str, fn(&Sample) -> u64, u64);

const MEASURES: [Measure; 4] = [
    ("memory (KiB)", |sample| sample.memory, 6 * 1024),
    ("tasks", |sample| sample.tasks, 100),
    ("files", |sample| sample.files, 4),
    ("connections", |sample| sample.connections, 4),
];

/// Returns the resources that grew from the second third of the samples to the last one. The first
/// third is warm-up.
#[must_use]
pub fn growth(samples: &[Sample]) -> Vec<Growth> {
    let third = samples.len() / 3;
    let grown = MEASURES.iter().filter_map(|(what, read, slack)| {
        let before = median(&samples[third..third * 2], *read);
        let after = median(&samples[third * 2..], *read);
        let most = before + before / 10 + slack;
        (after > most).then_some(Growth { what, before, after })
    });
    grown.collect()
}

fn median(samples: &[Sample], read: fn(&Sample) -> u64) -> u64 {
    let mut values: Vec<_> = samples.iter().map(read).collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} grew from {} to {}", self.what, self.before, self.after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grows(read: impl Fn(u64) -> Sample) -> Vec<&'static str> {
        let samples: Vec<_> = (0..60).map(read).collect();
        growth(&samples).into_iter().map(|growth| growth.what).collect()
    }

    #[test]
    fn growth_of_each_measure_is_found() {
        let none = Sample::default();
        assert_eq!(grows(|_| none), [""; 0]);
        assert_eq!(grows(|at| Sample { memory: at * 1024, ..none }), ["memory (KiB)"]);
        assert_eq!(grows(|at| Sample { tasks: at * 10, ..none }), ["tasks"]);
        assert_eq!(grows(|at| Sample { files: at, ..none }), ["files"]);
        assert_eq!(grows(|at| Sample { connections: at, ..none }), ["connections"]);
    }

    #[test]
    fn warm_up_and_noise_are_ignored() {
        let none = Sample::default();
        assert_eq!(grows(|at| Sample { tasks: at.min(15) * 1000, ..none }), [""; 0]);
        assert_eq!(grows(|at| Sample { tasks: 1000 + at % 7 * 50, ..none }), [""; 0]);
    }

    #[test]
    fn few_samples_give_no_verdict() {
        assert_eq!(growth(&[]), []);
        assert_eq!(growth(&[Sample::default()]), []);
    }
}
