//! The table, as Markdown.

use std::fmt::Write;

use crate::book::{Book, Row, Spread, ratios};
use crate::goals;
use crate::load::shown;
use crate::plan::Plan;
use crate::plots;
use crate::program::Program;

/// Writes the table, where one is wanted; `place` says where and with what it was measured.
pub(crate) fn write(plan: &Plan, place: &[String], book: &Book) {
    let Some(path) = &plan.write else {
        return;
    };
    let mut text = String::from("# Side by side\n\n");
    for line in place {
        writeln!(text, "{line}\n").unwrap();
    }
    for name in &book.stopped {
        writeln!(text, "**{name} stopped before its end.**\n").unwrap();
    }
    text.push_str(&goals::table(book));
    for name in plots::write(path, book) {
        writeln!(text, "\n![{name}]({name})").unwrap();
    }
    text.push_str(&figures(book));
    std::fs::write(path, text).unwrap();
    println!("written: {}", path.display());
}

/// All figures, a table for each scenario.
fn figures(book: &Book) -> String {
    let mut text = String::new();
    for scenario in book.scenarios() {
        write!(
            text,
            "\n## {scenario}\n\n| program | figure | median | min | max | × routing floor |\n\
             |---|---|---:|---:|---:|---:|\n"
        )
        .unwrap();
        for row in book.rows().iter().filter(|row| row.scenario == scenario) {
            let Spread { median, min, max } = Spread::of(&row.values);
            let [median, min, max] = [median, min, max].map(shown);
            let ratio = ratio(book, row);
            let (program, unit) = (&row.program, row.unit);
            writeln!(
                text,
                "| {program} | {unit} | {median} | {min} | {max} | {ratio} |"
            )
            .unwrap();
        }
    }
    text
}

/// How the routing floor did in the same rounds, if it ran.
fn ratio(book: &Book, row: &Row) -> String {
    let floor = book.values(row.scenario, Program::RouteFloor.name(), row.unit);
    let Some(floor) = floor.filter(|values| values.iter().all(|value| 0.0 < *value)) else {
        return String::new();
    };
    shown(Spread::of(&ratios(&row.values, floor)).median)
}
