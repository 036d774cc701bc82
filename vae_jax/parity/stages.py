"""The stages of a comparison, in order, each with what the comparison must know of it."""

from __future__ import annotations

import enum


class Kind(enum.Enum):
    """What the tensors of a stage are; tolerances go by it."""

    WEIGHTS_AND_INPUTS = enum.auto()
    STRUCTURE = enum.auto()
    READ_BACK = enum.auto()
    ACTIVATIONS = enum.auto()
    OUTPUTS = enum.auto()
    LOSS_TERMS = enum.auto()
    LOSSES = enum.auto()
    GRADIENTS = enum.auto()
    UPDATES = enum.auto()
    PARAMETERS = enum.auto()
    FIRST_MOMENT = enum.auto()
    SECOND_MOMENT = enum.auto()
    STATISTICS = enum.auto()
    ZERO_GRADIENT = enum.auto()
    """Parameters, moments and statistics of zero-gradient tensors; a kind for tolerances only."""


_EXACT = {Kind.WEIGHTS_AND_INPUTS, Kind.STRUCTURE, Kind.READ_BACK}
_MOMENTS = {Kind.FIRST_MOMENT, Kind.SECOND_MOMENT}
_FROM_GRADIENTS = {Kind.GRADIENTS, Kind.PARAMETERS, Kind.STATISTICS, *_MOMENTS}


class Phase(enum.Enum):
    """How much training lies before a stage."""

    NONE = enum.auto()
    ONE_STEP = enum.auto()
    RUN = enum.auto()


class Stage(enum.Enum):
    """One step of the comparison.

    The value is the title in tables; reports and recordings store it, so it must not change.

    Attributes:
        kind: what its tensors are.
        phase: how much training lies before it.
        moment: PyTorch's name of Adam's moment that it compares; None for other tensors.
    """

    kind: Kind
    phase: Phase
    moment: str | None

    def __new__(
        cls, title: str, kind: Kind, phase: Phase = Phase.NONE, moment: str | None = None
    ) -> Stage:
        """Make a member of its data."""
        member = object.__new__(cls)
        member._value_ = title
        member.kind, member.phase, member.moment = kind, phase, moment
        return member

    WEIGHTS_AND_INPUTS = "weights and inputs", Kind.WEIGHTS_AND_INPUTS
    STRUCTURE = "structure", Kind.STRUCTURE
    READ_BACK = "read-back", Kind.READ_BACK
    ACTIVATIONS = "activations", Kind.ACTIVATIONS
    POSTERIOR_HEADS = "posterior heads", Kind.OUTPUTS
    OUTPUTS = "outputs", Kind.OUTPUTS
    TRAIN_ACTIVATIONS = "activations, train mode", Kind.ACTIVATIONS
    LOSS_TERMS = "loss terms", Kind.LOSS_TERMS
    GRADIENTS = "gradients", Kind.GRADIENTS
    OPTIMISER = "optimiser", Kind.UPDATES
    STEP_WEIGHTS = "weights after one step", Kind.PARAMETERS, Phase.ONE_STEP
    STEP_EXP_AVG = "exp_avg after one step", Kind.FIRST_MOMENT, Phase.ONE_STEP, "exp_avg"
    STEP_EXP_AVG_SQ = "exp_avg_sq after one step", Kind.SECOND_MOMENT, Phase.ONE_STEP, "exp_avg_sq"
    STEP_STATISTICS = "statistics after one step", Kind.STATISTICS, Phase.ONE_STEP
    LOSSES = "losses", Kind.LOSSES, Phase.RUN
    RUN_WEIGHTS = "weights after steps", Kind.PARAMETERS, Phase.RUN
    RUN_EXP_AVG = "exp_avg after steps", Kind.FIRST_MOMENT, Phase.RUN, "exp_avg"
    RUN_EXP_AVG_SQ = "exp_avg_sq after steps", Kind.SECOND_MOMENT, Phase.RUN, "exp_avg_sq"
    RUN_STATISTICS = "statistics after steps", Kind.STATISTICS, Phase.RUN

    @property
    def never_rounds(self) -> bool:
        """Whether its tensors are the same bits in every precision."""
        return self.kind in _EXACT

    @property
    def follows_gradients(self) -> bool:
        """Whether its tensors are gradients or what training makes of them.

        Zero-gradient tensors are reported apart there: rounding noise feeds them.
        """
        return self.kind in _FROM_GRADIENTS

    @property
    def has_scale_of_gradients(self) -> bool:
        """Whether its tensors are of a gradient's size, which for zero-gradient ones is noise."""
        return self.kind is Kind.GRADIENTS or self.kind in _MOMENTS

    @property
    def is_plotted_only(self) -> bool:
        """Whether below float64 its errors are plotted and not judged."""
        return self.phase is Phase.RUN and self.kind is not Kind.LOSSES
