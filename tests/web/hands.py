"""The ways in which people use a page: with a mouse, or with nothing but a keyboard."""

from playwright.sync_api import Locator, Page, expect

MOST_STEPS = 200


class Mouse:
    def __init__(self, page: Page) -> None:
        self.page = page

    def press(self, target: Locator) -> None:
        target.click()

    def write(self, field: Locator, text: str) -> None:
        field.fill(text)

    def choose(self, field: Locator, value: str) -> None:
        field.click()
        self.page.get_by_role("option", name=value, exact=True).click()


class Keyboard(Mouse):
    """Gets to everything with Tab and does everything with keys."""

    def press(self, target: Locator) -> None:
        self._reach(target)
        self.page.keyboard.press("Enter")

    def write(self, field: Locator, text: str) -> None:
        self._reach(field)
        self.page.keyboard.press("ControlOrMeta+a")
        self.page.keyboard.type(text)

    def choose(self, field: Locator, value: str) -> None:
        self._reach(field)
        self.page.keyboard.press("Enter")
        wanted = self.page.get_by_role("option", name=value, exact=True)
        expect(wanted).to_be_visible()
        for _ in range(MOST_STEPS):
            if wanted.get_attribute("data-combobox-selected") == "true":
                self.page.keyboard.press("Enter")
                return
            self.page.keyboard.press("ArrowDown")
        raise AssertionError(f"no key leads to {value}")

    def _reach(self, target: Locator) -> None:
        expect(target).to_be_visible()
        for _ in range(MOST_STEPS):
            if target.evaluate("each => each === document.activeElement"):
                return
            self.page.keyboard.press("Tab")
        raise AssertionError(f"Tab does not lead to {target}")
