//! Colours and letters that mark classes, the same in the terminal, in pictures and on pages.

use super::regions::Region;

/// An sRGB colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rgb(pub [u8; 3]);

/// Sixteen colours that people with protanopia, deuteranopia or tritanopia can tell apart. They maximise the minimum
/// distance in `OKLab` under Machado's (2009) simulation of each deficiency; a unit test verifies it.
pub const PALETTE: [Rgb; 16] = [
    Rgb([242, 227, 47]),
    Rgb([99, 26, 227]),
    Rgb([64, 212, 166]),
    Rgb([117, 60, 5]),
    Rgb([142, 173, 238]),
    Rgb([204, 125, 30]),
    Rgb([27, 87, 90]),
    Rgb([153, 97, 252]),
    Rgb([171, 123, 119]),
    Rgb([198, 211, 253]),
    Rgb([100, 36, 154]),
    Rgb([230, 172, 61]),
    Rgb([85, 142, 195]),
    Rgb([151, 97, 40]),
    Rgb([146, 249, 176]),
    Rgb([107, 89, 153]),
];

/// Letters of the classes that win the most cells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassLetters {
    classes: Vec<u32>,
}

impl ClassLetters {
    /// Maximum number of classes with letters.
    pub const MAX: usize = 8;

    /// Assigns letters to the classes of the first regions.
    #[must_use]
    pub fn new(regions: &[Region]) -> Self {
        Self { classes: regions.iter().take(Self::MAX).map(|region| region.class).collect() }
    }

    /// Returns the letter of a class: `A` for the class of the first region.
    #[must_use]
    pub fn letter(&self, class: u32) -> Option<char> {
        let at = self.classes.iter().position(|known| *known == class)?;
        Some(char::from(b'A' + at as u8))
    }
}

/// Returns the colour of a class. Classes with ids close to each other, such as breeds of dogs, have different colours.
/// Classes further apart may share one, so colours are shown with letters or names.
#[must_use]
pub fn class_color(class: u32) -> Rgb {
    PALETTE[class as usize * 7 % PALETTE.len()]
}

impl Rgb {
    /// Returns black or white, whichever has the higher contrast with this colour (WCAG 2).
    #[must_use]
    pub fn ink(self) -> Self {
        let luminance = self.luminance();
        let (on_black, on_white) = ((luminance + 0.05) / 0.05, 1.05 / (luminance + 0.05));
        if on_black >= on_white { Self([0; 3]) } else { Self([255; 3]) }
    }

    fn luminance(self) -> f64 {
        let [r, g, b] = self.linear();
        0.2126 * r + 0.7152 * g + 0.0722 * b
    }

    fn linear(self) -> [f64; 3] {
        self.0.map(|channel| {
            let value = f64::from(channel) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Matrix = [[f64; 3]; 3];
    const NORMAL: Matrix = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    // Machado, Oliveira and Fernandes (2009), severity 1.0, linear RGB.
    const PROTANOPIA: Matrix =
        [[0.152_286, 1.052_583, -0.204_868], [0.114_503, 0.786_281, 0.099_216], [-0.003_882, -0.048_116, 1.051_998]];
    const DEUTERANOPIA: Matrix =
        [[0.367_322, 0.860_646, -0.227_968], [0.280_085, 0.672_501, 0.047_413], [-0.011_820, 0.042_940, 0.968_881]];
    const TRITANOPIA: Matrix =
        [[1.255_528, -0.076_749, -0.178_779], [-0.078_411, 0.930_809, 0.147_602], [0.004_733, 0.691_367, 0.303_900]];

    fn times(matrix: &Matrix, vector: [f64; 3]) -> [f64; 3] {
        matrix.map(|row| row.iter().zip(vector).map(|(factor, value)| factor * value).sum())
    }

    fn oklab(linear: [f64; 3]) -> [f64; 3] {
        let cones = times(
            &[
                [0.412_221_470_8, 0.536_332_536_3, 0.051_445_992_9],
                [0.211_903_498_2, 0.680_699_545_1, 0.107_396_956_6],
                [0.088_302_461_9, 0.281_718_837_6, 0.629_978_700_5],
            ],
            linear,
        );
        times(
            &[
                [0.210_454_255_3, 0.793_617_785_0, -0.004_072_046_8],
                [1.977_998_495_1, -2.428_592_205_0, 0.450_593_709_9],
                [0.025_904_037_1, 0.782_771_766_2, -0.808_675_766_0],
            ],
            cones.map(f64::cbrt),
        )
    }

    #[test]
    fn colours_differ_with_every_colour_vision() {
        for (vision, min_distance) in [(NORMAL, 0.104), (PROTANOPIA, 0.104), (DEUTERANOPIA, 0.104), (TRITANOPIA, 0.074)]
        {
            let perceived =
                PALETTE.map(|color| oklab(times(&vision, color.linear()).map(|value| value.clamp(0.0, 1.0))));
            for (at, one) in perceived.iter().enumerate() {
                for other in &perceived[..at] {
                    let distance = one.iter().zip(other).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
                    assert!(distance >= min_distance, "{distance} at {at}");
                }
            }
        }
    }

    #[test]
    fn neighbouring_classes_differ_and_letters_are_legible() {
        for class in 0..1000 {
            assert!((1..16).all(|step| class_color(class) != class_color(class + step)), "{class}");
        }
        for color in PALETTE {
            let ink = color.ink();
            let (light, dark) = (color.luminance().max(ink.luminance()), color.luminance().min(ink.luminance()));
            assert!((light + 0.05) / (dark + 0.05) >= 4.5, "{color:?} with {ink:?}");
        }
    }
}
