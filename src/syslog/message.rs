//! One log message: the fields of RFC 5424 as slices of whatever holds it.

use crate::limits::{PRI_DEFAULT, PRI_MAX};
pub use crate::syslog::timestamp::MadeTime;

/// Facility and severity in one number, 0 to 191 (RFC 5424, 6.2.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Pri(u8);

impl Pri {
    /// user.notice: what a message without a usable PRI is carried as.
    pub const DEFAULT: Self = Self(PRI_DEFAULT);

    /// The PRI `value`, or user.notice when it is above 191.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "at most PRI_MAX, and `try_from` is not const"
    )]
    pub const fn or_default(value: u32) -> Self {
        if value <= PRI_MAX as u32 {
            Self(value as u8)
        } else {
            Self::DEFAULT
        }
    }

    /// `<PRI>` at the front of `bytes`, and what stands behind it. A number above 191 is carried as
    /// user.notice.
    #[inline(always)] // What a call gives back stands in memory, and is waited for there.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let digit = |byte: u8| u32::from(byte - b'0');
        match *bytes {
            // Most have three digits, nearly all others two.
            [
                b'<',
                a @ b'0'..=b'9',
                b @ b'0'..=b'9',
                c @ b'0'..=b'9',
                b'>',
                ref behind @ ..,
            ] => {
                let number = digit(a) * 100 + digit(b) * 10 + digit(c);
                Some((Self::or_default(number), behind))
            }
            [
                b'<',
                a @ b'0'..=b'9',
                b @ b'0'..=b'9',
                b'>',
                ref behind @ ..,
            ] => Some((Self::or_default(digit(a) * 10 + digit(b)), behind)),
            _ => Self::read_long(bytes),
        }
    }

    /// `read` with any number of digits.
    #[cold]
    fn read_long(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let digits_on = bytes.strip_prefix(b"<")?;
        let mut number: u32 = 0;
        for (index, &byte) in digits_on.iter().enumerate() {
            match byte {
                b'0'..=b'9' => {
                    let digit = u32::from(byte - b'0');
                    number = number.saturating_mul(10).saturating_add(digit);
                }
                b'>' if 0 < index => {
                    return Some((Self::or_default(number), digits_on.get(index + 1..)?));
                }
                _ => return None,
            }
        }
        None
    }

    /// The bare number, 0 to 191.
    #[must_use]
    pub const fn value(self) -> u8 {
        self.0
    }

    /// Severity, 0 (emergency) to 7 (debug).
    #[must_use]
    pub const fn severity(self) -> u8 {
        self.0 & 7
    }
}

/// A TIMESTAMP: the sender's bytes, or one made here.
#[derive(Clone, Copy, Debug)]
pub enum Timestamp<'a> {
    /// As it came, whatever it is.
    Given(&'a [u8]),
    /// Made here, and written when it is needed.
    Made(MadeTime),
}

/// Room for the text of a TIMESTAMP that was made here.
pub type TimeText = [u8; MadeTime::BYTES_MAX];

/// Such room, with nothing in it.
pub const NO_TIME_TEXT: TimeText = [0; MadeTime::BYTES_MAX];

impl Timestamp<'_> {
    /// The timestamp's bytes; `room` holds them when it was made here.
    #[inline]
    pub fn text<'t>(&'t self, room: &'t mut TimeText) -> &'t [u8] {
        match self {
            Self::Given(bytes) => bytes,
            Self::Made(time) => time.write(room),
        }
    }

    /// How many bytes that are.
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Given(bytes) => bytes.len(),
            Self::Made(time) => time.bytes(),
        }
    }
}

/// A message. Every header field holds at least one byte (`-` is nil) and at most
/// `FIELD_BYTES_MAX`; `sd` is `-` or the elements as they came; `text` may hold any bytes.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Facility and severity.
    pub pri: Pri,
    /// Whether the text was cut at the frame limit.
    pub is_truncated: bool,
    /// TIMESTAMP.
    pub timestamp: Timestamp<'a>,
    /// HOSTNAME.
    pub hostname: &'a [u8],
    /// APP-NAME: the token as it came in, its source in a channel.
    pub app_name: &'a [u8],
    /// PROCID.
    pub procid: &'a [u8],
    /// MSGID.
    pub msgid: &'a [u8],
    /// STRUCTURED-DATA.
    pub sd: &'a [u8],
    /// MSG.
    pub text: &'a [u8],
}

/// What most readers are shown of a message, wherever it stands.
pub trait Fields {
    /// Facility and severity.
    fn pri(&self) -> Pri;
    /// TIMESTAMP; `room` holds it when it was made here.
    fn time<'t>(&'t self, room: &'t mut TimeText) -> &'t [u8];
    /// APP-NAME: in a channel, the source.
    fn app_name(&self) -> &[u8];
    /// PROCID.
    fn procid(&self) -> &[u8];
    /// MSG.
    fn text(&self) -> &[u8];
}

impl Fields for Message<'_> {
    fn pri(&self) -> Pri {
        self.pri
    }

    fn time<'t>(&'t self, room: &'t mut TimeText) -> &'t [u8] {
        self.timestamp.text(room)
    }

    fn app_name(&self) -> &[u8] {
        self.app_name
    }

    fn procid(&self) -> &[u8] {
        self.procid
    }

    fn text(&self) -> &[u8] {
        self.text
    }
}
