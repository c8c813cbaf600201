//! Flags that make one message of several lines.

use std::time::Duration;

use clap::Args;
use regex::bytes::Regex;
use regex::bytes::RegexBuilder;

use crate::cli::ship::flags::time;
use crate::limits::FILTER_REGEX_BYTES_MAX;
use crate::sources::ship::Join;
use crate::sources::ship::JoinRule;

/// Which lines are one message.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Input")]
pub(crate) struct JoinFlags {
    /// A line that matches begins a message; others belong to the one before
    #[arg(long, value_name = "REGEX", value_parser = regex, conflicts_with = "join_indent")]
    join_pattern: Option<Regex>,
    /// A line that begins with a space or tab belongs to the message before
    #[arg(long)]
    join_indent: bool,
    /// A message is whole when no line has come for so long
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = time)]
    join_time: Duration,
}

impl JoinFlags {
    /// What the flags say; `None`: every line is a message.
    pub(crate) fn join(&self) -> Option<Join> {
        let rule = match &self.join_pattern {
            Some(pattern) => JoinRule::Pattern(pattern.clone()),
            None if self.join_indent => JoinRule::Indent,
            None => return None,
        };
        Some(Join {
            rule,
            time: self.join_time,
        })
    }
}

fn regex(text: &str) -> Result<Regex, String> {
    RegexBuilder::new(text)
        .size_limit(FILTER_REGEX_BYTES_MAX)
        .dfa_size_limit(FILTER_REGEX_BYTES_MAX)
        .build()
        .map_err(|error| error.to_string())
}
