//! Metrics in users' messages, by l2met's conventions: `measure#db.latency=4ms`.

use crate::logfmt::quantity::NumberError;
use crate::logfmt::quantity::Quantity;
use crate::logfmt::value::Pair;
use crate::logfmt::value::Value;

/// What is done with the values of one name in one interval.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// `measure#name`, or `measure.name` as it was: a distribution.
    Measure,
    /// `sample#name`: the last one counts.
    Sample,
    /// `count#name`: they are summed.
    Count,
}

/// One value of one metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metric<'a> {
    /// What is done with it.
    pub kind: Kind,
    /// What stands behind the prefix; may be empty.
    pub name: &'a [u8],
    /// What it is worth: 1 where there is no value (`count#signup`, `count#signup=`).
    pub quantity: Result<Quantity<'a>, NumberError>,
}

impl<'a> Metric<'a> {
    /// The metric that `pair` is; `None` when its key has no prefix of one.
    #[must_use]
    pub fn of(pair: &Pair<'a>) -> Option<Self> {
        let (kind, name) = PREFIXES
            .iter()
            .find_map(|(prefix, kind)| Some((*kind, pair.key.strip_prefix(*prefix)?)))?;
        let quantity = match pair.value {
            Value::Flag | Value::Plain([]) => Ok(Quantity::ONE),
            value => value.quantity(),
        };
        Some(Self {
            kind,
            name,
            quantity,
        })
    }
}

const PREFIXES: [(&[u8], Kind); 4] = [
    (b"sample#", Kind::Sample),
    (b"measure#", Kind::Measure),
    (b"count#", Kind::Count),
    (b"measure.", Kind::Measure),
];
