//! Load averages: how many threads wanted a processor, the newer the weightier.
//!
//! As the kernel counts its own (Documentation/scheduler, `calc_load`) and the platform its dynos':
//! `load = load * e^(-t/T) + runnable * (1 - e^(-t/T))`, for T of 1, 5 and 15 minutes. Only threads
//! that run or could count, not those that wait for the disk.

use std::time::Duration;

/// The averages of one tree of processes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Load {
    age: Duration,
    averages: [f64; PERIODS.len()],
}

impl Load {
    /// Counts that `runnable_count` threads wanted a processor during the last `since`.
    pub(crate) fn sample(&mut self, runnable_count: u32, since: Duration) {
        self.age += since;
        for (average, (_, period)) in self.averages.iter_mut().zip(PERIODS) {
            let kept = (-since.as_secs_f64() / period.as_secs_f64()).exp();
            *average = *average * kept + f64::from(runnable_count) * (1.0 - kept);
        }
    }

    /// Name and value of each average. Those of 5 and 15 minutes are missing until so much has gone
    /// by: before, they say more about the zero they began with.
    pub(crate) fn averages(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let age = self.age;
        PERIODS
            .into_iter()
            .zip(self.averages)
            .filter(move |((_, period), _)| *period == MINUTE || *period <= age)
            .map(|((name, _), average)| (name, average))
    }
}

const MINUTE: Duration = Duration::from_secs(60);

const PERIODS: [(&str, Duration); 3] = [
    ("load_avg_1m", MINUTE),
    ("load_avg_5m", Duration::from_secs(5 * 60)),
    ("load_avg_15m", Duration::from_secs(15 * 60)),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn after(samples: impl IntoIterator<Item = u32>) -> Vec<(&'static str, String)> {
        let mut load = Load::default();
        for count in samples {
            load.sample(count, Duration::from_secs(5));
        }
        let averages = load.averages();
        averages
            .map(|(name, value)| (name, format!("{value:.2}")))
            .collect()
    }

    #[test]
    fn averages_approach_what_is_sampled() {
        let text = |value: &str| value.to_owned();
        assert_eq!(after([]), [("load_avg_1m", text("0.00"))]);
        // 1 - e^(-5/60)
        assert_eq!(after([1]), [("load_avg_1m", text("0.08"))]);
        // 1 - 1/e after one period of each.
        assert_eq!(after([1; 12]), [("load_avg_1m", text("0.63"))]);
        assert_eq!(
            after([1; 60]),
            [("load_avg_1m", text("0.99")), ("load_avg_5m", text("0.63"))]
        );
        assert_eq!(
            after([2; 180]),
            [
                ("load_avg_1m", text("2.00")),
                ("load_avg_5m", text("1.90")),
                ("load_avg_15m", text("1.26")),
            ]
        );
        let idle = [3; 12].into_iter().chain([0; 12]);
        assert_eq!(after(idle), [("load_avg_1m", text("0.70"))]);
    }

    #[test]
    fn steps_do_not_matter() {
        let [mut coarse, mut fine] = [Load::default(), Load::default()];
        coarse.sample(4, Duration::from_secs(60));
        for _ in 0..600 {
            fine.sample(4, Duration::from_millis(100));
        }
        for ((_, a), (_, b)) in coarse.averages().zip(fine.averages()) {
            assert!((a - b).abs() < 1e-9, "{a} {b}");
        }
    }
}
