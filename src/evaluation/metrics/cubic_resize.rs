//! `OpenCV`'s bicubic resize.

/// Weights of four consecutive cells in one pixel.
struct CubicTap {
    /// Cells, limited to the map.
    cells: [usize; 4],
    weights: [f64; 4],
}

/// Writes `scores` (`[y, x]`, with rows of `columns` cells), resized to `side` by `side` pixels, to `resized`. Equals
/// `cv2.resize(scores, (side, side), interpolation=cv2.INTER_CUBIC)` of float64 scores bit for bit: weights are computed in
/// float32, sums in float64, from left to right, columns first.
pub(super) fn cubic_resize(scores: &[f32], columns: usize, side: usize, resized: &mut Vec<f64>) {
    let rows = scores.len() / columns;
    let of_x = taps(columns, side);
    let mut wide = Vec::with_capacity(rows * side);
    for row in scores.chunks_exact(columns) {
        let blend = |tap: &CubicTap| sum_of_products(tap.cells.map(|cell| f64::from(row[cell])), tap.weights);
        wide.extend(of_x.iter().map(blend));
    }
    resized.clear();
    for tap in taps(rows, side) {
        let [a, b, c, d] = tap.cells.map(|row| &wide[row * side..(row + 1) * side]);
        let columns = a.iter().zip(b).zip(c.iter().zip(d));
        resized.extend(columns.map(|((a, b), (c, d))| sum_of_products([*a, *b, *c, *d], tap.weights)));
    }
}

fn sum_of_products(values: [f64; 4], weights: [f64; 4]) -> f64 {
    let [a, b, c, d] = [0, 1, 2, 3].map(|at| values[at] * weights[at]);
    a + b + c + d
}

fn taps(cells: usize, pixels: usize) -> Vec<CubicTap> {
    let scale = 1.0 / (pixels as f64 / cells as f64);
    let tap = |pixel: usize| {
        let position = ((pixel as f64 + 0.5) * scale - 0.5) as f32;
        let first = position.floor();
        let limited = |offset: f32| ((first + offset).max(0.0) as usize).min(cells - 1);
        CubicTap { cells: [-1.0, 0.0, 1.0, 2.0].map(limited), weights: weights(position - first).map(f64::from) }
    };
    (0..pixels).map(tap).collect()
}

/// Weights of the cells around a pixel, `x` (0 to 1) after the second of them: Keys' kernel with a = -0.75.
fn weights(x: f32) -> [f32; 4] {
    const A: f32 = -0.75;
    let first = ((A * (x + 1.0) - 5.0 * A) * (x + 1.0) + 8.0 * A) * (x + 1.0) - 4.0 * A;
    let second = ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0;
    let third = ((A + 2.0) * (1.0 - x) - (A + 3.0)) * (1.0 - x) * (1.0 - x) + 1.0;
    [first, second, third, 1.0 - first - second - third]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_size_and_equal_scores_remain() {
        let mut resized = Vec::new();
        let scores: Vec<f32> = (0..9).map(|cell| (cell * cell) as f32).collect();
        cubic_resize(&scores, 3, 3, &mut resized);
        assert_eq!(resized, scores.iter().copied().map(f64::from).collect::<Vec<_>>());
        cubic_resize(&[2.5; 6], 2, 5, &mut resized);
        assert!(resized.iter().all(|pixel| (pixel - 2.5).abs() < 1e-6));
    }

    #[test]
    fn the_kernel_overshoots_at_an_edge() {
        // cv2.resize(numpy.array([[0.0, 1.0]]), (4, 1), interpolation=cv2.INTER_CUBIC)
        let mut resized = Vec::new();
        cubic_resize(&[0.0, 1.0, 0.0, 1.0], 2, 4, &mut resized);
        let expected = [-0.105_468_75, 0.226_562_5, 0.773_437_5, 1.105_468_75];
        assert!(resized.iter().zip(expected.iter().cycle()).all(|(pixel, expected)| (pixel - expected).abs() < 1e-9));
    }
}
