//! Bounding boxes of the contours of an image at all thresholds.

/// Side of the images: wsolevaluation resizes all maps and boxes to it.
pub(super) const SIDE: usize = 224;

/// Number of thresholds.
pub(super) const LEVELS: usize = 255;

/// Side with a frame of one pixel, so that every pixel has eight neighbours.
const FRAMED: usize = SIDE + 2;

/// Pixels are numbered `y * 256 + x` in the frame, so that row and column are the bytes of a number.
const STRIDE: usize = 1 << 8;

/// Every number of 16 bits is a valid index.
const NUMBERS: usize = 1 << 16;

/// Differences of pixel numbers to the eight neighbours, clockwise from above.
const RING: [u16; 8] = {
    let row = STRIDE as u16;
    [row.wrapping_neg(), 1_u16.wrapping_sub(row), 1, 1 + row, row, row - 1, u16::MAX, u16::MAX - row]
};

/// Finds the boxes of `cv2.findContours(mode=RETR_TREE)` at all thresholds in one pass from the highest level to the lowest,
/// which joins pixels to components (outer contours), and one in the opposite direction for their holes.
#[derive(Debug)]
pub(super) struct ContourBoxes {
    /// For each pattern of joined neighbours, those through which different components touch: diagonal neighbours join pixels
    /// of objects, but not pixels of holes.
    object_neighbours: [u8; 256],
    hole_neighbours: [u8; 256],
    /// Pixels from the lowest level to the highest.
    by_level: Vec<u16>,
    /// Start of each level in `by_level`, and its end.
    starts: [usize; 257],
    is_joined: Box<[bool; NUMBERS]>,
    /// A pixel of the same component; itself for one pixel of each component.
    parents: Box<[u16; NUMBERS]>,
    /// Bounding box of each component, at the pixel that is its own parent.
    bounds: Box<[Bounds; NUMBERS]>,
    components: Vec<u16>,
}

/// First and last column, first and last row, with the frame.
#[derive(Clone, Copy, Debug, Default)]
struct Bounds {
    x: [u8; 2],
    y: [u8; 2],
}

/// Parent of the frame in the pass for holes.
const OUTSIDE: u16 = 0;

impl ContourBoxes {
    pub(super) fn new() -> Self {
        Self {
            object_neighbours: std::array::from_fn(|joined| neighbours_to_join(joined as u8, true)),
            hole_neighbours: std::array::from_fn(|joined| neighbours_to_join(joined as u8, false)),
            by_level: Vec::new(),
            starts: [0; 257],
            is_joined: Box::new(std::array::from_fn(|_| false)),
            parents: Box::new(std::array::from_fn(|_| 0)),
            bounds: Box::new(std::array::from_fn(|_| Bounds::default())),
            components: Vec::new(),
        }
    }

    /// Calls `visit` with the threshold and the box of each contour, for each threshold from 0 to 254 above which pixels
    /// belong to objects. Boxes are `x0, y0, x1, y1` in wsolevaluation's numbers: `x1` and `y1` are one pixel after the
    /// contour, but inside the image.
    pub(super) fn visit(&mut self, image: &[u8], mut visit: impl FnMut(usize, [i32; 4])) {
        self.sort_by_level(image);
        self.is_joined.fill(false);
        self.components.clear();
        for threshold in (0..LEVELS).rev() {
            self.join_level::<true>(threshold + 1);
            for &component in &self.components {
                visit(threshold, self.bounds[usize::from(component)].contour(0));
            }
        }
        self.start_holes();
        for threshold in 0..LEVELS {
            self.join_level::<false>(threshold);
            for &component in self.components.iter().filter(|component| **component != OUTSIDE) {
                // The contour of a hole consists of the pixels around it.
                visit(threshold, self.bounds[usize::from(component)].contour(1));
            }
        }
    }

    fn sort_by_level(&mut self, image: &[u8]) {
        let mut counts = [0; 257];
        for &level in image {
            counts[usize::from(level) + 1] += 1;
        }
        for level in 0..256 {
            counts[level + 1] += counts[level];
        }
        self.starts = counts;
        self.by_level.resize(image.len(), 0);
        let mut next = counts;
        for (y, row) in image.chunks_exact(SIDE).enumerate() {
            for (x, &level) in row.iter().enumerate() {
                let at = &mut next[usize::from(level)];
                self.by_level[*at] = ((y + 1) * STRIDE + x + 1) as u16;
                *at += 1;
            }
        }
    }

