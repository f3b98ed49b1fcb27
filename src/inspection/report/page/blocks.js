// Maps and photographs, sixteen rows a script, loaded when one of them is shown. The latest wish comes first, and a wish
// that nobody has any more is passed over: whoever scrolls through thousands of rows waits only for those that stay.
relabel.blocks = (() => {
  const { table } = relabel;
  const { make, classIds, scores } = relabel.base;
  const KEPT = 96, AT_ONCE = 8;
  const kept = new Map();
  const wishes = new Map();
  let loading = 0;

  const blocks = { loaded: 0 };

  // The image at a position: its map and photograph, or null where it has none. `isWanted` may take the wish back; then
  // the promise stays open.
  blocks.image = (at, isWanted = () => true) => {
    const number = Math.trunc(at / table.about.rowsOfBlock), place = at % table.about.rowsOfBlock;
    const block = kept.get(number);
    if (block) {
      kept.delete(number);
      kept.set(number, block);
      return Promise.resolve(decode(block, place));
    }
    return new Promise((resolve, reject) => {
      const wish = wishes.get(number) ?? [];
      wishes.delete(number);
      wishes.set(number, [...wish, { isWanted, reject, take: (block) => resolve(decode(block, place)) }]);
      load();
    });
  };

  // Called by the scripts.
  blocks.take = ({ block, images }) => {
    blocks.loaded += 1;
    kept.set(block, images);
    if (kept.size > KEPT) kept.delete(kept.keys().next().value);
  };

  function load() {
    while (loading < AT_ONCE && wishes.size) {
      const number = [...wishes.keys()].at(-1);
      const wish = wishes.get(number).filter(({ isWanted }) => isWanted());
      wishes.delete(number);
      if (wish.length) start(number, wish);
    }
  }

  function start(number, wish) {
    loading += 1;
    const name = `data/block-${String(number).padStart(5, "0")}.js`;
    const done = (isThere) => {
      script.remove();
      loading -= 1;
      const block = isThere && kept.get(number);
      for (const { take, reject } of wish) {
        if (block) take(block);
        else reject(new Error(`${name} is missing or damaged`));
      }
      load();
    };
    const script = make("script", { src: name, onload: () => done(true), onerror: () => done(false) });
    document.head.append(script);
  }

  // Done once for each image that is shown.
  function decode(block, place) {
    const image = block[place];
    if (!image || image.map) return image;
    image.map = {
      height: table.mapHeight,
      width: table.mapWidth,
      classCount: table.classes.count,
      classes: classIds(image.classes, table.classes.areWide),
      scores: scores(image.scores),
    };
    image.photograph = image.jpeg ? `data:image/jpeg;base64,${image.jpeg}` : null;
    delete image.classes;
    delete image.scores;
    delete image.jpeg;
    return image;
  }

  return blocks;
})();

