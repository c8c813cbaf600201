//! Units that can be converted into each other: of time and of size.

/// What a unit measures.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Dimension {
    Time,
    Size,
}

/// A unit by the smallest of its dimension: nanoseconds, bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Unit {
    pub(crate) dimension: Dimension,
    pub(crate) factor: f64,
}

impl Unit {
    pub(crate) const BYTE: Self = size(0);

    /// The unit of this name, which is told apart by case as its writers do. `kB` and `MB` are 1024
    /// and 1024² bytes: so the kernel, PostgreSQL and Heroku's samples use them.
    pub(crate) fn named(name: &[u8]) -> Option<Self> {
        let unit = match name {
            b"ns" => time(1.0),
            b"us" | b"\xc2\xb5s" | b"\xce\xbcs" => time(1e3),
            b"ms" => time(1e6),
            b"s" | b"sec" => time(1e9),
            b"m" | b"min" => time(60e9),
            b"h" => time(3_600e9),
            b"d" => time(86_400e9),
            b"B" | b"byte" | b"bytes" => size(0),
            b"kB" | b"KB" | b"KiB" => size(1),
            b"MB" | b"MiB" => size(2),
            b"GB" | b"GiB" => size(3),
            b"TB" | b"TiB" => size(4),
            _ => return None,
        };
        Some(unit)
    }
}

const fn time(factor: f64) -> Unit {
    Unit {
        dimension: Dimension::Time,
        factor,
    }
}

const fn size(power: u32) -> Unit {
    Unit {
        dimension: Dimension::Size,
        factor: 1024_u64.pow(power) as f64,
    }
}
