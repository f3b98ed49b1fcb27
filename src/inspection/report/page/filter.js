// Which images are shown, and in what order. All of it stands in the address, so that a view can be linked.
relabel.filter = (() => {
  const { table } = relabel;
  const { make, byId, count, whole } = relabel.base;

  // Names in the address, and what they are when it does not say.
  const DEFAULTS = {
    id: "", class: "", in: "folder", verdict: "", "classes-from": "", "classes-to": "", "entropy-from": "", "entropy-to": "",
    pair: "", sort: "row", order: "", tab: "images", image: "", crop: "",
  };
  const FIELDS = ["id", "class", "in", "verdict", "classes-from", "classes-to", "entropy-from", "entropy-to"];
  const SORTS = {
    row: { of: () => table.row, falls: false },
    contradiction: { of: () => table.contradiction, falls: true },
    entropy: { of: () => table.entropy, falls: true },
    classes: { of: () => table.winnerCount, falls: true },
    label: { of: () => table.labelProb, falls: false },
    bytes: { of: () => table.bytes, falls: true },
  };

  const filter = { state: { ...DEFAULTS }, matches: new Uint32Array(0) };
  const listeners = [];
  const classesByText = new Map();

  filter.onchange = (listener) => listeners.push(listener);

  // Changes the state, and all that follows from it.
  filter.set = (changes) => {
    Object.assign(filter.state, changes);
    write();
    apply();
  };

  // Changes what the images do not depend on: the tab, the open image, its crop.
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
    classNames();
    for (const name of FIELDS) {
      const input = byId(`filter-${name}`);
      input.addEventListener("input", () => filter.set({ [name]: input.value }));
    }
    byId("filters").addEventListener("submit", (event) => event.preventDefault());
    byId("look").addEventListener("submit", (event) => event.preventDefault());
    byId("sort").addEventListener("change", () => {
      filter.set({ sort: byId("sort").value, order: "" });
      show();
    });
    byId("order").addEventListener("click", () => {
      const { falls } = SORTS[filter.state.sort];
      filter.set({ order: filter.state.order ? "" : falls ? "up" : "down" });
      show();
    });
    for (const id of ["clear", "clear-too"]) byId(id).addEventListener("click", filter.clear);
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

  // The images of one folder's class whose best class is another one.
  filter.showPair = (label, best) => {
    filter.set({ pair: `${label}-${best}`, tab: "images" });
    show();
  };

  filter.showClass = (id) => {
    filter.set({ class: optionText(id), in: "folder", tab: "images" });
    show();
  };

  let written = "", timer = 0;

  // Browsers refuse an address that changes too often, as it would while a crop is dragged.
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

  // Brings the controls in line with the state.
  function show() {
    for (const name of FIELDS) byId(`filter-${name}`).value = filter.state[name];
    byId("sort").value = filter.state.sort;
    const falls = isFalling();
    byId("order").textContent = falls ? "↓ highest first" : "↑ lowest first";
    const pair = pairOf(filter.state.pair);
    byId("pair").hidden = !pair;
    if (pair) byId("pair-text").textContent = `${table.className(pair[0])} → ${table.className(pair[1])}`;
  }

  const isFalling = () => (filter.state.order ? filter.state.order === "down" : SORTS[filter.state.sort].falls);

  function pairOf(text) {
    const pair = /^(\d+)-(\d+)$/.exec(text);
    return pair ? [Number(pair[1]), Number(pair[2])] : null;
  }

  const optionText = (id) => (table.classes.ids[id] && table.classes.ids[id] !== table.classes.names[id]
    ? `${table.className(id)} (${table.classes.ids[id]})` : table.classes.names[id] || `class ${id}`);

  // Suggests the classes that occur on the page.
  function classNames() {
    const occurs = new Uint8Array(table.classes.count);
    for (const id of table.winners) occurs[id] = 1;
    for (const id of table.labelClass) if (id >= 0) occurs[id] = 1;
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

  // The classes that a text means: the one that is called so, or else all whose name or folder holds it.
  function classesOf(text) {
    const lower = text.trim().toLowerCase();
    const wanted = new Uint8Array(table.classes.count);
    if (classesByText.has(lower)) {
      wanted[classesByText.get(lower)] = 1;
      return wanted;
    }
    for (let id = 0; id < table.classes.count; id += 1) {
      const names = [table.classes.names[id], table.classes.ids[id], optionText(id)];
      wanted[id] = names.some((name) => name.toLowerCase().includes(lower)) ? 1 : 0;
    }
    return wanted;
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
      const wanted = classesOf(state.class);
      tests.push({
        folder: (at) => table.labelClass[at] >= 0 && wanted[table.labelClass[at]] === 1,
        best: (at) => !table.hasFailed(at) && wanted[table.best[at]] === 1,
        cell: (at) => table.winnersOf(at).some((id) => wanted[id] === 1),
      }[state.in]);
    }
    const pair = pairOf(state.pair);
    if (pair) tests.push((at) => table.labelClass[at] === pair[0] && table.best[at] === pair[1] && !table.hasFailed(at));
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
      ? count(found, "image") : `${whole(found)} of ${count(table.count, "image")}`;
    for (const listener of listeners) listener();
  }

  // By the chosen column, then by row. Images without a value come last either way.
  function sorted(matches) {
    const column = SORTS[filter.state.sort].of(), sign = isFalling() ? -1 : 1;
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

