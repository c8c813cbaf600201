//! The table, as Markdown.

use std::fmt::Write;

use crate::book::{Book, Row, Spread, ratios};
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
    for name in plots::write(path, book) {
        writeln!(text, "![{name}]({name})\n").unwrap();
    }
    text.push_str(&figures(book));
    std::fs::write(path, text).unwrap();
    println!("written: {}", path.display());
}

/// All figures, a table for each scenario.
fn figures(book: &Book) -> String {
    let mut text = String::new();
    let mut scenario = "";
    for row in book.rows() {
        if row.scenario != scenario {
            text.push_str(if text.is_empty() { "" } else { "\n" });
            scenario = row.scenario;
            write!(
                text,
                "## {scenario}\n\n| program | figure | median | min | max | × routing floor |\n\
                 |---|---|---:|---:|---:|---:|\n"
            )
            .unwrap();
        }
        let Spread { median, min, max } = Spread::of(&row.values);
        let [median, min, max] = [median, min, max].map(shown);
        writeln!(
            text,
            "| {} | {} | {median} | {min} | {max} | {} |",
            row.program,
            row.unit,
            ratio(book, row)
        )
        .unwrap();
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
