// Puts the page together once the rows are there.
(() => {
  const { table, filter, grid, charts, view } = relabel;
  const { make, byId, count, whole } = relabel.base;

  if (!table.about) {
    byId("about").textContent = "data/rows.js is missing or damaged: copy the whole folder, or write the report again.";
    return;
  }

  const { about } = table;
  document.title = `${about.source} · relabel report`;
  byId("title").textContent = `Label maps of ${about.source}`;
  byId("about").textContent = [
    chosen(),
    `teacher ${about.teacher}`,
    `${about.mapSize[0]} × ${about.mapSize[1]} cells, the best ${about.k} of ${count(table.classes.count, "class", "classes")} in each`,
    about.program,
  ].join(" · ");
  const missing = [
    about.toDo > 0 && `${count(about.toDo, "image")} still to do, not shown`,
    about.withoutPhotograph > 0 && `${count(about.withoutPhotograph, "photograph")} cannot be shown`,
  ].filter(Boolean);
  byId("missing").textContent = missing.join(" · ");
  byId("missing").hidden = missing.length === 0;

  // How the images were chosen, and from how many.
  function chosen() {
    const { how, seed } = about.chosen;
    const limits = [];
    if (about.inClasses.length) limits.push(`in the folders of ${about.inClasses.map(table.className).join(", ")}`);
    if (about.matching !== null) limits.push(`with “${about.matching}” in the id`);
    const of = [count(about.finished, "image"), ...limits].join(" ");
    if (how === "one") return "one image";
    if (how === "sample" && table.count < about.finished) return `${whole(table.count)} of ${of}, a random sample (seed ${seed})`;
    return `all ${of}`;
  }

  for (const [verdict, words] of table.WORDS.entries()) byId("key").append(make("li", {}, grid.badge(verdict), ` ${words}`));

  const hasPhotographs = about.photographs > 0;
  // The same two controls stand beside the grid and in the full view.
  const opacities = ["opacity", "view-opacity"].map(byId), overlays = ["overlay", "view-overlay"].map(byId);
  for (const overlay of overlays) overlay.parentElement.hidden = !hasPhotographs;
  const look = (opacity, isOver) => {
    for (const control of opacities) control.value = opacity;
    for (const control of overlays) control.checked = isOver;
    document.body.style.setProperty("--opacity", String(opacity / 100));
    document.body.classList.toggle("no-overlay", !isOver);
  };
  for (const control of opacities) control.addEventListener("input", () => look(control.value, overlays[0].checked));
  for (const control of overlays) control.addEventListener("change", () => look(opacities[0].value, control.checked));
  look(hasPhotographs ? 60 : 90, true);

  const tabs = ["images", "charts"];
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
      const other = tabs[1 - at];
      filter.note({ tab: other });
      showTab();
      byId(`tab-${other}`).focus();
    });
  }

  grid.start();
  filter.onchange(showTab);
  filter.start();
  view.start();
})();
