//! What a server says about itself, and the line in which Heroku's monitor says it. A role in
//! `pg_monitor` can read all of it; what it cannot read is left out.

use std::path::Path;
use std::path::PathBuf;

use tokio_postgres::Client;
use tokio_postgres::Row;

use crate::sources::machine;
use crate::sources::machine::Disk;
use crate::sources::machine::Load;
use crate::sources::machine::Memory;
use crate::sources::machine::Room;
use crate::sources::samples::Samples;

/// One reading.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Readings {
    /// `current_transaction`: what comes next, without being used up.
    pub transaction: Option<i64>,
    /// Bytes of the database, indexes and bloat included.
    pub bytes: Option<i64>,
    /// Tables of users.
    pub tables: Option<i64>,
    /// Connections of clients, to any database.
    pub active: Option<i64>,
    /// Sessions that wait for a lock; seen by `pg_monitor` only.
    pub waiting: Option<i64>,
    /// `max_connections`
    pub connections_max: Option<i64>,
    /// Part of index blocks that were found in shared buffers.
    pub index_hits: Option<f64>,
    /// The same for tables.
    pub table_hits: Option<f64>,
    /// Whether the role sees other sessions.
    pub is_monitor: bool,
    /// The process that answers.
    pub pid: Option<i32>,
    /// Where its data is; seen by `pg_monitor` only.
    pub data: Option<PathBuf>,
    /// On a standby: where the server is that it follows.
    pub leader: Option<(String, u16)>,
    /// On a standby: by how many transactions it is behind.
    pub lag_commits: Option<i64>,
}

impl Readings {
    /// Asks the server.
    ///
    /// # Errors
    /// The client library's.
    pub async fn ask(client: &Client) -> Result<Self, tokio_postgres::Error> {
        Ok(Self::of_row(&client.query_one(QUERY, &[]).await?))
    }

    fn of_row(row: &Row) -> Self {
        let number = |name: &str| row.try_get::<_, Option<i64>>(name).ok().flatten();
        let fraction = |name: &str| row.try_get::<_, Option<f64>>(name).ok().flatten();
        let text = |name: &str| row.try_get::<_, Option<String>>(name).ok().flatten();
        let is_monitor = row.try_get("is_monitor").unwrap_or(false);
        let port = number("leader_port").and_then(|port| u16::try_from(port).ok());
        Self {
            transaction: number("transaction"),
            bytes: number("bytes"),
            tables: number("tables"),
            active: number("active"),
            waiting: number("waiting").filter(|_| is_monitor),
            connections_max: number("connections_max"),
            index_hits: fraction("index_hits"),
            table_hits: fraction("table_hits"),
            is_monitor,
            pid: row.try_get("pid").ok(),
            data: text("data").map(PathBuf::from),
            leader: text("leader_host").zip(port),
            lag_commits: None,
        }
    }

    /// The line, keys in Heroku's order.
    #[must_use]
    pub fn line(&self, name: &str, addon: &str, disk: &mut Disk) -> Vec<u8> {
        let mut samples = Samples::new(name, addon);
        samples.number("current_transaction", self.transaction, "");
        samples.number("db_size", self.bytes, "bytes");
        samples.number("tables", self.tables, "");
        samples.number("active-connections", self.active, "");
        samples.number("waiting-connections", self.waiting, "");
        samples.number("max-connections", self.connections_max, "");
        let used = self.active.zip(self.connections_max);
        samples.fraction("connections-percentage-used", used.and_then(quotient));
        samples.rate("index-cache-hit-rate", self.index_hits);
        samples.rate("table-cache-hit-rate", self.table_hits);
        self.write_machine(disk, &mut samples);
        samples.into_line()
    }

