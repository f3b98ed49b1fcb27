// The columns of all rows, from data/rows.js. Images are identified by their position on the page.
relabel.table = (() => {
  const { numbers, classIds } = relabel.base;
  const VERDICTS = ["agrees", "differs", "absent", "not-compared", "failed"];
  const VERDICT_SIGNS = ["✓", "≠", "∅", "–", "!"];
  const VERDICT_NAMES = ["agrees", "differs", "absent", "not compared", "failed"];
  const FAILED = 4;

  const table = { VERDICTS, VERDICT_SIGNS, VERDICT_NAMES, FAILED };

  table.take = ({ about, classes, rows, failed, noPhotograph, scores, figures }) => {
    const { areWide } = classes;
    const counts = numbers(rows.winnerCounts, Uint32Array);
    const firstWinner = new Uint32Array(counts.length + 1);
    counts.forEach((count, at) => { firstWinner[at + 1] = firstWinner[at] + count; });
    Object.assign(table, {
      about, classes, failed, noPhotograph, scores, figures,
      count: rows.id.length,
      row: numbers(rows.row, Uint32Array),
      id: rows.id,
      idLower: rows.id.map((id) => id.toLowerCase()),
      labels: rows.labels,
      label: numbers(rows.label, Uint32Array),
      verdict: numbers(rows.verdict, Uint8Array),
      best: classIds(rows.best, areWide),
      bestProb: numbers(rows.bestProb, Float32Array),
      folderClassProb: numbers(rows.folderClassProb, Float32Array),
      otherProb: numbers(rows.otherProb, Float32Array),
      entropy: numbers(rows.entropy, Float32Array),
      folderClassCells: numbers(rows.folderClassCells, Uint32Array),
      objects: numbers(rows.objects, Uint32Array),
      bytes: numbers(rows.bytes, Uint32Array),
      winnerCount: counts,
      firstWinner,
      winners: classIds(rows.winners, areWide),
    });
    classes.colors = numbers(classes.colors, Uint8Array);
    // -1 without a folder class.
    table.folderClass = Int32Array.from(table.label, (label) => rows.folderClasses[label] ?? -1);
    table.contradiction = table.otherProb.map((prob, at) => prob - table.folderClassProb[at]);
    // Without label maps, predictions of the image and its tiles replace cells.
    table.hasMaps = Boolean(about.mapSize);
    [table.mapHeight, table.mapWidth] = about.mapSize ?? [0, 0];
  };

  // Short name of a class. It need not be unique.
  table.className = (id) => table.classes.shortNames[id] || `class ${id}`;
  table.fullClassName = (id) => [table.classes.names[id] || `class ${id}`, table.classes.ids[id]].filter(Boolean).join(" · ");
  table.color = (id) => table.classes.palette[table.classes.colors[id]];
  table.ink = (id) => table.classes.inks[table.classes.colors[id]];
  table.folderText = (at) => (table.folderClass[at] >= 0 ? table.className(table.folderClass[at]) : table.labels[table.label[at]]);
  table.hasFailed = (at) => table.verdict[at] === FAILED;
  table.winnersOf = (at) => table.winners.subarray(table.firstWinner[at], table.firstWinner[at + 1]);

  return table;
})();

