"""The published comparison: every goal's ratio, the scaling curves and the memory."""

from __future__ import annotations

import dataclasses

import jax

from contest.contestants import DEFAULT_GROUPS, OURS
from contest.curves import place, straightness, tasks_along
from contest.report import best_ratio
from contest.session import Session
from vae_jax.benchmark.tasks import PRECISIONS, Task, make_task
from vae_jax.models import MODELS


@dataclasses.dataclass(frozen=True)
class Goal:
    """A ratio that is wanted of a group's quickest contestant."""

    model: str
    work: str
    batch_size: int
    group: str
    wanted: float


GOALS = (
    Goal("digits_ae", "epoch", 32, "written", 9.0),
    Goal("digits_ae", "epoch", 32, "tuned", 3.5),
    Goal("face_vae", "step", 16, "tuned", 1.6),
    *(Goal(model, "step", 64, "tuned", 1.5) for model in ("digits_vae", "digits_cvae")),
    *(Goal(model, "step", 64, "paddle", 6.0) for model in ("digits_vae", "digits_cvae")),
    Goal("stddev_vae", "step", 100, "tensorflow", 1.2),
    Goal("conv_vae", "step", 64, "tuned", 1.0),
    *(Goal(model, work, 256, "tuned", 1.0) for work in ("decode", "encode") for model in MODELS),
)
CURVES = {"batch": "conv_vae", "latent": "conv_vae", "image": "conv_vae", "images": "digits_ae"}
QUICK = {"batch": (1, 2), "latent": (2, 8), "image": (8, 16), "images": (64, 128)}
GPU_GROUPS = ("tuned", "compiled", "graphs")
LARGEST = {"face_vae": 256}  # batch on a GPU; elsewhere 8192


def compare(session: Session, quick: bool) -> None:
    """Measure what is published of this kind of machine.

    Args:
        session: keeps what is found.
        quick: only whether it runs: small and few.
    """
    if jax.default_backend() == "gpu":
        _on_gpu(session, quick)
    else:
        _on_cpu(session, quick)


def _on_cpu(session: Session, quick: bool) -> None:
    """Measure the goals' tasks, training steps of all models among them, the curves and memory."""
    sizes = {(goal.model, goal.work, goal.batch_size): None for goal in GOALS}
    sizes |= {(name, "sample", 256): None for name in MODELS}
    sizes |= {(name, "step", spec.recipe.batch_size): None for name, spec in MODELS.items()}
    if quick:  # the first of each kind of work, and small
        chosen = (("digits_ae", work, 8) for work in ("step", "epoch", "encode", "decode"))
        sizes = dict.fromkeys((*chosen, ("conv_vae", "step", 2)))
    images = 64 if quick else 60_000
    tasks = [make_task(m, w, batch_size=b, num_images=images) for m, w, b in sizes]
    session.leave_out_missing(tasks)
    for task in tasks:
        rounds = min(session.rounds or 15, 5) if task.work == "epoch" else None
        session.rows += session.time(task, rounds=rounds)
    groups = [group for group in session.groups if group in ("tuned", "kept", "plain")]
    for axis, model in CURVES.items():
        given = {"batch_size": 4} if quick else {}
        along = session.curves.setdefault(axis, [])
        for task in tasks_along(axis, model, QUICK[axis] if quick else (), **given):
            along += session.time(task, groups, 2 if quick else 7)
    for name in ["digits_ae"] if quick else MODELS:
        batches = (MODELS[name].recipe.batch_size, 64 if name == "face_vae" else 256)
        for batch_size in batches[:1] if quick else batches:
            task = make_task(name, batch_size=batch_size)
            session.remember(task, [] if quick else DEFAULT_GROUPS)


def _on_gpu(session: Session, quick: bool) -> None:
    """Measure each model at the tutorial's batch and at larger ones, and encoding and decoding."""
    session.groups = GPU_GROUPS
    session.leave_out_missing([make_task("digits_ae")])
    for precision in PRECISIONS[:1] if quick else PRECISIONS:
        for name in ["digits_ae", "conv_vae"] if quick else MODELS:
            usual = make_task(name, precision=precision)
            session.rows += session.time(usual, (*session.groups, "written"))
            for work in ("encode", "decode"):
                session.rows += session.time(make_task(name, work, precision=precision))
            best = _best_batch(session, usual, 64 if quick else LARGEST.get(name, 8192))
            session.rows += session.time(dataclasses.replace(usual, batch_size=best))
    for name in [] if quick else MODELS:
        session.remember(make_task(name), ("tuned",))


def _best_batch(session: Session, usual: Task, largest: int) -> int:
    """Return the power of two, from the tutorial's batch on, with the most images a second of ours.

    The curve has PyTorch's beside it. It ends where doubling gains neither of them anything.
    """
    speeds: dict[str, dict[int, float]] = {}
    size = 1 << (usual.batch_size - 1).bit_length()
    while size <= largest:
        task = dataclasses.replace(usual, batch_size=size)
        try:
            rows = session.time(task, ("tuned", "graphs"), 3)
        except RuntimeError as error:  # no more memory, in either framework
            print(f"{usual.model}, batch {size}: {str(error).splitlines()[0][:100]}")
            break
        session.curves.setdefault("batch", []).extend(rows)
        gains = False
        for row in rows:
            before = max(speeds.setdefault(row.contestant, {}).values(), default=0.0)
            gains |= row.images_per_second > 1.05 * before
            speeds[row.contestant][size] = row.images_per_second
        if not gains:
            break
        size *= 2
    ours = speeds.get(OURS, {})
    return max(ours, key=lambda size: ours[size], default=usual.batch_size)


def summary(session: Session) -> str:
    """Return a CPU's goals, the ratio to PyTorch of kept memory beside them, and its curves."""
    if jax.default_backend() != "cpu":
        return ""
    lines = ["", f"{'goal':<46}{'wanted':>8}{'found':>8}{'kept':>8}{'of floor':>10}"]
    for goal in GOALS:
        wanted = (goal.model, goal.work, goal.batch_size)
        rows = [
            row
            for row in session.rows
            if (row.task.model, row.task.work, row.task.batch_size) == wanted
        ]
        found = best_ratio(rows, goal.group)
        if found is None:
            continue
        what = f"{goal.model} {goal.work} {goal.batch_size}, {goal.group}"
        kept = best_ratio(rows, "kept") if goal.group == "tuned" else None
        beside, share = "" if kept is None else f"{kept:.2f}", f"{100 * rows[0].floor_share:.0f} %"
        ending = "" if found >= goal.wanted else "  not met"
        lines.append(f"{what:<46}{goal.wanted:>8.1f}{found:>8.2f}{beside:>8}{share:>10}{ending}")
    for axis in ("batch", "images"):
        ours = [row for row in session.curves.get(axis, ()) if row.group == "ours"]
        for model in dict.fromkeys(row.task.model for row in ours):
            mine = [row for row in ours if row.task.model == model]
            if len(mine) > 2:
                sizes = [place(axis, row) for row in mine]
                a, b, off = straightness(sizes, [row.times.median for row in mine])
                text = f"{a * 1e3:.3f} ms + {b * 1e6:.2f} us an image, within {100 * off:.0f} %"
                lines.append(f"{model} along {axis}: {text}")
    return "\n".join(lines)
