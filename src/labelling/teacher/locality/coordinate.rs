//! Where along one side of the image each element of a tensor lies.

/// Where along one side of the image each element of a tensor lies: 0 at the top or left edge, 1 at the other.
/// Axes along which nothing changes have length 1, whatever the tensor's own length is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Coordinate {
    sides: Vec<usize>,
    values: Vec<f32>,
}

/// The element is made of the whole side alike (a mean over it), or of none of it (a weight).
pub(super) const EVERYWHERE: f32 = f32::INFINITY;
/// The element's place is not known.
pub(super) const UNKNOWN: f32 = f32::NAN;

/// Most elements of one coordinate. Tokens and pixels of large inputs stay far below; graphs made to waste memory do not.
const MOST_VALUES: usize = 1 << 22;

impl Coordinate {
    /// The same value for all elements of a tensor with `rank` axes.
    pub(super) fn constant(rank: usize, value: f32) -> Self {
        Self { sides: vec![1; rank], values: vec![value] }
    }

    /// Changes along one axis only.
    pub(super) fn along(rank: usize, axis: usize, values: Vec<f32>) -> Self {
        let mut sides = vec![1; rank];
        sides[axis] = values.len();
        Self { sides, values }.compacted()
    }

    pub(super) fn rank(&self) -> usize {
        self.sides.len()
    }

    pub(super) fn values(&self) -> &[f32] {
        &self.values
    }

    /// Whether anything changes along `axis`.
    pub(super) fn varies_along(&self, axis: usize) -> bool {
        self.sides[axis] > 1
    }

    pub(super) fn varies(&self) -> bool {
        self.values.len() > 1
    }

    pub(super) fn has_unknown(&self) -> bool {
        self.values.iter().any(|value| value.is_nan())
    }

    pub(super) fn has_places(&self) -> bool {
        self.values.iter().any(|value| value.is_finite())
    }

    /// Smallest and largest place inside the image.
    pub(super) fn range(&self) -> Option<(f32, f32)> {
        let inside = self.values.iter().filter(|value| value.is_finite()).map(|value| value.clamp(0.0, 1.0));
        inside.fold(None, |range, value| {
            let (low, high) = range.unwrap_or((value, value));
            Some((low.min(value), high.max(value)))
        })
    }

    /// All values of a tensor of these dimensions, where they are not too many.
    pub(super) fn dense(&self, dims: &[usize]) -> Option<Self> {
        let axes: Vec<usize> = (0..dims.len()).collect();
        self.spread(&axes, dims)
    }

    /// Gives the named axes their full length.
    fn spread(&self, axes: &[usize], dims: &[usize]) -> Option<Self> {
        let mut spread = self.clone();
        for &axis in axes {
            if spread.sides[axis] == 1 && dims[axis] != 1 {
                if spread.values.len().checked_mul(dims[axis])? > MOST_VALUES {
                    return None;
                }
                spread = spread.map_lanes(axis, dims[axis], |lane| vec![lane[0]; dims[axis]]);
            }
        }
        Some(spread)
    }

    /// Replaces each lane along `axis` by `f` of it, which gives `length` values.
    pub(super) fn map_lanes(&self, axis: usize, length: usize, f: impl Fn(&[f32]) -> Vec<f32>) -> Self {
        let before: usize = self.sides[..axis].iter().product();
        let after: usize = self.sides[axis + 1..].iter().product();
        let side = self.sides[axis];
        let mut values = vec![0.0; before * length * after];
        let mut lane = vec![0.0; side];
        for outer in 0..before {
            for inner in 0..after {
                for (at, value) in lane.iter_mut().enumerate() {
                    *value = self.values[(outer * side + at) * after + inner];
                }
                for (at, value) in f(&lane).into_iter().enumerate().take(length) {
                    values[(outer * length + at) * after + inner] = value;
                }
            }
        }
        let mut sides = self.sides.clone();
        sides[axis] = length;
        Self { sides, values }
    }

    /// The elements in another order along an axis of `length` elements. Nothing happens where it does not change along it.
    pub(super) fn take(&self, axis: usize, length: usize, picked: &[usize]) -> Self {
        if self.sides[axis] != length {
            return self.clone();
        }
        self.map_lanes(axis, picked.len(), |lane| picked.iter().map(|&at| lane[at]).collect()).compacted()
    }

