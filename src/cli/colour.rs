//! Colours of log lines, as `heroku logs` has them: the head in its process's colour, and a few
//! bodies that deserve it. Pure.

use std::collections::HashMap;
use std::fmt::Write;

/// Gives each process type a colour and keeps it.
pub(crate) struct Palette {
    assigned: HashMap<String, &'static str>,
}

impl Palette {
    /// A palette on which the usual processes always have the same colours.
    pub(crate) fn new() -> Self {
        let mut palette = Self {
            assigned: HashMap::new(),
        };
        for usual in USUAL {
            palette.colour(usual);
        }
        palette
    }

    /// `line` (`TIME SOURCE[PROC]: TEXT`) with colours; as it is when it has another shape.
    pub(crate) fn paint(&mut self, line: &str) -> String {
        let Some((head, process, body)) = parts(line) else {
            return line.to_owned();
        };
        let kind = process_type(process);
        let colour = self.colour(kind);
        let mut painted = format!("{colour}{head}{RESET}");
        paint_body(kind, body, &mut painted);
        painted
    }

    fn colour(&mut self, kind: &str) -> &'static str {
        if let Some(colour) = self.assigned.get(kind) {
            return colour;
        }
        let colour = COLOURS
            .get(self.assigned.len() % COLOURS.len())
            .copied()
            .unwrap_or(RESET);
        // Whoever makes up ever new process types gets the next colour, but no memory.
        if self.assigned.len() < ASSIGNED_MAX {
            self.assigned.insert(kind.to_owned(), colour);
        }
        colour
    }
}

/// Head up to and with `]:`, process, rest. The head is the first `[…]:` whose inside is a word.
fn parts(line: &str) -> Option<(&str, &str, &str)> {
    for (open, _) in line.match_indices('[') {
        let inside = line.get(open + 1..)?;
        let length = inside.find(|c: char| !is_process_char(c))?;
        if 0 < length && inside.get(length..)?.starts_with("]:") {
            let end = open + 1 + length + "]:".len();
            return Some((line.get(..end)?, inside.get(..length)?, line.get(end..)?));
        }
    }
    None
}

const fn is_process_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

/// `web` of `web.1`.
fn process_type(process: &str) -> &str {
    process.split('.').next().unwrap_or(process)
}

fn paint_body(kind: &str, body: &str, painted: &mut String) {
    match kind {
        "router" => paint_pairs(body, painted),
        "heroku-postgres" | "heroku-redis" if body.contains("sample#") => {
            push(painted, DIM, body);
        }
        _ if body.contains("sample#") && body.contains("source=") => push(painted, DIM, body),
        "web" | "run" | "worker" if body.starts_with(" Process exited with status") => {
            let is_good = body.trim_end().ends_with("status 0");
            push(painted, if is_good { GREEN } else { RED }, body);
        }
        "web" | "run" | "worker"
            if body.starts_with(" State changed") || body.starts_with(" Starting process") =>
        {
            push(painted, DIM, body);
        }
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

fn has_error(body: &str) -> bool {
    [" Error ", " ERROR", " FATAL", " PANIC", "level=error"]
        .iter()
        .any(|word| body.contains(word))
}

fn push(painted: &mut String, colour: &str, text: &str) {
    // Writing to a String cannot fail.
    if write!(painted, "{colour}{text}{RESET}").is_err() { /* see above */ }
}

/// These get the first colours, in this order, so that they look the same each time.
const USUAL: [&str; 5] = ["run", "router", "web", "postgres", "heroku-postgres"];

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
const DIM: &str = "\x1b[2m";
const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";
const BLUE: &str = "\x1b[34m";
const MAGENTA: &str = "\x1b[35m";
const CYAN: &str = "\x1b[36m";

const ASSIGNED_MAX: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: &str) {
        let painted = Palette::new().paint(line);
        let visible = painted
            .replace(RESET, "</>")
            .replace(DIM, "<dim>")
            .replace(RED, "<red>")
            .replace(GREEN, "<green>")
            .replace(YELLOW, "<yellow>")
            .replace(MAGENTA, "<magenta>")
            .replace(CYAN, "<cyan>")
            .replace("\x1b[1;32m", "<bold green>");
        assert_eq!(visible, expected);
    }

    #[test]
    fn heads_are_coloured_by_process_type() {
        check("T app[web.1]: hello", "<cyan>T app[web.1]:</> hello");
        check(
            "T app[web.23]: x [y.1]: z",
            "<cyan>T app[web.23]:</> x [y.1]: z",
        );
        check("T app[worker.1]: x", "<bold green>T app[worker.1]:</> x");
        check("T app[run.1]:", "<yellow>T app[run.1]:</>");
        check("no head at all", "no head at all");
        check("T app[]: x", "T app[]: x");
        check("T app[web", "T app[web");
        check("é [ü]: T app[web.1]: x", "<cyan>é [ü]: T app[web.1]:</> x");
    }

    #[test]
    fn bodies_that_matter_are_coloured() {
        check(
            "T heroku[router]: at=error code=H12 status=503 bytes=0",
            "<green>T heroku[router]:</> at=<red>error</> code=<red>H12</> status=<red>503</> bytes=0",
        );
        check(
            "T heroku[web.1]: source=web.1 sample#load=1",
            "<cyan>T heroku[web.1]:</><dim> source=web.1 sample#load=1</>",
        );
        check(
            "T heroku[web.1]: Process exited with status 0",
            "<cyan>T heroku[web.1]:</><green> Process exited with status 0</>",
        );
    }

    #[test]
    fn colours_stay_and_memory_is_bounded() {
        let mut palette = Palette::new();
        let first = palette.paint("T app[clock.1]: x");
        for index in 0..2 * ASSIGNED_MAX {
            palette.paint(&format!("T app[p{index}]: x"));
        }
        assert_eq!(palette.paint("T app[clock.1]: x"), first);
        assert_eq!(palette.assigned.len(), ASSIGNED_MAX);
    }
}
