// The images as tiles. The document contains only the visible lines, and one above and below.
relabel.grid = (() => {
  const { table, filter, blocks } = relabel;
  const { make, byId, percent } = relabel.base;
  const MIN_WIDTH = 176, GAP = 12, CAPTION = 58;
  // Browsers limit the height of elements. Beyond this height, in pixels, scrolling is scaled.
  const MAX_HEIGHT = 8e6;

  const grid = { current: 0 };
  const tiles = new Map();
  let scroller, sheet, columns = 1, width = MIN_WIDTH, lineHeight = 1, stretch = 1;

  grid.start = () => {
    scroller = byId("grid");
    sheet = byId("lines");
    scroller.addEventListener("scroll", () => requestAnimationFrame(render), { passive: true });
    scroller.addEventListener("keydown", onKey);
    new ResizeObserver(measure).observe(scroller);
    filter.onchange(() => {
      for (const tile of tiles.values()) tile.node.remove();
      tiles.clear();
      grid.current = 0;
      scroller.scrollTop = 0;
      byId("no-matches").hidden = filter.matches.length > 0;
      measure();
    });
    measure();
  };

  // Makes a tile the current one and scrolls to it. Called by the full view.
  grid.moveTo = (index, takeFocus) => {
    grid.current = Math.max(0, Math.min(index, filter.matches.length - 1));
    const line = Math.trunc(grid.current / columns), top = line * lineHeight, visible = scroller.clientHeight;
    const at = scroller.scrollTop * stretch;
    if (top < at) scroller.scrollTop = top / stretch;
    else if (top + lineHeight > at + visible) scroller.scrollTop = (top + lineHeight - visible) / stretch;
    render();
    if (takeFocus) tiles.get(grid.current)?.button.focus({ preventScroll: true });
  };

  function measure() {
    const available = scroller.clientWidth - GAP;
    if (available <= 0) return;
    columns = Math.max(1, Math.floor(available / (MIN_WIDTH + GAP)));
    width = Math.floor(available / columns) - GAP;
    lineHeight = width + CAPTION + GAP;
    const height = Math.ceil(filter.matches.length / columns) * lineHeight + GAP;
    sheet.style.height = `${Math.min(height, MAX_HEIGHT)}px`;
    const visible = scroller.clientHeight;
    stretch = height > MAX_HEIGHT ? (height - visible) / (MAX_HEIGHT - visible) : 1;
    sheet.style.setProperty("--side", `${width}px`);
    render();
  }

  function render() {
    const top = scroller.scrollTop * stretch, shift = scroller.scrollTop - top;
    const first = Math.max(0, Math.floor(top / lineHeight) - 1) * columns;
    const last = Math.min(filter.matches.length, (Math.ceil((top + scroller.clientHeight) / lineHeight) + 1) * columns);
    for (const [index, tile] of tiles) {
      // The focused tile is kept, so keyboard navigation continues from it.
      if ((index < first || index >= last) && !tile.node.contains(document.activeElement)) {
        tile.node.remove();
        tiles.delete(index);
      }
    }
    for (let index = first; index < last; index += 1) {
      if (!tiles.has(index)) add(index);
    }
    for (const [index, { node, button }] of tiles) {
      const line = Math.trunc(index / columns);
      node.style.transform = `translate(${GAP + (index % columns) * (width + GAP)}px, ${shift + GAP + line * lineHeight}px)`;
      button.tabIndex = index === grid.current ? 0 : -1;
    }
  }

  function add(index) {
    const at = filter.matches[index];
    const box = make("span", { class: "tile-picture" });
    const button = make("button", {
      type: "button", class: "tile", title: table.id[at], "aria-label": description(at),
      onclick: () => relabel.view.open(index),
      onfocus: () => { grid.current = index; },
    }, box, caption(at));
    const node = make("div", {
      role: "listitem", class: "slot", "aria-setsize": filter.matches.length, "aria-posinset": index + 1, "data-row": table.row[at],
    }, button);
    tiles.set(index, { node, button });
    sheet.append(node);
    if (table.hasFailed(at)) {
      box.append(make("span", { class: "reason" }, table.failed[at]));
      return;
    }
    const isWanted = () => node.isConnected;
    blocks.image(at, isWanted).then((image) => {
      box.replaceChildren(relabel.picture.picture(image));
      if (table.noPhotograph[at]) box.append(make("span", { class: "no-photograph", title: table.noPhotograph[at] }, "no photograph"));
    }, (error) => box.replaceChildren(make("span", { class: "reason" }, error.message)));
  }

  function caption(at) {
    const verdict = table.verdict[at], folder = table.folderText(at);
    const name = table.id[at].split("/").at(-1);
    const line = (kind, text, ...more) => make("span", { class: kind }, make("span", {}, text), ...more);
    const lines = [line("tile-id", name)];
    if (verdict !== 0) lines.push(line("tile-class", folder ?? "no folder"));
    if (verdict !== table.FAILED) {
      const best = table.className(table.best[at]);
      lines.push(line("tile-class", verdict === 0 ? best : `→ ${best}`, make("span", { class: "soft" }, percent(table.bestProb[at]))));
    }
    return make("span", { class: "caption" }, grid.badge(verdict), make("span", { class: "caption-text" }, ...lines));
  }

  grid.badge = (verdict) =>
    make("span", { class: `badge ${table.VERDICTS[verdict]}`, title: table.VERDICT_NAMES[verdict] }, table.VERDICT_SIGNS[verdict]);

  function description(at) {
    if (table.hasFailed(at)) return `${table.id[at]}, failed: ${table.failed[at]}`;
    const folder = table.folderText(at);
    return `${table.id[at]}, ${folder ? `folder ${folder}` : "no folder"}, best ${table.className(table.best[at])}, ${table.VERDICT_NAMES[table.verdict[at]]}`;
  }

  function onKey(event) {
    const page = Math.max(1, Math.trunc(scroller.clientHeight / lineHeight)) * columns;
    const steps = {
      ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, PageUp: -page, PageDown: page,
      Home: -Infinity, End: Infinity,
    };
    if (!(event.key in steps) || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    grid.moveTo(Math.max(0, Math.min(grid.current + steps[event.key], filter.matches.length - 1)), true);
  }

  return grid;
})();