    /// Values between the elements of an axis: `positions` are counted in elements and may lie outside.
    pub(super) fn resampled(&self, axis: usize, positions: &[f32]) -> Self {
        if !self.varies_along(axis) {
            return self.clone();
        }
        let between = |lane: &[f32], position: f32| {
            let low = (position.floor().max(0.0) as usize).min(lane.len() - 2);
            let part = position - low as f32;
            if part.abs() < f32::EPSILON {
                lane[low]
            } else if (part - 1.0).abs() < f32::EPSILON {
                lane[low + 1]
            } else if lane[low].is_finite() && lane[low + 1].is_finite() {
                lane[low] + (lane[low + 1] - lane[low]) * part
            } else if lane[low] == EVERYWHERE && lane[low + 1] == EVERYWHERE {
                EVERYWHERE
            } else {
                UNKNOWN
            }
        };
        self.map_lanes(axis, positions.len(), |lane| positions.iter().map(|&at| between(lane, at)).collect())
            .compacted()
    }

    /// The mean along `axis`, which gets length 1. What has no place does not count, what is not known spoils the mean.
    fn mean_along(&self, axis: usize) -> Self {
        let mean = |lane: &[f32]| {
            let (sum, count) = lane
                .iter()
                .filter(|value| **value != EVERYWHERE)
                .fold((0.0_f64, 0_usize), |(sum, count), &value| (sum + f64::from(value), count + 1));
            vec![if count == 0 { EVERYWHERE } else { (sum / count as f64) as f32 }]
        };
        if self.varies_along(axis) { self.map_lanes(axis, 1, mean) } else { self.clone() }
    }

    /// The mean along several axes, which get length 1. Where all places went into each mean, nothing is left of them, and
    /// the elements become `left`.
    pub(super) fn averaged(&self, axes: &[usize], left: f32) -> Self {
        let averaged = axes.iter().fold(self.clone(), |mean, &axis| mean.mean_along(axis)).compacted();
        let took_part = axes.iter().any(|&axis| self.varies_along(axis));
        if took_part && self.has_places() && !averaged.varies() && averaged.values[0].is_finite() {
            Self::constant(averaged.rank(), left)
        } else {
            averaged
        }
    }

    /// Without the named axes, along which nothing may change.
    pub(super) fn without_axes(&self, axes: &[usize]) -> Self {
        let kept = self.sides.iter().enumerate().filter(|(axis, _)| !axes.contains(axis));
        Self { sides: kept.map(|(_, &side)| side).collect(), values: self.values.clone() }
    }

    pub(super) fn transposed(&self, order: &[usize]) -> Self {
        let sides: Vec<usize> = order.iter().map(|&axis| self.sides[axis]).collect();
        let strides = strides(&self.sides);
        let mut values = Vec::with_capacity(self.values.len());
        let mut index = vec![0_usize; sides.len()];
        for _ in 0..self.values.len() {
            let at: usize = index.iter().zip(order).map(|(&place, &axis)| place * strides[axis]).sum();
            values.push(self.values[at]);
            for axis in (0..sides.len()).rev() {
                index[axis] += 1;
                if index[axis] < sides[axis] {
                    break;
                }
                index[axis] = 0;
            }
        }
        Self { sides, values }
    }

    /// The same elements in their order, under other dimensions. `None` where the dimensions do not agree, or where there
    /// would be too many values.
    pub(super) fn reshaped(&self, from: &[usize], to: &[usize]) -> Option<Self> {
        let groups = groups(from, to)?;
        let mut spread = self.clone();
        let mut sides = Vec::with_capacity(to.len());
        for (old, new) in groups {
            if old.clone().any(|axis| self.varies_along(axis)) {
                spread = spread.spread(&old.collect::<Vec<_>>(), from)?;
                sides.extend_from_slice(&to[new]);
            } else {
                sides.extend(new.map(|_| 1));
            }
        }
        Some(Self { sides, values: spread.values }.compacted())
    }

    /// With axes of length 1 in front, as broadcasting adds them.
    pub(super) fn with_rank(&self, rank: usize) -> Self {
        let added = rank.saturating_sub(self.rank());
        Self {
            sides: std::iter::repeat_n(1, added).chain(self.sides.iter().copied()).collect(),
            values: self.values.clone(),
        }
    }

