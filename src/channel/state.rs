//! What was claimed of a segment, and whether it is sealed: one word, so that it always tells of one
//! moment.

/// Bit 63: sealed; 31 bits: records claimed; 32 bits: bytes claimed.
#[derive(Clone, Copy)]
pub(crate) struct State(pub(crate) u64);

impl State {
    /// Records claimed.
    pub(crate) fn records(self) -> u32 {
        ((self.0 & !SEALED) >> 32) as u32
    }

    /// Bytes claimed.
    #[expect(clippy::cast_possible_truncation, reason = "the low 32 bits are meant")]
    pub(crate) fn bytes(self) -> usize {
        self.0 as u32 as usize
    }

    /// Whether no more can be claimed.
    pub(crate) fn is_sealed(self) -> bool {
        self.0 & SEALED != 0
    }

    /// The same, sealed.
    pub(crate) fn sealed(self) -> Self {
        Self(self.0 | SEALED)
    }

    /// The same with so much more claimed. Neither half can overflow: the bytes are bounded by the
    /// capacity, and a record takes 24.
    pub(crate) fn plus(self, records: u32, bytes: usize) -> Self {
        Self(self.0 + (u64::from(records) << 32) + bytes as u64)
    }
}

/// The bit of a sealed segment.
pub(crate) const SEALED: u64 = 1 << 63;
