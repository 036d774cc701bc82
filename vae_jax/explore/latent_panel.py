"""The panel that moves the point: a pad for two latents, sliders for more."""

from __future__ import annotations

import numpy as np
from nicegui import ui
from nicegui.events import GenericEventArguments

from vae_jax.explore.cursor import Cursor
from vae_jax.explore.pad import COLOURS, SIZE, Pad
from vae_jax.explore.pictures import data_url
from vae_jax.explore.session import Point

NUM_SHOWN = 12
"""Number of sliders that are shown initially."""
SECONDS = 0.04
"""Least time between two events of a drag."""
# Ignore the mouse while no button is pressed.
_WHEN_PRESSED = "(e) => { if (e.buttons & 1) emit([e.image_x, e.image_y]) }"


def latent_panel(cursor: Cursor) -> None:
    """Draw the panel."""
    with ui.column().classes("panel"):
        ui.html("Latent space", tag="h2", sanitize=False)
        if cursor.session.latent_size == 2:
            _PadPanel(cursor)
        else:
            _Sliders(cursor)


class _PadPanel:
    def __init__(self, cursor: Cursor):
        session = cursor.session
        self.cursor = cursor
        self.pad = Pad.around(session.low, session.high, session.means)
        source = self.pad.background(session.means, session.labels)
        with ui.row().classes("w-full gap-5"):
            self.image = ui.interactive_image(
                data_url("image/svg+xml", source.encode()),
                content=self.pad.marker(cursor.z),
                events=["mousedown", "mousemove"],
                sanitize=False,  # the content consists of numbers only
            )
            self.image.classes("cursor-crosshair").style(f"flex: 0 1 {SIZE}px")
            self.image.props("data-name=pad")
            self.image.on("mouse", self.on_mouse, throttle=SECONDS, js_handler=_WHEN_PRESSED)
            with ui.column().classes("gap-2").style("flex: 1 1 180px"):
                ui.label("Click or drag to move the point.")
                self.place = ui.label().classes("numbers").props("data-name=place")
                self.legend()
        self.follow(cursor.z)
        cursor.follow(self.follow)

    def legend(self) -> None:
        session = self.cursor.session
        if session.dataset is None:
            return
        text = f"The dots are {len(session.means)} training images of {session.dataset.name}:"
        ui.label(text).classes("quiet mt-2")
        for label in np.unique(session.labels):
            with ui.row().classes("items-center gap-2 quiet no-wrap"):
                colour = COLOURS[label % len(COLOURS)]
                dot = "width: 10px; height: 10px; border-radius: 50%; flex: none; background: "
                ui.element("div").style(dot + colour)
                ui.label(session.dataset.class_names[label])

    def on_mouse(self, event: GenericEventArguments) -> None:
        self.cursor.move(self.pad.to_latent(*event.args))

    def follow(self, z: Point) -> None:
        self.image.content = self.pad.marker(z)
        self.place.text = f"z = ({z[0]:z.2f}, {z[1]:z.2f})"


class _Sliders:
    def __init__(self, cursor: Cursor):
        self.cursor, self.following = cursor, False
        self.sliders: dict[int, tuple[ui.slider, ui.label]] = {}
        session = cursor.session
        first, rest = np.split(session.order, [NUM_SHOWN])
        if len(session.means):
            text = f"The most active first, by the spread of {len(session.means)} training images."
            ui.label(text).classes("quiet")
        self.grid = ui.element("div").classes("w-full grid gap-x-8")
        self.grid.style("grid-template-columns: repeat(auto-fill, minmax(290px, 1fr))")
        self.add(first)
        if len(rest):
            self.rest = rest
            shown = ui.switch(f"Show all {session.latent_size}").props("data-name=all")
            shown.on_value_change(lambda e: self.show_all(bool(e.value)))
        cursor.follow(self.follow)

    def add(self, dimensions: np.ndarray) -> None:
        session = self.cursor.session
        for number in map(int, dimensions):
            with self.grid, ui.row().classes("items-center no-wrap w-full gap-3"):
                ui.label(f"z{number}").classes("quiet w-8 text-right numbers")
                low, high = float(session.low[number]), float(session.high[number])
                slider = ui.slider(min=low, max=high, step=(high - low) / 600)
                slider.classes("grow").props(f"dense data-name=z{number}")
                slider.value = min(max(float(self.cursor.z[number]), low), high)
                slider.on_value_change(lambda e, number=number: self.on_slide(number, e.value))
                value = ui.label(f"{self.cursor.z[number]:z.2f}")
                value.classes("w-14 flex-none text-right numbers")
            self.sliders[number] = slider, value

    def show_all(self, shown: bool) -> None:
        if len(self.sliders) == NUM_SHOWN:
            self.add(self.rest)
        for row in list(self.grid)[NUM_SHOWN:]:
            row.set_visibility(shown)

    def on_slide(self, number: int, value: float | None) -> None:
        if self.following or value is None:
            return
        z = self.cursor.z.copy()
        z[number] = value
        self.sliders[number][1].text = f"{value:z.2f}"
        self.cursor.move(z, by=self.follow)

    def follow(self, z: Point) -> None:
        self.following = True
        for number, (slider, text) in self.sliders.items():
            low, high = self.cursor.session.low[number], self.cursor.session.high[number]
            slider.value = float(np.clip(z[number], low, high))
            text.text = f"{z[number]:z.2f}"
        self.following = False
