"""Whatever an error quotes, its message is one line that a terminal shows as it is."""

import pickle

import pytest

from vae_jax.errors import MAX_MESSAGE, CheckpointError, MissingExtraError, UserError, one_line


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("found 'é 眼镜'", "found 'é 眼镜'"),
        ("two\nlines\r", r"two\nlines\r"),
        ("\x1b[2J\x07\0", r"\x1b[2J\x07\x00"),
        ("a name that is no text: \udcff", r"a name that is no text: \udcff"),
        ("to the right: \u202e", r"to the right: \u202e"),
    ],
)
def test_what_breaks_a_line_or_a_terminal_is_written_out(message, line):
    assert str(UserError(message)) == line
    assert one_line(line) == line
    line.encode("utf-8")


def test_a_long_message_keeps_what_was_found_and_what_to_try():
    for filler in ("x", "\udcff", "\n"):
        line = str(CheckpointError("found " + filler * 10_000_000 + ": fetch it again"))
        assert len(line) <= MAX_MESSAGE
        assert line.startswith("found ")
        assert " ... " in line
        assert line.endswith(": fetch it again")


def test_an_error_survives_the_way_to_another_process():
    for error in (UserError("a\nb"), MissingExtraError("torch", "torch", "this")):
        copy = pickle.loads(pickle.dumps(error))
        assert (type(copy), str(copy)) == (type(error), str(error))
