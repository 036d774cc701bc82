"""The explorer's page in a real browser, served by the command as a user starts it."""

import contextlib
import http.client
import os
import signal
import statistics
import subprocess
import sys
from pathlib import Path

import PIL.Image
import pytest

from vae_jax.training.checkpoint import save_variables

from .browser import MISSING, Explorer, chromium
from .small import trained_of

START = "import sys; from vae_jax.cli import main; sys.argv[0] = 'vae-jax'; main()"
needs_a_browser = pytest.mark.skipif(
    bool(MISSING), reason=f"{' and '.join(MISSING)} not on the PATH (scripts/test.sh installs it)"
)


def run_explore(*arguments, cache):
    # Without pytest's mark: NiceGUI would take the process for one of its own tests.
    hidden = ("PYTEST_CURRENT_TEST", "XLA_FLAGS", "DISPLAY", "WAYLAND_DISPLAY")
    environment = {k: v for k, v in os.environ.items() if k not in hidden}
    return subprocess.Popen(
        [sys.executable, "-c", START, "explore", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment | {"VAE_JAX_CACHE": str(cache)},
    )


@contextlib.contextmanager
def explored(name, folder):
    """The URL of a served model; the server must end well at Ctrl-C."""
    trained = trained_of(name)
    save_variables(folder / name, name, trained.hyper, trained.variables)
    process = run_explore(folder / name, "--data", "digits", "--port", 0, cache=folder / "cache")
    try:
        line = process.stdout.readline()
        assert line.startswith("ready: http://127.0.0.1:"), process.stderr.read()
        yield line.split()[1]
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60) == ("stopped\n", "")
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()


@pytest.mark.browser
@needs_a_browser
def test_every_control_of_the_page_does_what_it_says(tmp_path, record_property):
    notes = tmp_path / "notes.png"
    notes.write_text("no picture")
    grey = tmp_path / "grey.jpg"
    PIL.Image.new("RGB", (50, 40), "grey").save(grey)
    with explored("digits_cvae", tmp_path) as url, chromium(tmp_path / "profile") as driver:
        page = Explorer(driver, url)
        assert "digits_cvae" in driver.title

        # The pad and the latency, which is also a figure to report.
        times = [page.seconds("[data-name=pad] img", 0.1 * i, 0.3) for i in range(1, 9)]
        latency = {"browser": statistics.median(times), "server": page.server_seconds()}
        record_property("latency", latency)
        print(f"explorer, event to picture: {latency}")
        assert latency["browser"] < 1
        assert page.text("place").startswith("z = (")
        home = page.changes(lambda: page.click("reset"))
        assert page.text("place") == "z = (0.00, 0.00)"

        page.changes(lambda: page.element("label", "button:nth-child(4)").click())
        page.changes(lambda: page.element("label", "button:nth-child(1)").click())

        # A seed's sample comes again.
        page.changes(lambda: page.click("sample"))
        second = page.changes(lambda: page.click("sample"))
        page.wait(lambda: page.element("seed").get_attribute("value") == "1")
        page.changes(lambda: page.click("reset"))
        page.changes(lambda: page.type("seed", "1\n"))
        assert page.picture == second != home

        # Two images, and the way between them.
        chosen = page.changes(lambda: page.type("number-A", "7"))
        page.type("number-B", "12")
        page.wait(lambda: page.driver.find_elements("xpath", "//*[starts-with(., 'image 12:')]"))
        page.wait(lambda: page.seconds("[data-name=weight] .q-slider__track-container", 0.5))
        assert page.picture != chosen
        page.type("number-A", "99999")
        assert "has no training image 99999" in page.wait(lambda: page.text("fault-A"))

        # Arithmetic: a point, a misspelt group, and weights that make no point.
        page.changes(lambda: page.click("compute"))
        page.wait(lambda: "=" in page.text("result"))
        page.type("expression", "class_5 - clas_3 + class_8\n")
        fault = page.wait(lambda: page.text("fault-arithmetic"))
        assert "column 11: there is no group 'clas_3'" in fault
        page.type("expression", "class_5 + class_8\n")
        page.wait(lambda: "the weights sum to 2" in page.text("fault-arithmetic"))

        # An upload that is no picture, and one that is.
        page.element("upload-B", "input[type=file]").send_keys(str(notes))
        fault = page.wait(lambda: page.text("fault-B"))
        assert fault.startswith("the upload: cannot read the picture 'notes.png' (")
        assert "\n" not in fault
        before = page.element("image-B", "img").get_attribute("src")
        page.changes(lambda: page.element("upload-B", "input[type=file]").send_keys(str(grey)))
        assert page.element("image-B", "img").get_attribute("src") != before
        assert page.text("fault-B") == ""

        # Nothing went wrong in the browser, and nothing came from elsewhere.
        assert not [e for e in driver.get_log("browser") if e["level"] == "SEVERE"]
        loaded = "return performance.getEntriesByType('resource').map(e => e.name)"
        assert {name[: len(url)] for name in driver.execute_script(loaded)} == {url}

        for host, length, status in (
            ("127.0.0.1", 0, 200),
            ("rebound.example", 0, 400),
            ("localhost", 10_200_000, 413),
        ):
            connection = http.client.HTTPConnection(url.removeprefix("http://"))
            connection.request("GET", "/", headers={"Host": host, "Content-Length": str(length)})
            assert connection.getresponse().status == status
            connection.close()


@pytest.mark.browser
@needs_a_browser
def test_more_latents_have_sliders_and_a_plain_autoencoder_no_samples(tmp_path):
    with explored("digits_ae", tmp_path) as url, chromium(tmp_path / "profile") as driver:
        page = Explorer(driver, url)
        sliders = "[data-name^=z]"
        assert len(driver.find_elements("css selector", sliders)) == 12
        before = page.picture
        page.seconds(f"{sliders} .q-slider__track-container", 0.9)
        assert page.picture != before
        assert page.changes(lambda: page.click("reset")) == before
        page.click("all")
        page.wait(lambda: len(driver.find_elements("css selector", sliders)) == 14)
        assert not driver.find_elements("css selector", "[data-name=sample]")


def test_a_port_that_is_taken_is_an_error_of_one_line(tmp_path):
    import socket

    digits = Path(sys.modules["vae_jax"].__file__).parent / "assets" / "AEdigits.pt"
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        out, err = run_explore(digits, "--port", port, cache=tmp_path).communicate(timeout=60)
    assert out == ""
    assert err.startswith(f"error: port {port} of 127.0.0.1 cannot be used (Address already")
    assert err.count("\n") == 1


def test_without_nicegui_the_extra_is_named(monkeypatch):
    from vae_jax.cli.explore import explore
    from vae_jax.errors import MissingExtraError

    monkeypatch.setitem(sys.modules, "nicegui", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'vae-jax\[explore\]'"):
        explore.main(["anything"], standalone_mode=False)
