// Pooling of a box from label maps and predictions of an image and its tiles, as in src/training/pool/mixed_pooler.rs. Sources
// are weighted by the overlap of the box with the image or the tile.
relabel.mix = (() => {
  const SMALLEST_AREA = 1 / 1024, SMALLEST_SHARE = 1e-6, SMALLEST_REST = 1 / 4096, SMALLEST_PROB = 2 ** -24;
  const WHOLE = [0, 0, 1, 1];

  const clamp = (side) => Math.max(0, Math.min(side, 1));
  const area = ([x0, y0, x1, y1]) => (clamp(x1) - clamp(x0)) * (clamp(y1) - clamp(y0));

  // Intersection over union of the parts inside the image.
  function overlap(a, b) {
    const side = (low, high) => Math.max(clamp(high) - clamp(low), 0);
    const common = side(Math.max(a[0], b[0]), Math.min(a[2], b[2])) * side(Math.max(a[1], b[1]), Math.min(a[3], b[3]));
    const union = area(a) + area(b) - common;
    return union > 0 ? common / union : 0;
  }

  // The part of a box inside a tile, in 0..1 of the tile; null if there is none.
  function inTile(box, tile) {
    const part = box.map((side, at) => clamp((side - tile[at % 2]) / (tile[at % 2 + 2] - tile[at % 2])));
    return part[2] > part[0] && part[3] > part[1] ? part : null;
  }

  // Shares of sources: softmax of their exponents, times `total`.
  function distribute(total, exponents) {
    const top = Math.max(...exponents), weights = exponents.map((exponent) => Math.exp(exponent - top));
    const sum = weights.reduce((sum, weight) => sum + weight, 0);
    return weights.map((weight) => (total * weight) / sum);
  }

  // The distribution of a prediction, as scores relative to the classes that it does not list.
  function predictionScores(prediction, classCount) {
    const probs = prediction.map(([, prob]) => Math.max(prob, SMALLEST_PROB));
    const rest = Math.max(1 - probs.reduce((sum, prob) => sum + prob, 0), SMALLEST_REST);
    const absent = Math.log(rest / Math.max(classCount - prediction.length, 1));
    return prediction.map(([id], at) => [id, Math.log(probs[at]) - absent]);
  }

  // Adds `share` times the softmax of scores, divided by `temperature`, to a mixture.
  function add(mixture, share, temperature, scores, classCount) {
    const absentCount = classCount - scores.length;
    const top = Math.max(absentCount > 0 ? 0 : -Infinity, ...scores.map(([, score]) => score));
    const exponential = (score) => Math.exp((score - top) / temperature);
    const absent = absentCount > 0 ? exponential(0) : 0;
    const total = scores.reduce((total, [, score]) => total + exponential(score), absent * absentCount);
    mixture.absent += (share * absent) / total;
    for (const [id, score] of scores) {
      const listed = mixture.listed.get(id) ?? { probs: 0, absent: 0 };
      listed.probs += (share * exponential(score)) / total;
      listed.absent += (share * absent) / total;
      mixture.listed.set(id, listed);
    }
  }

  // `image` has a prediction, and optionally a map and tiles; `boxes` are those of the tiles. Returns the same as relabel.pool.pool.
  function pool(image, boxes, classCount, box, parameters) {
    const lnArea = Math.log(Math.max(area(box), SMALLEST_AREA));
    const tiles = image.tiles ?? [];
    const sharpness = parameters.overlap_sharpness;
    const maps = image.map ? [{ map: image.map, box, exponent: sharpness * overlap(box, WHOLE) }] : [];
    for (const [at, { map }] of tiles.entries()) {
      const part = map && inTile(box, boxes[at]);
      if (part) maps.push({ map, box: part, exponent: sharpness * overlap(box, boxes[at]) + parameters.tile_map_bias });
    }
    const predictions = [{ prediction: image.prediction, exponent: sharpness * overlap(box, WHOLE) }];
    for (const [at, { prediction }] of tiles.entries()) {
      predictions.push({ prediction, exponent: sharpness * overlap(box, boxes[at]) + parameters.tile_bias });
    }
    const odds = parameters.map_share_bias + parameters.map_share_slope * lnArea;
    const [mapShare, predictionShare] = maps.length ? [1 / (1 + Math.exp(-odds)), 1 / (1 + Math.exp(odds))] : [0, 1];
    const exponents = (sources) => sources.map(({ exponent }) => exponent);
    const shares = [...distribute(mapShare, exponents(maps)), ...distribute(predictionShare, exponents(predictions))];
    const kept = shares.reduce((sum, share) => sum + (share >= SMALLEST_SHARE ? share : 0), 0);
    const mapTemperature = parameters.map_temperature * Math.exp(parameters.map_temperature_exponent * lnArea);
    const predictionTemperature = parameters.prediction_temperature * Math.exp(parameters.prediction_temperature_exponent * lnArea);
    const mixture = { listed: new Map(), absent: 0 };
    for (const [at, source] of [...maps, ...predictions].entries()) {
      if (shares[at] < SMALLEST_SHARE) continue;
      const scores = source.map ? relabel.pool.classScores(source.map, source.box) : predictionScores(source.prediction, classCount);
      add(mixture, shares[at] / kept, source.map ? mapTemperature : predictionTemperature, scores, classCount);
    }
    // Sources that do not list a class give it what they give to absent classes.
    const probs = [...mixture.listed].map(([id, listed]) => [id, listed.probs + Math.max(mixture.absent - listed.absent, 0)]);
    probs.sort((a, b) => b[1] - a[1] || a[0] - b[0]);
    const absent = classCount - probs.length;
    return { classes: probs.map(([id]) => id), probs: probs.map(([, prob]) => prob), rest: mixture.absent * absent, absent };
  }

  return { pool };
})();

