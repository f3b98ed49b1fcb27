// The tiles of an image: where each is, and the best classes of its prediction.
relabel.tiles = (() => {
  const { table } = relabel;
  const { make, draw, byId, percent } = relabel.base;
  const MAX_CLASSES = 2;
  let outline = null;

  // Lists the tiles of an image. The tile under the pointer or with the focus is outlined in the picture.
  function show(image, picture) {
    const { tiles } = table.about;
    byId("tiles-title").hidden = byId("tiles").hidden = !tiles;
    if (!tiles) return;
    outline = make("div", { class: "tile-outline", hidden: true });
    picture.append(outline);
    byId("tiles-title").textContent = `Predictions for ${tiles.boxes.length} tiles (covering ${tiles.covering})`;
    byId("tiles").replaceChildren(...image.tiles.map(({ prediction }, at) => item(prediction, tiles.boxes[at], at)));
  }

  function item(prediction, box, at) {
    const best = prediction.slice(0, MAX_CLASSES).map(([id, prob]) => make("span", { class: "tile-best", title: table.fullClassName(id) },
      make("span", { class: "swatch", style: `background:${table.color(id)}` }), make("span", { class: "name" }, table.className(id)), percent(prob)));
    const point = () => {
      const [x0, y0, x1, y1] = box.map((side) => side * 100);
      Object.assign(outline.style, { left: `${x0}%`, top: `${y0}%`, width: `${x1 - x0}%`, height: `${y1 - y0}%` });
      outline.style.setProperty("--tile", table.color(prediction[0][0]));
      outline.hidden = false;
    };
    const leave = () => { outline.hidden = true; };
    return make("li", { tabindex: 0, "data-tile": at, onpointerenter: point, onpointerleave: leave, onfocus: point, onblur: leave,
      "aria-label": `Tile ${at}: ${prediction.slice(0, MAX_CLASSES).map(([id, prob]) => `${table.className(id)} ${percent(prob)}`).join(", ")}` },
      place(box, table.color(prediction[0][0])), make("span", { class: "tile-number" }, String(at)), ...best);
  }

  // A square for the image, in which the tile has the colour of its best class.
  function place([x0, y0, x1, y1], color) {
    return draw("svg", { viewBox: "0 0 1 1", class: "tile-place", "aria-hidden": "true" },
      draw("rect", { x: x0, y: y0, width: x1 - x0, height: y1 - y0, style: `fill:${color}` }));
  }

  return { show };
})();

