"""What was measured, as plain numbers for JSON and as tables in Markdown.

Shares come with one binomial standard error. At 0 or 1 of n that is 0, and says only that the
other share is below 3 / n, nearly always.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .arithmetic import DISTINCT, EXPRESSIONS, GROUPS, expected, standard_error, tally
from .classifier import Predictions
from .interpolation import (
    TOLERANCE,
    Interpolations,
    crossing_place,
    crossings,
    largest_over_mean,
    steps_forward,
)

Facts = dict[str, Any]
"""Numbers and text by name, nested as JSON is."""
_EACH = ("glasses", "person", "one")
_SUCCESS = {"both": "both right, %", "right": "both right, and one face, %"}


def arithmetic_facts(predictions: Mapping[str, Predictions]) -> Facts:
    """Return counts of each group and expression, and the share of all different expressions.

    The expressions of a draw share their images. The error of "all" is therefore that of the mean
    over draws of the share of a draw's expressions.
    """
    facts: Facts = {
        text: tally(seen, *expected(text))._asdict() for text, seen in predictions.items()
    }
    for what, texts in (("all groups", GROUPS), ("all expressions", DISTINCT)):
        for kind in _SUCCESS:
            each = np.mean([_succeeds(predictions[text], text, kind) for text in texts], axis=0)
            facts[f"{what}, {kind}"] = {"share": float(each.mean()), "error": _error_of_mean(each)}
    return facts


def dark_to_light_facts(found: Interpolations) -> Facts:
    """Return how the frame's lightness changes, and whether the glasses and the person stay."""
    lightness, glasses, man = (
        found.predictions[name] for name in ("frame_lightness", "glasses", "man")
    )
    forward = steps_forward(lightness)
    return {
        "interpolations": len(lightness),
        "tolerance": TOLERANCE,
        "monotone": int(forward.all(axis=1).sum()),
        "steps forward": float(forward.mean()),
        "mean lightness": lightness.mean(axis=0).tolist(),
        "glasses all along": int((glasses > 0.5).all(axis=1).sum()),
        "same person all along": int(((man > 0.5) == (man[:, :1] > 0.5)).all(axis=1).sum()),
        **_evenness(found),
    }


def with_to_without_facts(found: Interpolations) -> Facts:
    """Return whether the glasses vanish once, and where."""
    glasses = found.predictions["glasses"]
    place, times = crossing_place(glasses), crossings(glasses)
    once = place[times == 1]
    return {
        "interpolations": len(glasses),
        "crossings": {str(n): int((times == n).sum()) for n in np.unique(times).tolist()},
        "once": int((times == 1).sum()),
        "place": float(once.mean()) if len(once) else None,
        "place spread": float(once.std(ddof=1)) if len(once) > 1 else None,
        "mean probability": glasses.mean(axis=0).tolist(),
        **_evenness(found),
    }


def classifier_table(accuracies: Mapping[str, Mapping[str, float]]) -> str:
    """Return how right the classifier is on held-out faces, a row for each kind of picture."""
    rows = [
        [
            what,
            f"{100 * a['glasses']:.1f}",
            f"{100 * a['person']:.1f}",
            f"{100 * a['one']:.1f}",
            f"{a['frame_lightness']:.3f}",
        ]
        for what, a in accuracies.items()
    ]
    header = [
        "held-out faces",
        "glasses right, %",
        "person right, %",
        "one face, %",
        "frame lightness, mean error",
    ]
    return _table(header, rows)


def success_table(by_space: Mapping[str, Facts], kind: str, groups: bool = False) -> str:
    """Return successes in per cent with standard errors: of expressions, or of plain groups.

    Args:
        by_space: of each space's name its ``arithmetic_facts``.
        kind: "both" for both attributes right, "right" for one face as well.
        groups: whether of the groups, whose success bounds that of the expressions.
    """
    texts = {name: name for name in GROUPS} if groups else EXPRESSIONS
    whole = f"all {'groups' if groups else 'expressions'}, {kind}"
    rows = [
        [name, *(_share(facts[text], kind) for text in texts.values()), _mean(facts[whole])]
        for name, facts in by_space.items()
    ]
    header = [name if groups else f"{name}: `{text}`" for name, text in texts.items()]
    return _table([_SUCCESS[kind], *header, "all"], rows)


