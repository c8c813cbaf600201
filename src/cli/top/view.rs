//! How the table looks. Pure: it draws into the buffer that it is given.

use ratatui::Frame;
use ratatui::layout::Alignment;
use ratatui::layout::Constraint;
use ratatui::layout::Layout;
use ratatui::style::Color;
use ratatui::style::Modifier;
use ratatui::style::Style;
use ratatui::text::Line;
use ratatui::text::Span;
use ratatui::text::Text;
use ratatui::widgets::Cell;
use ratatui::widgets::HighlightSpacing;
use ratatui::widgets::Paragraph;
use ratatui::widgets::Row;
use ratatui::widgets::Table;
use ratatui::widgets::TableState;

use crate::cli::top::Sort;
use crate::cli::top::stats;
use crate::cli::top::stats::Stats;

/// How many columns there are.
pub(crate) const COLUMNS: usize = 8;

/// Their names.
pub(crate) const HEAD: [&str; COLUMNS] = [
    "CHANNEL", "RATE/S", "LAG", "LOST", "DAY", "MESSAGES", "DRAINS", "STATE",
];

/// All that is drawn.
pub(crate) struct View<'a> {
    pub(crate) stats: &'a Stats,
    pub(crate) sort: Sort,
    pub(crate) filter: &'a str,
    /// Whether keys go into the filter.
    pub(crate) is_typing: bool,
    /// What went wrong with the last question.
    pub(crate) trouble: Option<&'a str>,
    pub(crate) has_colours: bool,
}

/// A channel's cells.
pub(crate) fn cells(row: &stats::Row) -> [String; COLUMNS] {
    [
        row.channel.clone(),
        rate(row.messages_per_second),
        number(row.lag_messages),
        number(row.lost),
        number(row.lost_last_day),
        number(row.messages),
        number(row.drains),
        row.state.clone().unwrap_or_default(),
    ]
}

