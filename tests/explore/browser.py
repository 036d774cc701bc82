"""A headless Chromium, and how to find things on the explorer's page."""

import contextlib
import re
import shutil
import time

MISSING = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1280,1000",
)
# From an event in the page until the picture that it asked for has been drawn.
TIMED = """
const [event, done] = arguments;
const picture = document.querySelector('[data-name=picture] img');
const started = performance.now();
picture.addEventListener('load', () => requestAnimationFrame(
    () => done(performance.now() - started)), {once: true});
const at = document.querySelector(event.at), box = at.getBoundingClientRect();
at.dispatchEvent(new MouseEvent('mousedown', {bubbles: true, buttons: 1,
    clientX: box.x + event.x * box.width, clientY: box.y + event.y * box.height}));
document.dispatchEvent(new MouseEvent('mouseup', {bubbles: true}));
"""


@contextlib.contextmanager
def chromium(folder):
    """The browser, with a profile of its own in the folder."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in (*FLAGS, f"--user-data-dir={folder}"):
        options.add_argument(flag)
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    try:
        yield driver
    finally:
        driver.quit()


class Explorer:
    """The page, as a user sees it."""

    def __init__(self, driver, url):
        self.driver, self.url = driver, url
        driver.set_script_timeout(60)
        driver.get(url)
        self.wait(lambda: self.picture)

    def element(self, name, inside=""):
        from selenium.webdriver.common.by import By

        return self.driver.find_element(By.CSS_SELECTOR, f"[data-name={name}] {inside}".strip())

    @property
    def picture(self):
        """The data URL of the live picture."""
        source = self.element("picture", "img").get_attribute("src")
        return source if source and source.startswith("data:") else None

    def text(self, name):
        return self.element(name).text

    def type(self, name, text):
        """Replaces what a field holds."""
        from selenium.webdriver.common.keys import Keys

        self.element(name).send_keys(Keys.CONTROL, "a")
        self.element(name).send_keys(text)

    def click(self, name):
        self.driver.execute_script("arguments[0].click()", self.element(name))

    def wait(self, condition, seconds=60):
        """Waits until the condition gives something."""
        from selenium.common import WebDriverException

        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(WebDriverException):  # not drawn yet, or just replaced
                if found := condition():
                    return found
            time.sleep(0.02)
        raise AssertionError(f"nothing within {seconds} s; picture {self.picture:.60}")

    def changes(self, act):
        """Does something that must change the picture."""
        before = self.picture
        act()
        return self.wait(lambda: self.picture != before and self.picture)

    def seconds(self, at, x=0.5, y=0.5):
        """From a press of the mouse in the page, at a part of its width and height, to the new
        picture in the page."""
        event = {"at": at, "x": x, "y": y}
        return self.driver.execute_async_script(TIMED, event) / 1000

    def server_seconds(self):
        """What the page says of the last decode."""
        return float(re.fullmatch(r"decoded in ([\d.]+) ms", self.text("time"))[1]) / 1000
