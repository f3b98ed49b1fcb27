// The crop: a box over the picture that can be drawn, moved and resized, and inputs for its four coordinates.
relabel.crop = (() => {
  const { make, byId } = relabel.base;
  const SIDES = ["x0", "y0", "x1", "y1"];
  const HANDLES = { nw: "x0 y0", n: "y0", ne: "x1 y0", e: "x1", se: "x1 y1", s: "y1", sw: "x0 y1", w: "x0" };
  // With the mouse, a box can exceed the image by MAX_OUTSIDE. Its sides have at least the length STEP.
  const MAX_OUTSIDE = 0.25, STEP = 0.001;

  const crop = { box: [0.25, 0.25, 0.75, 0.75] };
  let listener = () => {}, element = null, picture = null;

  crop.start = (onchange) => {
    listener = onchange;
    for (const [at, side] of SIDES.entries()) {
      byId(`crop-${side}`).addEventListener("input", () => {
        const box = SIDES.map((side) => byId(`crop-${side}`).valueAsNumber);
        const problem = problemOf(box);
        byId("crop-note").textContent = problem;
        for (const side of SIDES) byId(`crop-${side}`).setAttribute("aria-invalid", String(Boolean(problem)));
        if (!problem) change(box, at);
      });
    }
    byId("crop-full").addEventListener("click", () => crop.set([0, 0, 1, 1]));
  };

  // Adds the box to a picture on `stage`.
  crop.attach = (stage, newPicture) => {
    picture = newPicture;
    element = make("div", { class: "crop" }, ...Object.keys(HANDLES).map((name) => make("span", { class: `handle ${name}`, "data-handle": name })));
    picture.append(element);
    stage.onpointerdown = begin;
    crop.set(crop.box);
  };

  crop.set = (box) => {
    crop.box = box;
    for (const [at, side] of SIDES.entries()) {
      byId(`crop-${side}`).value = String(box[at]);
      byId(`crop-${side}`).setAttribute("aria-invalid", "false");
    }
    byId("crop-note").textContent = "";
    change(box);
  };

  // Parses the crop of the URL.
  crop.read = (text) => {
    const box = text.split(",").map(Number);
    if (box.length === 4 && !problemOf(box)) crop.box = box;
  };

  function problemOf(box) {
    if (box.some((side) => !Number.isFinite(side))) return "enter four numbers";
    if (box.some((side) => Math.abs(side) > 16)) return "coordinates must be between -16 and 16";
    if (box[2] <= box[0]) return "x1 must be larger than x0";
    return box[3] <= box[1] ? "y1 must be larger than y0" : "";
  }

  function change(box) {
    crop.box = box;
    if (!element) return;
    const [x0, y0, x1, y1] = box.map((side) => side * 100);
    Object.assign(element.style, { left: `${x0}%`, top: `${y0}%`, width: `${x1 - x0}%`, height: `${y1 - y0}%` });
    listener(box);
  }

  function begin(event) {
    if (event.button !== 0) return;
    const frame = picture.getBoundingClientRect();
    const unit = ({ clientX, clientY }) => [(clientX - frame.left) / frame.width, (clientY - frame.top) / frame.height];
    const from = unit(event), before = [...crop.box];
    const handle = event.target.dataset?.handle;
    const isInside = event.target === element;
    let move;
    if (handle) move = (to) => resized(before, HANDLES[handle].split(" "), to);
    else if (isInside) move = (to) => moved(before, to[0] - from[0], to[1] - from[1]);
    else move = (to) => drawn(from, to);
    const stage = event.currentTarget;
    stage.setPointerCapture(event.pointerId);
    event.preventDefault();
    stage.focus({ preventScroll: true });
    const onMove = (event) => {
      const to = unit(event);
      // A click does not draw a box.
      const distance = Math.hypot(event.clientX - frame.left - from[0] * frame.width, event.clientY - frame.top - from[1] * frame.height);
      if (handle || isInside || distance > 4) crop.set(move(to));
    };
    const end = () => {
      stage.removeEventListener("pointermove", onMove);
      stage.removeEventListener("pointerup", end);
      stage.removeEventListener("pointercancel", end);
    };
    stage.addEventListener("pointermove", onMove);
    stage.addEventListener("pointerup", end);
    stage.addEventListener("pointercancel", end);
  }

  // Coordinates are rounded as they are displayed, so the displayed box is the one that is pooled.
  const rounded = (side) => Math.round(Math.max(-MAX_OUTSIDE, Math.min(side, 1 + MAX_OUTSIDE)) / STEP) * STEP;
  const tidy = (side) => Number(rounded(side).toFixed(3));

  function resized(before, sides, [x, y]) {
    const box = [...before];
    for (const side of sides) {
      const at = SIDES.indexOf(side), opposite = (at + 2) % 4;
      const to = tidy(side.startsWith("x") ? x : y);
      box[at] = at < 2 ? Math.min(to, tidy(before[opposite] - STEP)) : Math.max(to, tidy(before[opposite] + STEP));
    }
    return box;
  }

  function moved([x0, y0, x1, y1], dx, dy) {
    const across = Math.max(-MAX_OUTSIDE - x0, Math.min(dx, 1 + MAX_OUTSIDE - x1)), down = Math.max(-MAX_OUTSIDE - y0, Math.min(dy, 1 + MAX_OUTSIDE - y1));
    return [x0 + across, y0 + down, x1 + across, y1 + down].map((side) => Number(side.toFixed(3)));
  }

  function drawn(from, to) {
    const [x0, x1] = [from[0], to[0]].map(tidy).sort((a, b) => a - b);
    const [y0, y1] = [from[1], to[1]].map(tidy).sort((a, b) => a - b);
    return [x0, y0, Math.max(x1, tidy(x0 + STEP)), Math.max(y1, tidy(y0 + STEP))];
  }

  return crop;
})();

