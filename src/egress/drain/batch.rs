//! What is sent at once: encoded when it is made, and the same bytes at every try.

use std::fmt;
use std::io::{self, Write};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use flate2::write::GzEncoder;
use uuid::Uuid;

use crate::egress::drain::ledger::Counts;
use crate::limits::COMPRESS_INLINE_BYTES_MAX;
use crate::registry::Compression;

/// Names a batch at its destination, so that a second delivery can be told: 32 upper-case hex
/// digits, 16 drawn when the router starts and 16 counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct FrameId(u128);

impl FrameId {
    /// An id that no other batch has.
    pub(crate) fn next() -> Self {
        static START: LazyLock<u64> = LazyLock::new(|| Uuid::new_v4().as_u64_pair().1);
        static COUNT: AtomicU64 = AtomicU64::new(0);
        // Relaxed: a counter.
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self(u128::from(*START) << 64 | u128::from(count))
    }
}

impl fmt::Display for FrameId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032X}", self.0)
    }
}

/// Messages on their way, with the loss announced in front of them.
pub(crate) struct Batch {
    pub(crate) id: FrameId,
    /// Octet-counted frames, compressed when `encoding` says so.
    pub(crate) body: Bytes,
    /// How the body is compressed.
    pub(crate) encoding: Compression,
    pub(crate) counts: Counts,
    /// Of `counts.messages`, notices of drains about their losses.
    pub(crate) notices: u64,
}

impl Batch {
    /// Frames in the body: the messages, and the announcement when there is one.
    pub(crate) fn frames(&self) -> u64 {
        self.counts.messages + u64::from(0 < self.counts.announced.count())
    }

    /// Compresses the body, once; every try sends the same bytes.
    ///
    /// # Errors
    /// `io::Error` when the compressor fails; the body is then as it was.
    pub(crate) async fn compress(&mut self, compression: Compression) -> io::Result<()> {
        if compression == self.encoding {
            return Ok(());
        }
        let plain = self.body.clone();
        let packed = if plain.len() <= COMPRESS_INLINE_BYTES_MAX {
            pack(&plain, compression)?
        } else {
            tokio::task::spawn_blocking(move || pack(&plain, compression))
                .await
                .map_err(io::Error::other)??
        };
        self.body = Bytes::from(packed);
        self.encoding = compression;
        Ok(())
    }

    /// The body's buffer, empty, for the next batch; a new one when somebody still reads it.
    pub(crate) fn into_buffer(self) -> Vec<u8> {
        match self.body.try_into_mut() {
            Ok(body) => {
                let mut buffer = Vec::from(body);
                buffer.clear();
                buffer
            }
            Err(_) => Vec::new(),
        }
    }
}

fn pack(plain: &[u8], compression: Compression) -> io::Result<Vec<u8>> {
    match compression {
        Compression::None => Ok(plain.to_vec()),
        Compression::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), GZIP_LEVEL);
            encoder.write_all(plain)?;
            encoder.finish()
        }
        Compression::Zstd => zstd::bulk::compress(plain, ZSTD_LEVEL),
    }
}

/// A third of the default level's (6) processor time, for a tenth to a sixth more bytes: of logs,
/// headers and all, it leaves an eighth to a quarter. Who wants fewer bytes has zstd, which takes
/// less time for about as many as gzip's default.
const GZIP_LEVEL: flate2::Compression = flate2::Compression::new(2);

/// zstd's own default.
const ZSTD_LEVEL: i32 = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn frame_ids_are_32_upper_case_hex_digits() {
        let text = FrameId::next().to_string();
        assert_eq!(text.len(), 32);
        assert!(
            text.bytes()
                .all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b)),
            "{text}"
        );
        assert_ne!(text, FrameId::next().to_string());
    }

    #[tokio::test]
    async fn compressed_bodies_unpack_to_themselves() {
        for plain in [vec![b'x'; 1_000], vec![b'y'; COMPRESS_INLINE_BYTES_MAX + 1]] {
            let make = || Batch {
                id: FrameId::next(),
                body: Bytes::from(plain.clone()),
                encoding: Compression::None,
                counts: Counts::default(),
                notices: 0,
            };
            let mut batch = make();
            batch.compress(Compression::Gzip).await.unwrap();
            let mut unpacked = Vec::new();
            flate2::read::GzDecoder::new(&batch.body[..])
                .read_to_end(&mut unpacked)
                .unwrap();
            assert_eq!(unpacked, plain);
            let mut batch = make();
            batch.compress(Compression::Zstd).await.unwrap();
            assert!(batch.body.len() < plain.len());
            let unpacked = zstd::bulk::decompress(&batch.body, plain.len()).unwrap();
            assert_eq!(unpacked, plain);
        }
    }

    #[test]
    fn a_buffer_is_used_again_unless_somebody_reads_it() {
        let batch = |body: &Bytes| Batch {
            id: FrameId::next(),
            body: body.clone(),
            encoding: Compression::None,
            counts: Counts::default(),
            notices: 0,
        };
        let body = Bytes::from(vec![0; 100]);
        assert_eq!(batch(&body).into_buffer().capacity(), 0);
        let last = batch(&body);
        drop(body);
        let buffer = last.into_buffer();
        assert!(buffer.is_empty());
        assert_eq!(buffer.capacity(), 100);
    }
}
