//! Request bodies unpacked as they arrive, with a bound on what comes out: a bomb is refused
//! while it unpacks.

use std::io::{self, Write};
use std::ops::Deref;

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

/// How a body is packed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Packing {
    /// Not at all.
    Identity,
    /// RFC 1952, one or more members.
    Gzip,
    /// RFC 8878, one or more frames.
    Zstd,
}

impl Packing {
    /// Reads a `Content-Encoding`; `None` when it is one that is not understood.
    pub(crate) fn parse(value: &[u8]) -> Option<Self> {
        let value = value.trim_ascii();
        [
            (&b""[..], Self::Identity),
            (b"identity", Self::Identity),
            (b"gzip", Self::Gzip),
            (b"x-gzip", Self::Gzip),
            (b"zstd", Self::Zstd),
        ]
        .into_iter()
        .find_map(|(name, packing)| value.eq_ignore_ascii_case(name).then_some(packing))
    }
}

/// Why a body was not unpacked.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum UnpackError {
    /// More comes out than is allowed.
    #[error("the body is longer than allowed")]
    TooLong,
    /// The bytes are not packed as was said, or end early.
    #[error("the body is not packed as Content-Encoding says")]
    Damaged,
}

/// A whole body.
pub(crate) enum Arrived {
    /// In one piece, that nothing had to be done with: it lies where the socket was read to.
    Whole(Bytes),
    /// In pieces or packed, put together in a buffer.
    Unpacked(Vec<u8>),
}

impl Deref for Arrived {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Whole(bytes) => bytes,
            Self::Unpacked(bytes) => bytes,
        }
    }
}

/// A body on its way in.
pub(crate) struct Unpacker {
    state: State,
    has_input: bool,
}

enum State {
    Identity(Bounded),
    Gzip(Box<MultiGzDecoder<Bounded>>),
    Zstd(Box<Zstd>),
}

impl Unpacker {
    /// Unpacks into `body`, which is emptied first, at most `bytes_max`.
    pub(crate) fn new(
        packing: Packing,
        mut body: Vec<u8>,
        bytes_max: usize,
    ) -> Result<Self, UnpackError> {
        body.clear();
        let bounded = Bounded {
            bytes: body,
            bytes_max,
            is_over: false,
        };
        let state = match packing {
            Packing::Identity => State::Identity(bounded),
            Packing::Gzip => State::Gzip(Box::new(MultiGzDecoder::new(bounded))),
            Packing::Zstd => State::Zstd(Box::new(Zstd::new(bounded)?)),
        };
        Ok(Self {
            state,
            has_input: false,
        })
    }

    /// Takes the next bytes as they arrived.
    pub(crate) fn feed(&mut self, packed: &[u8]) -> Result<(), UnpackError> {
        self.has_input |= !packed.is_empty();
        match &mut self.state {
            State::Identity(bounded) => bounded
                .write_all(packed)
                .map_err(|_over| UnpackError::TooLong),
            State::Gzip(gzip) => match gzip.write_all(packed) {
                Ok(()) => Ok(()),
                Err(_) if gzip.get_ref().is_over => Err(UnpackError::TooLong),
                Err(_) => Err(UnpackError::Damaged),
            },
            State::Zstd(zstd) => zstd.feed(packed),
        }
    }

    /// Memory that what came out so far takes.
    pub(crate) fn bytes_held(&self) -> usize {
        let bounded = match &self.state {
            State::Identity(bounded) => bounded,
            State::Gzip(gzip) => gzip.get_ref(),
            State::Zstd(zstd) => &zstd.out,
        };
        bounded.bytes.capacity()
    }

    /// What came out, all having arrived.
    pub(crate) fn finish(self) -> Result<Vec<u8>, UnpackError> {
        match self.state {
            State::Identity(bounded) => Ok(bounded.bytes),
            // No bytes at all are an empty body, however it was to be packed.
            State::Gzip(gzip) if !self.has_input => {
                Ok(std::mem::take(&mut gzip_inner(*gzip)).bytes)
            }
            State::Gzip(mut gzip) => match gzip.try_finish() {
                Ok(()) => Ok(std::mem::take(gzip.get_mut()).bytes),
                Err(_) if gzip.get_ref().is_over => Err(UnpackError::TooLong),
                Err(_) => Err(UnpackError::Damaged),
            },
            State::Zstd(zstd) if zstd.is_between_frames => Ok(zstd.out.bytes),
            State::Zstd(_) => Err(UnpackError::Damaged),
        }
    }
}

fn gzip_inner(mut gzip: MultiGzDecoder<Bounded>) -> Bounded {
    std::mem::take(gzip.get_mut())
}

