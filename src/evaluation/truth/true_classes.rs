//! The true classes of many images in two allocations.

/// Lists of classes by row.
#[derive(Clone, Debug, Default)]
pub(super) struct ClassLists {
    /// Start and length in `values` of each row's list; [`NO_LIST`] for a row without one.
    spans: Vec<(u32, u32)>,
    values: Vec<u32>,
    count: usize,
}

const NO_LIST: (u32, u32) = (u32::MAX, 0);

impl ClassLists {
    /// Returns no list for each of `rows` rows.
    pub(super) fn new(rows: usize) -> Self {
        Self { spans: vec![NO_LIST; rows], values: Vec::new(), count: 0 }
    }

    /// Returns the list of a row; `None` if it has none.
    pub(super) fn get(&self, row: usize) -> Option<&[u32]> {
        let &(start, length) = self.spans.get(row).filter(|&&span| span != NO_LIST)?;
        self.values.get(start as usize..(start + length) as usize)
    }

    /// Sets the list of a row that has none.
    pub(super) fn set(&mut self, row: usize, classes: &[u32]) {
        self.spans[row] = (self.values.len() as u32, classes.len() as u32);
        self.values.extend_from_slice(classes);
        self.count += 1;
    }

    /// Number of rows with a list.
    pub(super) fn len(&self) -> usize {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_kept_by_row() {
        let mut lists = ClassLists::new(4);
        lists.set(2, &[7, 1]);
        lists.set(0, &[]);
        assert_eq!([0, 1, 2, 3, 9].map(|row| lists.get(row)), [Some(&[][..]), None, Some(&[7, 1]), None, None]);
        assert_eq!(lists.len(), 2);
    }
}
