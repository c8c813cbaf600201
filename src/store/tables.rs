//! Entries and changes as rows of tables.

use redb::{ReadOnlyTable, ReadableTable, TableDefinition, WriteTransaction};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::registry::{
    Change, ChannelEntry, Counters, CredentialEntry, DrainEntry, Entries, TokenEntry,
};

pub(crate) const CHANNELS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("channels");
pub(crate) const TOKENS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("tokens");
pub(crate) const DRAINS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("drains");
pub(crate) const CREDENTIALS: TableDefinition<'_, &str, &[u8]> =
    TableDefinition::new("credentials");
/// Numbers about the store itself.
pub(crate) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// Keys of `META`.
pub(crate) const SCHEMA: &str = "schema_version";
pub(crate) const REVISION: &str = "revision";
pub(crate) const DRAIN_LAST: &str = "drain_last";
pub(crate) const NUMBER_LAST: &str = "channel_number_last";

/// What rows can be wrong in, before the file's name is known.
pub(crate) enum RowError {
    Redb(redb::Error),
    Entry(&'static str, serde_json::Error),
    Orphan(&'static str, String),
}

impl<E: Into<redb::Error>> From<E> for RowError {
    fn from(error: E) -> Self {
        Self::Redb(error.into())
    }
}

/// Writes what `change` says, as part of `transaction`.
pub(crate) fn write(transaction: &WriteTransaction, change: &Change) -> Result<(), RowError> {
    match change {
        Change::PutChannel {
            channel,
            number,
            tokens,
            tokens_removed,
        } => {
            let mut channels = transaction.open_table(CHANNELS)?;
            channels.insert(channel.id.as_str(), row("channels", channel)?.as_slice())?;
            let mut table = transaction.open_table(TOKENS)?;
            for token in tokens_removed {
                table.remove(token.expose())?;
            }
            for token in tokens {
                table.insert(token.token.expose(), row("tokens", token)?.as_slice())?;
            }
            if let Some(number) = number {
                raise(transaction, NUMBER_LAST, *number)?;
            }
        }
        Change::RemoveChannel { id, tokens, drains } => {
            let mut table = transaction.open_table(TOKENS)?;
            for token in tokens {
                table.remove(token.expose())?;
            }
            let mut table = transaction.open_table(DRAINS)?;
            for drain in drains {
                table.remove(drain.value())?;
            }
            transaction.open_table(CHANNELS)?.remove(id.as_str())?;
        }
        Change::PutToken(token) => {
            let mut table = transaction.open_table(TOKENS)?;
            table.insert(token.token.expose(), row("tokens", token)?.as_slice())?;
        }
        Change::RemoveToken { channel: _, token } => {
            transaction.open_table(TOKENS)?.remove(token.expose())?;
        }
        Change::PutDrain(drain) => {
            let mut table = transaction.open_table(DRAINS)?;
            table.insert(drain.id.value(), row("drains", drain)?.as_slice())?;
            raise(transaction, DRAIN_LAST, drain.id.value())?;
        }
        Change::RemoveDrain(id) => {
            transaction.open_table(DRAINS)?.remove(id.value())?;
        }
        Change::PutCredential(credential) => {
            let mut table = transaction.open_table(CREDENTIALS)?;
            let value = row("credentials", credential)?;
            table.insert(credential.id.as_str(), value.as_slice())?;
        }
        Change::RemoveCredential(id) => {
            transaction.open_table(CREDENTIALS)?.remove(id.as_str())?;
        }
    }
    Ok(())
}

/// Reads all entries in one consistent view.
pub(crate) fn read(transaction: &redb::ReadTransaction) -> Result<Entries, RowError> {
    let meta = transaction.open_table(META)?;
    let counters = Counters {
        drain_last: number(&meta, DRAIN_LAST)?,
        number_last: number(&meta, NUMBER_LAST)?,
    };
    let mut channels = Vec::new();
    for found in transaction.open_table(CHANNELS)?.iter()? {
        let (_, value) = found?;
        channels.push(entry::<ChannelEntry>("channels", value.value())?);
    }
    let mut entries = Entries::new(counters, channels);
    for found in transaction.open_table(TOKENS)?.iter()? {
        let (_, value) = found?;
        let token = entry::<TokenEntry>("tokens", value.value())?;
        let channel = token.channel.clone();
        entries
            .put_token(token)
            .ok_or_else(|| RowError::Orphan("tokens", channel.to_string()))?;
    }
    for found in transaction.open_table(DRAINS)?.iter()? {
        let (_, value) = found?;
        let drain = entry::<DrainEntry>("drains", value.value())?;
        let channel = drain.channel.clone();
        entries
            .put_drain(drain)
            .ok_or_else(|| RowError::Orphan("drains", channel.to_string()))?;
    }
    for found in transaction.open_table(CREDENTIALS)?.iter()? {
        let (_, value) = found?;
        entries.put_credential(entry::<CredentialEntry>("credentials", value.value())?);
    }
    Ok(entries)
}

/// The number under `key`; 0 when there is none.
pub(crate) fn number(meta: &ReadOnlyTable<&str, u64>, key: &str) -> Result<u64, RowError> {
    Ok(meta.get(key)?.map_or(0, |value| value.value()))
}

/// Sets the number under `key` to `value` if that is greater.
fn raise(transaction: &WriteTransaction, key: &str, value: u64) -> Result<(), RowError> {
    let mut meta = transaction.open_table(META)?;
    let before = meta.get(key)?.map_or(0, |value| value.value());
    if before < value {
        meta.insert(key, value)?;
    }
    Ok(())
}

fn row<T: Serialize>(table: &'static str, entry: &T) -> Result<Vec<u8>, RowError> {
    serde_json::to_vec(entry).map_err(|error| RowError::Entry(table, error))
}

fn entry<T: DeserializeOwned>(table: &'static str, value: &[u8]) -> Result<T, RowError> {
    serde_json::from_slice(value).map_err(|error| RowError::Entry(table, error))
}