/// A vector that takes so much and no more.
#[derive(Default)]
struct Bounded {
    bytes: Vec<u8>,
    bytes_max: usize,
    is_over: bool,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes_max - self.bytes.len() < bytes.len() {
            self.is_over = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// zstd by its plain interface, which says where frames end.
struct Zstd {
    decoder: Decoder<'static>,
    out: Bounded,
    is_between_frames: bool,
}

impl Zstd {
    fn new(out: Bounded) -> Result<Self, UnpackError> {
        let mut decoder = Decoder::new().map_err(|_| UnpackError::Damaged)?;
        decoder
            .set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX))
            .map_err(|_| UnpackError::Damaged)?;
        Ok(Self {
            decoder,
            out,
            is_between_frames: true,
        })
    }

    fn feed(&mut self, packed: &[u8]) -> Result<(), UnpackError> {
        let mut input = InBuffer::around(packed);
        let mut piece = [0; ZSTD_PIECE_BYTES];
        loop {
            if self.is_between_frames {
                if input.pos() == packed.len() {
                    return Ok(());
                }
                self.decoder.reinit().map_err(|_| UnpackError::Damaged)?;
                self.is_between_frames = false;
            }
            let mut output = OutBuffer::around(&mut piece[..]);
            let hint = self
                .decoder
                .run(&mut input, &mut output)
                .map_err(|_| UnpackError::Damaged)?;
            let is_piece_full = output.pos() == ZSTD_PIECE_BYTES;
            self.out
                .write_all(output.as_slice())
                .map_err(|_over| UnpackError::TooLong)?;
            self.is_between_frames = hint == 0;
            if input.pos() == packed.len() && !is_piece_full {
                return Ok(());
            }
        }
    }
}

/// Greatest window of a zstd body, as RFC 8878, 3.1.1.1.2 recommends to support: 8 MiB.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// What zstd unpacks at once.
const ZSTD_PIECE_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd_frame(bytes: &[u8]) -> Vec<u8> {
        zstd::stream::encode_all(bytes, 3).unwrap()
    }

    fn unpack(packing: Packing, packed: &[u8], piece_bytes: usize) -> Result<Vec<u8>, UnpackError> {
        let mut unpacker = Unpacker::new(packing, Vec::new(), 100_000).unwrap();
        for piece in packed.chunks(piece_bytes) {
            unpacker.feed(piece)?;
        }
        unpacker.finish()
    }

    #[test]
    fn encodings_are_known_by_name() {
        assert_eq!(Packing::parse(b" GZIP "), Some(Packing::Gzip));
        assert_eq!(Packing::parse(b"identity"), Some(Packing::Identity));
        assert_eq!(Packing::parse(b"zstd"), Some(Packing::Zstd));
        assert_eq!(Packing::parse(b"deflate"), None);
        assert_eq!(Packing::parse(b"gzip, gzip"), None);
    }

    #[test]
    fn what_was_packed_comes_out_however_it_is_cut() {
        let text: Vec<u8> = (0..50_000_u32)
            .map(|n| n.to_le_bytes()[0] ^ n.to_be_bytes()[2])
            .collect();
        for piece_bytes in [1, 7, 4_096, 1 << 20] {
            for (packing, pack) in [
                (Packing::Gzip, gzip as fn(&[u8]) -> Vec<u8>),
                (Packing::Zstd, zstd_frame),
                (Packing::Identity, <[u8]>::to_vec),
            ] {
                let packed = pack(&text);
                assert_eq!(unpack(packing, &packed, piece_bytes).as_ref(), Ok(&text));
                let twice = [pack(&text), pack(b"more")].concat();
                let expected = [&text[..], b"more"].concat();
                assert_eq!(unpack(packing, &twice, piece_bytes), Ok(expected));
            }
        }
    }

    #[test]
    fn a_bomb_is_refused_while_it_unpacks() {
        let zeros = vec![0; 100_001];
        for (packing, packed) in [
            (Packing::Gzip, gzip(&zeros)),
            (Packing::Zstd, zstd_frame(&zeros)),
            (Packing::Identity, zeros.clone()),
        ] {
            assert_eq!(unpack(packing, &packed, 64), Err(UnpackError::TooLong));
        }
        let just = vec![0; 100_000];
        assert_eq!(unpack(Packing::Gzip, &gzip(&just), 64), Ok(just.clone()));
        assert_eq!(unpack(Packing::Zstd, &zstd_frame(&just), 64), Ok(just));
    }

    #[test]
    fn half_and_wrong_bodies_are_damaged() {
        for packing in [Packing::Gzip, Packing::Zstd] {
            assert_eq!(unpack(packing, b"", 64), Ok(Vec::new()));
            assert_eq!(
                unpack(packing, b"91 <134>1 2012-12-10T03:00:48Z plain", 64),
                Err(UnpackError::Damaged)
            );
        }
        for (packing, packed) in [
            (Packing::Gzip, gzip(b"hello hello hello")),
            (Packing::Zstd, zstd_frame(b"hello hello hello")),
        ] {
            for length in 1..packed.len() {
                assert_eq!(
                    unpack(packing, &packed[..length], 5),
                    Err(UnpackError::Damaged),
                    "{packing:?} {length}"
                );
            }
        }
    }
}
