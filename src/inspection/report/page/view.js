// The full view of one image: letters and legend, the cell under the pointer, the targets of the crop and of the full
// image, and the prediction.
relabel.view = (() => {
  const { table, filter, grid, blocks, crop, pool, mix } = relabel;
  const { make, byId, count, percent } = relabel.base;
  const MAX_BARS = 6;

  const view = { index: -1, image: null };
  let dialog, stage, picture, marker, cell = null, opening = 0;

  view.start = () => {
    dialog = byId("view");
    stage = byId("stage");
    byId("view-close").addEventListener("click", () => dialog.close());
    byId("view-previous").addEventListener("click", () => view.open(view.index - 1));
    byId("view-next").addEventListener("click", () => view.open(view.index + 1));
    dialog.addEventListener("close", () => {
      filter.note({ image: "", crop: "" });
      grid.moveTo(view.index, true);
      view.index = -1;
    });
    dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
    dialog.addEventListener("keydown", onKey);
    stage.addEventListener("pointermove", (event) => showCell(cellAt(event)));
    stage.addEventListener("pointerleave", () => { if (document.activeElement !== stage) showCell(null); });
    stage.addEventListener("focus", () => { if (stage.matches(":focus-visible") && view.image?.map) showCell(cell ?? middle()); });
    stage.addEventListener("blur", () => showCell(null));
    stage.addEventListener("keydown", onStageKey);
    new ResizeObserver(fit).observe(stage);
    crop.start((box) => {
      if (view.image) showBars();
      if (view.index >= 0) filter.note({ crop: box.join(",") });
    });
    window.addEventListener("hashchange", follow);
    follow();
    // A page of one image opens its full view.
    const { mode, row, crop: box } = table.about.selected;
    if (mode !== "one" || filter.state.image) return;
    if (box) crop.read(box.join(","));
    view.openRow(row);
  };

  // Opens the image of the URL.
  function follow() {
    const { image, crop: box } = filter.state;
    if (box) crop.read(box);
    if (image) view.openRow(Number(image));
    else if (dialog.open) dialog.close();
  }

  view.openRow = (row) => {
    const index = filter.matches.findIndex((at) => table.row[at] === row);
    if (index >= 0) view.open(index);
  };

  // Opens the image at a position among the matches.
  view.open = (index) => {
    if (index < 0 || index >= filter.matches.length) return;
    view.index = index;
    const at = filter.matches[index], request = ++opening;
    filter.note({ image: String(table.row[at]), crop: crop.box.join(",") });
    byId("view-id").textContent = table.id[at];
    byId("view-position").textContent = `${relabel.base.formatInteger(index + 1)} of ${relabel.base.formatInteger(filter.matches.length)} · row ${table.row[at]}`;
    byId("view-previous").disabled = index === 0;
    byId("view-next").disabled = index + 1 === filter.matches.length;
    showFolder(at);
    const note = table.failed[at] ?? (table.noPhotograph[at] && `No photograph: ${table.noPhotograph[at]}`);
    byId("view-note").textContent = note ?? "";
    byId("view-note").hidden = !note;
    view.image = null;
    cell = null;
    if (!dialog.open) dialog.showModal();
    if (document.activeElement?.disabled) byId("view-id").focus();
    if (table.hasFailed(at)) return empty();
    blocks.image(at, () => request === opening).then((image) => {
      if (request === opening) show(image);
    }, (error) => {
      if (request !== opening) return;
      empty();
      byId("view-note").textContent = error.message;
      byId("view-note").hidden = false;
    });
  };

  function empty() {
    dialog.classList.add("failed");
    stage.replaceChildren();
    picture = null;
    byId("bars").replaceChildren();
    byId("legend").replaceChildren();
    byId("tiles").replaceChildren();
    byId("cell").replaceChildren();
  }

  function show(image) {
    dialog.classList.remove("failed");
    view.image = image;
    view.regions = image.map ? relabel.picture.regions(image.map) : [];
    picture = relabel.picture.picture(image, view.regions);
    marker = make("div", { class: "marker", hidden: true });
    picture.append(marker);
    stage.replaceChildren(picture);
    fit();
    relabel.tiles.show(image, picture);
    byId("legend").replaceChildren(...view.regions.map(({ id, cells: cellCount, letter }) => make("tr", { title: table.fullClassName(id) },
      make("td", {}, make("span", { class: "swatch", style: `background:${table.color(id)};color:${table.ink(id)}` }, letter)),
      make("td", {}, table.className(id)), make("td", {}, String(cellCount)))));
    if (image.map) byId("legend-title").textContent = `Best classes of the ${image.map.height * image.map.width} cells`;
    showCell(null);
    crop.attach(stage, picture);
  }

  // Maximises the picture, with a margin for a crop that exceeds it.
  function fit() {
    if (!picture || !view.image) return;
    const [height, width] = relabel.picture.shape(view.image);
    const share = 0.88, scale = Math.min((stage.clientWidth * share) / width, (stage.clientHeight * share) / height);
    picture.style.width = `${Math.round(width * scale)}px`;
    picture.style.height = `${Math.round(height * scale)}px`;
    const { map } = view.image;
    if (map) picture.style.setProperty("--cell", `${Math.min((width * scale) / map.width, (height * scale) / map.height)}px`);
  }

  function showFolder(at) {
    const folder = table.folderText(at), verdict = table.verdict[at];
    const line = [grid.badge(verdict), " "];
    if (folder === undefined) line.push("No folder");
    else line.push("Folder: ", make("b", {}, folder), table.folderClass[at] >= 0 ? "" : " (not a class of the teacher)");
    line.push(` · ${table.VERDICT_NAMES[verdict]}`);
    if (verdict !== table.FAILED) {
      const entropy = `entropy ${table.entropy[at].toFixed(2)} nats`;
      const facts = table.hasMaps
        ? [count(table.winnerCount[at], "class", "classes"), count(table.objects[at], "object"), entropy, count(table.bytes[at], "byte")]
        : [count(table.winnerCount[at], "best class", "best classes"), entropy];
      if (table.hasMaps && table.folderClass[at] >= 0) facts.unshift(`folder class best in ${count(table.folderClassCells[at], "cell")}`);
      line.push(make("span", { class: "facts" }, facts.join(" · ")));
    }
    byId("view-folder").replaceChildren(...line);
  }

  function showBars() {
    const at = filter.matches[view.index], folderClass = table.folderClass[at];
    const { map, prediction } = view.image, { pooling, tiles } = table.about;
    const mixed = (box, parameters) => mix.pool(view.image, tiles?.boxes ?? [], table.classes.count, box, parameters);
    const predicted = { classes: prediction.map(([id]) => id), probs: prediction.map(([, prob]) => prob), isTruncated: true };
    // LabelPooling; without a map, predictions by overlap.
    const pooled = (box) => (map ? pool.pool(map, box) : mixed(box, pooling.tiles));
    const kind = map ? "target" : "target, by tiles";
    view.crop = pooled(crop.box);
    view.full = pooled([0, 0, 1, 1]);
    view.calibrated = pooling.calibrated && mixed(crop.box, pooling.calibrated);
    byId("bars").replaceChildren(
      bars("crop", "Crop", kind, view.crop, folderClass),
      ...(view.calibrated ? [bars("calibrated", "Crop", "target, calibrated", view.calibrated, folderClass)] : []),
      bars("full", "Full image", kind, view.full, folderClass),
      bars("prediction", "Full image", "prediction of the teacher", predicted, folderClass),
    );
  }

  function bars(name, title, kind, target, folderClass) {
    const list = make("ul", {});
    const shown = target.classes.slice(0, MAX_BARS);
    let others = 1;
    const add = (id, prob) => {
      others -= prob;
      list.append(bar(id, prob, folderClass));
    };
    for (const [rank, id] of shown.entries()) add(id, target.probs[rank]);
    if (!target.isTruncated && folderClass >= 0 && !shown.includes(folderClass)) add(folderClass, pool.probOf(target, folderClass));
    list.append(make("li", { class: "others" }, make("span", {}), make("span", { class: "name" }, "all others"),
      make("span", {}), make("span", { class: "value" }, percent(Math.max(others, 0)))));
    return make("section", { class: "bars", "data-bars": name }, make("h3", {}, title, make("small", {}, ` ${kind}`)), list);
  }

  function bar(id, prob, folderClass) {
    const region = view.regions.find((region) => region.id === id);
    return make("li", { "data-class": id, "data-prob": prob, class: id === folderClass ? "is-folder-class" : "", title: table.fullClassName(id) },
      make("span", { class: "swatch", style: `background:${table.color(id)};color:${table.ink(id)}` }, region?.letter ?? ""),
      make("span", { class: "name" }, make("span", {}, table.className(id)), id === folderClass ? make("em", {}, "folder") : null),
      make("span", { class: "track" }, make("span", { style: `width:${prob * 100}%;background:${table.color(id)}` })),
      make("span", { class: "value" }, percent(prob)));
  }

  const middle = () => ({ x: Math.trunc(view.image.map.width / 2), y: Math.trunc(view.image.map.height / 2) });

  function cellAt({ clientX, clientY }) {
    if (!picture || !view.image?.map) return null;
    const frame = picture.getBoundingClientRect(), { width, height } = view.image.map;
    const x = Math.floor(((clientX - frame.left) / frame.width) * width), y = Math.floor(((clientY - frame.top) / frame.height) * height);
    return x >= 0 && y >= 0 && x < width && y < height ? { x, y } : null;
  }

  // Shows the kept classes and scores of one cell.
  function showCell(position) {
    const box = byId("cell");
    if (marker) marker.hidden = !position;
    if (!position || !view.image?.map) {
      const hint = table.hasMaps ? "Point at a cell to see its classes and scores. " : "";
      box.replaceChildren(make("p", { class: "hint" }, `${hint}Drag the box to pool another crop.`));
      return;
    }
    cell = position;
    const { map } = view.image, { width, height } = map, cells = width * height, number = position.y * width + position.x;
    Object.assign(marker.style, {
      left: `${(position.x / width) * 100}%`, top: `${(position.y / height) * 100}%`, width: `${100 / width}%`, height: `${100 / height}%`,
    });
    const list = make("ol", {});
    for (let at = number; at < map.classes.length; at += cells) {
      const id = map.classes[at];
      list.append(make("li", { title: table.fullClassName(id) },
        make("span", { class: "swatch", style: `background:${table.color(id)}` }), `${table.className(id)} `, make("b", {}, map.scores[at].toFixed(2))));
    }
    box.replaceChildren(make("p", {}, `Cell in row ${position.y + 1}, column ${position.x + 1}: classes and scores`), list);
  }

  function onKey(event) {
    const isTyping = event.target.matches("input, select, textarea");
    if (isTyping || event.altKey || event.ctrlKey || event.metaKey) return;
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    view.open(view.index + step);
  }

  function onStageKey(event) {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!step || !view.image?.map) return;
    event.preventDefault();
    event.stopPropagation();
    const from = cell ?? middle(), { width, height } = view.image.map;
    showCell({ x: Math.max(0, Math.min(from.x + step[0], width - 1)), y: Math.max(0, Math.min(from.y + step[1], height - 1)) });
  }

  return view;
})();

