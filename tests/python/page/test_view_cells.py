"""The cells in the full view of an image: letters, classes and confidence."""

import numpy as np
import pytest
from pages import opened

import relabel


def test_letters_follow_the_regions(chrome, photos):
    _, classes, *_ = relabel.open(photos / "labels").map(1)
    ids, cells = np.unique(classes[0], return_counts=True)
    ranked = sorted(zip(-cells, ids, strict=True))
    with opened(chrome, photos / "report", "#image=1") as page:
        page.wait_for_selector("#stage .letters span")
        legend = page.locator("#legend tr").evaluate_all("(lines) => lines.map((line) => [...line.cells].map((cell) => cell.innerText.trim()))")
        names = relabel.open(photos / "labels").class_names
        assert len(legend) == len(ranked)
        for at, (line, (negative, name)) in enumerate(zip(legend, ranked, strict=True)):
            assert line == [chr(65 + at) if at < 26 else "", names[name].split(",")[0].strip(), str(-negative)]
        # Each letter is in a cell whose best class is its own.
        letters = page.evaluate("""(() => { const frame = document.querySelector('#stage .picture').getBoundingClientRect();
            return [...document.querySelectorAll('.letters span')].map((span) => { const at = span.getBoundingClientRect();
                return [span.textContent, (at.x + at.width / 2 - frame.x) / frame.width, (at.y + at.height / 2 - frame.y) / frame.height]; }); })()""")
        height, width = classes.shape[1:]
        for letter, x, y in letters:
            assert classes[0, int(y * height), int(x * width)] == ranked[ord(letter) - 65][1]
        assert {letter for letter, _, _ in letters} == {chr(65 + at) for at in range(min(26, len(ranked)))}


def test_a_cell_shows_its_classes_by_mouse_and_by_keyboard(chrome, photos):
    scores, classes, *_ = relabel.open(photos / "labels").map(1)
    names = relabel.open(photos / "labels").class_names
    height, width = classes.shape[1:]

    def check(page, y, x):
        for rank, text in enumerate(page.locator("#cell li").all_inner_texts()):
            name, score = text.rsplit(" ", 1)
            assert name == names[classes[rank, y, x]].split(",")[0].strip()
            assert float(score) == pytest.approx(float(scores[rank, y, x]), abs=0.0051)
        assert rank + 1 == len(classes)

    with opened(chrome, photos / "report", "#image=1") as page:
        page.wait_for_selector("#stage .crop")
        box = page.locator("#stage .picture").bounding_box()
        for y, x in [(0, 0), (4, 6), (height - 1, width - 1)]:
            page.mouse.move(box["x"] + (x + 0.5) / width * box["width"], box["y"] + (y + 0.5) / height * box["height"])
            check(page, y, x)
        page.mouse.move(2, 2)
        page.keyboard.press("Tab")
        for _ in range(8):
            if page.evaluate("document.activeElement.id") == "stage":
                break
            page.keyboard.press("Tab")
        page.keyboard.press("ArrowUp")
        page.keyboard.press("ArrowLeft")
        text = page.locator("#cell p").inner_text()
        y, x = [int(word.strip(",:")) - 1 for word in text.split() if word.strip(",:").isdigit()]
        check(page, y, x)
        assert "1 of" not in text and page.locator("#view-position").inner_text().endswith("row 1"), "the image stays"


def test_cells_fade_with_falling_confidence(chrome, photos):
    """The confidence is a softmax over all classes of the cell, with score 0 for absent classes."""
    labels = relabel.open(photos / "labels")
    with opened(chrome, photos / "report") as page:
        row = int(np.flatnonzero(labels.labelled())[0])
        found = page.evaluate("""async (row) => {
            const { map } = await relabel.blocks.image(relabel.table.row.indexOf(row));
            return Array.from({ length: map.height * map.width }, (_, cell) => relabel.picture.bestProb(map, cell));
        }""", row)
    scores = labels.map(row)[0].astype(np.float64)
    kept = np.exp(scores)
    expected = kept[0] / (kept.sum(axis=0) + labels.num_classes - len(scores))
    assert np.allclose(found, expected.ravel(), atol=1e-9)
