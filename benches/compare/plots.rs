//! Which plots there are.

use std::path::Path;

use crate::book::{Book, Spread};
use crate::growth::{BUSY, CHANNELS, GROWTH, SPREAD, channels_name};
use crate::latency::STEADY;
use crate::load::quantile;
use crate::plot::{Line, bars, lines};
use crate::speed::ONE;

/// Writes what was measured beside `table`; gives the files' names.
pub(crate) fn write(table: &Path, book: &Book) -> Vec<String> {
    let plots = [
        ("throughput", one_drain(book, "messages/s")),
        ("cpu", one_drain(book, "CPU s/million")),
        ("latency", latencies(book)),
        ("channels", channels(book)),
    ];
    let stem = table.file_stem().unwrap().to_string_lossy();
    let mut names = Vec::new();
    for (name, svg) in plots {
        if let Some(svg) = svg {
            let name = format!("{stem}-{name}.svg");
            std::fs::write(table.with_file_name(&name), svg).unwrap();
            names.push(name);
        }
    }
    names
}

fn one_drain(book: &Book, unit: &str) -> Option<String> {
    let rows = book.rows().iter();
    let values: Vec<(String, f64)> = rows
        .filter(|row| row.scenario == ONE && row.unit == unit)
        .map(|row| (row.program.clone(), Spread::of(&row.values).median))
        .collect();
    (!values.is_empty()).then(|| bars(&format!("{ONE}: {unit}"), &values))
}

/// Latency over the part of the messages that were faster, drawn so that the slow ones have room.
fn latencies(book: &Book) -> Option<String> {
    const PARTS: [(f64, &str); 7] = [
        (0.0, "min"),
        (0.5, "50 %"),
        (0.9, "90 %"),
        (0.99, "99 %"),
        (0.999, "99.9 %"),
        (0.9999, "99.99 %"),
        (1.0, "max"),
    ];
    let places: Vec<(f64, String)> = (0..)
        .map(f64::from)
        .zip(PARTS.map(|(_, label)| label.to_owned()))
        .collect();
    let line = |(name, sorted): &(&str, Vec<u64>)| -> Line {
        let millis = PARTS.map(|(part, _)| quantile(sorted, part) as f64 / 1e6);
        (
            (*name).to_owned(),
            (0..).map(f64::from).zip(millis).collect(),
        )
    };
    let drawn: Vec<Line> = book.latencies.iter().map(line).collect();
    (!drawn.is_empty()).then(|| lines(&format!("{STEADY}: latency, ms"), &places, &drawn))
}

/// Cost of a message over the number of channels.
fn channels(book: &Book) -> Option<String> {
    let places: Vec<(f64, String)> = (0..)
        .map(f64::from)
        .zip(CHANNELS.map(|count| count.to_string()))
        .collect();
    let line = |unit: &str| -> Option<Line> {
        let median = |count| {
            let values = book.values(GROWTH, &channels_name(count), unit)?;
            Some(Spread::of(values).median)
        };
        let medians: Option<Vec<f64>> = CHANNELS.into_iter().map(median).collect();
        Some((
            unit.to_owned(),
            (0..).map(f64::from).zip(medians?).collect(),
        ))
    };
    let drawn: Vec<Line> = [BUSY, SPREAD].into_iter().filter_map(line).collect();
    let title = "CPU s/million over the number of channels";
    (!drawn.is_empty()).then(|| lines(title, &places, &drawn))
}
