// The columns of all rows, from data/rows.js. Images are named by their position on the page.
relabel.table = (() => {
  const { numbers, classIds } = relabel.base;
  const VERDICTS = ["agrees", "differs", "absent", "not-compared", "failed"];
  const SIGNS = ["✓", "≠", "∅", "–", "!"];
  const WORDS = ["agrees", "differs", "absent", "not compared", "failed"];
  const FAILED = 4;

  const table = { VERDICTS, SIGNS, WORDS, FAILED };

  table.take = ({ about, classes, rows, failed, noPhotograph, scores }) => {
    const { areWide } = classes;
    const counts = numbers(rows.winnerCounts, Uint32Array);
    const firstWinner = new Uint32Array(counts.length + 1);
    counts.forEach((count, at) => { firstWinner[at + 1] = firstWinner[at] + count; });
    Object.assign(table, {
      about, classes, failed, noPhotograph, scores,
      count: rows.id.length,
      row: numbers(rows.row, Uint32Array),
      id: rows.id,
      idLower: rows.id.map((id) => id.toLowerCase()),
      labels: rows.labels,
      label: numbers(rows.label, Uint32Array),
      verdict: numbers(rows.verdict, Uint8Array),
      best: classIds(rows.best, areWide),
      bestProb: numbers(rows.bestProb, Float32Array),
      labelProb: numbers(rows.labelProb, Float32Array),
      otherProb: numbers(rows.otherProb, Float32Array),
      entropy: numbers(rows.entropy, Float32Array),
      labelCells: numbers(rows.labelCells, Uint32Array),
      objects: numbers(rows.objects, Uint32Array),
      bytes: numbers(rows.bytes, Uint32Array),
      winnerCount: counts,
      firstWinner,
      winners: classIds(rows.winners, areWide),
    });
    classes.colors = numbers(classes.colors, Uint8Array);
    // Class of the folder, -1 where it is none of the teacher's.
    table.labelClass = Int32Array.from(table.label, (label) => rows.labelClasses[label] ?? -1);
    table.contradiction = table.otherProb.map((prob, at) => prob - table.labelProb[at]);
    [table.mapHeight, table.mapWidth] = about.mapSize;
  };

  // A class by its short name; two may share one.
  table.className = (id) => table.classes.shortNames[id] || `class ${id}`;
  table.fullClassName = (id) => [table.classes.names[id] || `class ${id}`, table.classes.ids[id]].filter(Boolean).join(" · ");
  table.color = (id) => table.classes.palette[table.classes.colors[id]];
  table.ink = (id) => table.classes.inks[table.classes.colors[id]];
  table.labelText = (at) => (table.labelClass[at] >= 0 ? table.className(table.labelClass[at]) : table.labels[table.label[at]]);
  table.hasFailed = (at) => table.verdict[at] === FAILED;
  table.winnersOf = (at) => table.winners.subarray(table.firstWinner[at], table.firstWinner[at + 1]);

  return table;
})();

