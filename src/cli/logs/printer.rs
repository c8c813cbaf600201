//! Prints lines as people or machines want them.

use crate::cli::colour;
use crate::cli::error::CliError;
use crate::cli::logs::flags::Output;
use crate::cli::logs::line::Line;
use crate::cli::logs::line::with_front;
use crate::cli::logs::reader::Session;
use crate::cli::output::Out;
use crate::cli::sse::Event;

/// Where lines go, and how.
pub(crate) struct Printer {
    out: Out,
    output: Output,
    has_colours: bool,
    /// Characters of the longest channel's id, if ids stand in front of lines.
    channel_width: Option<usize>,
    /// Characters of the widest source and process so far, at most `NAME_WIDTH_MAX`.
    name_width: usize,
}

impl Printer {
    /// Prints to `out`; names of channels stand in front of lines when there are several.
    pub(crate) fn new(out: &Out, output: Output, has_colours: bool, channels: &[String]) -> Self {
        let widths = channels.iter().map(|channel| channel.chars().count());
        Self {
            out: out.clone(),
            output,
            has_colours: has_colours && output == Output::Raw,
            channel_width: (1 < channels.len()).then(|| widths.max().unwrap_or(0)),
            name_width: 0,
        }
    }

    /// `session` so that it gives what is printed.
    pub(crate) fn fed_by(&self, session: Session) -> Session {
        if self.needs_fields() {
            session.with_fields()
        } else {
            session
        }
    }

    /// Whether it takes more of a message than the line that shows it.
    fn needs_fields(&self) -> bool {
        self.output != Output::Raw || self.has_colours || self.channel_width.is_some()
    }

    /// Prints one event of `channel`.
    pub(crate) fn print(&mut self, channel: &str, event: Event) -> Result<(), CliError> {
        if !self.needs_fields() {
            // Bytes stay as they are.
            let mut line = event.data;
            line.push(b'\n');
            return self.out.write_bytes(&line);
        }
        let line = Line::of(channel, event);
        match self.output {
            Output::Json => self.out.line(&line.json()),
            Output::Logfmt => {
                let mut pairs = line.logfmt();
                pairs.push(b'\n');
                self.out.write_bytes(&pairs)
            }
            Output::Raw => {
                let shown = if self.has_colours {
                    let width = line.name().chars().count().min(NAME_WIDTH_MAX);
                    self.name_width = self.name_width.max(width);
                    colour::paint(&line, self.name_width)
                } else {
                    line.raw()
                };
                self.out.line(&self.fronted(channel, &shown))
            }
        }
    }

    fn fronted(&self, channel: &str, shown: &str) -> String {
        let Some(width) = self.channel_width else {
            return shown.to_owned();
        };
        let front = format!("{channel:<width$} | ");
        let front = if self.has_colours {
            colour::name(channel, &front)
        } else {
            front
        };
        with_front(&front, shown)
    }
}

/// Texts line up behind sources and processes up to this width.
const NAME_WIDTH_MAX: usize = 24;
