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

/// `12 bytes`, `3.4 MB`
#[must_use]
pub fn bytes(number: u64) -> String {
    match number {
        0..10_000 => format!("{number} bytes"),
        10_000..10_000_000 => format!("{:.0} kB", number as f64 / 1e3),
        10_000_000..10_000_000_000 => format!("{:.1} MB", number as f64 / 1e6),
        _ => format!("{:.1} GB", number as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1000, 1_281_167].map(thousands), ["0", "999", "1,000", "1,281,167"]);
        assert_eq!([12, 34_000, 3_400_000_000].map(bytes), ["12 bytes", "34 kB", "3400.0 MB"]);
        assert_eq!(bytes(34_000_000_000), "34.0 GB");
    }
}
