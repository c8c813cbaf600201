//! A batch as a file: a line that says what it is, a line of JSON about the batch, its body. Pure.
//!
//! A file that was cut off, or whose blocks never reached the disk, is told by its lengths and by
//! the checksum over the JSON and the body.

use bytes::Bytes;
use flate2::Crc;
use memchr::memchr;
use serde::{Deserialize, Serialize};

use crate::clock::UnixMicros;
use crate::id::{FrameId, Token};
use crate::sources::ship::batch::Batch;
use crate::sources::ship::book::{Loss, Losses};
use crate::sources::ship::places::Mark;

/// The batch written into a file.
pub(crate) fn write(batch: &Batch) -> Vec<u8> {
    let head = Head::of(batch);
    let json = serde_json::to_vec(&head).unwrap_or_default();
    let checksum = checksum(&json, &batch.body);
    let mut file = format!("{MAGIC} {checksum:08x}\n").into_bytes();
    file.extend_from_slice(&json);
    file.push(b'\n');
    file.extend_from_slice(&batch.body);
    file
}

/// The batch that `file` holds.
///
/// # Errors
/// `Torn`: it holds none, or not all of it.
pub(crate) fn read(file: &Bytes) -> Result<Batch, Torn> {
    let (first, rest) = line(file).ok_or(Torn { lines: None })?;
    let checksum_said = first
        .strip_prefix(MAGIC.as_bytes())
        .and_then(|rest| std::str::from_utf8(rest).ok())
        .and_then(|rest| u32::from_str_radix(rest.trim(), 16).ok())
        .ok_or(Torn { lines: None })?;
    let (json, body) = line(&rest).ok_or(Torn { lines: None })?;
    let head: Head = serde_json::from_slice(&json).map_err(|_| Torn { lines: None })?;
    let torn = Torn {
        lines: Some(head.lines),
    };
    if checksum(&json, &body) != checksum_said {
        return Err(torn);
    }
    head.into_batch(body).ok_or(torn)
}

/// Why a file is no batch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Torn {
    /// How many lines it held, as far as is known.
    pub(crate) lines: Option<u64>,
}

#[derive(Deserialize, Serialize)]
struct Head {
    id: String,
    gzip: bool,
    frames: u64,
    lines: u64,
    #[serde(default)]
    token: Option<Token>,
    dropped: u64,
    dropped_since: UnixMicros,
    lost: u64,
    lost_since: UnixMicros,
    #[serde(default)]
    marks: Vec<Mark>,
}

impl Head {
    fn of(batch: &Batch) -> Self {
        let Losses { dropped, lost } = batch.told;
        Self {
            id: batch.id.to_string(),
            gzip: batch.is_gzip,
            frames: batch.frames,
            lines: batch.lines,
            token: batch.token.clone(),
            dropped: dropped.lines,
            dropped_since: dropped.since,
            lost: lost.lines,
            lost_since: lost.since,
            marks: batch.marks.clone(),
        }
    }

    fn into_batch(self, body: Bytes) -> Option<Batch> {
        Some(Batch {
            id: FrameId::parse(&self.id)?,
            body,
            is_gzip: self.gzip,
            frames: self.frames,
            lines: self.lines,
            told: Losses {
                dropped: Loss {
                    lines: self.dropped,
                    since: self.dropped_since,
                },
                lost: Loss {
                    lines: self.lost,
                    since: self.lost_since,
                },
            },
            token: self.token,
            marks: self.marks,
            runs: Vec::new(),
        })
    }
}

/// The first line without its end, and what stands behind it.
fn line(bytes: &Bytes) -> Option<(Bytes, Bytes)> {
    let end = memchr(b'\n', bytes)?;
    Some((bytes.slice(..end), bytes.slice(end + 1..)))
}

fn checksum(json: &[u8], body: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(json);
    crc.update(body);
    crc.sum()
}

/// What every such file begins with; the number is that of its form.
const MAGIC: &str = "logboom-batch-1";

/// Fuzz target: any bytes are a batch or none; one that is read is written and read as the same.
#[cfg(any(test, fuzzing))]
pub fn fuzz_spool_file(bytes: &[u8]) {
    // With a right checksum most of it is worth reading.
    let mended = Bytes::copy_from_slice(bytes);
    let mended = line(&mended).map_or(mended.clone(), |(json, body)| {
        let first = format!("{MAGIC} {:08x}\n", checksum(&json, &body));
        [first.as_bytes(), &json, b"\n", &body].concat().into()
    });
    for file in [Bytes::copy_from_slice(bytes), mended] {
        let Ok(batch) = read(&file) else { continue };
        let again = read(&Bytes::from(write(&batch))).ok();
        let again = again.expect("what was written is whole");
        assert!(again.id == batch.id && again.body == batch.body);
        assert_eq!(
            (again.lines, again.frames, again.is_gzip, again.told),
            (batch.lines, batch.frames, batch.is_gzip, batch.told)
        );
        assert!(again.token == batch.token && again.marks == batch.marks);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::ship::places::{FileKey, Head};

    fn batch() -> Batch {
        Batch {
            id: FrameId::next(),
            body: Bytes::from_static(b"3 a\nb3 c\nd"),
            is_gzip: false,
            frames: 3,
            lines: 2,
            told: Losses {
                dropped: Loss::default(),
                lost: Loss {
                    lines: 7,
                    since: UnixMicros::new(1_353_105_648_123_456),
                },
            },
            token: Some(Token::new("t.other").unwrap()),
            marks: vec![Mark {
                key: FileKey {
                    device: 1,
                    inode: 2,
                },
                position: 77,
                head: Head::of(b"x"),
            }],
            runs: Vec::new(),
        }
    }

    #[test]
    fn a_file_cut_off_or_changed_anywhere_is_none() {
        let whole = write(&batch());
        fuzz_spool_file(&whole);
        assert!(read(&Bytes::from(whole.clone())).is_ok());
        for bytes in 0..whole.len() {
            let cut = Bytes::copy_from_slice(&whole[..bytes]);
            let torn = read(&cut).err().unwrap();
            assert!(torn.lines.is_none_or(|lines| lines == 2), "{bytes}");
            let mut zeroed = whole.clone();
            zeroed[bytes..].fill(0);
            assert!(read(&Bytes::from(zeroed)).is_err(), "{bytes}");
        }
    }
}
