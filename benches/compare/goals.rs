//! What is wanted, and whether it was reached.

use std::fmt::Write;

use crate::book::{Book, Spread, ratios};
use crate::growth::{BUSY, CHANNELS, EACH, GROWTH, READY, SPREAD, START, channels_name};
use crate::http::{self, HTTP};
use crate::latency::STEADY;
use crate::load::shown;
use crate::program::Program;
use crate::speed::{FURTHER, ONE, TEN_CHANNELS, TEN_CHANNELS_ONE, TEN_DRAINS, TEN_DRAINS_ONE};
use crate::stall::{DIFFERENCE, STALL};
use crate::tails::TAILS;

/// How far a figure may go.
#[derive(Clone, Copy)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

use Bound::{AtLeast, AtMost};

/// One goal: what it is, its bound, and its values round by round, if it was measured.
type Goal = (String, Bound, Option<Vec<f64>>);

/// The table of goals whose figures were measured; a goal is reached by the median.
pub(crate) fn table(book: &Book) -> String {
    let mut text = String::from(
        "## Goals\n\n| goal | wanted | median | min | max | |\n|---|---:|---:|---:|---:|---|\n",
    );
    let goals = [speed(book), many(book), latency(book), numbers(book)].concat();
    for (name, bound, values) in goals {
        let Some(values) = values.filter(|values| !values.is_empty()) else {
            continue;
        };
        let spread = Spread::of(&values);
        let (sign, wanted, is_reached) = match bound {
            AtMost(most) => ("≤", most, spread.median <= most),
            AtLeast(least) => ("≥", least, least <= spread.median),
        };
        let [median, min, max] = [spread.median, spread.min, spread.max].map(shown);
        let verdict = if is_reached {
            "reached"
        } else {
            "**not reached**"
        };
        writeln!(
            text,
            "| {name} | {sign} {wanted} | {median} | {min} | {max} | {verdict} |"
        )
        .unwrap();
    }
    text
}

const CPU: &str = "CPU s/million";

/// A figure of the router with `wait`, or of another program.
struct Figures<'b>(&'b Book);

impl Figures<'_> {
    fn of(&self, scenario: &str, program: &str, unit: &str) -> Option<Vec<f64>> {
        self.0.values(scenario, program, unit).map(<[f64]>::to_vec)
    }

    fn wait(&self, scenario: &str, unit: &str) -> Option<Vec<f64>> {
        self.of(scenario, Program::LogboomWait.name(), unit)
    }
}

/// Round by round, one figure by another.
fn by(values: Option<Vec<f64>>, others: Option<Vec<f64>>) -> Option<Vec<f64>> {
    Some(ratios(&values?, &others?))
}

fn goal(name: &str, bound: Bound, values: Option<Vec<f64>>) -> Goal {
    (name.to_owned(), bound, values)
}

fn speed(book: &Book) -> Vec<Goal> {
    let figures = Figures(book);
    let wait = || figures.wait(ONE, CPU);
    let other = |program: Program, unit: &str| figures.of(ONE, program.name(), unit);
    let http = |is_gzip: bool, senders| figures.of(HTTP, &http::name(is_gzip, senders), CPU);
    let mut goals = vec![
        goal(
            "load tool alone: CPU s/million",
            AtMost(0.15),
            figures.of(ONE, "load tool alone", CPU),
        ),
        goal(
            "TCP to one drain, wait: CPU s/million",
            AtMost(0.36),
            wait(),
        ),
        goal(
            "the same, by the routing floor's",
            AtMost(1.5),
            by(wait(), other(Program::RouteFloor, CPU)),
        ),
        goal(
            "rsyslog's by the router's",
            AtLeast(5.0),
            by(other(Program::Rsyslog, CPU), wait()),
        ),
        goal(
            "TCP to one drain, wait: messages/s",
            AtLeast(2e6),
            figures.wait(ONE, "messages/s"),
        ),
        goal(
            "TCP to one drain, wait: lost %",
            AtMost(0.0),
            figures.wait(ONE, "lost %"),
        ),
        goal(
            "lose by wait: CPU s/million",
            AtMost(1.3),
            by(other(Program::LogboomLose, CPU), wait()),
        ),
    ];
    for senders in http::SENDERS {
        let plain = || http(false, senders);
        let name = format!("POST /logs to one HTTP drain, senders: {senders}: CPU s/million");
        goals.push(goal(&name, AtMost(0.45), plain()));
        let name = format!("gzip in and out by plain, senders: {senders}");
        goals.push(goal(&name, AtMost(3.0), by(http(true, senders), plain())));
    }
    goals
}

fn many(book: &Book) -> Vec<Goal> {
    let figures = Figures(book);
    let ten = by(
        figures.wait(TEN_CHANNELS, CPU),
        figures.wait(TEN_CHANNELS_ONE, CPU),
    );
    let copy = figures.of(TEN_DRAINS_ONE, Program::CopyFloor.name(), CPU);
    let further = by(figures.wait(TEN_DRAINS, FURTHER), copy);
    vec![
        goal(
            "ten channels with a drain each, by one: CPU",
            AtMost(1.25),
            ten,
        ),
        goal(
            "each further drain on a channel, by the copy floor: CPU",
            AtMost(1.2),
            further,
        ),
        goal(
            "a thousand tails: cores",
            AtMost(1.0),
            figures.of(TAILS, "Logboom", "cores"),
        ),
        goal(
            "a thousand tails: lost %",
            AtMost(0.0),
            figures.of(TAILS, "Logboom", "lost %"),
        ),
    ]
}

fn latency(book: &Book) -> Vec<Goal> {
    let figures = Figures(book);
    let nine = |unit: &str| figures.of(STALL, "the other nine", unit);
    let stalled = by(nine("p99 ms meanwhile"), nine("p99 ms before"));
    let difference = figures.of(STALL, "the stalled one", DIFFERENCE);
    vec![
        goal(
            "20,000 messages/s: p50 ms",
            AtMost(0.1),
            figures.wait(STEADY, "p50 ms"),
        ),
        goal(
            "20,000 messages/s: p99 ms",
            AtMost(0.5),
            figures.wait(STEADY, "p99 ms"),
        ),
        goal(
            "p99 beside a stalled drain, by before",
            AtMost(1.5),
            stalled,
        ),
        goal(
            "stalled drain: difference of lost and told",
            AtMost(0.0),
            difference,
        ),
    ]
}

fn numbers(book: &Book) -> Vec<Goal> {
    let figures = Figures(book);
    let one = |unit: &str| figures.of(GROWTH, &channels_name(1), unit);
    let mut goals = Vec::new();
    for row in book.rows().iter().filter(|row| row.scenario == GROWTH) {
        let name = format!("{}: {}", row.program, row.unit);
        let values = Some(row.values.clone());
        let is_one = row.program == channels_name(1);
        match row.unit {
            BUSY | SPREAD if !is_one => {
                let name = format!("{name}, by one channel alone");
                goals.push(goal(&name, AtMost(2.0), by(values, one(row.unit))));
            }
            EACH if row.program.starts_with("idle connections") => {
                goals.push(goal(&name, AtMost(8192.0), values));
            }
            EACH if row.program.starts_with("idle drains") => {
                goals.push(goal(&name, AtMost(4096.0), values));
            }
            EACH if row.program == channels_name(CHANNELS[2]) => {
                goals.push(goal(&name, AtMost(400.0), values));
            }
            _ => {}
        }
    }
    goals.push(goal(
        START,
        AtMost(2.0),
        figures.of(START, "Logboom", READY),
    ));
    goals
}
