// Loads labels and photographs when they are shown, in blocks of sixteen rows. The latest request is served first and
// obsolete requests are dropped, so after scrolling through thousands of rows only the visible ones are loaded.
relabel.blocks = (() => {
  const { table } = relabel;
  const { make, classIds, scores } = relabel.base;
  const MAX_CACHED = 96, MAX_LOADING = 8;
  const cache = new Map();
  const requests = new Map();
  let loading = 0;

  const blocks = { loaded: 0 };

  // Resolves to the image at a position: its labels and photograph, or null if it failed. If `isWanted` returns false before
  // the block is loaded, the request is dropped and the promise never settles.
  blocks.image = (at, isWanted = () => true) => {
    const number = Math.trunc(at / table.about.rowsPerBlock), offset = at % table.about.rowsPerBlock;
    const block = cache.get(number);
    if (block) {
      cache.delete(number);
      cache.set(number, block);
      return Promise.resolve(decode(block, offset));
    }
    return new Promise((resolve, reject) => {
      const waiting = requests.get(number) ?? [];
      requests.delete(number);
      requests.set(number, [...waiting, { isWanted, reject, take: (block) => resolve(decode(block, offset)) }]);
      load();
    });
  };

  // Called by the scripts of the blocks.
  blocks.take = ({ block, images }) => {
    blocks.loaded += 1;
    cache.set(block, images);
    if (cache.size > MAX_CACHED) cache.delete(cache.keys().next().value);
  };

  function load() {
    while (loading < MAX_LOADING && requests.size) {
      const number = [...requests.keys()].at(-1);
      const waiting = requests.get(number).filter(({ isWanted }) => isWanted());
      requests.delete(number);
      if (waiting.length) start(number, waiting);
    }
  }

  function start(number, waiting) {
    loading += 1;
    const name = `data/block-${String(number).padStart(5, "0")}.js`;
    const done = (hasLoaded) => {
      script.remove();
      loading -= 1;
      const block = hasLoaded && cache.get(number);
      for (const { take, reject } of waiting) {
        if (block) take(block);
        else reject(new Error(`${name} is missing or damaged`));
      }
      load();
    };
    const script = make("script", { src: name, onload: () => done(true), onerror: () => done(false) });
    document.head.append(script);
  }

  // Decodes an image when it is first shown.
  function decode(block, offset) {
    const image = block[offset];
    if (!image || image.isDecoded) return image;
    image.map = takeMap(image);
    for (const tile of image.tiles ?? []) tile.map = takeMap(tile);
    image.photograph = image.jpeg ? `data:image/jpeg;base64,${image.jpeg}` : null;
    delete image.jpeg;
    image.isDecoded = true;
    return image;
  }

  // Decodes the map of an image or a tile; null if it has none.
  function takeMap(labels) {
    if (!labels.classes) return null;
    const map = {
      height: table.mapHeight,
      width: table.mapWidth,
      classCount: table.classes.count,
      classes: classIds(labels.classes, table.classes.areWide),
      scores: scores(labels.scores),
    };
    delete labels.classes;
    delete labels.scores;
    return map;
  }

  return blocks;
})();