    /// One behind the other along `axis`, each with its dimensions, which agree in all other axes.
    pub(super) fn concatenated(parts: &[(Self, Vec<usize>)], axis: usize) -> Option<Self> {
        let (first, _) = parts.first()?;
        if parts.iter().all(|(part, _)| part == first && !part.varies_along(axis)) {
            return Some(first.clone());
        }
        let rank = first.rank();
        let changing: Vec<usize> =
            (0..rank).filter(|&at| at == axis || parts.iter().any(|(part, _)| part.varies_along(at))).collect();
        let spread = parts.iter().map(|(part, dims)| part.spread(&changing, dims));
        let spread: Vec<Self> = spread.collect::<Option<_>>()?;
        let before: usize = spread[0].sides[..axis].iter().product();
        let total: usize = spread.iter().map(|part| part.values.len()).sum();
        if total > MOST_VALUES {
            return None;
        }
        let mut values = Vec::with_capacity(total);
        for outer in 0..before {
            for part in &spread {
                let length: usize = part.sides[axis..].iter().product();
                values.extend_from_slice(part.values.get(outer * length..(outer + 1) * length)?);
            }
        }
        let mut sides = spread[0].sides.clone();
        sides[axis] = spread.iter().map(|part| part.sides[axis]).sum();
        (sides.iter().product::<usize>() == values.len()).then(|| Self { sides, values }.compacted())
    }

    /// The place of what is made of two elements that lie side by side: the same place, or the only one of the two.
    /// Elements of different places, further apart than `near`, have no known place.
    pub(super) fn joined(&self, other: &Self, near: f32) -> Option<Self> {
        let rank = self.rank().max(other.rank());
        let (a, b) = (self.with_rank(rank), other.with_rank(rank));
        if a == b {
            return Some(a);
        }
        let dims: Vec<usize> = (0..rank).map(|axis| a.sides[axis].max(b.sides[axis])).collect();
        let agree = |side: &Self| (0..rank).all(|axis| side.sides[axis] == 1 || side.sides[axis] == dims[axis]);
        if !agree(&a) || !agree(&b) {
            return None;
        }
        let (a, b) = (a.dense(&dims)?, b.dense(&dims)?);
        let join = |(&a, &b): (&f32, &f32)| {
            if a == EVERYWHERE {
                b
            } else if b == EVERYWHERE || (a - b).abs() <= near {
                a
            } else {
                UNKNOWN
            }
        };
        let values = a.values.iter().zip(&b.values).map(join).collect();
        Some(Self { sides: dims, values }.compacted())
    }

    /// How far neighbouring places are apart, 0 where there is at most one.
    pub(super) fn spacing(&self) -> f32 {
        let Some((low, high)) = self.range() else { return 0.0 };
        let places = distinct(self.values.iter().copied().filter(|value| value.is_finite()).collect(), 1e-5).len();
        if places > 1 { (high - low) / (places - 1) as f32 } else { 0.0 }
    }

    /// Axes along which nothing changes get length 1.
    fn compacted(mut self) -> Self {
        for axis in 0..self.sides.len() {
            let side = self.sides[axis];
            if side <= 1 {
                continue;
            }
            let after: usize = self.sides[axis + 1..].iter().product();
            let same = |a: f32, b: f32| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
            let block = side * after;
            let flat = self
                .values
                .chunks_exact(block)
                .all(|block| block[after..].iter().enumerate().all(|(at, &value)| same(value, block[at % after])));
            if flat {
                self.values =
                    self.values.chunks_exact(block).flat_map(|block| block[..after].iter().copied()).collect();
                self.sides[axis] = 1;
            }
        }
        self
    }
}

/// Distinct values in rising order; values closer than `apart` count as one.
pub(super) fn distinct(mut values: Vec<f32>, apart: f32) -> Vec<f32> {
    values.sort_by(f32::total_cmp);
    values.dedup_by(|next, kept| (*next - *kept).abs() <= apart);
    values
}

fn strides(sides: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; sides.len()];
    for axis in (0..sides.len().saturating_sub(1)).rev() {
        strides[axis] = strides[axis + 1] * sides[axis + 1];
    }
    strides
}

