"""Keyboard, names of controls, and layout of the page."""

from pages import FAILED, opened


def test_the_keyboard_reaches_everything(page):
    page.wait_for_selector(".tile canvas")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "filter-id"
    page.focus(".tile[tabindex='0']")
    columns = page.evaluate("""new Set([...document.querySelectorAll('.slot')].map((slot) => slot.getBoundingClientRect().left)).size""")

    def focused():
        return page.evaluate("document.activeElement.closest('.slot')?.dataset.row")

    for key, row in [("ArrowRight", 1), ("ArrowDown", 1 + columns), ("ArrowLeft", columns), ("End", 999), ("ArrowDown", 999), ("ArrowUp", 999 - columns)]:
        page.keyboard.press(key)
        assert focused() == str(row), key
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert page.locator("#view").is_visible() and page.locator("#view-position").inner_text() == "2 of 1,000 · row 1"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.locator("#view-position").inner_text() == "4 of 1,000 · row 3"
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Escape")
    assert not page.locator("#view").is_visible() and focused() == "2"


def test_every_control_has_a_name(page):
    nameless = """[...document.querySelectorAll('button, input, select')].filter((control) =>
        !(control.labels?.length || control.getAttribute('aria-label') || control.textContent.trim())).map((control) => control.outerHTML)"""
    page.wait_for_selector(".tile canvas")
    assert page.evaluate(nameless) == []


def test_a_failed_image_has_its_reason_in_the_full_view(page):
    page.evaluate("relabel.view.openRow(7)")
    assert FAILED[7] in page.locator("#view-note").inner_text()
    page.keyboard.press("ArrowRight")
    assert page.locator("#view-note").is_hidden() and page.locator("#stage canvas").is_visible()


def test_the_layout_fits_the_window(chrome, made):
    for width, dark in [(1280, False), (800, True)]:
        for tab in ["images", "charts"]:
            with opened(chrome, made[1], f"#tab={tab}", width=width, dark=dark) as page:
                assert page.evaluate("document.documentElement.scrollWidth") <= width
                assert page.locator(f"#{tab}").is_visible()
                page.evaluate("relabel.view.open(0)")
                page.wait_for_selector("#stage canvas")
                assert page.evaluate("document.querySelector('#view').scrollWidth") <= width
                ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
                assert (int(ground.split("(")[1].split(",")[0]) < 100) == dark
