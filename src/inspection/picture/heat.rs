//! Probabilities as colours.

use crate::inspection::inspect::Rgb;

/// Stops of matplotlib's `viridis` (CC0) at even steps: even to the eye, and in the same order for people who see fewer
/// colours.
const STOPS: [[u8; 3]; 9] = [
    [0x44, 0x01, 0x54],
    [0x47, 0x2d, 0x7b],
    [0x3b, 0x52, 0x8b],
    [0x2c, 0x72, 0x8e],
    [0x21, 0x91, 0x8c],
    [0x28, 0xae, 0x80],
    [0x5e, 0xc9, 0x62],
    [0xad, 0xdc, 0x30],
    [0xfd, 0xe7, 0x25],
];

/// The colour of a probability, 0 to 1.
pub(super) fn heat_color(prob: f32) -> Rgb {
    let place = prob.clamp(0.0, 1.0) * (STOPS.len() - 1) as f32;
    let below = (place as usize).min(STOPS.len() - 2);
    let share = place - below as f32;
    let mut color = [0; 3];
    for (channel, value) in color.iter_mut().enumerate() {
        let (low, high) = (f32::from(STOPS[below][channel]), f32::from(STOPS[below + 1][channel]));
        *value = (low + (high - low) * share).round() as u8;
    }
    Rgb(color)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_run_from_the_first_stop_to_the_last() {
        assert_eq!([0.0, 0.5, 1.0, 7.0].map(heat_color), [STOPS[0], STOPS[4], STOPS[8], STOPS[8]].map(Rgb));
        assert_eq!(heat_color(f32::NAN), Rgb([0, 0, 0]), "no number is no probability, and no panic");
    }
}
