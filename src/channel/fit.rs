//! Measures a run of messages against the room of a segment.

use crate::channel::record::{bytes_of, padded};
use crate::syslog::message::Message;

/// How much of a run goes into some room.
pub(crate) struct Fit {
    pub(crate) records: u32,
    /// Padded length of these.
    pub(crate) bytes: usize,
    /// Padded length of the first record; 0 when there is none.
    pub(crate) first_bytes: usize,
}

impl Fit {
    /// Of the first records of `run`, as many as `room` bytes hold.
    pub(crate) fn of<'m>(run: impl Iterator<Item = Message<'m>>, room: usize) -> Self {
        let mut fit = Self {
            records: 0,
            bytes: 0,
            first_bytes: 0,
        };
        for message in run {
            let bytes = padded(bytes_of(&message));
            if fit.first_bytes == 0 {
                fit.first_bytes = bytes;
            }
            if room < fit.bytes + bytes {
                break;
            }
            fit.records += 1;
            fit.bytes += bytes;
        }
        fit
    }
}
