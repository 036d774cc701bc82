"""The explorer's page: a point of the latent space, its picture, and the panels that move it."""

from __future__ import annotations

from nicegui import ui

from vae_jax.errors import UserError
from vae_jax.explore.arithmetic_panel import arithmetic_panel
from vae_jax.explore.cursor import Cursor
from vae_jax.explore.interpolation_panel import interpolation_panel
from vae_jax.explore.latent_panel import latent_panel
from vae_jax.explore.newest import Newest
from vae_jax.explore.session import Decoded, Point, Session

STYLE = """
body { font-family: system-ui, -apple-system, "Segoe UI", sans-serif; background: #f1f5f9;
       color: #0f172a; }
.nicegui-content { max-width: 1180px; margin: 0 auto; padding: 20px 24px; gap: 16px; }
.panel { background: white; border: 1px solid #e2e8f0; border-radius: 12px; padding: 18px 20px;
         gap: 10px; width: 100%; }
.panel h2 { font-size: 1rem; line-height: 1.4; font-weight: 600; margin: 0; }
.columns { display: grid; grid-template-columns: 340px minmax(0, 1fr); gap: 16px; width: 100%;
           align-items: start; }
@media (max-width: 800px) { .columns { grid-template-columns: minmax(0, 1fr); } }
.beside { position: sticky; top: 16px; }
.quiet { color: #64748b; font-size: 0.8125rem; line-height: 1.35; }
.fault { color: #b91c1c; font-size: 0.8125rem; line-height: 1.35; overflow-wrap: anywhere; }
.fault:empty { display: none; }
.picture { width: 100%; border-radius: 6px; overflow: hidden; background: #0f172a; }
.thumbnail { border-radius: 4px; overflow: hidden; background: #e2e8f0; flex: none; }
.crisp img { image-rendering: pixelated; }
.q-btn { text-transform: none; }
.numbers { font-variant-numeric: tabular-nums; }
"""


class Page:
    """The page of one browser tab."""

    def __init__(self, session: Session):
        """Start at the session's start."""
        self.session = session
        self._decoder = Newest(self._decode, self._show, self._fail)
        self.cursor = Cursor(session, self._decoder.request)

    def build(self) -> None:
        """Draw the page."""
        ui.add_css(STYLE)
        ui.colors(primary="#1d4ed8")
        with ui.row().classes("items-baseline w-full gap-3"):
            ui.label(self.session.name).classes("text-2xl font-semibold")
            ui.label(self._description()).classes("quiet")
        with ui.element("div").classes("columns"):
            with ui.column().classes("panel beside"):
                self._picture_panel()
            with ui.column().classes("w-full gap-4"):
                latent_panel(self.cursor)
                interpolation_panel(self.cursor)
                arithmetic_panel(self.cursor)

    def _description(self) -> str:
        height, width, _ = self.session.image_shape
        latents = f"{self.session.latent_size} latents, {height}\N{MULTIPLICATION SIGN}{width}"
        return f"{latents}, from {self.session.source}"

    def _picture_panel(self) -> None:
        session = self.session
        first = session.decode(self.cursor.z, self.cursor.label)
        self._picture = ui.interactive_image(first.url).classes(f"picture {self.cursor.crisp}")
        self._picture.props("data-name=picture")
        self._time = ui.label(_time_text(first)).classes("quiet numbers").props("data-name=time")
        self._fault = ui.label().classes("fault")
        if session.num_classes:
            ui.label("Label").classes("quiet")
            choices = {number: str(number) for number in range(session.num_classes)}
            toggle = ui.toggle(choices, value=0, on_change=lambda e: self._choose_label(e.value))
            toggle.props("dense unelevated padding='4px 9px' data-name=label")
        with ui.row().classes("items-center w-full gap-2 no-wrap"):
            reset = ui.button("Reset", on_click=lambda: self.cursor.move(session.start))
            reset.props("outline data-name=reset")
            if session.variational:
                self._seed = ui.number("Seed", min=0, max=2**32 - 1, precision=0)
                self._seed.props("dense outlined data-name=seed").classes("w-24")
                self._seed.on("keydown.enter", lambda: self._sample(self._seed.value))
                ui.button("Sample", on_click=self._sample_next).props("unelevated data-name=sample")
        if session.variational:
            text = (
                "Sample draws from the prior, each time with the next seed; Enter repeats a seed."
            )
        else:
            text = "A plain autoencoder has no prior to sample from."
        ui.label(text).classes("quiet")

    def _decode(self, at: tuple[Point, int]) -> Decoded:
        return self.session.decode(*at)

    def _choose_label(self, label: int) -> None:
        self.cursor.label = label
        self.cursor.move(self.cursor.z)

    def _sample_next(self) -> None:
        seed = self._seed.value
        self._seed.value = 0 if seed is None else (int(seed) + 1) % 2**32
        self._sample(self._seed.value)

    def _sample(self, seed: float | None) -> None:
        if seed is not None and 0 <= seed < 2**32:
            self.cursor.move(self.session.sample(int(seed)))

    def _show(self, decoded: Decoded) -> None:
        self._picture.set_source(decoded.url)
        self._time.text, self._fault.text = _time_text(decoded), ""

    def _fail(self, error: UserError) -> None:
        self._fault.text = str(error)


def _time_text(decoded: Decoded) -> str:
    return f"decoded in {decoded.milliseconds:.1f} ms"
