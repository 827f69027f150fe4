//! Sizes and counts, as people write and read them.

/// Reads a number of bytes: `4096`, `64KiB`, `4M`, `1.5GB`. Without an `i`, a two-letter suffix is a power of ten.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.find(|character: char| character.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let unit: u64 = match suffix.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return Err(format!("{suffix:?} is no unit: use KiB, MiB or GiB")),
    };
    let bytes = match number.trim().parse::<u64>() {
        Ok(whole) => whole.checked_mul(unit),
        Err(_) => match number.trim().parse::<f64>() {
            Ok(broken) if broken >= 0.0 && broken * (unit as f64) < u64::MAX as f64 => {
                Some((broken * unit as f64) as u64)
            }
            _ => return Err("a size is a number with a unit, such as 64KiB".to_owned()),
        },
    };
    match bytes {
        Some(0) => Err("it must not be zero".to_owned()),
        Some(bytes) => Ok(bytes),
        None => Err("it is too large".to_owned()),
    }
}

/// `4 MiB`, `1.5 KiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    let units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if value.fract() == 0.0 { format!("{value} {}", units[unit]) } else { format!("{value:.1} {}", units[unit]) }
}

/// `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `3.2 s`, `5 min`, `2 h`, `3 d`.
pub(crate) fn age(seconds: f64) -> String {
    match seconds {
        s if s < 60.0 => format!("{s:.1} s"),
        s if s < 3600.0 => format!("{:.0} min", s / 60.0),
        s if s < 86_400.0 => format!("{:.1} h", s / 3600.0),
        s => format!("{:.1} d", s / 86_400.0),
    }
}

/// `85 ns`, `1.2 µs`, `3.4 ms`.
pub(crate) fn nanoseconds(nanoseconds: u64) -> String {
    let value = nanoseconds as f64;
    match nanoseconds {
        0..1_000 => format!("{nanoseconds} ns"),
        1_000..1_000_000 => format!("{:.1} µs", value / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} ms", value / 1e6),
        _ => format!("{:.1} s", value / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_and_without_units() {
        for (text, expected) in [
            ("1", 1),
            ("4096", 4096),
            ("64KiB", 65_536),
            ("64k", 65_536),
            ("4 MiB", 4 << 20),
            ("1.5KiB", 1536),
            ("2GB", 2_000_000_000),
            ("1g", 1 << 30),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
        for text in ["", "0", "KiB", "12parsecs", "-1", "99999999999999999999", "16777216TiB", "0.1", "nan"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(bytes(512), "512 bytes");
        assert_eq!(bytes(4 << 20), "4 MiB");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(58_325), "58,325");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(nanoseconds(85), "85 ns");
        assert_eq!(nanoseconds(1_260), "1.3 µs");
    }
}
