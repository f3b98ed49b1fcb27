//! Numbers for people, the same in what the program says and in what the library writes.

/// `1,281,167`
#[must_use]
pub fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `12 bytes`, `3.4 MB`, `345 GB`: SI units, at most three significant digits.
#[must_use]
pub fn bytes(number: u64) -> String {
    if number < 1000 {
        return format!("{number} bytes");
    }
    let mut scaled = number as f64 / 1e3;
    let mut units = ["kB", "MB", "GB", "TB"].into_iter().peekable();
    let mut unit = units.next().unwrap_or_default();
    while scaled >= 999.5 && units.peek().is_some() {
        scaled /= 1e3;
        unit = units.next().unwrap_or_default();
    }
    if scaled < 99.95 { format!("{scaled:.1} {unit}") } else { format!("{scaled:.0} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1000, 1_281_167].map(thousands), ["0", "999", "1,000", "1,281,167"]);
        assert_eq!([12, 3_400, 34_000, 999_600].map(bytes), ["12 bytes", "3.4 kB", "34.0 kB", "1.0 MB"]);
        assert_eq!([345_000_000, 3_400_000_000, u64::MAX].map(bytes), ["345 MB", "3.4 GB", "18446744 TB"]);
    }
}