type Axes = std::ops::Range<usize>;

/// The shortest runs of axes that have as many elements before a reshape as after it.
fn groups(from: &[usize], to: &[usize]) -> Option<Vec<(Axes, Axes)>> {
    if from.iter().chain(to).any(|&side| side == 0) {
        return None;
    }
    let (mut groups, mut old, mut new) = (Vec::new(), 0, 0);
    while old < from.len() && new < to.len() {
        let (first_old, first_new) = (old, new);
        let (mut before, mut after) = (from[old], to[new]);
        (old, new) = (old + 1, new + 1);
        while before != after {
            if before < after {
                before = before.checked_mul(*from.get(old)?)?;
                old += 1;
            } else {
                after = after.checked_mul(*to.get(new)?)?;
                new += 1;
            }
        }
        groups.push((first_old..old, first_new..new));
    }
    if from[old..].iter().chain(&to[new..]).any(|&side| side != 1) {
        return None;
    }
    groups.push((old..from.len(), new..to.len()));
    Some(groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(count: usize) -> Vec<f32> {
        (0..count).map(|row| row as f32).collect()
    }

    #[test]
    fn reshapes_spread_only_the_axes_that_are_mixed() {
        // [2, 8, 3, 4] to [2, 8, 12]: rows along the last axis, each four times.
        let y = Coordinate::along(4, 2, rows(3)).reshaped(&[2, 8, 3, 4], &[2, 8, 12]).unwrap();
        assert_eq!((y.sides.as_slice(), y.values.len()), ([1, 1, 12].as_slice(), 12));
        assert_eq!(&y.values[..5], [0.0, 0.0, 0.0, 0.0, 1.0]);
        let back = y.reshaped(&[2, 8, 12], &[2, 8, 3, 4]).unwrap();
        assert_eq!(back, Coordinate::along(4, 2, rows(3)));
        assert_eq!(Coordinate::along(2, 1, rows(6)).reshaped(&[1, 6], &[1, 1, 6, 1]).unwrap().sides, [1, 1, 6, 1]);
        assert!(Coordinate::along(2, 1, rows(6)).reshaped(&[1, 6], &[5]).is_none());
    }

    #[test]
    fn windows_cut_rolled_and_put_together_again_are_the_map() {
        let x = Coordinate::along(4, 2, rows(8));
        let rolled = x.take(2, 8, &[3, 4, 5, 6, 7, 0, 1, 2]);
        let windows = rolled.reshaped(&[1, 8, 8, 5], &[1, 2, 4, 2, 4, 5]).unwrap();
        let windows = windows.transposed(&[0, 1, 3, 2, 4, 5]).reshaped(&[1, 2, 2, 4, 4, 5], &[4, 16, 5]).unwrap();
        let map = windows.reshaped(&[4, 16, 5], &[1, 2, 2, 4, 4, 5]).unwrap().transposed(&[0, 1, 3, 2, 4, 5]);
        let map = map.reshaped(&[1, 2, 4, 2, 4, 5], &[1, 8, 8, 5]).unwrap();
        assert_eq!(map.take(2, 8, &[5, 6, 7, 0, 1, 2, 3, 4]), x);
    }

    #[test]
    fn a_mean_over_everything_is_no_place_and_over_pairs_is_between_them() {
        let x = Coordinate::along(3, 1, rows(4));
        assert_eq!(x.averaged(&[1], EVERYWHERE), Coordinate::constant(3, EVERYWHERE));
        let pairs = x.reshaped(&[1, 4, 3], &[1, 2, 2, 3]).unwrap().averaged(&[2], EVERYWHERE);
        assert_eq!(pairs.values, [0.5, 2.5]);
    }

    #[test]
    fn different_places_joined_are_unknown() {
        let (a, b) = (Coordinate::along(2, 1, rows(3)), Coordinate::along(2, 1, vec![0.0, 2.0, 1.0]));
        let joined = a.joined(&b, 0.1).unwrap();
        assert!(joined.has_unknown() && joined.values[0] == 0.0);
        assert_eq!(a.joined(&Coordinate::constant(1, EVERYWHERE), 0.1), Some(a));
    }
}
