//! Positions of tensor elements along one axis of the image.

/// Positions of tensor elements along one axis of the image: 0 at the top or left edge, 1 at the opposite edge. Axes along
/// which the position is constant have length 1, whatever the length of the tensor's axis.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Coordinate {
    sides: Vec<usize>,
    values: Vec<f32>,
}

/// The element depends on the entire axis alike (a mean over it) or not at all (a weight).
pub(super) const EVERYWHERE: f32 = f32::INFINITY;
/// The position of the element is unknown.
pub(super) const UNKNOWN: f32 = f32::NAN;

/// Largest number of elements of a coordinate. Tokens and pixels of large inputs stay far below; bounds the memory for
/// malicious graphs.
const MAX_VALUES: usize = 1 << 22;

impl Coordinate {
    /// The same value for all elements of a tensor with `rank` axes.
    pub(super) fn constant(rank: usize, value: f32) -> Self {
        Self { sides: vec![1; rank], values: vec![value] }
    }

    /// Positions that vary along one axis only.
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

    /// Whether positions vary along `axis`.
    pub(super) fn varies_along(&self, axis: usize) -> bool {
        self.sides[axis] > 1
    }

    pub(super) fn varies(&self) -> bool {
        self.values.len() > 1
    }

    pub(super) fn has_unknown(&self) -> bool {
        self.values.iter().any(|value| value.is_nan())
    }

    pub(super) fn has_positions(&self) -> bool {
        self.values.iter().any(|value| value.is_finite())
    }

    /// Smallest and largest position inside the image.
    pub(super) fn range(&self) -> Option<(f32, f32)> {
        let inside = self.values.iter().filter(|value| value.is_finite()).map(|value| value.clamp(0.0, 1.0));
        inside.fold(None, |range, value| {
            let (low, high) = range.unwrap_or((value, value));
            Some((low.min(value), high.max(value)))
        })
    }

    /// Expands to all elements of a tensor with these dimensions, unless there are too many.
    pub(super) fn dense(&self, dims: &[usize]) -> Option<Self> {
        let axes: Vec<usize> = (0..dims.len()).collect();
        self.spread(&axes, dims)
    }

    /// Expands the given axes to their full length.
    fn spread(&self, axes: &[usize], dims: &[usize]) -> Option<Self> {
        let mut spread = self.clone();
        for &axis in axes {
            if spread.sides[axis] == 1 && dims[axis] != 1 {
                if spread.values.len().checked_mul(dims[axis])? > MAX_VALUES {
                    return None;
                }
                spread = spread.map_lanes(axis, dims[axis], |lane| vec![lane[0]; dims[axis]]);
            }
        }
        Some(spread)
    }

    /// Applies `f`, which returns `length` values, to each lane along `axis`.
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

    /// Selects elements along an axis of `length` elements. Returns a copy if positions do not vary along it.
    pub(super) fn take(&self, axis: usize, length: usize, picked: &[usize]) -> Self {
        if self.sides[axis] != length {
            return self.clone();
        }
        self.map_lanes(axis, picked.len(), |lane| picked.iter().map(|&at| lane[at]).collect()).compacted()
    }

    /// Interpolates along an axis at `positions`, counted in elements; they may be outside.
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

    /// The mean along `axis`, which gets length 1. Elements without a position are ignored; unknown ones make the mean unknown.
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

    /// The mean along several axes, which get length 1. If every mean covers all positions, the elements become
    /// `if_all`.
    pub(super) fn averaged(&self, axes: &[usize], if_all: f32) -> Self {
        let averaged = axes.iter().fold(self.clone(), |mean, &axis| mean.mean_along(axis)).compacted();
        let is_affected = axes.iter().any(|&axis| self.varies_along(axis));
        if is_affected && self.has_positions() && !averaged.varies() && averaged.values[0].is_finite() {
            Self::constant(averaged.rank(), if_all)
        } else {
            averaged
        }
    }

    /// Removes the given axes, along which positions must be constant.
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
            let at: usize = index.iter().zip(order).map(|(&position, &axis)| position * strides[axis]).sum();
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

    /// Reshapes a tensor with dimensions `from` to dimensions `to`. `None` if they do not agree or there would be too many
    /// values.
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

    /// Adds leading axes of length 1, as broadcasting does.
    pub(super) fn with_rank(&self, rank: usize) -> Self {
        let added = rank.saturating_sub(self.rank());
        Self {
            sides: std::iter::repeat_n(1, added).chain(self.sides.iter().copied()).collect(),
            values: self.values.clone(),
        }
    }

    /// Concatenates along `axis`. Each part comes with its dimensions, which agree in all other axes.
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
        if total > MAX_VALUES {
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

    /// Positions of results of two operands: the common position, or that of the only operand that has one. Positions
    /// further apart than `near` become unknown.
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

    /// Distance of neighbouring positions, 0 if there is at most one.
    pub(super) fn spacing(&self) -> f32 {
        let Some((low, high)) = self.range() else { return 0.0 };
        let count = distinct(self.values.iter().copied().filter(|value| value.is_finite()).collect(), 1e-5).len();
        if count > 1 { (high - low) / (count - 1) as f32 } else { 0.0 }
    }

    /// Reduces axes along which positions are constant to length 1.
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

/// Distinct values in ascending order; values closer than `apart` count as one.
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

/// The shortest groups of axes with as many elements before a reshape as after it.
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
    fn reshape_expands_only_affected_axes() {
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
    fn shifted_windows_are_reassembled_to_the_map() {
        let x = Coordinate::along(4, 2, rows(8));
        let rolled = x.take(2, 8, &[3, 4, 5, 6, 7, 0, 1, 2]);
        let windows = rolled.reshaped(&[1, 8, 8, 5], &[1, 2, 4, 2, 4, 5]).unwrap();
        let windows = windows.transposed(&[0, 1, 3, 2, 4, 5]).reshaped(&[1, 2, 2, 4, 4, 5], &[4, 16, 5]).unwrap();
        let map = windows.reshaped(&[4, 16, 5], &[1, 2, 2, 4, 4, 5]).unwrap().transposed(&[0, 1, 3, 2, 4, 5]);
        let map = map.reshaped(&[1, 2, 4, 2, 4, 5], &[1, 8, 8, 5]).unwrap();
        assert_eq!(map.take(2, 8, &[5, 6, 7, 0, 1, 2, 3, 4]), x);
    }

    #[test]
    fn means_over_everything_have_no_position_and_means_over_pairs_lie_between() {
        let x = Coordinate::along(3, 1, rows(4));
        assert_eq!(x.averaged(&[1], EVERYWHERE), Coordinate::constant(3, EVERYWHERE));
        let pairs = x.reshaped(&[1, 4, 3], &[1, 2, 2, 3]).unwrap().averaged(&[2], EVERYWHERE);
        assert_eq!(pairs.values, [0.5, 2.5]);
    }

    #[test]
    fn joined_different_positions_are_unknown() {
        let (a, b) = (Coordinate::along(2, 1, rows(3)), Coordinate::along(2, 1, vec![0.0, 2.0, 1.0]));
        let joined = a.joined(&b, 0.1).unwrap();
        assert!(joined.has_unknown() && joined.values[0] == 0.0);
        assert_eq!(a.joined(&Coordinate::constant(1, EVERYWHERE), 0.1), Some(a));
    }
}
