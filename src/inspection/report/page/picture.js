// A map over its photograph: a translucent colour for each cell, lines where the best class changes, letters if wanted.
relabel.picture = (() => {
  const { table } = relabel;
  const { make, draw } = relabel.base;
  const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

  // The best classes of a map's cells by falling number of cells, the lower id first where two have as many.
  function regions({ height, width, classes }) {
    const cells = new Map();
    for (const id of classes.subarray(0, height * width)) cells.set(id, (cells.get(id) ?? 0) + 1);
    const sorted = [...cells].sort((a, b) => b[1] - a[1] || a[0] - b[0]);
    return sorted.map(([id, cells], at) => ({ id, cells, letter: LETTERS[at] ?? "" }));
  }

  // How sure a cell is of its best class: softmax over all classes, absent ones having score 0, as LabelPooling takes it.
  function sureness({ height, width, classes, scores, classCount }, cell) {
    const cells = height * width, absent = Math.max(classCount - classes.length / cells, 0);
    const top = Math.max(absent > 0 ? 0 : -Infinity, scores[cell]);
    let total = absent * Math.exp(-top);
    for (let at = cell; at < scores.length; at += cells) total += Math.exp(scores[at] - top);
    return Math.exp(scores[cell] - top) / total;
  }

  // Each cell in the colour of its best class, the stronger the surer.
  function colours(map) {
    const { height, width, classes } = map;
    const canvas = make("canvas", { width, height, "aria-hidden": "true" });
    const context = canvas.getContext("2d");
    for (let cell = 0; cell < height * width; cell += 1) {
      context.globalAlpha = 0.35 + 0.65 * sureness(map, cell);
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

  // Connected cells of one class; each has its letter in the cell that is nearest to its middle.
  function letters(map, of) {
    const { height, width, classes } = map;
    const seen = new Uint8Array(height * width);
    const layer = make("div", { class: "letters", "aria-hidden": "true" });
    for (let first = 0; first < height * width; first += 1) {
      if (seen[first]) continue;
      const id = classes[first], cells = [], waiting = [first];
      seen[first] = 1;
      while (waiting.length) {
        const cell = waiting.pop(), x = cell % width, y = Math.trunc(cell / width);
        cells.push({ x, y });
        for (const [next, isInside] of [[cell - 1, x > 0], [cell + 1, x + 1 < width], [cell - width, y > 0], [cell + width, y + 1 < height]]) {
          if (isInside && !seen[next] && classes[next] === id) {
            seen[next] = 1;
            waiting.push(next);
          }
        }
      }
      const region = of.find((region) => region.id === id);
      if (!region?.letter) continue;
      const middle = { x: mean(cells, "x"), y: mean(cells, "y") };
      const away = (cell) => (cell.x - middle.x) ** 2 + (cell.y - middle.y) ** 2;
      const { x, y } = cells.reduce((best, cell) => (away(cell) < away(best) ? cell : best));
      layer.append(make("span", {
        style: `left:${((x + 0.5) / width) * 100}%;top:${((y + 0.5) / height) * 100}%;background:${table.color(id)};color:${table.ink(id)}`,
      }, region.letter));
    }
    return layer;
  }

  const mean = (cells, axis) => cells.reduce((total, cell) => total + cell[axis], 0) / cells.length;

  // Height by width: the photograph's, or the map's where there is none.
  const shape = (image) => image.pixels ?? [image.map.height, image.map.width];

  function picture(image, ofLetters = null) {
    const [height, width] = shape(image);
    const box = make("div", { class: image.photograph ? "picture" : "picture plain" });
    box.style.aspectRatio = `${width} / ${height}`;
    box.classList.add(width >= height ? "lying" : "standing");
    if (image.photograph) box.append(make("img", { src: image.photograph, alt: "", draggable: "false", decoding: "async" }));
    box.append(colours(image.map), lines(image.map));
    if (ofLetters) box.append(letters(image.map, ofLetters));
    return box;
  }

  return { picture, regions, shape, sureness };
})();

