"""The panel that adds and subtracts groups of images."""

from __future__ import annotations

import asyncio

from nicegui import ui

from vae_jax.errors import UserError
from vae_jax.explore.cursor import Cursor
from vae_jax.explore.groups import example_groups
from vae_jax.explore.session import Term

THUMBNAIL = "width: 72px; height: 72px"


def arithmetic_panel(cursor: Cursor) -> None:
    """Draw the panel."""
    with ui.column().classes("panel"):
        ui.html("Arithmetic of groups", tag="h2", sanitize=False)
        if cursor.session.dataset is None:
            text = "Groups consist of training images; restart with --data to load some."
            ui.label(text).classes("quiet")
        else:
            _Arithmetic(cursor)


class _Arithmetic:
    def __init__(self, cursor: Cursor):
        self.cursor = cursor
        assert cursor.session.dataset is not None
        groups, expression = example_groups(cursor.session.dataset)
        last = len(cursor.session.dataset.train) - 1
        self.groups = ui.textarea(
            f"Groups: name = image numbers, 0 to {last}, or attr:...", value=groups
        )
        self.groups.props("outlined dense autogrow data-name=groups").classes("w-full")
        with ui.row().classes("w-full items-center no-wrap gap-3"):
            self.expression = ui.input("Expression; its weights sum to 1", value=expression)
            self.expression.props("outlined dense data-name=expression").classes("grow")
            self.expression.on("keydown.enter", self.compute)
            ui.button("Compute", on_click=self.compute).props("unelevated data-name=compute")
        self.fault = ui.label().classes("fault").props("data-name=fault-arithmetic")
        self.result = ui.row().classes("items-center gap-3").props("data-name=result")

    async def compute(self) -> None:
        cursor = self.cursor
        asked = self.groups.value or "", self.expression.value or "", cursor.label
        try:
            z, terms = await asyncio.to_thread(cursor.session.combine, *asked)
        except UserError as error:
            self.fault.text = str(error)
            return
        self.fault.text = ""
        cursor.move(z)
        result = await asyncio.to_thread(cursor.session.decode, z, cursor.label)
        self.result.clear()
        with self.result:
            for place, term in enumerate(terms):
                self.show(term, first=place == 0)
            ui.label("=").classes("text-xl")
            self.thumbnail(result.url, "result")

    def show(self, term: Term, *, first: bool) -> None:
        if not first or term.weight < 0:
            ui.label("\N{MINUS SIGN}" if term.weight < 0 else "+").classes("text-xl")
        if abs(term.weight) != 1:
            ui.label(f"{abs(term.weight):g} \N{MULTIPLICATION SIGN}").classes("numbers")
        self.thumbnail(term.url, term.name)

    def thumbnail(self, url: str, name: str) -> None:
        with ui.column().classes("items-center gap-1"):
            picture = ui.interactive_image(url).classes(f"thumbnail {self.cursor.crisp}")
            picture.style(THUMBNAIL)
            ui.label(name).classes("quiet")
