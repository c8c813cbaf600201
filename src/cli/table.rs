//! Columns for people: each as wide as its widest cell. Pure.

use crate::cli::colour::in_colour;

/// How a table looks beside its words.
#[derive(Clone, Copy)]
pub(crate) struct Look<'a> {
    /// Columns whose cells stand to the right.
    pub(crate) right: &'a [usize],
    /// Characters of a line at most; what is longer ends in `…`.
    pub(crate) width_max: Option<usize>,
    /// The colour of a cell of a column; empty for none.
    pub(crate) colour: &'a dyn Fn(usize, &str) -> &'static str,
}

impl Look<'_> {
    /// None: words alone.
    pub(crate) const PLAIN: Self = Self {
        right: &[],
        width_max: None,
        colour: &|_, _| "",
    };
}

/// Renders `rows` under `head`, columns separated by two blanks, no blanks at line ends. Control
/// characters in cells become `?`, so that no name can move the cursor.
pub(crate) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    styled(head, rows, Look::PLAIN)
}

/// As `table`, with a look.
pub(crate) fn styled<const N: usize>(
    head: [&str; N],
    rows: &[[String; N]],
    look: Look<'_>,
) -> String {
    let clean = |cell: &str| -> String {
        cell.chars()
            .map(|c| if c.is_control() { '?' } else { c })
            .collect()
    };
    let mut lines: Vec<[String; N]> = vec![head.map(str::to_owned)];
    lines.extend(
        rows.iter()
            .map(|row| row.each_ref().map(|cell| clean(cell))),
    );
    let mut widths = [0; N];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for (index, line) in lines.iter().enumerate() {
        let colour = |column, cell: &str| match index {
            0 => "",
            _ => (look.colour)(column, cell),
        };
        text.push_str(&rendered(line, &widths, look, colour));
        text.push('\n');
    }
    text
}

fn rendered<const N: usize>(
    line: &[String; N],
    widths: &[usize; N],
    look: Look<'_>,
    colour: impl Fn(usize, &str) -> &'static str,
) -> String {
    let last = line.iter().rposition(|cell| !cell.is_empty()).unwrap_or(0);
    let mut left = look.width_max.unwrap_or(usize::MAX);
    let mut text = String::new();
    for (column, (cell, width)) in line.iter().zip(widths).enumerate().take(last + 1) {
        let pad = " ".repeat(width - cell.chars().count());
        let is_right = look.right.contains(&column);
        let front = if is_right { pad.as_str() } else { "" };
        // No blanks at line ends.
        let behind = if is_right || column == last { "" } else { &pad };
        let gap = if column == 0 { "" } else { "  " };
        for (piece, colour) in [
            (gap, ""),
            (front, ""),
            (cell, colour(column, cell)),
            (behind, ""),
        ] {
            let shown = cut(piece, left);
            left -= shown.chars().count();
            if colour.is_empty() || shown.is_empty() {
                text.push_str(&shown);
            } else {
                text.push_str(&in_colour(colour, &shown));
            }
        }
    }
    text
}

/// `text`, or as much of it as `width` characters show, with a mark that there was more.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut kept: String = text.chars().take(width.saturating_sub(1)).collect();
    if 0 < width {
        kept.push('…');
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [
            ["a".to_owned(), "long cell".to_owned()],
            ["bcdé\x1b".to_owned(), String::new()],
        ];
        assert_eq!(
            table(["ID", "URL"], &rows),
            "ID     URL\na      long cell\nbcdé?\n"
        );
        assert_eq!(table(["ID"], &[]), "ID\n");
    }

    #[test]
    fn looks_change_no_columns() {
        let rows = [
            ["a".to_owned(), "7".to_owned(), "bad".to_owned()],
            [
                "b".to_owned(),
                "1234".to_owned(),
                "good and long".to_owned(),
            ],
        ];
        let colour = |column: usize, cell: &str| match (column, cell) {
            (2, "bad") => "<",
            _ => "",
        };
        let look = Look {
            right: &[1],
            width_max: Some(16),
            colour: &colour,
        };
        assert_eq!(
            styled(["ID", "LAG", "STATE"], &rows, look),
            "ID   LAG  STATE\na      7  <bad\x1b[0m\nb   1234  good …\n"
        );
    }
}
