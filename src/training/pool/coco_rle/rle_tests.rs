use proptest::prelude::*;

use super::*;

fn size(height: usize, width: usize) -> MaskSize {
    MaskSize::new(height, width).unwrap()
}

/// Encodes counts as `from_compressed` documents it.
fn compressed(counts: &[i64]) -> Vec<u8> {
    let mut text = Vec::new();
    for (at, &count) in counts.iter().enumerate() {
        let mut number = if at > 2 { count - counts[at - 2] } else { count };
        loop {
            let digit = (number & 0x1f) as u8;
            number >>= 5;
            let is_last = number == if digit & 0x10 == 0 { 0 } else { -1 };
            text.push(48 + digit + if is_last { 0 } else { 0x20 });
            if is_last {
                break;
            }
        }
    }
    text
}

#[test]
fn compressed_counts_of_pycocotools_are_decoded() {
    for (height, width, text, counts) in PYCOCOTOOLS {
        let mask = CocoRle::from_compressed(size(height, width), text.as_bytes()).unwrap();
        assert_eq!(mask, CocoRle::from_counts(size(height, width), counts).unwrap(), "{text}");
        assert_eq!(compressed(counts), text.as_bytes());
    }
}

#[test]
fn pixels_are_counted_column_by_column() {
    let mask = CocoRle::from_counts(size(4, 5), &[5, 2, 2, 2, 2, 2, 5]).unwrap();
    let pixels = mask.pixels_at(&[0, 1, 2, 3], &[0, 1, 2, 3, 4]);
    let columns: Vec<_> = pixels.chunks(4).map(<[bool]>::to_vec).collect();
    let inside = vec![false, true, true, false];
    assert_eq!(columns, [vec![false; 4], inside.clone(), inside.clone(), inside, vec![false; 4]]);
}

#[test]
fn damaged_counts_are_errors() {
    let of = |counts: &[i64]| CocoRle::from_counts(size(4, 5), counts).unwrap_err();
    assert_eq!(of(&[5, 2, 12]), MaskError::RunLengths { found: 19, size: size(4, 5) });
    assert_eq!(of(&[5, 16]), MaskError::RunLengths { found: 21, size: size(4, 5) });
    assert_eq!(of(&[]), MaskError::RunLengths { found: 0, size: size(4, 5) });
    assert_eq!(of(&[5, -2, 17]), MaskError::Count { at: 1, count: -2, size: size(4, 5) });
    assert_eq!(of(&[i64::MAX, 2]), MaskError::Count { at: 0, count: i64::MAX, size: size(4, 5) });
    assert_eq!(of(&[20]), MaskError::Empty);
    assert_eq!(of(&[12, 0, 8]), MaskError::Empty);
    // The size is part of the encoding: height and width are not interchangeable, and other sizes do not fit.
    assert!(CocoRle::from_counts(size(5, 5), &[5, 2, 13]).is_err());
}

#[test]
fn damaged_text_is_an_error() {
    let of = |text: &[u8]| CocoRle::from_compressed(size(4, 5), text).unwrap_err();
    assert_eq!(of(b"52 0"), MaskError::Character { at: 2, byte: b' ' });
    assert_eq!(of(b"52\xc3\xa9"), MaskError::Character { at: 2, byte: 0xc3 });
    assert_eq!(of(b"52p"), MaskError::Character { at: 2, byte: b'p' });
    assert_eq!(of(b"52P"), MaskError::Truncated(2));
    assert_eq!(of(b"52PPPPPPPPPPPPP0"), MaskError::Digits(2));
    assert_eq!(of(b"N"), MaskError::Count { at: 0, count: -2, size: size(4, 5) });
    assert_eq!(of(b""), MaskError::RunLengths { found: 0, size: size(4, 5) });
    assert_eq!(of(b"5"), MaskError::RunLengths { found: 5, size: size(4, 5) });
    for sides in [(0, 5), (5, 0), (65_536, 1)] {
        assert!(matches!(MaskSize::new(sides.0, sides.1), Err(MaskError::Size { .. })));
    }
}

proptest! {
    #[test]
    fn compressed_counts_are_the_counts(height in 1..300_usize, lengths in prop::collection::vec(0..2000_i64, 1..60)) {
        let mut counts = [&[0, 1], &lengths[..]].concat();
        let total: i64 = counts.iter().sum();
        let width = (total as usize).div_ceil(height).max(1);
        counts.push((height * width) as i64 - total);
        let mask = CocoRle::from_compressed(size(height, width), &compressed(&counts)).unwrap();
        prop_assert_eq!(mask, CocoRle::from_counts(size(height, width), &counts).unwrap());
    }

    #[test]
    fn any_text_is_a_mask_or_an_error(text in prop::collection::vec(prop_oneof![9 => 48..112_u8, 1 => any::<u8>()], 0..30)) {
        if let Ok(mask) = CocoRle::from_compressed(size(9, 11), &text) {
            let all = mask.pixels_at(&(0..9).collect::<Vec<_>>(), &(0..11).collect::<Vec<_>>());
            prop_assert!(all.contains(&true));
        }
    }
}

/// Height, width, and what `pycocotools.mask.encode` (2.0.11) returns for masks with these counts.
const PYCOCOTOOLS: [(usize, usize, &str, &[i64]); 4] = [
    (4, 5, "5220003", &[5, 2, 2, 2, 2, 2, 5]),
    (3, 2, "06", &[0, 6]),
    (
        480,
        640,
        "P_Y4a4d9f1cNT1ROh0ZOd0@<G6L20N4J9D`0\\Of0XOn0lN]1ZNk`k4",
        &[
            140_768, 145, 308, 199, 263, 235, 233, 259, 211, 279, 195, 291, 186, 297, 182, 299, 182, 297, 186, 291,
            195, 279, 211, 259, 233, 235, 263, 199, 308, 145, 159_567,
        ],
    ),
    (40, 3, "01W1000O0", &[0, 1, 39, 1, 39, 1, 38, 1]),
];
