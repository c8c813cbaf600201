//! What the platform says about a process, in Heroku's words, which its tools look for.

use std::fmt;

/// syslog.notice: with what the platform speaks of a process, and with what its samples come.
pub(crate) const PLATFORM_PRI: u32 = 45;

/// What becomes of a process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum State {
    Starting,
    Up,
    /// It was told to end.
    Down,
    /// It ended by itself and well.
    Complete,
    /// It ended otherwise, or did not begin.
    Crashed,
}

impl State {
    const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Up => "up",
            Self::Down => "down",
            Self::Complete => "complete",
            Self::Crashed => "crashed",
        }
    }
}

/// One sentence of the platform.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Notice<'a> {
    Starting { command: &'a str },
    Changed { from: State, to: State },
    Stopping { signal: &'a str },
    Exited { status: u8 },
}

impl fmt::Display for Notice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starting { command } => write!(f, "Starting process with command `{command}`"),
            Self::Changed { from, to } => {
                write!(f, "State changed from {} to {}", from.name(), to.name())
            }
            Self::Stopping { signal } => write!(f, "Stopping all processes with {signal}"),
            Self::Exited { status } => write!(f, "Process exited with status {status}"),
        }
    }
}

/// A command as one would type it: words that a shell would take apart are quoted.
pub(crate) fn command_text<'w>(words: impl IntoIterator<Item = &'w str>) -> String {
    let words = words.into_iter().map(|word| {
        let is_plain = |c: char| c.is_alphanumeric() || "@%+=:,./_-".contains(c);
        if !word.is_empty() && word.chars().all(is_plain) {
            return word.to_owned();
        }
        format!("'{}'", word.replace('\'', r"'\''"))
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_are_the_platforms() {
        use State::*;
        let changed = |from, to| Notice::Changed { from, to };
        for (notice, expected) in [
            (
                Notice::Starting {
                    command: "bundle exec puma -p 48278",
                },
                "Starting process with command `bundle exec puma -p 48278`",
            ),
            (changed(Starting, Up), "State changed from starting to up"),
            (
                changed(Starting, Crashed),
                "State changed from starting to crashed",
            ),
            (changed(Up, Down), "State changed from up to down"),
            (changed(Up, Complete), "State changed from up to complete"),
            (
                Notice::Stopping { signal: "SIGTERM" },
                "Stopping all processes with SIGTERM",
            ),
            (
                Notice::Exited { status: 143 },
                "Process exited with status 143",
            ),
        ] {
            assert_eq!(notice.to_string(), expected);
        }
    }

    #[test]
    fn commands_can_be_typed_again() {
        for (words, expected) in [
            (
                vec!["bundle", "exec", "puma", "-p", "80"],
                "bundle exec puma -p 80",
            ),
            (
                vec!["sh", "-c", "echo hi; exit 3"],
                "sh -c 'echo hi; exit 3'",
            ),
            (
                vec!["echo", "it's", "", "$HOME"],
                r"echo 'it'\''s' '' '$HOME'",
            ),
            (vec!["a=b", "grün", "`x`"], "a=b grün '`x`'"),
        ] {
            assert_eq!(command_text(words), expected);
        }
    }
}
