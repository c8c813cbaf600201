//! What the rounds measured.

use crate::load::shown;

/// All figures, in the order in which they first came.
#[derive(Default)]
pub(crate) struct Book {
    rows: Vec<Row>,
    /// Latencies of the last round of each program, sorted, in nanoseconds.
    pub(crate) latencies: Vec<(&'static str, Vec<u64>)>,
    /// Scenarios that ended at a surprise.
    pub(crate) stopped: Vec<&'static str>,
}

/// One figure of one program in one scenario, a value for each round.
pub(crate) struct Row {
    pub(crate) scenario: &'static str,
    pub(crate) program: String,
    pub(crate) unit: &'static str,
    pub(crate) values: Vec<f64>,
}

impl Book {
    /// Notes one round's figure, and prints it.
    pub(crate) fn add(
        &mut self,
        scenario: &'static str,
        program: &str,
        unit: &'static str,
        value: f64,
    ) {
        println!("{program:<22} {unit:<36} {:>12}", shown(value));
        let is_it =
            |row: &&mut Row| row.scenario == scenario && row.program == program && row.unit == unit;
        match self.rows.iter_mut().find(is_it) {
            Some(row) => row.values.push(value),
            None => self.rows.push(Row {
                scenario,
                program: program.to_owned(),
                unit,
                values: vec![value],
            }),
        }
    }

    /// Keeps the latencies of a program's round, in place of an earlier one's.
    pub(crate) fn keep_latencies(&mut self, program: &'static str, sorted: Vec<u64>) {
        self.latencies.retain(|(name, _)| *name != program);
        self.latencies.push((program, sorted));
    }

    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The scenarios that ran, in their order.
    pub(crate) fn scenarios(&self) -> Vec<&'static str> {
        let mut scenarios: Vec<&'static str> = Vec::new();
        for row in &self.rows {
            if !scenarios.contains(&row.scenario) {
                scenarios.push(row.scenario);
            }
        }
        scenarios
    }

    /// The values of a figure, round by round.
    pub(crate) fn values(&self, scenario: &str, program: &str, unit: &str) -> Option<&[f64]> {
        let row = self
            .rows
            .iter()
            .find(|row| row.scenario == scenario && row.program == program && row.unit == unit)?;
        Some(&row.values)
    }
}

/// Median, least and greatest of some rounds.
#[derive(Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// Of at least one value.
    pub(crate) fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        Self {
            median: sorted[sorted.len() / 2],
            min: sorted[0],
            max: sorted[sorted.len() - 1],
        }
    }
}

/// Round by round, `values` by `others`.
pub(crate) fn ratios(values: &[f64], others: &[f64]) -> Vec<f64> {
    values.iter().zip(others).map(|(a, b)| a / b).collect()
}
