//! Severities by their names (RFC 5424, 6.2.1), as `syslog.conf` and most programs write them.

/// The name of a severity of 0 to 7.
#[must_use]
pub fn name(severity: u8) -> &'static str {
    NAMES.get(usize::from(severity)).copied().unwrap_or("")
}

/// The severity that `name`, in upper or lower case, is one of the names of.
#[must_use]
pub fn of_name(name: &[u8]) -> Option<u8> {
    Some(match name.to_ascii_lowercase().as_slice() {
        b"emerg" | b"emergency" | b"panic" => 0,
        b"alert" => 1,
        b"crit" | b"critical" => 2,
        b"err" | b"error" => 3,
        b"warn" | b"warning" => 4,
        b"notice" => 5,
        b"info" => 6,
        b"debug" => 7,
        _ => return None,
    })
}

const NAMES: [&str; 8] = [
    "emerg", "alert", "crit", "err", "warning", "notice", "info", "debug",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for severity in 0..8 {
            assert_eq!(of_name(name(severity).as_bytes()), Some(severity));
        }
        assert_eq!(of_name(b"ERROR"), Some(3));
        assert_eq!(of_name(b"loud"), None);
        assert_eq!(name(8), "");
    }
}
