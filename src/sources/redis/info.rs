//! What a server says about itself (`INFO`), and the line in which Heroku's monitor says it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::sources::machine;
use crate::sources::machine::Disk;
use crate::sources::machine::Load;
use crate::sources::machine::Memory;
use crate::sources::samples::Samples;

/// An answer to `INFO`: `key:value` lines under headings.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Info {
    values: HashMap<String, String>,
}

impl Info {
    /// Reads it; what is no pair is a heading.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let pairs = text.lines().filter_map(|line| line.split_once(':'));
        let own = |(key, value): (&str, &str)| (key.to_owned(), value.trim().to_owned());
        Self {
            values: pairs.map(own).collect(),
        }
    }

    /// Which run of the server this is.
    #[must_use]
    pub fn run_id(&self) -> &str {
        self.values.get("run_id").map_or("", String::as_str)
    }

    /// How long this run has lasted, in whole seconds.
    #[must_use]
    pub fn uptime(&self) -> Option<Duration> {
        self.number("uptime_in_seconds").map(Duration::from_secs)
    }

    /// Whether the server still reads its file: it says this, and little else.
    #[must_use]
    pub fn is_loading(&self) -> bool {
        self.number("loading") == Some(1)
    }

    fn number(&self, key: &str) -> Option<u64> {
        self.values.get(key)?.parse().ok()
    }

    /// The process, if it is on this machine: another one of that number is not called so.
    fn process(&self) -> Option<u32> {
        let pid = u32::try_from(self.number("process_id")?).ok()?;
        is_server(&machine::command(pid)?).then_some(pid)
    }

    /// The line, keys in Heroku's order.
    #[must_use]
    pub fn line(&self, name: &str, addon: &str, disk: &mut Disk) -> Vec<u8> {
        let mut samples = Samples::new(name, addon);
        let active = self.number("connected_clients");
        let max = self.number("maxclients");
        samples.number("active-connections", active, "");
        samples.number("max-connections", max, "");
        let used = active
            .zip(max)
            .and_then(|(active, max)| machine::part(active, max));
        samples.fraction("connection-percentage-used", used);
        let process = self.process();
        Load::write(process.and_then(|_| Load::read()), &mut samples);
        // Where it writes its files; to be seen by its user and root.
        let folder = process.map(|pid| PathBuf::from(format!("/proc/{pid}/cwd")));
        disk.write(folder.as_deref(), &mut samples);
        Memory::write(process.and_then(|_| Memory::read()), &mut samples);
        samples.number("memory-redis", self.number("used_memory"), "bytes");
        let hits = self
            .number("keyspace_hits")
            .zip(self.number("keyspace_misses"));
        let rate = hits.and_then(|(hits, misses)| machine::part(hits, hits.saturating_add(misses)));
        samples.rate("hit-rate", rate);
        samples.number("evicted-keys", self.number("evicted_keys"), "");
        samples.into_line()
    }
}

/// Whether a command line is a server's. Its words may be anything, also our own: `logboom redis` is
/// process 1 of its container, as a server is of another.
fn is_server(command: &str) -> bool {
    let program = command.split_whitespace().next().unwrap_or_default();
    let (_, name) = program.rsplit_once('/').unwrap_or(("", program));
    let servers = ["redis-server", "valkey-server"];
    servers.iter().any(|server| name.starts_with(server))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_server_is_called_so() {
        for (command, expected) in [
            ("redis-server 127.0.0.1:6379", true),
            ("/usr/bin/redis-server *:6379 [cluster]", true),
            ("/opt/valkey-server-8 *:6379", true),
            ("logboom redis --redis-url redis://redis-server", false),
            ("/redis-server/logboom redis", false),
            ("sh -c redis-server", false),
            ("", false),
        ] {
            assert_eq!(is_server(command), expected, "{command}");
        }
    }

    #[test]
    fn the_line_says_what_the_server_says() {
        let text = "# Clients\r\nconnected_clients:4\r\nmaxclients:18\r\n\r\n# Memory\r\n\
                    used_memory:5116080\r\n# Stats\r\nkeyspace_hits:1\r\nkeyspace_misses:763\r\n\
                    evicted_keys:0\r\n# Server\r\nrun_id:abc\r\nexecutable:/a:b\r\n";
        let info = Info::parse(text);
        assert_eq!(info.run_id(), "abc");
        let line = info.line("REDIS", "redis-a", &mut Disk::default());
        assert_eq!(
            String::from_utf8(line).unwrap(),
            "source=REDIS addon=redis-a sample#active-connections=4 sample#max-connections=18 \
             sample#connection-percentage-used=0.22222 sample#memory-redis=5116080bytes \
             sample#hit-rate=0.0013089 sample#evicted-keys=0"
        );
        let nothing = Info::default().line("REDIS", "redis-a", &mut Disk::default());
        assert_eq!(nothing, b"source=REDIS addon=redis-a");
    }
}