    /// What /proc says, if the server is on this machine.
    fn write_machine(&self, disk: &mut Disk, samples: &mut Samples) {
        let server = self.pid.and_then(postmaster);
        let is_here = server.is_some();
        let data = self.data.as_deref().filter(|_| is_here);
        Load::write(is_here.then(Load::read).flatten(), samples);
        disk.write(data, samples);
        let room = data.and_then(Room::read);
        samples.number("tmp-disk-used", room.map(|room| room.used), "");
        samples.number("tmp-disk-available", room.map(|room| room.available), "");
        Memory::write(is_here.then(Memory::read).flatten(), samples);
        let memory = server.and_then(machine::family_kib);
        samples.number("memory-postgres", memory, "kB");
        samples.number("follower-lag-commits", self.lag_commits, "");
        let wal = data.map(|data| data.join("pg_wal"));
        let room = wal.as_deref().map(Path::new).and_then(Room::read);
        // As df counts: what is kept for root is neither used nor to be had.
        let used = room
            .and_then(|room| machine::part(room.used, room.used.saturating_add(room.available)));
        samples.fraction("wal-percentage-used", used);
    }
}

/// The server's first process, if the one that answers is on this machine: a process of that number
/// may be anything, but only Postgres' are called so.
fn postmaster(pid: i32) -> Option<u32> {
    let pid = u32::try_from(pid).ok()?;
    let is_backend = machine::command(pid)?.starts_with("postgres: ");
    machine::parent(pid).filter(|_| is_backend)
}

fn quotient((of, whole): (i64, i64)) -> Option<f64> {
    machine::part(u64::try_from(of).ok()?, u64::try_from(whole).ok()?)
}

/// The number of the next transaction, of a server that a standby follows.
///
/// # Errors
/// The client library's.
pub(crate) async fn transaction(client: &Client) -> Result<i64, tokio_postgres::Error> {
    let row = client
        .query_one("SELECT txid_snapshot_xmax(txid_current_snapshot())", &[])
        .await?;
    row.try_get(0)
}

/// All in one, so that it is of one moment. `txid_current` would use up a transaction each time.
const QUERY: &str = "SELECT \
    txid_snapshot_xmax(txid_current_snapshot()) AS transaction, \
    pg_database_size(current_database()) AS bytes, \
    (SELECT count(*) FROM pg_stat_user_tables) AS tables, \
    (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS active, \
    (SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock') AS waiting, \
    current_setting('max_connections')::bigint AS connections_max, \
    (SELECT sum(idx_blks_hit)::float8 / nullif(sum(idx_blks_hit) + sum(idx_blks_read), 0)::float8 \
       FROM pg_statio_user_indexes) AS index_hits, \
    (SELECT sum(heap_blks_hit)::float8 / nullif(sum(heap_blks_hit) + sum(heap_blks_read), 0)::float8 \
       FROM pg_statio_user_tables) AS table_hits, \
    pg_has_role('pg_read_all_stats', 'USAGE') AS is_monitor, \
    pg_backend_pid() AS pid, \
    (SELECT setting FROM pg_settings WHERE name = 'data_directory') AS data, \
    (SELECT sender_host FROM pg_stat_wal_receiver) AS leader_host, \
    (SELECT sender_port::bigint FROM pg_stat_wal_receiver) AS leader_port";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_left_out() {
        let readings = Readings {
            transaction: Some(7),
            active: Some(4),
            connections_max: Some(18),
            table_hits: Some(1.0),
            lag_commits: Some(3),
            ..Readings::default()
        };
        let line = readings.line("DATABASE", "postgresql-a", &mut Disk::default());
        assert_eq!(
            String::from_utf8(line).unwrap(),
            "source=DATABASE addon=postgresql-a sample#current_transaction=7 \
             sample#active-connections=4 sample#max-connections=18 \
             sample#connections-percentage-used=0.22222 sample#table-cache-hit-rate=1 \
             sample#follower-lag-commits=3"
        );
    }

    #[test]
    fn another_process_is_no_server() {
        assert_eq!(postmaster(i32::try_from(std::process::id()).unwrap()), None);
        assert_eq!(postmaster(-1), None);
    }
}
