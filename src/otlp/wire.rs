//! Protobuf's wire format, one message at a time: the outer messages of a request are walked, so that
//! only one record is decoded at once.

use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use crate::otlp::request::RequestError;

/// One field whose length is written in front of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Field<'a> {
    /// Its number.
    pub(crate) number: u32,
    /// What it holds.
    pub(crate) bytes: &'a [u8],
}

/// The fields of a message that have a length, in their order; others are passed over.
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// The fields of `message`.
    pub(crate) const fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// The next field; `None` at the end.
    ///
    /// # Errors
    /// The bytes are no message.
    pub(crate) fn next(&mut self) -> Result<Option<Field<'a>>, RequestError> {
        while !self.rest.is_empty() {
            let (number, wire_type) = decode_key(&mut self.rest)?;
            if wire_type != WireType::LengthDelimited {
                skip_field(wire_type, number, &mut self.rest, DecodeContext::default())?;
                continue;
            }
            let length = decode_varint(&mut self.rest)?;
            let (bytes, rest) = usize::try_from(length)
                .ok()
                .and_then(|length| self.rest.split_at_checked(length))
                .ok_or(RequestError::CutOff)?;
            self.rest = rest;
            return Ok(Some(Field { number, bytes }));
        }
        Ok(None)
    }
}