    /// Joins the frame, which is outside of all objects.
    fn start_holes(&mut self) {
        self.is_joined.fill(false);
        for at in 0..FRAMED {
            for pixel in [at, (FRAMED - 1) * STRIDE + at, at * STRIDE, at * STRIDE + FRAMED - 1] {
                self.is_joined[pixel] = true;
                self.parents[pixel] = OUTSIDE;
            }
        }
        self.bounds[usize::from(OUTSIDE)] = Bounds { x: [0, u8::MAX], y: [0, u8::MAX] };
        self.components.clear();
        self.components.push(OUTSIDE);
    }

    fn join_level<const OBJECT: bool>(&mut self, level: usize) {
        for at in self.starts[level]..self.starts[level + 1] {
            self.join::<OBJECT>(self.by_level[at]);
        }
        let parents = &self.parents;
        self.components.retain(|&component| parents[usize::from(component)] == component);
    }

    #[inline]
    fn join<const OBJECT: bool>(&mut self, pixel: u16) {
        let neighbour = |at: usize| usize::from(pixel.wrapping_add(RING[at % 8]));
        let joined = std::array::from_fn(|at| self.is_joined[neighbour(at)]);
        let table = if OBJECT { &self.object_neighbours } else { &self.hole_neighbours };
        let mut directions = table[usize::from(bits(joined))];
        let first = neighbour(directions.trailing_zeros() as usize);
        let others = directions & directions.wrapping_sub(1);
        self.is_joined[usize::from(pixel)] = true;
        let [y, x] = pixel.to_be_bytes();
        let own = Bounds { x: [x; 2], y: [y; 2] };
        if directions == 0 {
            self.parents[usize::from(pixel)] = pixel;
            self.bounds[usize::from(pixel)] = own;
            self.components.push(pixel);
            return;
        }
        let parent = self.parents[first];
        if others == 0 && self.bounds[usize::from(parent)].contains(x, y) {
            // The component contains these bounds, so that it is not needed. Most pixels are of this kind.
            self.parents[usize::from(pixel)] = parent;
            return;
        }
        let mut component = self.component_of(parent);
        directions = others;
        while directions != 0 {
            let other = self.component_of(neighbour(directions.trailing_zeros() as usize) as u16);
            directions &= directions - 1;
            component = self.merge(component, other);
        }
        self.parents[usize::from(pixel)] = component;
        let bounds = &mut self.bounds[usize::from(component)];
        *bounds = bounds.with(own);
    }

    fn component_of(&mut self, mut at: u16) -> u16 {
        loop {
            let parent = self.parents[usize::from(at)];
            if parent == at {
                return at;
            }
            // Halves the path for the next search.
            let above = self.parents[usize::from(parent)];
            self.parents[usize::from(at)] = above;
            at = above;
        }
    }

    /// The lower number remains, so that the outside keeps its own.
    fn merge(&mut self, a: u16, b: u16) -> u16 {
        let (kept, merged) = (a.min(b), a.max(b));
        if kept != merged {
            self.parents[usize::from(merged)] = kept;
            self.bounds[usize::from(kept)] = self.bounds[usize::from(kept)].with(self.bounds[usize::from(merged)]);
        }
        kept
    }
}

impl Bounds {
    fn with(self, other: Self) -> Self {
        let union = |[a0, a1]: [u8; 2], [b0, b1]: [u8; 2]| [a0.min(b0), a1.max(b1)];
        Self { x: union(self.x, other.x), y: union(self.y, other.y) }
    }

    fn contains(self, x: u8, y: u8) -> bool {
        self.x[0] <= x && x <= self.x[1] && self.y[0] <= y && y <= self.y[1]
    }

    /// Box of the contour that is `margin` pixels outside of these bounds.
    fn contour(self, margin: i32) -> [i32; 4] {
        let last_pixel = SIDE as i32 - 1;
        // Numbers include the frame: first and last pixel are at `- 1`.
        let from = |[first, _]: [u8; 2]| i32::from(first) - 1 - margin;
        let to = |[_, last]: [u8; 2]| (i32::from(last) + margin).min(last_pixel);
        [from(self.x), from(self.y), to(self.x), to(self.y)]
    }
}

/// Packs flags into bits, the first into the lowest.
fn bits(flags: [bool; 8]) -> u8 {
    flags.into_iter().enumerate().fold(0, |bits, (at, flag)| bits | (u8::from(flag) << at))
}

