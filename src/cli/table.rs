//! Columns for people: each as wide as its widest cell. Pure.

/// Renders `rows` under `head`, columns separated by two blanks, no blanks at line ends. Control
/// characters in cells become `?`, so that no name can move the cursor.
pub(crate) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
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
    for line in &lines {
        let cells: Vec<String> = line
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
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
}
