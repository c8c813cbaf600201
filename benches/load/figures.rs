//! Figures of several rounds, as a table.

/// The `quantile` (0 to 1) of `sorted`.
pub fn quantile(sorted: &[u64], quantile: f64) -> u64 {
    let index = ((sorted.len().saturating_sub(1)) as f64 * quantile).round() as usize;
    sorted.get(index).copied().unwrap_or(0)
}

/// What the rounds measured, by case and unit, in the order in which they first came.
#[derive(Default)]
pub struct Figures(Vec<(String, Vec<f64>)>);

impl Figures {
    /// Notes one round's figure, and prints it.
    pub fn add(&mut self, case: &str, unit: &str, value: f64) {
        let name = format!("{case}: {unit}");
        println!("{name:<46} {value:>14.3}");
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(value),
            None => self.0.push((name, vec![value])),
        }
    }

    /// Prints a table of all figures: median, least and greatest of the rounds, and the goal of
    /// those that have one. A goal is met by the median: a rate above it, anything else below it.
    pub fn print(&self, goals: &[(&str, f64)]) {
        println!("\n| figure | median | min | max | goal |\n|---|---:|---:|---:|---|");
        for (name, values) in &self.0 {
            let mut sorted = values.clone();
            sorted.sort_unstable_by(f64::total_cmp);
            let median = sorted[sorted.len() / 2];
            let goal = goals.iter().find(|(named, _)| named == name);
            let goal = goal.map_or(String::new(), |(_, goal)| {
                let is_reached = if name.ends_with("/s") {
                    *goal <= median
                } else {
                    median <= *goal
                };
                format!(
                    "{goal}: {}",
                    if is_reached { "reached" } else { "not reached" }
                )
            });
            let [median, min, max] = [median, sorted[0], sorted[sorted.len() - 1]].map(shown);
            println!("| {name} | {median} | {min} | {max} | {goal} |");
        }
    }
}

/// Three significant digits, or whole where there are more.
pub fn shown(value: f64) -> String {
    if value < 10.0 {
        format!("{value:.3}")
    } else if value < 1_000.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}
