// Starts the page after the rows are loaded.
(() => {
  const { table, filter, grid, charts, figures, view } = relabel;
  const { make, byId, count, formatInteger } = relabel.base;

  if (!table.about) {
    byId("about").textContent = "Cannot load data/rows.js: it is missing or damaged. Copy the complete folder, or write the report again.";
    return;
  }

  const { about } = table;
  document.title = `${about.source} · relabel report`;
  byId("title").textContent = `${table.hasMaps ? "Label maps" : "Predictions"} of ${about.source}`;
  byId("about").textContent = [
    selection(),
    `teacher ${about.teacher}`,
    `${table.hasMaps ? about.mapSize.join(" × ") : "no"} cells, top ${about.k} of ${count(table.classes.count, "class", "classes")}`,
    about.tiles && `${count(about.tiles.boxes.length, "tile")} (covering ${about.tiles.covering})`,
    about.program,
  ].filter(Boolean).join(" · ");
  if (!table.hasMaps) {
    for (const node of document.querySelectorAll("[data-mapless]")) node.textContent = node.dataset.mapless;
    for (const node of document.querySelectorAll("[data-maps-only]")) node.hidden = true;
    for (const node of document.querySelectorAll("[data-mapless-only]")) node.hidden = false;
  }
  const missing = [
    about.toDo > 0 && `${count(about.toDo, "image")} not labelled yet and not shown`,
    about.withoutPhotograph > 0 && `${count(about.withoutPhotograph, "photograph")} cannot be shown`,
  ].filter(Boolean);
  byId("missing").textContent = missing.join(" · ");
  byId("missing").hidden = missing.length === 0;

  // Describes how the images were selected.
  function selection() {
    const { mode, seed } = about.selected;
    const conditions = [];
    if (about.folderClasses.length) conditions.push(`with folder class ${about.folderClasses.map(table.className).join(" or ")}`);
    if (about.matching !== null) conditions.push(`with “${about.matching}” in the id`);
    const matching = [count(about.finished, "image"), ...conditions].join(" ");
    if (mode === "one") return "one image";
    if (mode === "sample" && table.count < about.finished) return `${formatInteger(table.count)} of ${matching}, a random sample (seed ${seed})`;
    return `all ${matching}`;
  }

  for (const [verdict, name] of table.VERDICT_NAMES.entries()) byId("key").append(make("li", {}, grid.badge(verdict), ` ${name}`));

  const hasPhotographs = about.photographs > 0;
  // The grid and the full view have the same two controls.
  const opacities = ["opacity", "view-opacity"].map(byId), overlays = ["overlay", "view-overlay"].map(byId);
  for (const overlay of overlays) overlay.parentElement.hidden = !hasPhotographs || !table.hasMaps;
  const setOverlay = (opacity, isOver) => {
    for (const control of opacities) control.value = opacity;
    for (const control of overlays) control.checked = isOver;
    document.body.style.setProperty("--opacity", String(opacity / 100));
    document.body.classList.toggle("no-overlay", !isOver);
  };
  for (const control of opacities) control.addEventListener("input", () => setOverlay(control.value, overlays[0].checked));
  for (const control of overlays) control.addEventListener("change", () => setOverlay(opacities[0].value, control.checked));
  setOverlay(hasPhotographs ? 60 : 90, true);

  const tabs = table.figures ? ["images", "charts", "figures"] : ["images", "charts"];
  byId("tab-figures").hidden = !table.figures;
  const showTab = () => {
    for (const name of tabs) {
      const isShown = name === (tabs.includes(filter.state.tab) ? filter.state.tab : "images");
      byId(`tab-${name}`).setAttribute("aria-selected", String(isShown));
      byId(`tab-${name}`).tabIndex = isShown ? 0 : -1;
      byId(name).hidden = !isShown;
    }
    if (!byId("charts").hidden) charts.show();
  };
  for (const [at, name] of tabs.entries()) {
    const tab = byId(`tab-${name}`);
    tab.addEventListener("click", () => {
      filter.note({ tab: name });
      showTab();
    });
    tab.addEventListener("keydown", (event) => {
      if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
      const other = tabs[(at + (event.key === "ArrowRight" ? 1 : tabs.length - 1)) % tabs.length];
      filter.note({ tab: other });
      showTab();
      byId(`tab-${other}`).focus();
    });
  }

  if (table.figures) figures.show();
  grid.start();
  filter.onchange(showTab);
  filter.start();
  view.start();
})();
