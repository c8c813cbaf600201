//! Compressing what is sent, on a thread that may take its time.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::write::GzEncoder;

use crate::limits::COMPRESS_INLINE_BYTES_MAX;

/// `plain` as `pack` packs it: here when it is short, on a thread of its own when it is long.
///
/// # Errors
/// `io::Error` when the compressor fails.
pub async fn on_fit_thread(
    plain: &Bytes,
    pack: fn(&[u8]) -> io::Result<Vec<u8>>,
) -> io::Result<Vec<u8>> {
    if plain.len() <= COMPRESS_INLINE_BYTES_MAX {
        return pack(plain);
    }
    let plain = plain.clone();
    tokio::task::spawn_blocking(move || pack(&plain))
        .await
        .map_err(io::Error::other)?
}

/// `plain` as gzip (RFC 1952).
///
/// # Errors
/// `io::Error` when the compressor fails.
pub fn gzip(plain: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), GZIP_LEVEL);
    encoder.write_all(plain)?;
    encoder.finish()
}

/// `plain` as one zstd frame (RFC 8878).
///
/// # Errors
/// `io::Error` when the compressor fails.
pub fn zstd(plain: &[u8]) -> io::Result<Vec<u8>> {
    zstd::bulk::compress(plain, ZSTD_LEVEL)
}

/// A third of the default level's (6) processor time, for a tenth to a sixth more bytes: of logs,
/// headers and all, it leaves an eighth to a quarter. Who wants fewer bytes has zstd, which takes
/// less time for about as many as gzip's default.
const GZIP_LEVEL: flate2::Compression = flate2::Compression::new(2);

/// zstd's own default.
const ZSTD_LEVEL: i32 = 3;
