//! True boxes in pixels of their images.

use super::truth_error::TruthError;

/// The true boxes of an image, and the image's size, to which their pixels refer.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageBoxes {
    /// Height of the image.
    pub height_pixels: u32,
    /// Width of the image.
    pub width_pixels: u32,
    /// The boxes, in the order of the file.
    pub boxes: Vec<TrueBox>,
}

/// A true box: pixels of the image, half-open (`x1` and `y1` are the first pixel outside), clipped to the image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrueBox {
    /// Class of the object; `None` if the truth does not tell.
    pub class: Option<u32>,
    /// Left side.
    pub x0: f64,
    /// Upper side.
    pub y0: f64,
    /// Right side.
    pub x1: f64,
    /// Lower side.
    pub y1: f64,
}

impl TrueBox {
    /// Returns `x0, y0, x1, y1` with the last pixel inside as `x1` and `y1`, as wsolevaluation's files have it.
    #[must_use]
    pub fn last_pixels(&self) -> [f64; 4] {
        [self.x0, self.y0, (self.x1 - 1.0).max(self.x0), (self.y1 - 1.0).max(self.y0)]
    }
}

/// A box as a file has it, half-open, before it is clipped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct FileBox {
    pub(super) class: Option<u32>,
    pub(super) sides: [f64; 4],
}

impl FileBox {
    /// Returns the box from its first and last pixels, both inside, where the first pixel of an image has the number
    /// `origin`.
    pub(super) fn from_pixels(class: Option<u32>, [x0, y0, x1, y1]: [f64; 4], origin: f64) -> Self {
        if x1 < x0 || y1 < y0 {
            // Refused with the values of the file.
            return Self { class, sides: [x0, y0, x1, y1] };
        }
        Self { class, sides: [x0 - origin, y0 - origin, x1 - origin + 1.0, y1 - origin + 1.0] }
    }
}

/// Returns the boxes of an image, clipped to it, and the number of boxes that were clipped.
pub(super) fn clipped_boxes(
    entry: &str,
    [width_pixels, height_pixels]: [u32; 2],
    boxes: &[FileBox],
) -> Result<(ImageBoxes, usize), TruthError> {
    if width_pixels == 0 || height_pixels == 0 {
        return Err(TruthError::NoSize { entry: entry.to_owned() });
    }
    let mut clipped = 0;
    let mut kept = Vec::with_capacity(boxes.len());
    for &FileBox { class, sides } in boxes {
        let refused =
            |problem| Err(TruthError::BadBox { entry: entry.to_owned(), problem, sides, width_pixels, height_pixels });
        if !sides.iter().all(|side| side.is_finite()) {
            return refused("has a side that is not a finite number");
        }
        let [x0, y0, x1, y1] = sides;
        if x1 < x0 || y1 < y0 {
            return refused("is reversed");
        }
        let (Some((x0, x1)), Some((y0, y1))) = (within(x0, x1, width_pixels), within(y0, y1, height_pixels)) else {
            return refused("is entirely outside of its image");
        };
        let is_past_edge = sides[0] < 0.0
            || sides[1] < 0.0
            || sides[2] > f64::from(width_pixels)
            || sides[3] > f64::from(height_pixels);
        clipped += usize::from(is_past_edge);
        kept.push(TrueBox { class, x0, y0, x1, y1 });
    }
    Ok((ImageBoxes { height_pixels, width_pixels, boxes: kept }, clipped))
}

/// Clips one direction; `None` if nothing is left. A box without area stays as it is.
fn within(low: f64, high: f64, pixels: u32) -> Option<(f64, f64)> {
    let pixels = f64::from(pixels);
    let is_inside = if low < high { low < pixels && high > 0.0 } else { (0.0..=pixels).contains(&low) };
    is_inside.then(|| (low.max(0.0), high.min(pixels)))
}

/// Boxes by row.
#[derive(Clone, Debug, Default)]
pub(super) struct BoxLists {
    /// Position in `images` of each row; [`NO_BOXES`] for a row without truth.
    positions: Vec<u32>,
    images: Vec<ImageBoxes>,
}

