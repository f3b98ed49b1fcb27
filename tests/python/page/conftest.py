"""The browser and the page with photographs that the tests of the page share."""

import pytest
from harness import label, run_relabel
from pages import COUNT, FAILED, PARAMETERS, TO_DO, browser, expected_rows, make_store, opened, report, save_photographs
from tiled_stores import save_classifier_without_cells, with_calibration


@pytest.fixture(scope="session")
def chrome():
    with browser() as running:
        yield running


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """Photographs in `images`, their label maps of 9x14 cells in `labels`, and the page in `report`."""
    folder = tmp_path_factory.mktemp("photos")
    save_photographs(folder / "images")
    label(folder / "images", folder / "labels", "--input-size", "288x448", code=3)
    report(folder / "labels", folder / "report", "--image-root", folder / "images")
    return folder


@pytest.fixture(scope="session")
def tiled(tmp_path_factory, photos):
    """The photographs with five tiles that have maps, calibrated, in `labels`, and the page in `report`."""
    folder = tmp_path_factory.mktemp("tiled")
    label(photos / "images", folder / "labels", "--tiles", "5", "--tile-maps", code=3)
    with_calibration(folder / "labels", PARAMETERS)
    report(folder / "labels", folder / "report", "--image-root", photos / "images")
    return folder


@pytest.fixture(scope="session")
def mapless(tmp_path_factory, photos):
    """The photographs, labelled by a teacher without cells with five tiles, calibrated, in `labels`, and the page in `report`."""
    folder = tmp_path_factory.mktemp("mapless")
    save_classifier_without_cells(folder / "teacher.onnx")
    run_relabel(
        "run", "--teacher", folder / "teacher.onnx", "--in", photos / "images", "--out", folder / "labels", "--tiles", "5", code=3
    )
    with_calibration(folder / "labels", PARAMETERS)
    report(folder / "labels", folder / "report", "--image-root", photos / "images")
    report(folder / "labels", folder / "plain")
    return folder


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A store with failed images and a pending shard, its page, and the expected values of its rows."""
    folder = tmp_path_factory.mktemp("made")
    store = make_store(folder / "labels", COUNT, failed=FAILED.items(), shards_to_do=1)
    document = report(store, folder / "report", "--all")
    assert (document["rows"], document["failed"], document["to_do"]) == (COUNT - TO_DO, len(FAILED), TO_DO)
    return store, folder / "report", expected_rows(store)


@pytest.fixture
def page(chrome, made):
    with opened(chrome, made[1]) as page:
        yield page
