//! Colours of log lines, near to those of `heroku logs`: source and process in a colour that is
//! theirs on every day and every machine, severities that must be seen, and a few bodies that
//! deserve it. Pure, but for the question whether to use any.

use std::fmt::Write;

use clap::ValueEnum;

use crate::cli::logs::Line;
use crate::cli::output::Out;
use crate::config::Environment;

/// When colours are used.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub(crate) enum Colour {
    /// On a terminal, and not with NO_COLOR set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl Colour {
    /// Whether what goes to `out` has colours.
    pub(crate) fn is_wanted(self, out: &Out, environment: &Environment) -> bool {
        match self {
            Self::Auto => out.takes_colour(environment),
            Self::Always => true,
            Self::Never => false,
        }
    }
}

/// `line` with colours; texts of lines begin in one column where names have at most `name_width`
/// characters.
pub(crate) fn paint(line: &Line, name_width: usize) -> String {
    let mut painted = String::new();
    if let Some(time) = &line.time {
        push(&mut painted, DIM, time);
        painted.push(' ');
    }
    let name = line.name();
    if name.is_empty() {
        // The router itself: what it says is never unimportant.
        push(&mut painted, YELLOW, &line.message);
        return painted;
    }
    let kind = process_type(line.ps.as_deref().unwrap_or_default());
    push(&mut painted, of_name(kind), &name);
    let pad = name_width.saturating_sub(name.chars().count());
    painted.push_str(&" ".repeat(pad + 1));
    paint_body(
        kind,
        line.severity.as_deref().unwrap_or_default(),
        &line.message,
        &mut painted,
    );
    painted
}

/// `text` in the colour of `name`.
pub(crate) fn name(name: &str, text: &str) -> String {
    in_colour(of_name(name), text)
}

/// `text` in `colour`.
pub(crate) fn in_colour(colour: &str, text: &str) -> String {
    let mut painted = String::new();
    push(&mut painted, colour, text);
    painted
}

/// `web` of `web.1`.
fn process_type(process: &str) -> &str {
    process.split('.').next().unwrap_or(process)
}

/// The usual processes have Heroku's colours, each other one that which its name says (FNV-1a).
fn of_name(kind: &str) -> &'static str {
    if let Some((_, colour)) = USUAL.iter().find(|(usual, _)| *usual == kind) {
        return colour;
    }
    let hash = kind.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    // The high bits: the low ones of such a hash know little of its first letters.
    let index = usize::try_from(hash >> 16).unwrap_or(0) % COLOURS.len();
    COLOURS.get(index).copied().unwrap_or(CYAN)
}

fn paint_body(kind: &str, severity: &str, body: &str, painted: &mut String) {
    match (kind, severity) {
        ("router", _) => paint_pairs(body, painted),
        _ if body.contains("sample#") && body.contains("source=") => push(painted, DIM, body),
        ("web" | "run" | "worker", _) if body.starts_with("Process exited with status") => {
            let is_good = body.trim_end().ends_with("status 0");
            push(painted, if is_good { GREEN } else { RED }, body);
        }
        ("web" | "run" | "worker", _)
            if body.starts_with("State changed") || body.starts_with("Starting process") =>
        {
            push(painted, DIM, body);
        }
        (_, "emerg" | "alert" | "crit") => push(painted, BOLD_RED, body),
        (_, "err") => push(painted, RED, body),
        (_, "warning") => push(painted, YELLOW, body),
        (_, "debug") => push(painted, DIM, body),
        _ if has_error(body) => push(painted, RED, body),
        _ => painted.push_str(body),
    }
}

/// The body of a router line: what matters in it, by its value.
fn paint_pairs(body: &str, painted: &mut String) {
    for (index, word) in body.split(' ').enumerate() {
        if 0 < index {
            painted.push(' ');
        }
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        let colour = match key {
            "at" if value == "error" => RED,
            "code" => RED,
            "status" => status_colour(value),
            "method" => MAGENTA,
            "service" | "connect" if 5 < value.len() => YELLOW,
            "dyno" => CYAN,
            "path" => GREEN,
            _ => "",
        };
        if colour.is_empty() || value.is_empty() {
            painted.push_str(word);
        } else {
            painted.push_str(key);
            painted.push('=');
            push(painted, colour, value);
        }
    }
}

fn status_colour(status: &str) -> &'static str {
    match status.as_bytes().first() {
        Some(b'1' | b'2') => GREEN,
        Some(b'3') => CYAN,
        Some(b'4') => YELLOW,
        _ => RED,
    }
}

/// Where a message's severity says nothing: many apps write all they have to say as `info`.
fn has_error(body: &str) -> bool {
    ["Error ", "ERROR", "FATAL", "PANIC", "level=error"]
        .iter()
        .any(|word| {
            body.match_indices(word).any(|(at, _)| {
                body.get(..at)
                    .is_none_or(|front| front.ends_with([' ', '[']) || front.is_empty())
            })
        })
}

