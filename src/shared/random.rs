//! Random numbers from a seed: the same seed gives the same numbers on every machine.

/// `SplitMix64` (Steele, Lea and Flood, 2014): for samples, not for secrets.
#[derive(Clone, Debug)]
pub struct SplitMix64 {
    state: u64,
}

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl SplitMix64 {
    /// Starts the sequence of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Returns the number at `index` (from 0) in the sequence of a seed, without computing those before it.
    #[must_use]
    pub fn nth(seed: u64, index: u64) -> u64 {
        Self::new(seed.wrapping_add(index.wrapping_mul(STEP))).next_u64()
    }

    /// Returns the next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(STEP);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number from the uniform distribution over `low..high`.
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        // As many bits as the mantissa of a float64.
        let unit = (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        low + unit * (high - low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_the_known_one() {
        // Reference values of other implementations for this seed.
        let mut random = SplitMix64::new(1_234_567);
        assert_eq!(random.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(random.next_u64(), 3_203_168_211_198_807_973);
        assert_eq!(SplitMix64::nth(1_234_567, 1), 3_203_168_211_198_807_973);
    }

    #[test]
    fn uniform_numbers_fill_their_range() {
        let mut random = SplitMix64::new(3);
        let numbers: Vec<f64> = (0..10_000).map(|_| random.uniform(-1.0, 3.0)).collect();
        assert!(numbers.iter().all(|number| (-1.0..3.0).contains(number)));
        let mean = numbers.iter().sum::<f64>() / 10_000.0;
        assert!((mean - 1.0).abs() < 0.05, "{mean}");
        assert!(numbers.iter().any(|number| *number < -0.99) && numbers.iter().any(|number| *number > 2.99));
    }
}