/// Returns one neighbour for each group of joined neighbours that touch each other, in bits of [`RING`]. Pixels of objects
/// touch at sides and corners, those of holes only at sides.
fn neighbours_to_join(joined: u8, is_object: bool) -> u8 {
    let is_joined = |at: usize| joined >> at & 1 == 1;
    let is_side = |at: usize| at.is_multiple_of(2);
    let mut groups: [usize; 8] = std::array::from_fn(|at| at);
    for at in 0..8 {
        // Neighbours that follow each other touch at a side, and those at two sides of the pixel touch at a corner.
        for distance in 1..=if is_object && is_side(at) { 2 } else { 1 } {
            let other = (at + distance) % 8;
            if is_joined(at) && is_joined(other) {
                let (kept, replaced) = (groups[at].min(groups[other]), groups[at].max(groups[other]));
                groups.iter_mut().filter(|group| **group == replaced).for_each(|group| *group = kept);
            }
        }
    }
    let mut chosen = 0_u8;
    let mut seen = [false; 8];
    for at in (0..8).filter(|&at| is_joined(at) && (is_object || is_side(at))) {
        if !std::mem::replace(&mut seen[groups[at]], true) {
            chosen |= 1 << at;
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::random::SplitMix64;

    /// Boxes of one threshold from their definition: components by repeated search.
    fn searched_boxes(image: &[u8], threshold: usize) -> Vec<[i32; 4]> {
        let side = SIDE as isize;
        let is_object = |x: isize, y: isize| {
            (0..side).contains(&x) && (0..side).contains(&y) && usize::from(image[(y * side + x) as usize]) > threshold
        };
        let mut boxes = Vec::new();
        let mut seen = vec![false; FRAMED * FRAMED];
        // The first pixel of the frame is outside.
        let pixels = (-1..=side).flat_map(|y| (-1..=side).map(move |x| (x, y)));
        for start in pixels {
            let number = |(x, y): (isize, isize)| (y + 1) as usize * FRAMED + (x + 1) as usize;
            if std::mem::replace(&mut seen[number(start)], true) {
                continue;
            }
            let kind = is_object(start.0, start.1);
            let (mut front, mut reached) = (vec![start], vec![start]);
            while let Some((x, y)) = front.pop() {
                for (dx, dy) in (-1..=1).flat_map(|dy| (-1..=1).map(move |dx| (dx, dy))) {
                    let next = (x + dx, y + dy);
                    let inside = (-1..=side).contains(&next.0) && (-1..=side).contains(&next.1);
                    if inside
                        && (kind || dx == 0 || dy == 0)
                        && is_object(next.0, next.1) == kind
                        && !seen[number(next)]
                    {
                        seen[number(next)] = true;
                        front.push(next);
                        reached.push(next);
                    }
                }
            }
            if !kind && start == (-1, -1) {
                continue;
            }
            let margin = isize::from(!kind);
            let xs = || reached.iter().map(|pixel| pixel.0);
            let ys = || reached.iter().map(|pixel| pixel.1);
            let last = |last: isize| (last + margin + 1).min(side - 1) as i32;
            boxes.push([
                (xs().min().unwrap() - margin) as i32,
                (ys().min().unwrap() - margin) as i32,
                last(xs().max().unwrap()),
                last(ys().max().unwrap()),
            ]);
        }
        boxes.sort_unstable();
        boxes
    }

    #[test]
    fn boxes_are_those_of_components_and_their_holes() {
        let mut random = SplitMix64::new(8);
        let mut contours = ContourBoxes::new();
        for (case, scale) in [1, 3, 20, 90].into_iter().enumerate() {
            // Blocks of random levels: objects with holes, objects in holes, and corners that touch.
            let blocks: Vec<u8> = (0..SIDE * SIDE).map(|_| (random.next_u64() % 5 * 60) as u8).collect();
            let level = |at: usize| blocks[at / SIDE / scale * SIDE + at % SIDE / scale];
            let image: Vec<u8> = (0..SIDE * SIDE).map(level).collect();
            let mut by_threshold = vec![Vec::new(); LEVELS];
            contours.visit(&image, |threshold, contour| by_threshold[threshold].push(contour));
            for threshold in [0, 59, 60, 130, 239, 240] {
                by_threshold[threshold].sort_unstable();
                assert_eq!(by_threshold[threshold], searched_boxes(&image, threshold), "case {case}, {threshold}");
            }
        }
    }

    #[test]
    fn an_empty_image_has_no_contours() {
        let mut count = 0;
        ContourBoxes::new().visit(&vec![0; SIDE * SIDE], |_, _| count += 1);
        assert_eq!(count, 0);
        ContourBoxes::new().visit(&vec![255; SIDE * SIDE], |_, contour| {
            assert_eq!(contour, [0, 0, 223, 223]);
            count += 1;
        });
        assert_eq!(count, LEVELS);
    }
}
