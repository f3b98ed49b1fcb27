// Charts of the images that the filters leave.
relabel.charts = (() => {
  const { table, filter } = relabel;
  const { make, draw, byId, whole, count, percent } = relabel.base;
  const WIDTH = 460, HEIGHT = 236, LEFT = 46, RIGHT = 10, TOP = 26, BOTTOM = 42;
  const MOST_BARS = 40, PAIRS = 15, CLASSES = 20;

  const charts = {};

  charts.show = () => {
    const labelled = filter.matches.filter((at) => !table.hasFailed(at));
    const compared = labelled.filter((at) => table.labelClass[at] >= 0);
    const figures = {
      classes: histogram(labelled, table.winnerCount),
      bytes: histogram(labelled, table.bytes),
      verdicts: table.VERDICTS.map((_, verdict) => filter.matches.filter((at) => table.verdict[at] === verdict).length),
      pairs: pairs(compared),
      agreement: agreement(compared),
      scores: scores(),
    };
    charts.figures = figures;
    byId("charts").replaceChildren(
      verdictCard(figures.verdicts, compared.length),
      card("Classes in the map", `How many classes are best in some cell, of each of ${count(labelled.length, "image")}`,
        bars(figures.classes, "classes", "images"), "chart-classes"),
      pairCard(figures.pairs, compared.length),
      agreementCard(figures.agreement),
      card("Best score of each cell", `${count(figures.scores.n, "cell")} of all images of the page; this chart does not follow the filters`,
        bars(figures.scores, "score before softmax", "cells"), "chart-scores"),
      card("Bytes of the map", `What its map takes in the store, compressed, of each of ${count(labelled.length, "image")}`,
        bars(figures.bytes, "bytes", "images"), "chart-bytes"),
    );
  };

  // Whole numbers, in steps of 1, 2 or 5 times a power of ten, so that there are few enough bars.
  function histogram(positions, column) {
    if (!positions.length) return { first: 0, step: 1, counts: [], n: 0 };
    let low = Infinity, high = -Infinity;
    for (const at of positions) {
      low = Math.min(low, column[at]);
      high = Math.max(high, column[at]);
    }
    const step = niceStep((high - low + 1) / MOST_BARS, 1);
    const first = Math.floor(low / step) * step;
    const counts = new Array(Math.floor((high - first) / step) + 1).fill(0);
    for (const at of positions) counts[Math.floor((column[at] - first) / step)] += 1;
    return { first, step, counts, n: positions.length };
  }

  function scores() {
    const { stepsPerUnit, counts: given } = table.scores;
    if (!given.length) return { first: 0, step: 1, counts: [], n: 0 };
    const low = given[0][0], high = given.at(-1)[0];
    // A whole number of the steps in which they were counted.
    let step = 1;
    while ((high - low + 1) / step > MOST_BARS) step *= 2;
    const first = Math.floor(low / step) * step;
    const counts = new Array(Math.floor((high - first) / step) + 1).fill(0);
    let n = 0;
    for (const [at, cells] of given) {
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
      const key = table.labelClass[at] * table.classes.count + table.best[at];
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    const sorted = [...counts].sort((a, b) => b[1] - a[1] || a[0] - b[0]);
    return sorted.map(([key, count]) => ({
      label: Math.trunc(key / table.classes.count), best: key % table.classes.count, count,
    }));
  }

  // Share of each folder's images whose best class is the folder's, lowest first.
  function agreement(compared) {
    const byClass = new Map();
    for (const at of compared) {
      const found = byClass.get(table.labelClass[at]) ?? { id: table.labelClass[at], n: 0, agrees: 0 };
      found.n += 1;
      if (table.verdict[at] === 0) found.agrees += 1;
      byClass.set(found.id, found);
    }
    return [...byClass.values()].sort((a, b) => a.agrees / a.n - b.agrees / b.n || b.n - a.n || a.id - b.id);
  }

  function card(title, text, content, id) {
    return make("article", { class: "card", id }, make("h3", {}, title), make("p", {}, text), content);
  }

  const nothing = () => make("p", { class: "hint" }, "No image to count.");

  function bars({ first, step, counts, n }, xTitle, yTitle) {
    if (!n) return nothing();
    const highest = Math.max(...counts), yStep = niceStep(highest / 4, 1), yTop = Math.ceil(highest / yStep) * yStep;
    const x = (bar) => LEFT + (bar / counts.length) * (WIDTH - LEFT - RIGHT);
    const y = (value) => HEIGHT - BOTTOM - (value / yTop) * (HEIGHT - TOP - BOTTOM);
    const svg = draw("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", class: "chart",
      "aria-label": `Histogram of ${xTitle}: ${whole(n)} ${yTitle}` });
    for (let value = 0; value <= yTop; value += yStep) {
      svg.append(draw("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value), class: value ? "grid" : "axis" }),
        draw("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, short(value)));
    }
    const gap = counts.length > 60 ? 0 : 1;
    for (const [bar, value] of counts.entries()) {
      const low = first + bar * step;
      const range = step === 1 ? String(low) : `${number(low)} up to ${number(low + step)}`;
      svg.append(draw("rect", { x: x(bar) + gap / 2, y: y(value), width: x(bar + 1) - x(bar) - gap, height: y(0) - y(value), class: "bar" },
        draw("title", {}, `${range} ${xTitle}: ${whole(value)} ${yTitle}`)));
    }
    // Bars of one whole number have it in their middle, wider ones have their ends below.
    const isWhole = step === 1, every = niceStep((counts.length * step) / 9, step);
    for (let bar = 0; bar < counts.length + (isWhole ? 0 : 1); bar += 1) {
      if (Math.abs(Math.round((first + bar * step) / every) * every - first - bar * step) > step / 1e3) continue;
      svg.append(draw("text", { x: isWhole ? (x(bar) + x(bar + 1)) / 2 : x(bar), y: HEIGHT - BOTTOM + 16, "text-anchor": "middle" }, number(first + bar * step)));
    }
    svg.append(draw("text", { x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 8, "text-anchor": "middle", class: "title" }, xTitle),
      draw("text", { x: 0, y: 12, class: "title" }, yTitle));
    return svg;
  }

  const number = (value) => (Number.isInteger(value) ? whole(value) : String(Number(value.toFixed(3))));
  const short = (value) => (value >= 1e6 ? `${number(value / 1e6)} M` : value >= 1e4 ? `${number(value / 1e3)} k` : whole(value));

  function verdictCard(counts, compared) {
    const all = counts.reduce((total, value) => total + value, 0);
    const stack = make("div", { class: "stack", role: "img",
      "aria-label": counts.map((value, verdict) => `${table.WORDS[verdict]} ${whole(value)}`).join(", ") });
    const list = make("ul", { class: "stack-key" });
    for (const [verdict, value] of counts.entries()) {
      if (!value) continue;
      stack.append(make("span", { class: table.VERDICTS[verdict], style: `flex-grow:${value}`, title: `${table.WORDS[verdict]}: ${whole(value)}` },
        value / all > 0.05 ? table.SIGNS[verdict] : ""));
      list.append(make("li", {}, relabel.grid.badge(verdict), ` ${table.WORDS[verdict]} `, make("b", {}, whole(value))));
    }
    return card("Folder’s class and map", `Of ${count(compared, "image")} whose folder is a class of the teacher`,
      make("div", {}, compared ? make("p", { class: "figure" }, make("b", {}, percent(counts[2] / compared)),
        " have a map in which the folder’s class is absent") : null, stack, list), "chart-verdicts");
  }

  function pairCard(all, compared) {
    const shown = all.slice(0, PAIRS), most = shown[0]?.count ?? 1;
    const list = make("ol", { class: "rows" });
    for (const { label, best, count: n } of shown) {
      list.append(make("li", {}, make("button", {
        type: "button", title: "Show these images", onclick: () => relabel.filter.showPair(label, best), "data-pair": `${label}-${best}`,
      }, make("span", { class: "name" }, `${table.className(label)} → ${table.className(best)}`),
      make("span", { class: "track" }, make("span", { style: `width:${(n / most) * 100}%` })), make("span", { class: "value" }, whole(n)))));
    }
    const text = `Folder → best class, number of images, of ${count(compared, "image")}; ${shown.length} of ${count(all.length, "pair")}`;
    return card("Most frequent differences", text, shown.length ? list : nothing(), "chart-pairs");
  }

  function agreementCard(all) {
    const shown = all.slice(0, CLASSES);
    const list = make("ol", { class: "rows" });
    for (const { id, n, agrees } of shown) {
      list.append(make("li", {}, make("button", {
        type: "button", title: "Show this folder", onclick: () => relabel.filter.showClass(id), "data-class": id,
      }, make("span", { class: "name" }, table.className(id)),
      make("span", { class: "track" }, make("span", { style: `width:${(agrees / n) * 100}%` })),
      make("span", { class: "value" }, `${percent(agrees / n)} of ${whole(n)}`))));
    }
    const text = `Share of a folder’s images whose best class is the folder’s, lowest first; ${shown.length} of ${count(all.length, "class", "classes")}`;
    return card("Agreement by class", text, shown.length ? list : nothing(), "chart-agreement");
  }

  return charts;
})();

