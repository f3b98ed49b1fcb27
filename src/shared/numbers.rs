//! Numbers formatted for people, the same in the program's messages and in the files that the library writes.

/// `1,281,167`
#[must_use]
pub fn thousands(number: usize) -> String {
    grouped(number as u64)
}

/// `1 byte`, `12 bytes`, `3.4 MB`: SI units, at most three significant digits.
#[must_use]
pub fn bytes(number: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if number < 1000 {
        return exact_bytes(number);
    }
    let mut size = number as f64 / 1e3;
    let mut unit = 0;
    // 999.5 kB is written as 1.0 MB.
    while size >= 999.5 && unit + 1 < UNITS.len() {
        size /= 1e3;
        unit += 1;
    }
    // 99.95 is written as 100.
    let decimals = usize::from(size < 99.95);
    format!("{size:.decimals$} {}", UNITS[unit])
}

/// `1 byte`, `79,975 bytes`: for sizes that are compared.
#[must_use]
pub fn exact_bytes(number: u64) -> String {
    format!("{} byte{}", grouped(number), if number == 1 { "" } else { "s" })
}

fn grouped(number: u64) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped() {
        assert_eq!([0, 999, 1000, 1_281_167].map(thousands), ["0", "999", "1,000", "1,281,167"]);
        assert_eq!([0, 1, 79_975].map(exact_bytes), ["0 bytes", "1 byte", "79,975 bytes"]);
    }

    #[test]
    fn sizes_have_at_most_three_significant_digits() {
        for (number, expected) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (999, "999 bytes"),
            (1000, "1.0 kB"),
            (34_000, "34.0 kB"),
            (99_949, "99.9 kB"),
            (99_950, "100 kB"),
            (999_499, "999 kB"),
            (999_500, "1.0 MB"),
            (999_900, "1.0 MB"),
            (3_400_000, "3.4 MB"),
            (999_499_999, "999 MB"),
            (999_500_000, "1.0 GB"),
            (34_000_000_000, "34.0 GB"),
            (999_999_999_999, "1.0 TB"),
            (1_500_000_000_000_000, "1.5 PB"),
            (u64::MAX, "18447 PB"),
        ] {
            assert_eq!(bytes(number), expected, "{number}");
        }
    }
}
