"""`relabel export --format multilabel-tsv`: the table, what it reads, and that `relabel evaluate` reads it back."""

import json

import numpy as np
import pytest
from exchange_files import path_of, relabel, relabel_json, write_naver

import relabel as package


def counts_of(mask) -> list[int]:
    """Returns the uncompressed counts of COCO's run-length encoding."""
    flat = mask.T.ravel()
    borders = np.concatenate([[0], np.flatnonzero(np.diff(flat)) + 1, [flat.size]])
    return [*([0] if flat[0] else []), *np.diff(borders).tolist()]


def box(height, width, y0, x0, y1, x1):
    mask = np.zeros((height, width), bool)
    mask[y0:y1, x0:x1] = True
    return mask


def coco(masks_by_name, first=1) -> dict:
    """Returns a COCO file of masks without meaningful categories, as MaskCut writes it."""
    images, annotations = [], []
    for number, (name, masks) in enumerate(masks_by_name.items(), start=first):
        images.append({"id": number, "file_name": name, "height": masks[0].shape[0], "width": masks[0].shape[1]})
        for mask in masks:
            rle = {"size": list(mask.shape), "counts": counts_of(mask)}
            annotations.append({"id": len(annotations) + 1, "image_id": number, "category_id": 1, "iscrowd": 0, "segmentation": rle})
    return {"info": {}, "categories": [{"id": 1, "name": "fg"}], "images": images, "annotations": annotations}


@pytest.fixture
def store(tmp_path):
    write_naver(tmp_path / "maps", 9)
    relabel("import", tmp_path / "maps", "--out", tmp_path / "store")
    return tmp_path / "store"


def image_name(number) -> str:
    return path_of(number, 9).replace(".pt", ".JPEG")


MASKS = [box(150, 300, 0, 0, 70, 140), box(150, 300, 80, 150, 150, 300), box(150, 300, 0, 0, 150, 300)]


def lines_of(path) -> dict[str, list[str]]:
    return {line.split("\t")[0]: line.split("\t")[1:] for line in path.read_text().splitlines()}


def test_the_table_has_the_best_class_of_each_mask(store, tmp_path):
    by_name = {image_name(number): MASKS[: number % 3 + 1] for number in range(8)}
    (tmp_path / "masks.json").write_text(json.dumps(coco(by_name)))
    document = relabel_json("export", store, "--format", "multilabel-tsv", "--masks", tmp_path / "masks.json", "--out", tmp_path / "m.tsv")
    assert (document["exported"], document["masks_pooled"], document["images_without_masks"]) == (9, 15, 1)
    lines, labels = lines_of(tmp_path / "m.tsv"), package.open(store)
    # Images without masks have the path of the store.
    assert list(lines) == [*by_name, path_of(8, 9)]
    assert lines.pop(path_of(8, 9)) == [str(labels.folder_classes()[8]), "", ""]
    total = 0
    for row, (name, (gt, ids, probs)) in enumerate(lines.items()):
        targets = labels.pool_masks([row] * len(by_name[name]), by_name[name])
        expected = {}
        for target in targets:
            best = int(target.argmax())
            expected[best] = max(expected.get(best, 0), float(target[best]))
        assert ids == ",".join(map(str, sorted(expected)))
        assert probs == ",".join(f"{expected[number]:.4f}" for number in sorted(expected))
        assert int(gt) == labels.folder_classes()[row]
        total += len(expected)
    assert document["classes_per_image"] == total / 9
    assert total > 9, "no image has several classes"


def test_evaluate_reads_the_table(store, tmp_path):
    by_name = {image_name(number): MASKS for number in range(9)}
    (tmp_path / "masks.json").write_text(json.dumps(coco(by_name)))
    relabel("export", store, "--format", "multilabel-tsv", "--masks", tmp_path / "masks.json", "--out", tmp_path / "m.tsv")
    classes = sum(len(ids.split(",")) for _, ids, _ in lines_of(tmp_path / "m.tsv").values())
    document = relabel_json("evaluate", store, "--truth", tmp_path / "m.tsv")
    truth = json.dumps(document)
    assert '"format": "class-lists"' in truth
    assert classes > 9


def test_thresholds_and_folder_classes(store, tmp_path):
    (tmp_path / "masks.json").write_text(json.dumps(coco({image_name(0): MASKS})))
    common = ("export", store, "--format", "multilabel-tsv", "--masks", tmp_path / "masks.json")
    relabel(*common, "--out", tmp_path / "all.tsv")
    _, ids, probs = lines_of(tmp_path / "all.tsv")[image_name(0)]
    pairs = dict(zip(map(int, ids.split(",")), map(float, probs.split(",")), strict=True))
    threshold = (max(pairs.values()) + min(pairs.values())) / 2
    relabel(*common, "--out", tmp_path / "some.tsv", "--min-prob", threshold)
    _, ids, _ = lines_of(tmp_path / "some.tsv")[image_name(0)]
    assert ids == ",".join(str(number) for number, prob in pairs.items() if prob >= threshold)
    relabel(*common, "--out", tmp_path / "folder.tsv", "--min-prob", 1, "--folder-class")
    for gt, ids, probs in lines_of(tmp_path / "folder.tsv").values():
        assert (ids, probs) == (gt, "1.0000")


