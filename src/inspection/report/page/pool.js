// LabelPooling of a box, as in src/training/pool: RoIAlign to one value (aligned=False, sampling_ratio=-1) of a map in which
// absent classes have score 0, then softmax over all classes. Sample positions are computed in float32 as in torchvision,
// so that both use the same number of samples.
relabel.pool = (() => {
  const f32 = Math.fround;

  // Weight of each cell along one axis of a box from `low` to `high`, in 0..1 of the image.
  function weights(low, high, cells) {
    const start = f32(low * cells - 0.5), end = f32(high * cells - 0.5);
    const length = Math.max(f32(end - start), 1);
    const samples = Math.ceil(length);
    const weights = new Float64Array(cells);
    for (let sample = 0; sample < samples; sample += 1) {
      let position = f32(start + f32(f32(f32(sample + 0.5) * length) / samples));
      // A sample more than one cell outside the map counts as 0. Closer samples use the value at the edge.
      if (!(position >= -1 && position <= cells)) continue;
      position = Math.max(position, 0);
      const below = Math.trunc(position);
      if (below >= cells - 1) {
        weights[cells - 1] += 1 / samples;
      } else {
        const above = f32(position - below);
        weights[below] += (1 - above) / samples;
        weights[below + 1] += above / samples;
      }
    }
    return weights;
  }

  // Returns each class that a cell of the box has, with the weighted sum of its scores.
  function classScores(map, [x0, y0, x1, y1]) {
    const rows = weights(y0, y1, map.height), columns = weights(x0, x1, map.width);
    const cells = map.height * map.width;
    const sums = new Map();
    for (let at = 0; at < map.classes.length; at += 1) {
      const cell = at % cells;
      const weight = rows[Math.trunc(cell / map.width)] * columns[cell % map.width];
      if (weight !== 0) sums.set(map.classes[at], (sums.get(map.classes[at]) ?? 0) + weight * map.scores[at]);
    }
    return [...sums];
  }

  // `map` has height and width in cells, classes and scores `[k, y, x]`, and the number of classes of the teacher.
  // Returns classes by descending probability, their probabilities, and the sum and the number of all others.
  function pool(map, box) {
    const ranked = classScores(map, box).sort((a, b) => b[1] - a[1] || a[0] - b[0]);
    const absent = map.classCount - ranked.length;
    const top = Math.max(absent > 0 ? 0 : -Infinity, ranked.length ? ranked[0][1] : -Infinity);
    const exponentials = ranked.map(([, sum]) => Math.exp(sum - top));
    const others = absent > 0 ? absent * Math.exp(-top) : 0;
    const total = exponentials.reduce((total, value) => total + value, others);
    return { classes: ranked.map(([id]) => id), probs: exponentials.map((value) => value / total), rest: others / total, absent };
  }

  // Probability of one class, kept by a cell of the box or not.
  function probOf(target, id) {
    const at = target.classes.indexOf(id);
    return at >= 0 ? target.probs[at] : target.rest / Math.max(target.absent, 1);
  }

  return { pool, probOf, classScores };
})();

