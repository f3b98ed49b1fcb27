// A photograph and the map over it: a translucent colour for each cell, lines between classes, and optionally letters.
relabel.picture = (() => {
  const { table } = relabel;
  const { make, draw } = relabel.base;
  const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

  // Best classes of the cells of a map, with numbers of cells; most cells first, then the lower id.
  function regions({ height, width, classes }) {
    const cells = new Map();
    for (const id of classes.subarray(0, height * width)) cells.set(id, (cells.get(id) ?? 0) + 1);
    const sorted = [...cells].sort((a, b) => b[1] - a[1] || a[0] - b[0]);
    return sorted.map(([id, cells], at) => ({ id, cells, letter: LETTERS[at] ?? "" }));
  }

  // Probability of the best class of a cell: softmax over all classes, where absent classes have score 0, as in LabelPooling.
  function bestProb({ height, width, classes, scores, classCount }, cell) {
    const cells = height * width, absent = Math.max(classCount - classes.length / cells, 0);
    const top = Math.max(absent > 0 ? 0 : -Infinity, scores[cell]);
    let total = absent * Math.exp(-top);
    for (let at = cell; at < scores.length; at += cells) total += Math.exp(scores[at] - top);
    return Math.exp(scores[cell] - top) / total;
  }

  // Draws each cell in the colour of its best class, more opaque with higher probability.
  function colours(map) {
    const { height, width, classes } = map;
    const canvas = make("canvas", { width, height, "aria-hidden": "true" });
    const context = canvas.getContext("2d");
    for (let cell = 0; cell < height * width; cell += 1) {
      context.globalAlpha = 0.35 + 0.65 * bestProb(map, cell);
      context.fillStyle = table.color(classes[cell]);
      context.fillRect(cell % width, Math.trunc(cell / width), 1, 1);
    }
    return canvas;
  }

  function lines({ height, width, classes }) {
    let path = "";
    for (let y = 0; y < height; y += 1) {
      for (let x = 0; x < width; x += 1) {
        const cell = y * width + x;
        if (x > 0 && classes[cell] !== classes[cell - 1]) path += `M${x} ${y}v1`;
        if (y > 0 && classes[cell] !== classes[cell - width]) path += `M${x} ${y}h1`;
      }
    }
    return draw("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", class: "lines", "aria-hidden": "true" },
      draw("path", { d: path, class: "line-under" }), draw("path", { d: path, class: "line" }));
  }

  // Draws the letter of each group of connected cells of one class, in the cell nearest to its centre.
  function letters(map, regions) {
    const { height, width, classes } = map;
    const isGrouped = new Uint8Array(height * width);
    const layer = make("div", { class: "letters", "aria-hidden": "true" });
    for (let first = 0; first < height * width; first += 1) {
      if (isGrouped[first]) continue;
      const id = classes[first], cells = [], waiting = [first];
      isGrouped[first] = 1;
      while (waiting.length) {
        const cell = waiting.pop(), x = cell % width, y = Math.trunc(cell / width);
        cells.push({ x, y });
        for (const [next, isInside] of [[cell - 1, x > 0], [cell + 1, x + 1 < width], [cell - width, y > 0], [cell + width, y + 1 < height]]) {
          if (isInside && !isGrouped[next] && classes[next] === id) {
            isGrouped[next] = 1;
            waiting.push(next);
          }
        }
      }
      const region = regions.find((region) => region.id === id);
      if (!region?.letter) continue;
      const centre = { x: mean(cells, "x"), y: mean(cells, "y") };
      const distance = (cell) => (cell.x - centre.x) ** 2 + (cell.y - centre.y) ** 2;
      const { x, y } = cells.reduce((best, cell) => (distance(cell) < distance(best) ? cell : best));
      layer.append(make("span", {
        style: `left:${((x + 0.5) / width) * 100}%;top:${((y + 0.5) / height) * 100}%;background:${table.color(id)};color:${table.ink(id)}`,
      }, region.letter));
    }
    return layer;
  }

  const mean = (cells, axis) => cells.reduce((total, cell) => total + cell[axis], 0) / cells.length;

  // Height and width of the photograph; of the map if there is none. Without both it is a square.
  const shape = (image) => image.pixels ?? (image.map ? [image.map.height, image.map.width] : [1, 1]);

  function picture(image, letterRegions = null) {
    const [height, width] = shape(image);
    const box = make("div", { class: image.photograph ? "picture" : "picture plain" });
    box.style.aspectRatio = `${width} / ${height}`;
    box.classList.add(width >= height ? "landscape" : "portrait");
    if (image.photograph) box.append(make("img", { src: image.photograph, alt: "", draggable: "false", decoding: "async" }));
    if (image.map) box.append(colours(image.map), lines(image.map));
    else if (!image.photograph) box.style.background = table.color(image.prediction[0][0]);
    if (image.map && letterRegions) box.append(letters(image.map, letterRegions));
    return box;
  }

  return { picture, regions, shape, bestProb };
})();