def test_files_of_a_folder_are_one_set(store, tmp_path):
    (tmp_path / "parts").mkdir()
    # Both files number their images and masks from 1; the masks of one image are in both.
    (tmp_path / "parts/a.json").write_text(json.dumps(coco({image_name(0): MASKS[:1], image_name(1): MASKS})))
    (tmp_path / "parts/b.json").write_text(json.dumps(coco({image_name(0): MASKS[1:]})))
    (tmp_path / "one.json").write_text(json.dumps(coco({image_name(0): MASKS, image_name(1): MASKS})))
    for masks in ("parts", "one.json"):
        common = ("export", store, "--format", "multilabel-tsv", "--masks", tmp_path / masks)
        document = relabel_json(*common, "--out", tmp_path / f"{masks}.tsv")
        assert (document["masks_pooled"], document["mask_files"]) == (6, 2 if masks == "parts" else 1)
    assert (tmp_path / "parts.tsv").read_text() == (tmp_path / "one.json.tsv").read_text()


def test_masks_of_other_images_are_counted(store, tmp_path):
    (tmp_path / "masks.json").write_text(json.dumps(coco({image_name(0): MASKS, "n09999999/other.JPEG": MASKS})))
    common = ("export", store, "--format", "multilabel-tsv", "--masks", tmp_path / "masks.json", "--out", tmp_path / "m.tsv")
    completed = relabel(*common)
    assert "1 image of the masks is not labelled in the store; the first is `n09999999/other.JPEG`" in completed.stderr
    assert "8 labelled images have no mask" in completed.stderr
    assert completed.stdout.startswith("exported 9 of 9 images, ")
    (tmp_path / "masks.json").write_text(json.dumps(coco({"n09999999/other.JPEG": MASKS})))
    (tmp_path / "m.tsv").unlink()
    reason = relabel(*common, code=1).stderr
    assert "it names `n09999999/other.JPEG`, the store has `n01440764/" in reason
    assert not (tmp_path / "m.tsv").exists()


def changed(change) -> dict:
    document = coco({image_name(0): MASKS, image_name(1): MASKS[:1]})
    change(document)
    return document


def swap_size(document):
    document["annotations"][1]["segmentation"]["size"].reverse()


def shorten(document):
    document["annotations"][3]["segmentation"]["counts"].pop()


def empty(document):
    document["annotations"][2]["segmentation"]["counts"] = [150 * 300]


def to_polygon(document):
    document["annotations"][0]["segmentation"] = [[1.0, 2.0, 30.0, 2.0, 30.0, 40.0]]


DAMAGED = [
    ([1, 2], "it has no lists `images` and `annotations`"),
    ({"images": []}, "it has no lists `images` and `annotations`"),
    (changed(lambda document: document["images"][1].pop("file_name")), "image 1 of the list has no file_name and id"),
    (changed(lambda document: document["images"][1].update(id=1)), "two images have the id 1"),
    (changed(lambda document: document["annotations"][3].update(image_id=7)), "annotation 4 is of image 7, which is not listed"),
    (changed(lambda document: document["annotations"][3].pop("image_id")), "annotation 4 has no image_id"),
    (changed(lambda document: document["annotations"][3].pop("segmentation")), "annotation 4 has no mask"),
    (changed(swap_size), "annotation 2 has a mask of 300x150 pixels, but its image n01440764/n01440764_0000.JPEG has 150x300"),
    (changed(shorten), "annotation 4: the counts of the run-length encoding cover"),
    (changed(empty), "annotation 3: no pixel is inside the mask"),
    (changed(to_polygon), "annotation 1 is a polygon\n  help: encode polygons"),
]


@pytest.mark.parametrize(("document", "reason"), DAMAGED, ids=[reason[:40] for _, reason in DAMAGED])
def test_unusable_masks_are_refused_with_their_file_and_annotation(store, tmp_path, document, reason):
    (tmp_path / "masks.json").write_text(json.dumps(document))
    args = ("export", store, "--format", "multilabel-tsv", "--masks", tmp_path / "masks.json", "--out", tmp_path / "m.tsv")
    stderr = relabel(*args, code=1).stderr
    assert reason in stderr and str(tmp_path / "masks.json") in stderr and "\n  help: " in stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["maps", "masks.json", "store"]


def test_wrong_usage_is_refused(store, tmp_path):
    (tmp_path / "masks.json").write_text("{]")
    (tmp_path / "there.tsv").touch()
    common = ("export", store, "--format", "multilabel-tsv")
    masks = ("--masks", tmp_path / "masks.json")
    assert "needs --masks" in relabel(*common, "--out", tmp_path / "m.tsv", code=2).stderr
    assert "it exists" in relabel(*common, *masks, "--out", tmp_path / "there.tsv", code=2).stderr
    assert "none does not exist" in relabel(*common, *masks, "--out", tmp_path / "none/m.tsv", code=2).stderr
    assert "not a probability" in relabel(*common, *masks, "--out", tmp_path / "m.tsv", "--min-prob", "1.5", code=2).stderr
    assert "--dtype float16 does not apply" in relabel(*common, *masks, "--out", tmp_path / "m.tsv", "--dtype", "float16", code=2).stderr
    assert "--masks does not apply to --format pt" in relabel("export", store, *masks, "--out", tmp_path / "m", code=2).stderr
    assert "--folder-class does not apply to --format pt" in relabel("export", store, "--folder-class", "--out", tmp_path / "m", code=2).stderr
    assert "cannot read masks from" in relabel(*common, *masks, "--out", tmp_path / "m.tsv", code=1).stderr
    assert "does not exist" in relabel(*common, "--masks", tmp_path / "gone", "--out", tmp_path / "m.tsv", code=1).stderr
    assert "contains no .json file" in relabel(*common, "--masks", tmp_path / "maps", "--out", tmp_path / "m.tsv", code=1).stderr
