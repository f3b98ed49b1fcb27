
// Charts and tables of an evaluation. They describe the store, not the filtered images.
relabel.figures = (() => {
  const { table } = relabel;
  const { make, byId } = relabel.base;

  const figures = {};

  figures.show = () => {
    const { about, charts, tables } = table.figures;
    byId("figures").replaceChildren(make("p", { class: "figures-about" }, about), ...tables.map(tableCard), ...charts.map(chartCard));
  };

  function tableCard({ title, columns, rows, notes }) {
    const cell = (text, at) => make(at ? "td" : "th", { scope: at ? null : "row" }, text);
    return make("article", { class: "card figure-table" },
      make("h3", {}, title),
      make("div", { class: "figure-scroll" }, make("table", { "aria-label": title },
        make("thead", {}, make("tr", {}, ...columns.map((text) => make("th", { scope: "col" }, text)))),
        make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map(cell)))))),
      ...notes.map((note) => make("p", { class: "hint" }, note)));
  }

  // The picture contains its title.
  function chartCard({ title, description, file }) {
    return make("article", { class: "card figure-chart", "aria-label": title }, make("img", { src: file, alt: description, loading: "lazy" }));
  }

  return figures;
})();
