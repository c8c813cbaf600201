//! The reader a second time, byte by byte and with copies: what the fast one is compared with.

/// A pair, its value decoded. `None` is a flag; the word says how the value stood there.
pub(crate) type Pair = (Vec<u8>, Option<(&'static str, Vec<u8>)>);

pub(crate) fn pairs(line: &[u8]) -> Vec<Pair> {
    let mut pairs = Vec::new();
    let mut rest: Vec<u8> = line.to_vec();
    rest.reverse();
    // `rest` gives the line's bytes from its end on: `pop` is the next one.
    while let Some(next) = rest.pop() {
        match next {
            b'=' => drop(value(&mut rest)),
            b'"' => {
                let mut behind = rest.clone();
                if quoted(&mut behind).1 {
                    rest = behind;
                }
            }
            0..=32 => {}
            _ => {
                let mut key = vec![next];
                while let Some(byte) = rest.pop_if(|byte| 32 < *byte && !b"=\"".contains(byte)) {
                    key.push(byte);
                }
                let has_value = rest.pop_if(|byte| *byte == b'=').is_some();
                pairs.push((key, has_value.then(|| value(&mut rest))));
            }
        }
    }
    pairs
}

fn value(rest: &mut Vec<u8>) -> (&'static str, Vec<u8>) {
    if rest.pop_if(|byte| *byte == b'"').is_some() {
        let (raw, is_closed) = quoted(rest);
        let form = if is_closed { "quoted" } else { "truncated" };
        return (form, decoded(&raw));
    }
    let mut plain = Vec::new();
    while let Some(byte) = rest.pop_if(|byte| 32 < *byte) {
        plain.push(byte);
    }
    ("plain", plain)
}

/// What stands in front of the closing quote, or of the end; and whether there is a closing quote.
fn quoted(rest: &mut Vec<u8>) -> (Vec<u8>, bool) {
    let mut raw = Vec::new();
    while let Some(byte) = rest.pop() {
        match byte {
            b'"' => return (raw, true),
            b'\\' => {
                raw.push(byte);
                raw.extend(rest.pop());
            }
            _ => raw.push(byte),
        }
    }
    (raw, false)
}

/// An escape is what a reader of JSON takes for one: 2 bytes, 6, or 12.
fn decoded(raw: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    let mut index = 0;
    while let Some(&byte) = raw.get(index) {
        let meaning = |length: usize| {
            let escape = str::from_utf8(raw.get(index..index + length)?).ok()?;
            let meaning: String = serde_json::from_str(&format!("\"{escape}\"")).ok()?;
            Some((meaning, length))
        };
        let escapes = if byte == b'\\' { &[2, 6, 12][..] } else { &[] };
        if let Some((meaning, length)) = escapes.iter().copied().find_map(meaning) {
            text.extend_from_slice(meaning.as_bytes());
            index += length;
        } else {
            text.push(byte);
            index += 1;
        }
    }
    text
}
