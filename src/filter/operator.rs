//! What stands between a name and a value.

use crate::filter::condition::Comparison;

/// What can stand between a name and a value.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) enum Operator {
    Fits,
    Is,
    Compares(Comparison),
}

/// The name, the first operator in `word`, and that as written.
pub(crate) fn operator(word: &str) -> Option<(&str, Operator, &'static str)> {
    word.char_indices().find_map(|(index, _)| {
        let (name, behind) = word.split_at_checked(index)?;
        let (sign, operator) = OPERATORS
            .iter()
            .find(|(sign, _)| behind.starts_with(sign))?;
        Some((name, *operator, *sign))
    })
}

/// Longer ones first.
const OPERATORS: [(&str, Operator); 7] = [
    (">=", Operator::Compares(Comparison::GreaterOrEqual)),
    ("<=", Operator::Compares(Comparison::LessOrEqual)),
    ("!=", Operator::Compares(Comparison::NotEqual)),
    (">", Operator::Compares(Comparison::Greater)),
    ("<", Operator::Compares(Comparison::Less)),
    ("=", Operator::Is),
    (":", Operator::Fits),
];
