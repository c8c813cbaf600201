//! Writing short fields and numbers: a call for each would cost more than its bytes.

/// Copies `from` to the front of `to`; gives what of `to` is behind it. What is longer than `to` is
/// not copied, and nothing is behind it.
#[inline]
#[must_use]
pub fn put<'t>(to: &'t mut [u8], from: &[u8]) -> &'t mut [u8] {
    let Some((here, behind)) = to.split_at_mut_checked(from.len()) else {
        return &mut [];
    };
    match from.len() {
        8.. => put_long(here, from),
        4.. => put_ends::<4>(here, from),
        2.. => put_ends::<2>(here, from),
        _ => put_ends::<1>(here, from),
    }
    behind
}

/// The same with one byte.
#[inline]
#[must_use]
pub fn put_byte(to: &mut [u8], byte: u8) -> &mut [u8] {
    let Some((here, behind)) = to.split_first_mut() else {
        return &mut [];
    };
    *here = byte;
    behind
}

/// How many digits `number` has.
#[inline]
#[must_use]
pub fn digits_of(number: usize) -> usize {
    match number {
        0..=9 => 1,
        10..=99 => 2,
        100..=999 => 3,
        1_000..=9_999 => 4,
        10_000.. => 4 + digits_of(number / 10_000),
    }
}

/// `put` with the digits of `number`.
#[inline]
#[must_use]
pub fn put_number(to: &mut [u8], number: usize) -> &mut [u8] {
    let mut to = to;
    if 1_000 <= number {
        to = put_number(to, number / 1_000);
    }
    if 100 <= number {
        to = put_digit(to, number / 100);
    }
    if 10 <= number {
        to = put_digit(to, number / 10);
    }
    put_digit(to, number)
}

/// `put_byte` with the last digit of `number`.
#[inline]
fn put_digit(to: &mut [u8], number: usize) -> &mut [u8] {
    put_byte(to, b'0' + u8::try_from(number % 10).unwrap_or_default())
}

/// `put` from eight bytes on; both are of one length.
#[inline]
fn put_long(to: &mut [u8], from: &[u8]) {
    match from.len() {
        65.. => to.copy_from_slice(from),
        32.. => put_ends::<32>(to, from),
        16.. => put_ends::<16>(to, from),
        _ => put_ends::<8>(to, from),
    }
}

/// Copies the first and the last `N` bytes, which may overlap; nothing when there are not so many.
#[inline]
fn put_ends<const N: usize>(to: &mut [u8], from: &[u8]) {
    if let (Some(to), Some(from)) = (to.first_chunk_mut::<N>(), from.first_chunk()) {
        *to = *from;
    }
    if let (Some(to), Some(from)) = (to.last_chunk_mut::<N>(), from.last_chunk()) {
        *to = *from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_length() {
        let powers = (0..20).map(|power| 10_usize.pow(power));
        let around = powers.flat_map(|power| [power - 1, power, power + 1, power / 10 * 17]);
        for number in around.chain([usize::MAX]) {
            let text = number.to_string();
            let mut room = [b'x'; 24];
            let behind = put_number(&mut room, number);
            assert_eq!(
                (behind.len(), digits_of(number)),
                (24 - text.len(), text.len())
            );
            assert_eq!(&room[..text.len()], text.as_bytes());
        }
    }

    #[test]
    fn every_length_up_to_a_call() {
        let from: Vec<u8> = (1..=100).collect();
        for length in 0..=from.len() {
            let mut room = [0; 101];
            let behind = put(&mut room, &from[..length]);
            assert_eq!(behind.len(), 101 - length);
            assert_eq!(room[..length], from[..length]);
            assert!(room[length..].iter().all(|&byte| byte == 0), "{length}");
        }
        let mut room = [0; 3];
        assert!(put(&mut room, b"four").is_empty());
        assert_eq!(room, [0; 3]);
        assert_eq!(put_byte(&mut room, 7).len(), 2);
        assert_eq!(room, [7, 0, 0]);
        assert!(put_byte(&mut [], 7).is_empty());
    }
}
