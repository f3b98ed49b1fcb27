//! Many short texts in one piece of memory.

/// A list of texts that only grows or is cut off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Texts {
    all: String,
    /// Where each text ends in `all`.
    ends: Vec<usize>,
}

impl Texts {
    /// `count` empty texts.
    pub(super) fn empty(count: usize) -> Self {
        Self { all: String::new(), ends: vec![0; count] }
    }

    pub(super) fn push(&mut self, text: &str) {
        self.all.push_str(text);
        self.ends.push(self.all.len());
    }

    pub(super) fn get(&self, at: usize) -> &str {
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.all[start..self.ends[at]]
    }

    pub(super) fn truncate(&mut self, count: usize) {
        self.ends.truncate(count);
        self.all.truncate(self.ends.last().copied().unwrap_or(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_given_back_as_they_were_pushed() {
        let mut texts = Texts::empty(1);
        for text in ["ä", "", "xyz"] {
            texts.push(text);
        }
        assert_eq!([0, 1, 2, 3].map(|at| texts.get(at)), ["", "ä", "", "xyz"]);
        texts.truncate(2);
        texts.push("new");
        assert_eq!(texts.get(2), "new");
    }
}
