//! What is sent at once: encoded when it is made, and the same bytes at every try.

use std::io;

use bytes::Bytes;

use crate::egress::drain::ledger::Counts;
use crate::id::FrameId;
use crate::net::pack;
use crate::registry::Compression;

/// Messages on their way, with the loss announced in front of them.
pub(crate) struct Batch {
    pub(crate) id: FrameId,
    /// Octet-counted frames, compressed when `encoding` says so.
    pub(crate) body: Bytes,
    /// How the body is compressed.
    pub(crate) encoding: Compression,
    /// Frames in the body: of the messages, and of the announcement when there is one.
    pub(crate) frames: u64,
    pub(crate) counts: Counts,
    /// Of `counts.messages`, notices of drains about their losses.
    pub(crate) notices: u64,
}

impl Batch {
    /// Compresses the body, once; every try sends the same bytes.
    ///
    /// # Errors
    /// `io::Error` when the compressor fails; the body is then as it was.
    pub(crate) async fn compress(&mut self, compression: Compression) -> io::Result<()> {
        if compression == self.encoding {
            return Ok(());
        }
        let pack = match compression {
            Compression::None => return Ok(()),
            Compression::Gzip => pack::gzip,
            Compression::Zstd => pack::zstd,
        };
        let packed = pack::on_fit_thread(&self.body, pack).await?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::COMPRESS_INLINE_BYTES_MAX;
    use std::io::Read;

    #[tokio::test]
    async fn compressed_bodies_unpack_to_themselves() {
        for plain in [vec![b'x'; 1_000], vec![b'y'; COMPRESS_INLINE_BYTES_MAX + 1]] {
            let make = || Batch {
                id: FrameId::next(),
                body: Bytes::from(plain.clone()),
                encoding: Compression::None,
                frames: 0,
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
            frames: 0,
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
