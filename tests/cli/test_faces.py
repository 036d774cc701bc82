"""``vae-jax faces``, and training on what it wrote."""

import pytest


@pytest.mark.slow
def test_faces_are_written_and_named_by_their_attributes(succeed, cli, tmp_path):
    folder = tmp_path / "some faces"
    said = succeed("faces", folder, "--count", "6").out
    assert said.startswith("6 faces in ")
    assert len(list(folder.glob("*/*.png"))) == 6
    assert "not an empty folder: choose another" in cli("faces", folder).error
    source, run = f"folder:{folder}", tmp_path / "run"
    small = ("--hyper", "image_shape=32x32x3", "--hyper", "widths=4,8", "--hyper", "latent_size=3")
    recipe = ("--data", source, "--epochs", "1", "--batch-size", "6")
    succeed("train", "conv_vae", *small, *recipe, "--beta", "0", "--noise", "0", "--out", run)
    out = tmp_path / "a.png"
    group = "a=attr:glasses=yes,frame_lightness=0..1"
    said = succeed("arithmetic", run, "--group", group, "a", "--out", out).out
    assert "a: 3;" in said
    assert out.is_file()
    error = cli("arithmetic", run, "--group", "a=attr:glasses=maybe", "a", "--out", out).error
    assert "glasses" in error
    assert "yes" in error
