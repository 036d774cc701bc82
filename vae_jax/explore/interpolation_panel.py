"""The panel that interpolates between two images."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import numpy as np
from nicegui import ui
from nicegui.events import UploadEventArguments

from vae_jax.errors import UserError
from vae_jax.explore.cursor import Cursor
from vae_jax.explore.pictures import MAX_UPLOAD, require_upload_size
from vae_jax.explore.session import Encoded
from vae_jax.latents.interpolation import Kind

THUMBNAIL = "width: 88px; height: 88px"


def interpolation_panel(cursor: Cursor) -> None:
    """Draw the panel."""
    with ui.column().classes("panel"):
        ui.html("Between two images", tag="h2", sanitize=False)
        _Interpolation(cursor)


class _Interpolation:
    def __init__(self, cursor: Cursor):
        self.cursor = cursor
        with ui.row().classes("w-full gap-6"):
            self.ends = [
                _End(cursor, name, number, self.move)
                for name, number in zip("AB", _first_two(cursor), strict=True)
            ]
        with ui.row().classes("w-full items-center no-wrap gap-4"):
            ui.label("A").classes("quiet")
            self.weight = ui.slider(min=0, max=1, step=0.01, value=0, on_change=self.move)
            self.weight.classes("grow").props("data-name=weight")
            ui.label("B").classes("quiet")
            kinds = {"linear": "Linear", "spherical": "Spherical"}
            self.kind = ui.toggle(kinds, value="linear", on_change=self.move)
            self.kind.props("dense unelevated padding='4px 10px' data-name=kind")
        self.text = ui.label().classes("quiet numbers")
        if cursor.session.num_classes:
            text = "Uploads are encoded, and points are decoded, with the label chosen at the left."
            ui.label(text).classes("quiet")
        self.show_text()

    def show_text(self) -> None:
        missing = [end.name for end in self.ends if end.encoded is None]
        if missing:
            self.text.text = f"Choose image {' and image '.join(missing)}."
        else:
            self.text.text = f"w = {self.weight.value:.2f}"

    def move(self) -> None:
        self.show_text()
        start, end = (end.encoded for end in self.ends)
        if start is not None and end is not None:
            kind = cast(Kind, self.kind.value)
            weight = self.weight.value or 0.0
            self.cursor.move(self.cursor.session.between(start, end, weight, kind))


class _End:
    """One of the two images, chosen by number or uploaded."""

    def __init__(
        self, cursor: Cursor, name: str, number: int | None, on_chosen: Callable[[], None]
    ):
        self.cursor, self.name, self.on_chosen = cursor, name, on_chosen
        self.encoded: Encoded | None = None
        session = cursor.session
        with ui.row().classes("items-start no-wrap gap-3").style("flex: 1 1 260px"):
            self.picture = ui.interactive_image().classes(f"thumbnail {cursor.crisp}")
            self.picture.style(THUMBNAIL).props(f"data-name=image-{name}")
            with ui.column().classes("gap-1 grow"):
                with ui.row().classes("items-center no-wrap gap-2"):
                    if session.dataset is not None:
                        last = len(session.dataset.train) - 1
                        field = ui.number(f"Image {name}", value=number, min=0, max=last)
                        field.props(f"dense outlined debounce=250 data-name=number-{name}")
                        field.classes("w-28").on_value_change(lambda e: self.pick(e.value))
                    self.upload_button()
                self.title = ui.label().classes("quiet")
                self.fault = ui.label().classes("fault").props(f"data-name=fault-{name}")
        if number is not None:
            self.show(session.training_image(number))

    def upload_button(self) -> None:
        upload = ui.upload(
            max_file_size=MAX_UPLOAD,
            auto_upload=True,
            on_upload=self.on_upload,
            on_rejected=self.on_rejected,
        )
        upload.props(f"accept=image/* data-name=upload-{self.name}").style("display: none")
        button = ui.button(icon="upload_file").props("flat round dense")
        button.tooltip("Upload a picture")
        # Handle the click in the browser, which opens a file chooser only for a user's click.
        button.on("click", js_handler=f"() => getElement({upload.id}).$refs.qRef.pickFiles()")
        self.upload = upload

    def show(self, encoded: Encoded) -> None:
        self.encoded = encoded
        self.picture.set_source(encoded.url)
        self.title.text, self.fault.text = encoded.title, ""

    def pick(self, number: float | None) -> None:
        if number is None:
            return
        try:
            if number != int(number):
                raise UserError(f"image {number:g}: expected a whole number")
            self.show(self.cursor.session.training_image(int(number)))
        except UserError as error:
            self.fault.text = str(error)
        else:
            self.on_chosen()

    def on_rejected(self) -> None:
        size = MAX_UPLOAD / 1e6
        self.fault.text = f"the upload: expected a picture of at most {size:.0f} MB"

    async def on_upload(self, event: UploadEventArguments) -> None:
        name, label = event.file.name, self.cursor.label
        try:
            require_upload_size(name, event.file.size())
            contents = await event.file.read()
            encode = self.cursor.session.uploaded_image
            self.show(await asyncio.to_thread(encode, name, contents, label))
        except UserError as error:
            self.fault.text = str(error)
        else:
            self.on_chosen()
        finally:
            self.upload.reset()


def _first_two(cursor: Cursor) -> tuple[int | None, int | None]:
    """Return the numbers of the first image and of the first of another class, if any."""
    dataset = cursor.session.dataset
    if dataset is None or len(dataset.train) == 0:
        return None, None
    labels = np.asarray(dataset.train.labels)
    return 0, int(np.argmax(labels != labels[0]))
