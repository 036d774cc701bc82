"""Speed and memory, beside the originals' frameworks and the machine's own ceilings.

``tasks`` says what is measured and ``contestants`` by whom; a file a framework (``flax_side``,
``torch_side``, ``paddle_side``, ``tensorflow_side``) does the work; ``timing`` lets them take
turns; ``work`` and ``ceilings`` say what it must cost at least here; ``contest`` joins these into
the rows of ``report``. ``memory`` and ``scaling`` measure what their names say.
"""
