"""The browser and the page with photographs that the tests of the page share."""

import pytest
from harness import label
from pages import COUNT, FAILED, TO_DO, browser, expected_rows, make_store, opened, report, save_photographs


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