const NO_BOXES: u32 = u32::MAX;

impl BoxLists {
    /// Returns the boxes of a row; `None` if it has no truth.
    pub(super) fn get(&self, row: usize) -> Option<&ImageBoxes> {
        self.images.get(*self.positions.get(row)? as usize)
    }

    /// Sets the boxes of a row, one of `rows`, that has none.
    pub(super) fn set(&mut self, rows: usize, row: usize, boxes: ImageBoxes) {
        self.positions.resize(rows, NO_BOXES);
        self.positions[row] = self.images.len() as u32;
        self.images.push(boxes);
    }

    /// Number of rows with boxes, or without any object.
    pub(super) fn len(&self) -> usize {
        self.images.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clip(sides: [f64; 4]) -> Result<([f64; 4], usize), String> {
        let (image, clipped) = clipped_boxes("x.jpg", [500, 300], &[FileBox { class: Some(3), sides }])
            .map_err(|problem| problem.to_string())?;
        let found = image.boxes[0];
        assert_eq!(found.class, Some(3));
        Ok(([found.x0, found.y0, found.x1, found.y1], clipped))
    }

    #[test]
    fn boxes_are_clipped_and_counted() {
        assert_eq!(clip([0.0, 0.0, 500.0, 300.0]), Ok(([0.0, 0.0, 500.0, 300.0], 0)));
        assert_eq!(clip([-1.0, 5.5, 501.0, 10.0]), Ok(([0.0, 5.5, 500.0, 10.0], 1)));
        assert_eq!(clip([500.0, 3.0, 500.0, 3.0]), Ok(([500.0, 3.0, 500.0, 3.0], 0)), "without area");
        for (sides, problem) in [
            ([500.0, 0.0, 510.0, 10.0], "entirely outside of its image (image: 500x300 pixels"),
            ([0.0, -5.0, 10.0, 0.0], "entirely outside"),
            ([501.0, 0.0, 501.0, 10.0], "entirely outside"),
            ([10.0, 0.0, 5.0, 10.0], "x0 = 10, y0 = 0, x1 = 5, y1 = 10 is reversed"),
            ([0.0, f64::NAN, 5.0, 10.0], "not a finite number"),
            ([0.0, 0.0, f64::INFINITY, 10.0], "not a finite number"),
        ] {
            let message = clip(sides).unwrap_err();
            assert!(message.contains(problem) && message.contains("`x.jpg`"), "{message}");
        }
        assert!(clipped_boxes("x.jpg", [0, 300], &[]).unwrap_err().to_string().contains("size"));
    }

    #[test]
    fn pixels_of_files_become_half_open_boxes() {
        for (origin, expected) in [(0.0, vec![1.0, 2.0, 4.0, 3.0]), (1.0, vec![0.0, 1.0, 3.0, 2.0])] {
            assert_eq!(FileBox::from_pixels(None, [1.0, 2.0, 3.0, 2.0], origin).sides.to_vec(), expected);
        }
        let reversed = FileBox::from_pixels(None, [4.0, 2.0, 3.0, 2.0], 0.0);
        assert!(
            clipped_boxes("x", [9, 9], &[reversed]).unwrap_err().to_string().contains("x1 = 3, y1 = 2 is reversed")
        );
    }

    #[test]
    fn last_pixels_are_inside() {
        let found = TrueBox { class: None, x0: 1.0, y0: 2.0, x1: 4.0, y1: 2.5 };
        assert_eq!(found.last_pixels().to_vec(), [1.0, 2.0, 3.0, 2.0]);
    }

    #[test]
    fn boxes_are_kept_by_row() {
        let mut lists = BoxLists::default();
        assert!(lists.get(0).is_none());
        let boxes = ImageBoxes { height_pixels: 1, width_pixels: 2, boxes: Vec::new() };
        lists.set(3, 1, boxes.clone());
        assert_eq!([0, 1, 2, 7].map(|row| lists.get(row)), [None, Some(&boxes), None, None]);
        assert_eq!(lists.len(), 1);
    }
}
