//! Redis' protocol, RESP2: commands out, replies in. Pure. Its own since the crates that speak it
//! keep neither a bound on a reply nor the program's TLS.

use crate::limits::REDIS_REPLY_BYTES_MAX;
use crate::limits::REDIS_REPLY_DEPTH_MAX;

/// A reply.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Reply {
    /// `+…` or `$…`: any bytes.
    Text(Vec<u8>),
    /// `:…`
    Number(i64),
    /// `*…`
    List(Vec<Reply>),
    /// `$-1` or `*-1`
    Nil,
    /// `-…`: a word in capitals, and what it is about.
    Error(String),
}

/// Why bytes are no reply.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RespError {
    /// It begins with something else.
    #[error("the answer is not Redis' protocol")]
    Invalid,
    /// It is longer than anything that is asked for.
    #[error("the answer is longer than {REDIS_REPLY_BYTES_MAX} bytes")]
    TooLong,
}

impl Reply {
    /// The text, if it is one.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Text(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        }
    }

    /// The number, if it is one.
    #[must_use]
    pub const fn number(&self) -> Option<i64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The list, if it is one.
    #[must_use]
    pub fn list(&self) -> Option<&[Self]> {
        match self {
            Self::List(list) => Some(list),
            _ => None,
        }
    }
}

/// A command's bytes.
#[must_use]
pub(crate) fn command(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    bytes
}

/// The reply at the front of `bytes`, and how many it takes; `None` while its end is missing.
///
/// # Errors
/// When no more bytes would make it one.
pub fn parse(bytes: &[u8]) -> Result<Option<(Reply, usize)>, RespError> {
    let mut rest = bytes;
    match read(&mut rest, 0) {
        Ok(reply) => Ok(Some((reply, bytes.len() - rest.len()))),
        Err(Stop::Incomplete) if bytes.len() < REDIS_REPLY_BYTES_MAX => Ok(None),
        Err(Stop::Incomplete) => Err(RespError::TooLong),
        Err(Stop::Wrong(error)) => Err(error),
    }
}

/// Why reading stopped.
enum Stop {
    Incomplete,
    Wrong(RespError),
}

const INVALID: Stop = Stop::Wrong(RespError::Invalid);

fn read(rest: &mut &[u8], depth: usize) -> Result<Reply, Stop> {
    let (&kind, _) = rest.split_first().ok_or(Stop::Incomplete)?;
    if !b"+-:$*".contains(&kind) || REDIS_REPLY_DEPTH_MAX < depth {
        return Err(INVALID);
    }
    let line = line(rest)?;
    let text = line.get(1..).unwrap_or_default();
    match kind {
        b'+' => Ok(Reply::Text(text.to_vec())),
        b'-' => Ok(Reply::Error(String::from_utf8_lossy(text).into_owned())),
        b':' => Ok(Reply::Number(number(text)?)),
        b'$' => match count(text)? {
            None => Ok(Reply::Nil),
            Some(length) => {
                let (text, behind) = rest.split_at_checked(length).ok_or(Stop::Incomplete)?;
                match behind {
                    [b'\r', b'\n', behind @ ..] => *rest = behind,
                    [] | [b'\r'] => return Err(Stop::Incomplete),
                    _ => return Err(INVALID),
                }
                Ok(Reply::Text(text.to_vec()))
            }
        },
        _ => match count(text)? {
            None => Ok(Reply::Nil),
            Some(length) => {
                let mut list = Vec::new();
                for _ in 0..length {
                    list.push(read(rest, depth + 1)?);
                }
                Ok(Reply::List(list))
            }
        },
    }
}

/// Takes a line; without its end.
fn line<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Stop> {
    let end = memchr::memchr(b'\n', rest).ok_or(Stop::Incomplete)?;
    let (line, behind) = rest.split_at(end + 1);
    *rest = behind;
    line.strip_suffix(b"\r\n").ok_or(INVALID)
}

fn number(text: &[u8]) -> Result<i64, Stop> {
    let text = str::from_utf8(text).map_err(|_| INVALID)?;
    text.parse().map_err(|_| INVALID)
}

/// A length; `None` for -1, which stands for nothing.
fn count(text: &[u8]) -> Result<Option<usize>, Stop> {
    match number(text)? {
        -1 => Ok(None),
        length => match usize::try_from(length) {
            Ok(length) if length <= REDIS_REPLY_BYTES_MAX => Ok(Some(length)),
            Ok(_) => Err(Stop::Wrong(RespError::TooLong)),
            Err(_) => Err(INVALID),
        },
    }
}

/// Reads anything as replies; what is a whole one is the same in pieces.
#[cfg(any(fuzzing, test))]
pub fn fuzz_resp(bytes: &[u8]) {
    if let Ok(Some((reply, used))) = parse(bytes) {
        assert!((1..=bytes.len()).contains(&used));
        let front = bytes.get(..used).unwrap_or_default();
        assert_eq!(parse(front), Ok(Some((reply, used))));
        let shorter = front.get(..used - 1).unwrap_or_default();
        assert_eq!(parse(shorter), Ok(None));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn commands_are_lists_of_texts() {
        let expected = b"*3\r\n$7\r\nSLOWLOG\r\n$3\r\nGET\r\n$2\r\n10\r\n";
        assert_eq!(command(&["SLOWLOG", "GET", "10"]), expected);
        assert_eq!(
            command(&["AUTH", "pä"]),
            "*2\r\n$4\r\nAUTH\r\n$3\r\npä\r\n".as_bytes()
        );
    }

    #[test]
    fn replies_are_read_whole_or_not_at_all() {
        let text = |text: &str| Reply::Text(text.as_bytes().to_vec());
        for (bytes, expected) in [
            ("+OK\r\n", text("OK")),
            (":-7\r\n", Reply::Number(-7)),
            ("$5\r\na\r\nbc\r\n", text("a\r\nbc")),
            ("$0\r\n\r\n", text("")),
            ("$-1\r\n", Reply::Nil),
            ("*-1\r\n", Reply::Nil),
            ("-ERR no\r\n", Reply::Error("ERR no".to_owned())),
            (
                "*2\r\n:1\r\n*1\r\n+a\r\n",
                Reply::List(vec![Reply::Number(1), Reply::List(vec![text("a")])]),
            ),
        ] {
            let longer = format!("{bytes}+x");
            assert_eq!(parse(longer.as_bytes()), Ok(Some((expected, bytes.len()))));
            for end in 0..bytes.len() {
                assert_eq!(parse(&bytes.as_bytes()[..end]), Ok(None), "{bytes} {end}");
            }
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        let deep = "*1\r\n".repeat(REDIS_REPLY_DEPTH_MAX + 2);
        for bytes in [
            "HTTP/1.1",
            "+a\n",
            ":x\r\n",
            "$-2\r\n",
            "$1\r\nabc",
            "*x\r\n",
            &deep,
        ] {
            assert_eq!(parse(bytes.as_bytes()), Err(RespError::Invalid), "{bytes}");
        }
        let long = format!("${}\r\n", REDIS_REPLY_BYTES_MAX + 1);
        assert_eq!(parse(long.as_bytes()), Err(RespError::TooLong));
        let endless = "*1000\r\n$0\r\n\r\n"
            .as_bytes()
            .repeat(REDIS_REPLY_BYTES_MAX / 10);
        assert!(parse(&endless).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(text in "([+$*:-]|[0-3]|-1|\r\n|[a\u{e4}]){0,20}") {
            fuzz_resp(text.as_bytes());
        }
    }
}
