// Filters and order of the images. The state is stored in the URL, so a view can be linked.
relabel.filter = (() => {
  const { table } = relabel;
  const { make, byId, count, formatInteger } = relabel.base;

  // Names in the URL, and their default values.
  const DEFAULTS = {
    id: "", class: "", in: "folder", verdict: "", "classes-from": "", "classes-to": "", "entropy-from": "", "entropy-to": "",
    pair: "", sort: "row", order: "", tab: "images", image: "", crop: "",
  };
  const FIELDS = ["id", "class", "in", "verdict", "classes-from", "classes-to", "entropy-from", "entropy-to"];
  const SORTS = {
    row: { column: () => table.row, isDescending: false },
    contradiction: { column: () => table.contradiction, isDescending: true },
    entropy: { column: () => table.entropy, isDescending: true },
    classes: { column: () => table.winnerCount, isDescending: true },
    label: { column: () => table.folderClassProb, isDescending: false },
    bytes: { column: () => table.bytes, isDescending: true },
  };

  const filter = { state: { ...DEFAULTS }, matches: new Uint32Array(0) };
  const listeners = [];
  const classesByText = new Map();

  filter.onchange = (listener) => listeners.push(listener);

  // Changes the state and applies it.
  filter.set = (changes) => {
    Object.assign(filter.state, changes);
    write();
    apply();
  };

  // Changes parts of the state that do not affect the filters: the tab, the open image, its crop.
  filter.note = (changes) => {
    Object.assign(filter.state, changes);
    write();
  };

  filter.clear = () => {
    const { sort, order, tab, image, crop } = filter.state;
    filter.set({ ...DEFAULTS, sort, order, tab, image, crop });
    show();
  };

  filter.start = () => {
    collectClassNames();
    for (const name of FIELDS) {
      const input = byId(`filter-${name}`);
      input.addEventListener("input", () => filter.set({ [name]: input.value }));
    }
    byId("filters").addEventListener("submit", (event) => event.preventDefault());
    byId("view-options").addEventListener("submit", (event) => event.preventDefault());
    byId("sort").addEventListener("change", () => {
      filter.set({ sort: byId("sort").value, order: "" });
      show();
    });
    byId("order").addEventListener("click", () => {
      const { isDescending } = SORTS[filter.state.sort];
      filter.set({ order: filter.state.order ? "" : isDescending ? "up" : "down" });
      show();
    });
    for (const id of ["clear", "clear-empty"]) byId(id).addEventListener("click", filter.clear);
    byId("pair-clear").addEventListener("click", () => {
      filter.set({ pair: "" });
      show();
    });
    window.addEventListener("hashchange", () => {
      if (location.hash.slice(1) !== written) {
        clearTimeout(timer);
        timer = 0;
        read();
        show();
        apply();
      }
    });
    read();
    show();
    apply();
  };

  // Shows the images with a folder class and a different best class.
  filter.showPair = (folderClass, best) => {
    filter.set({ pair: `${folderClass}-${best}`, tab: "images" });
    show();
  };

  filter.showClass = (id) => {
    filter.set({ class: optionText(id), in: "folder", tab: "images" });
    show();
  };

  let written = "", timer = 0;

  // Delayed, as browsers reject frequent changes of the URL, such as while a crop is dragged.
  function write() {
    const named = Object.entries(filter.state).filter(([name, value]) => value !== DEFAULTS[name]);
    written = new URLSearchParams(named).toString();
    timer ||= setTimeout(() => {
      timer = 0;
      history.replaceState(null, "", written ? `#${written}` : location.pathname + location.search);
    }, 400);
  }

  function read() {
    written = location.hash.slice(1);
    const named = new URLSearchParams(written);
    for (const name of Object.keys(DEFAULTS)) filter.state[name] = named.get(name) ?? DEFAULTS[name];
    if (!SORTS[filter.state.sort]) filter.state.sort = DEFAULTS.sort;
    if (!table.VERDICTS.includes(filter.state.verdict)) filter.state.verdict = "";
    if (!["folder", "best", "cell"].includes(filter.state.in)) filter.state.in = DEFAULTS.in;
    if (!["up", "down"].includes(filter.state.order)) filter.state.order = "";
  }

  // Updates the controls from the state.
  function show() {
    for (const name of FIELDS) byId(`filter-${name}`).value = filter.state[name];
    byId("sort").value = filter.state.sort;
    byId("order").textContent = isDescending() ? "↓ highest first" : "↑ lowest first";
    const pair = pairOf(filter.state.pair);
    byId("pair").hidden = !pair;
    if (pair) byId("pair-text").textContent = `${table.className(pair[0])} → ${table.className(pair[1])}`;
  }

  const isDescending = () => (filter.state.order ? filter.state.order === "down" : SORTS[filter.state.sort].isDescending);

  function pairOf(text) {
    const pair = /^(\d+)-(\d+)$/.exec(text);
    return pair ? [Number(pair[1]), Number(pair[2])] : null;
  }

  const optionText = (id) => (table.classes.ids[id] && table.classes.ids[id] !== table.classes.names[id]
    ? `${table.className(id)} (${table.classes.ids[id]})` : table.classes.names[id] || `class ${id}`);

  // Collects the names of all classes, and suggests those that occur on the page.
  function collectClassNames() {
    const occurs = new Uint8Array(table.classes.count);
    for (const id of table.winners) occurs[id] = 1;
    for (const id of table.folderClass) if (id >= 0) occurs[id] = 1;
    const options = document.createDocumentFragment();
    for (let id = 0; id < table.classes.count; id += 1) {
      const text = optionText(id);
      for (const name of [text, table.classes.ids[id], table.classes.names[id], String(id)]) {
        const lower = (name ?? "").toLowerCase();
        if (lower && !classesByText.has(lower)) classesByText.set(lower, id);
      }
      if (occurs[id]) options.append(make("option", { value: text }));
    }
    byId("class-names").append(options);
  }

  // Classes that match a text: the one with this name, folder or id, otherwise all whose name or folder contains it.
  function matchingClasses(text) {
    const lower = text.trim().toLowerCase();
    const isMatching = new Uint8Array(table.classes.count);
    if (classesByText.has(lower)) {
      isMatching[classesByText.get(lower)] = 1;
      return isMatching;
    }
    for (let id = 0; id < table.classes.count; id += 1) {
      const names = [table.classes.names[id], table.classes.ids[id], optionText(id)];
      isMatching[id] = names.some((name) => name.toLowerCase().includes(lower)) ? 1 : 0;
    }
    return isMatching;
  }

  function tests() {
    const { state } = filter;
    const tests = [];
    if (state.id) {
      const text = state.id.toLowerCase();
      tests.push((at) => table.idLower[at].includes(text));
    }
    if (state.verdict) {
      const code = table.VERDICTS.indexOf(state.verdict);
      tests.push((at) => table.verdict[at] === code);
    }
    if (state.class.trim()) {
      const isMatching = matchingClasses(state.class);
      tests.push({
        folder: (at) => table.folderClass[at] >= 0 && isMatching[table.folderClass[at]] === 1,
        best: (at) => !table.hasFailed(at) && isMatching[table.best[at]] === 1,
        cell: (at) => table.winnersOf(at).some((id) => isMatching[id] === 1),
      }[state.in]);
    }
    const pair = pairOf(state.pair);
    if (pair) tests.push((at) => table.folderClass[at] === pair[0] && table.best[at] === pair[1] && !table.hasFailed(at));
    for (const [name, column] of [["classes", table.winnerCount], ["entropy", table.entropy]]) {
      const [from, to] = [state[`${name}-from`], state[`${name}-to`]];
      if (from !== "" || to !== "") {
        const low = from === "" ? -Infinity : Number(from), high = to === "" ? Infinity : Number(to);
        tests.push((at) => !table.hasFailed(at) && column[at] >= low && column[at] <= high);
      }
    }
    return tests;
  }

  function apply() {
    const all = tests();
    const matches = new Uint32Array(table.count);
    let found = 0;
    for (let at = 0; at < table.count; at += 1) {
      if (all.every((test) => test(at))) matches[found++] = at;
    }
    filter.matches = sorted(matches.subarray(0, found));
    byId("count").textContent = found === table.count
      ? count(found, "image") : `${formatInteger(found)} of ${count(table.count, "image")}`;
    for (const listener of listeners) listener();
  }

  // Sorts by the selected column, then by row. Images without a value come last in both directions.
  function sorted(matches) {
    const column = SORTS[filter.state.sort].column(), sign = isDescending() ? -1 : 1;
    const isRow = filter.state.sort === "row";
    if (isRow && sign === 1) return matches;
    const value = (at) => (!isRow && (table.hasFailed(at) || Number.isNaN(column[at])) ? null : column[at]);
    return matches.sort((a, b) => {
      const [left, right] = [value(a), value(b)];
      if (left === null || right === null) return (left === null) - (right === null) || a - b;
      return sign * (left - right) || a - b;
    });
  }

  return filter;
})();

