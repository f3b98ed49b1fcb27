//! The letters that stand for classes where a name has no room.

use super::regions::Region;

/// Letters of the classes that win the most cells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Key {
    classes: Vec<u32>,
}

impl Key {
    /// Most classes that have letters; the others are summed up.
    pub const MOST: usize = 8;

    /// Letters for the first of these regions.
    #[must_use]
    pub fn new(regions: &[Region]) -> Self {
        Self { classes: regions.iter().take(Self::MOST).map(|region| region.class).collect() }
    }

    /// The letter of a class, from `A` on.
    #[must_use]
    pub fn letter(&self, class: u32) -> Option<char> {
        let at = self.classes.iter().position(|known| *known == class)?;
        Some(char::from(b'A' + at as u8))
    }
}