fn push(painted: &mut String, colour: &str, text: &str) {
    // Writing to a String cannot fail.
    if write!(painted, "{colour}{text}{RESET}").is_err() { /* see above */ }
}

/// As Heroku gives them out.
const USUAL: [(&str, &str); 5] = [
    ("run", YELLOW),
    ("router", GREEN),
    ("web", CYAN),
    ("postgres", MAGENTA),
    ("heroku-postgres", BLUE),
];

/// Not red, which is for what went wrong.
const COLOURS: [&str; 10] = [
    YELLOW,
    GREEN,
    CYAN,
    MAGENTA,
    BLUE,
    "\x1b[1;32m",
    "\x1b[1;36m",
    "\x1b[1;35m",
    "\x1b[1;33m",
    "\x1b[1;34m",
];

const RESET: &str = "\x1b[0m";
/// What matters less.
pub(crate) const DIM: &str = "\x1b[2m";
/// What went wrong.
pub(crate) const RED: &str = "\x1b[31m";
const BOLD_RED: &str = "\x1b[1;31m";
/// What is well.
pub(crate) const GREEN: &str = "\x1b[32m";
/// What may go wrong.
pub(crate) const YELLOW: &str = "\x1b[33m";
const BLUE: &str = "\x1b[34m";
const MAGENTA: &str = "\x1b[35m";
const CYAN: &str = "\x1b[36m";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::sse::Event;

    fn line(text: &str, severity: &str) -> Line {
        let event = Event {
            id: None,
            data: text.as_bytes().to_vec(),
        };
        Line {
            severity: Some(severity.to_owned()),
            ..Line::of("shop", event)
        }
    }

    fn visible(painted: &str) -> String {
        painted
            .replace(RESET, "</>")
            .replace(DIM, "<dim>")
            .replace(RED, "<red>")
            .replace(BOLD_RED, "<bold red>")
            .replace(GREEN, "<green>")
            .replace(YELLOW, "<yellow>")
            .replace(MAGENTA, "<magenta>")
            .replace(CYAN, "<cyan>")
    }

    fn check(text: &str, severity: &str, expected: &str) {
        let painted = visible(&paint(&line(text, severity), 0));
        let expected = expected.replacen("T ", "<dim>T</> ", 1);
        assert_eq!(painted, expected, "{text}");
    }

    #[test]
    fn names_are_coloured_by_process_type() {
        check(
            "T app[web.1]: hello",
            "info",
            "T <cyan>app[web.1]:</> hello",
        );
        check(
            "T app[web.23]: x [y.1]: z",
            "info",
            "T <cyan>app[web.23]:</> x [y.1]: z",
        );
        check("T app[run.1]: x", "info", "T <yellow>app[run.1]:</> x");
        assert_eq!(visible(&paint(&line("odd", ""), 9)), "<yellow>odd</>");
    }

    #[test]
    fn a_name_has_its_colour_for_good_and_names_differ() {
        let colours: std::collections::HashSet<&str> = [
            "worker",
            "clock",
            "release",
            "scheduler",
            "sidekiq",
            "mailer",
        ]
        .map(of_name)
        .into_iter()
        .collect();
        assert!(3 < colours.len(), "{colours:?}");
        assert_eq!(of_name("worker"), of_name("worker"));
        assert!(!COLOURS.contains(&RED));
    }

    #[test]
    fn texts_line_up() {
        let short = paint(&line("T app[web.1]: x", "info"), 14);
        assert!(short.ends_with("app[web.1]:\x1b[0m    x"), "{short:?}");
        let long = paint(&line("T app[a-long-one.1]: x", "info"), 14);
        assert!(long.ends_with("app[a-long-one.1]:\x1b[0m x"), "{long:?}");
    }

    #[test]
    fn severities_and_bodies_that_matter_are_coloured() {
        check(
            "T heroku[router]: at=error code=H12 status=503 bytes=0",
            "info",
            "T <green>heroku[router]:</> at=<red>error</> code=<red>H12</> status=<red>503</> bytes=0",
        );
        check(
            "T heroku[web.1]: source=web.1 sample#load=1",
            "info",
            "T <cyan>heroku[web.1]:</> <dim>source=web.1 sample#load=1</>",
        );
        check(
            "T heroku[web.1]: Process exited with status 0",
            "info",
            "T <cyan>heroku[web.1]:</> <green>Process exited with status 0</>",
        );
        for (severity, body) in [
            ("info", "x"),
            ("err", "<red>x</>"),
            ("crit", "<bold red>x</>"),
            ("warning", "<yellow>x</>"),
            ("debug", "<dim>x</>"),
        ] {
            check(
                "T app[web.1]: x",
                severity,
                &format!("T <cyan>app[web.1]:</> {body}"),
            );
        }
        check(
            "T app[web.1]: Error L10 (x)",
            "info",
            "T <cyan>app[web.1]:</> <red>Error L10 (x)</>",
        );
        check(
            "T app[web.1]: noERROR",
            "info",
            "T <cyan>app[web.1]:</> noERROR",
        );
    }
}
