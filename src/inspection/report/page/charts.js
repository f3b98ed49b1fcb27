// Charts of the filtered images.
relabel.charts = (() => {
  const { table, filter } = relabel;
  const { make, draw, byId, formatInteger, count, percent } = relabel.base;
  const WIDTH = 460, HEIGHT = 236, LEFT = 46, RIGHT = 10, TOP = 26, BOTTOM = 42;
  const MAX_BARS = 40, MAX_PAIRS = 15, MAX_CLASSES = 20;

  const charts = {};

  charts.show = () => {
    const labelled = filter.matches.filter((at) => !table.hasFailed(at));
    const compared = labelled.filter((at) => table.folderClass[at] >= 0);
    const data = {
      classes: histogram(labelled, table.winnerCount),
      bytes: histogram(labelled, table.bytes),
      verdicts: table.VERDICTS.map((_, verdict) => filter.matches.filter((at) => table.verdict[at] === verdict).length),
      pairs: pairs(compared),
      agreement: agreement(compared),
      scores: scores(),
    };
    charts.data = data;
    byId("charts").replaceChildren(
      verdictCard(data.verdicts, compared.length),
      card(table.hasMaps ? "Classes in the map" : "Best classes of image and tiles",
        `Number of classes that are the best in at least one ${table.hasMaps ? "cell" : "prediction"}, ${count(labelled.length, "image")}`,
        bars(data.classes, "classes", "images"), "chart-classes"),
      pairCard(data.pairs, compared.length),
      agreementCard(data.agreement),
      ...(table.hasMaps ? mapCards(data, labelled.length) : []),
    );
  };

  function mapCards({ scores, bytes }, labelled) {
    return [
      card("Best score of each cell", `${count(scores.n, "cell")} of all images on the page, not affected by the filters`,
        bars(scores, "score before softmax", "cells"), "chart-scores"),
      card("Size of the map", `Compressed size in the store, ${count(labelled, "image")}`,
        bars(bytes, "bytes", "images"), "chart-bytes"),
    ];
  }

  // Histogram of integers, in steps of 1, 2 or 5 times a power of ten, with at most MAX_BARS bars or slightly more.
  function histogram(positions, column) {
    if (!positions.length) return { first: 0, step: 1, counts: [], n: 0 };
    let low = Infinity, high = -Infinity;
    for (const at of positions) {
      low = Math.min(low, column[at]);
      high = Math.max(high, column[at]);
    }
    const step = niceStep((high - low + 1) / MAX_BARS, 1);
    const first = Math.floor(low / step) * step;
    const counts = new Array(Math.floor((high - first) / step) + 1).fill(0);
    for (const at of positions) counts[Math.floor((column[at] - first) / step)] += 1;
    return { first, step, counts, n: positions.length };
  }

  function scores() {
    const { stepsPerUnit, counts: fine } = table.scores;
    if (!fine.length) return { first: 0, step: 1, counts: [], n: 0 };
    const low = fine[0][0], high = fine.at(-1)[0];
    // A multiple of the steps in which they were counted.
    let step = 1;
    while ((high - low + 1) / step > MAX_BARS) step *= 2;
    const first = Math.floor(low / step) * step;
    const counts = new Array(Math.floor((high - first) / step) + 1).fill(0);
    let n = 0;
    for (const [at, cells] of fine) {
      counts[Math.floor((at - first) / step)] += cells;
      n += cells;
    }
    return { first: first / stepsPerUnit, step: step / stepsPerUnit, counts, n };
  }

  function niceStep(least, smallest) {
    for (let power = 10 ** Math.floor(Math.log10(Math.max(least, smallest))); ; power *= 10) {
      for (const factor of [1, 2, 5]) {
        if (power * factor >= least && power * factor >= smallest) return power * factor;
      }
    }
  }

  function pairs(compared) {
    const counts = new Map();
    for (const at of compared) {
      if (table.verdict[at] === 0) continue;
      const key = table.folderClass[at] * table.classes.count + table.best[at];
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    const sorted = [...counts].sort((a, b) => b[1] - a[1] || a[0] - b[0]);
    return sorted.map(([key, count]) => ({
      folderClass: Math.trunc(key / table.classes.count), best: key % table.classes.count, count,
    }));
  }

  // Fraction of the images of each folder class whose best class it is, lowest first.
  function agreement(compared) {
    const byClass = new Map();
    for (const at of compared) {
      const entry = byClass.get(table.folderClass[at]) ?? { id: table.folderClass[at], n: 0, agrees: 0 };
      entry.n += 1;
      if (table.verdict[at] === 0) entry.agrees += 1;
      byClass.set(entry.id, entry);
    }
    return [...byClass.values()].sort((a, b) => a.agrees / a.n - b.agrees / b.n || b.n - a.n || a.id - b.id);
  }

  function card(title, text, content, id) {
    return make("article", { class: "card", id }, make("h3", {}, title), make("p", {}, text), content);
  }

  const noImages = () => make("p", { class: "hint" }, "No images");

  function bars({ first, step, counts, n }, xTitle, yTitle) {
    if (!n) return noImages();
    const highest = Math.max(...counts), yStep = niceStep(highest / 4, 1), yTop = Math.ceil(highest / yStep) * yStep;
    const x = (bar) => LEFT + (bar / counts.length) * (WIDTH - LEFT - RIGHT);
    const y = (value) => HEIGHT - BOTTOM - (value / yTop) * (HEIGHT - TOP - BOTTOM);
    const svg = draw("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", class: "chart",
      "aria-label": `Histogram of ${xTitle}: ${formatInteger(n)} ${yTitle}` });
    for (let value = 0; value <= yTop; value += yStep) {
      svg.append(draw("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value), class: value ? "grid" : "axis" }),
        draw("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, short(value)));
    }
    const gap = counts.length > 60 ? 0 : 1;
    for (const [bar, value] of counts.entries()) {
      const low = first + bar * step;
      const range = step === 1 ? String(low) : `${number(low)} to ${number(low + step)}`;
      svg.append(draw("rect", { x: x(bar) + gap / 2, y: y(value), width: x(bar + 1) - x(bar) - gap, height: y(0) - y(value), class: "bar" },
        draw("title", {}, `${range} ${xTitle}: ${formatInteger(value)} ${yTitle}`)));
    }
    // Bars of one integer are labelled in the middle, wider ones at their ends.
    const isInteger = step === 1, every = niceStep((counts.length * step) / 9, step);
    for (let bar = 0; bar < counts.length + (isInteger ? 0 : 1); bar += 1) {
      if (Math.abs(Math.round((first + bar * step) / every) * every - first - bar * step) > step / 1e3) continue;
      svg.append(draw("text", { x: isInteger ? (x(bar) + x(bar + 1)) / 2 : x(bar), y: HEIGHT - BOTTOM + 16, "text-anchor": "middle" }, number(first + bar * step)));
    }
    svg.append(draw("text", { x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 8, "text-anchor": "middle", class: "title" }, xTitle),
      draw("text", { x: 0, y: 12, class: "title" }, yTitle));
    return svg;
  }

  const number = (value) => (Number.isInteger(value) ? formatInteger(value) : String(Number(value.toFixed(3))));
  const short = (value) => (value >= 1e6 ? `${number(value / 1e6)} M` : value >= 1e4 ? `${number(value / 1e3)} k` : formatInteger(value));

  function verdictCard(counts, compared) {
    const all = counts.reduce((total, value) => total + value, 0);
    const stack = make("div", { class: "stack", role: "img",
      "aria-label": counts.map((value, verdict) => `${table.VERDICT_NAMES[verdict]} ${formatInteger(value)}`).join(", ") });
    const list = make("ul", { class: "stack-key" });
    for (const [verdict, value] of counts.entries()) {
      if (!value) continue;
      stack.append(make("span", { class: table.VERDICTS[verdict], style: `flex-grow:${value}`, title: `${table.VERDICT_NAMES[verdict]}: ${formatInteger(value)}` },
        value / all > 0.05 ? table.VERDICT_SIGNS[verdict] : ""));
      list.append(make("li", {}, relabel.grid.badge(verdict), ` ${table.VERDICT_NAMES[verdict]} `, make("b", {}, formatInteger(value))));
    }
    return card(table.hasMaps ? "Folder class and map" : "Folder class and predictions", `${count(compared, "image")} with a folder class`,
      make("div", {}, compared ? make("p", { class: "highlight" }, make("b", {}, percent(counts[2] / compared)),
        table.hasMaps ? " of the maps do not contain the folder class" : " of the images have no prediction with the folder class") : null, stack, list), "chart-verdicts");
  }

  function pairCard(all, compared) {
    const shown = all.slice(0, MAX_PAIRS), highest = shown[0]?.count ?? 1;
    const list = make("ol", { class: "rows" });
    for (const { folderClass, best, count: n } of shown) {
      list.append(make("li", {}, make("button", {
        type: "button", title: "Show these images", onclick: () => relabel.filter.showPair(folderClass, best), "data-pair": `${folderClass}-${best}`,
      }, make("span", { class: "name" }, `${table.className(folderClass)} → ${table.className(best)}`),
      make("span", { class: "track" }, make("span", { style: `width:${(n / highest) * 100}%` })), make("span", { class: "value" }, formatInteger(n)))));
    }
    const text = `Folder class → best class, and number of images of ${count(compared, "image")}; ${shown.length} of ${count(all.length, "pair")}`;
    return card("Most frequent confusions", text, shown.length ? list : noImages(), "chart-pairs");
  }

  function agreementCard(all) {
    const shown = all.slice(0, MAX_CLASSES);
    const list = make("ol", { class: "rows" });
    for (const { id, n, agrees } of shown) {
      list.append(make("li", {}, make("button", {
        type: "button", title: "Show the images of this folder class", onclick: () => relabel.filter.showClass(id), "data-class": id,
      }, make("span", { class: "name" }, table.className(id)),
      make("span", { class: "track" }, make("span", { style: `width:${(agrees / n) * 100}%` })),
      make("span", { class: "value" }, `${percent(agrees / n)} of ${formatInteger(n)}`))));
    }
    const text = `Fraction of images whose best class is the folder class, lowest first; ${shown.length} of ${count(all.length, "class", "classes")}`;
    return card("Agreement by folder class", text, shown.length ? list : noImages(), "chart-agreement");
  }

  return charts;
})();