def attribute_table(by_space: Mapping[str, Facts]) -> str:
    """Return each by itself: glasses right / person right / seen as one face, in per cent."""
    rows = [
        [
            name,
            *(
                " / ".join(f"{100 * facts[t][w] / facts[t]['total']:.1f}" for w in _EACH)
                for t in EXPRESSIONS.values()
            ),
        ]
        for name, facts in by_space.items()
    ]
    return _table(["glasses / person right / one face, %", *EXPRESSIONS], rows)


def size_table(by_size: Mapping[int, Mapping[str, Facts]]) -> str:
    """Return successes by images a group: of listing 7.9, and of all different expressions."""
    names = list(dict.fromkeys(name for by_space in by_size.values() for name in by_space))
    listing = next(iter(EXPRESSIONS.values()))

    def cells(name: str) -> list[str]:
        found = [by_space.get(name) for by_space in by_size.values()]
        return [_share(f[listing], "both") if f else "" for f in found] + [
            _mean(f["all expressions, both"]) if f else "" for f in found
        ]

    header = [f"{what}, {size} a group" for what in ("listing 7.9", "all") for size in by_size]
    return _table([_SUCCESS["both"], *header], [[name, *cells(name)] for name in names])


def dark_to_light_table(by_space: Mapping[str, Facts]) -> str:
    """Return a row a space of ``dark_to_light_facts``."""
    rows = []
    for name, f in by_space.items():
        path = f["mean lightness"]
        ends = " -> ".join(f"{path[i]:.2f}" for i in (0, len(path) // 2, -1))
        counts = ("monotone", "glasses all along", "same person all along")
        monotone, glasses, person = (_percent(f[key], f["interpolations"]) for key in counts)
        steps = f"{100 * f['steps forward']:.1f}"
        rows.append([name, ends, monotone, steps, glasses, person, _even(f)])
    header = ["dark to light frames", "lightness seen", "monotone, %", "steps forward, %"]
    header += ["glasses all along, %", "same person, %", "largest / mean change"]
    return _table(header, rows)


def with_to_without_table(by_space: Mapping[str, Facts]) -> str:
    """Return a row a space of ``with_to_without_facts``."""
    rows = []
    for name, f in by_space.items():
        place = "" if f["place spread"] is None else f"{f['place']:.2f} ({f['place spread']:.2f})"
        times = ", ".join(f"{count} x {n}" for n, count in f["crossings"].items())
        rows.append([name, _percent(f["once"], f["interpolations"]), times, place, _even(f)])
    header = ["women with to women without", "crosses 0.5 once, %", "interpolations x crossings"]
    return _table([*header, "place (spread)", "largest / mean change"], rows)


def _succeeds(seen: Predictions, text: str, kind: str) -> np.ndarray:
    glasses, man = expected(text)
    attributes = ((seen["glasses"] > 0.5) == glasses) & ((seen["man"] > 0.5) == man)
    return attributes & (seen["one"] > 0.5) if kind == "right" else attributes


def _evenness(found: Interpolations) -> Facts:
    ratio = largest_over_mean(found.changes)
    return {"largest over mean": float(ratio.mean()), "its error": _error_of_mean(ratio)}


def _error_of_mean(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")


def _percent(count: int, total: int) -> str:
    return f"{100 * count / total:.1f} ± {100 * standard_error(count, total):.1f}"


def _share(counts: Mapping[str, int], kind: str) -> str:
    return _percent(counts[kind], counts["total"])


def _mean(facts: Facts) -> str:
    return f"{100 * facts['share']:.1f} ± {100 * facts['error']:.1f}"


def _even(facts: Facts) -> str:
    return f"{facts['largest over mean']:.2f} ± {facts['its error']:.2f}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