impl View<'_> {
    /// Draws it; `place` is where people are in the table.
    pub(crate) fn draw(&self, frame: &mut Frame<'_>, place: &mut TableState) {
        let areas: [_; 3] = Layout::vertical([
            Constraint::Length(2),
            Constraint::Min(1),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        let [top, middle, bottom] = areas;
        frame.render_widget(Paragraph::new(vec![self.title(), self.sums()]), top);
        frame.render_stateful_widget(self.table(), middle, place);
        frame.render_widget(Paragraph::new(self.foot()), bottom);
    }

    fn title(&self) -> Line<'_> {
        let time = self.stats.now.split(['T', '.']).nth(1).unwrap_or_default();
        let mut spans = vec![
            Span::styled("logboom top", Style::new().add_modifier(Modifier::BOLD)),
            Span::raw(format!("  {time}")),
        ];
        if let Some(trouble) = self.trouble {
            let first = trouble.lines().next().unwrap_or_default();
            spans.push(Span::styled(format!("  {first}"), self.colour(Color::Red)));
        }
        Line::from(spans)
    }

    fn sums(&self) -> Line<'static> {
        let totals = &self.stats.totals;
        let bad = |is_bad: bool| {
            if is_bad {
                self.colour(Color::Red)
            } else {
                Style::new()
            }
        };
        Line::from(vec![
            Span::raw(format!(
                "{} channels   {}/s   ",
                number(totals.channels),
                rate(totals.messages_per_second)
            )),
            Span::raw(format!("lag {}   ", number(totals.lag_messages))),
            Span::styled(
                format!("lost {}", number(totals.lost)),
                bad(0 < totals.lost),
            ),
            Span::raw(format!("   {} drains", number(totals.drains))),
            Span::styled(
                match totals.drains_failing {
                    0 => String::new(),
                    failing => format!(", {} failing", number(failing)),
                },
                bad(true),
            ),
        ])
    }

    fn table(&self) -> Table<'_> {
        let sorted = match self.sort {
            Sort::Rate => 1,
            Sort::Lag => 2,
            Sort::Lost => 3,
        };
        let head = HEAD.iter().enumerate().map(|(index, name)| {
            let mark = if index == sorted { "▼" } else { "" };
            cell(index, format!("{mark}{name}"))
        });
        let head_style = Style::new().add_modifier(Modifier::REVERSED);
        let rows = self.stats.channels.iter().map(|row| {
            let cells = cells(row).into_iter().enumerate();
            Row::new(cells.map(|(index, text)| {
                let style = self.cell_style(index, row);
                cell(index, text).style(style)
            }))
        });
        let widths = [
            Constraint::Min(16),
            Constraint::Length(8),
            Constraint::Length(8),
            Constraint::Length(8),
            Constraint::Length(8),
            Constraint::Length(9),
            Constraint::Length(6),
            Constraint::Length(10),
        ];
        Table::new(rows, widths)
            .header(Row::new(head).style(head_style))
            .row_highlight_style(Style::new().add_modifier(Modifier::BOLD))
            .highlight_symbol("▸ ")
            .highlight_spacing(HighlightSpacing::Always)
    }

    fn cell_style(&self, index: usize, row: &stats::Row) -> Style {
        let state = row.state.as_deref();
        match index {
            1 if row.messages_per_second <= 0.0 => Style::new().add_modifier(Modifier::DIM),
            2 if state == Some("failing") && 0 < row.lag_messages => self.colour(Color::Yellow),
            3 if 0 < row.lost => self.colour(Color::Red),
            4 if 0 < row.lost_last_day => self.colour(Color::Red),
            7 => match state {
                Some("failing") => self.colour(Color::Red),
                Some("retrying") => self.colour(Color::Yellow),
                _ => self.colour(Color::Green),
            },
            _ => Style::new(),
        }
    }

    fn foot(&self) -> Line<'_> {
        if self.is_typing {
            return Line::from(format!("/{}█   Enter keeps, Esc drops", self.filter));
        }
        let filter = match self.filter {
            "" => "/ filter".to_owned(),
            filter => format!("/ filter: {filter}"),
        };
        let keys = format!("q leave   r rate   l lag   x loss   {filter}   ↑↓ move");
        Line::styled(keys, Style::new().add_modifier(Modifier::DIM))
    }

    fn colour(&self, colour: Color) -> Style {
        if self.has_colours {
            Style::new().fg(colour)
        } else {
            Style::new()
        }
    }
}

/// Numbers stand to the right. Control characters become `?`, so that no id can move the cursor.
fn cell(index: usize, text: String) -> Cell<'static> {
    let clean: String = text
        .chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect();
    let is_number = (1..COLUMNS - 1).contains(&index);
    let alignment = if is_number {
        Alignment::Right
    } else {
        Alignment::Left
    };
    Cell::from(Text::from(clean).alignment(alignment))
}

/// At most seven characters: `12345`, `123.4k`, `12.3M`.
fn number(count: u64) -> String {
    if count < 100_000 {
        return count.to_string();
    }
    let units = [
        ("k", 1_000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
        ("T", 1_000_000_000_000),
    ];
    for (unit, factor) in units {
        let tenths = u128::from(count) * 10 / factor;
        if tenths < 10_000 {
            return format!("{}.{}{unit}", tenths / 10, tenths % 10);
        }
    }
    "many".to_owned()
}

/// With a digit behind the point where it matters.
fn rate(per_second: f64) -> String {
    if per_second < 100.0 {
        return format!("{per_second:.1}");
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is at least 100, and no router takes 2^64 messages a second"
    )]
    let whole = per_second as u64;
    number(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_short() {
        for (count, expected) in [
            (0, "0"),
            (99_999, "99999"),
            (100_000, "100.0k"),
            (999_999, "999.9k"),
            (1_000_000, "1.0M"),
            (12_345_678_901, "12.3G"),
            (u64::MAX, "many"),
        ] {
            assert_eq!(number(count), expected);
        }
        assert_eq!(rate(0.04), "0.0");
        assert_eq!(rate(99.94), "99.9");
        assert_eq!(rate(123_456.7), "123.4k");
    }
}
