//! CMYK to RGB, as PIL converts it.

/// Converts CMYK samples from libjpeg to RGB.
///
/// PIL reads CMYK JPEGs inverted (`rawmode "CMYK;I"`), regardless of the Adobe marker.
pub(super) fn to_rgb(inverted: &[u8]) -> Vec<u8> {
    let (pixels, _) = inverted.as_chunks::<4>();
    pixels.iter().flat_map(|pixel| ink_to_rgb(pixel.map(|sample| 255 - sample))).collect()
}

/// `cmyk2rgb` of Pillow's `Convert.c`: `(255 - k) - MULDIV255(c, 255 - k)`.
pub(super) fn ink_to_rgb([c, m, y, k]: [u8; 4]) -> [u8; 3] {
    let white = 255 - u32::from(k);
    [c, m, y].map(|ink| (white - muldiv255(u32::from(ink), white)) as u8)
}

/// Pillow's `MULDIV255`: `a * b / 255`, rounded.
fn muldiv255(a: u32, b: u32) -> u32 {
    let product = a * b + 128;
    ((product >> 8) + product) >> 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn muldiv255_rounds_exactly() {
        for a in 0..=255 {
            for b in 0..=255 {
                assert_eq!(muldiv255(a, b), (f64::from(a * b) / 255.0).round() as u32, "{a} {b}");
            }
        }
    }

    #[test]
    fn inverted_cmyk_becomes_rgb() {
        assert_eq!(to_rgb(&[255, 255, 255, 255, 0, 0, 0, 0, 0, 255, 255, 255]), [255, 255, 255, 0, 0, 0, 0, 255, 255]);
    }
}
