"""Trains the checkpoint that the demo imports: the tutorial's PyTorch code on the embedded digits.

Writes `AEdigits.pt` (TorchScript, as tutorial 002 saves it, section 7.2.3) and
`AEdigits_outputs.safetensors` (ten held-out digits with what PyTorch makes of them), by default
over those of the package. Needs the `test` extra; about two minutes on 2 cores:

    python scripts/train_reference_digits.py
"""

import argparse
from pathlib import Path

import numpy as np
import torch

import vae_jax
from vae_jax.data import first_of_each_class, open_dataset
from vae_jax.models import MODELS
from vae_jax.parity.originals.pytorch import DigitsAE

EPOCHS = 100  # 4,500 digits instead of the tutorial's 60,000, so more than its 10
ASSETS = Path(vae_jax.__file__).parent / "assets"


def main() -> None:
    """Train, save, and record the outputs of the saved file."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--out", type=Path, default=ASSETS, help="folder; default: the package's")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help=f"default: {EPOCHS}")
    args = parser.parse_args()
    recipe = MODELS["digits_ae"].recipe
    digits = open_dataset("digits", (28, 28, 1))
    assert digits.test is not None
    torch.manual_seed(0)
    images = torch.tensor(digits.train.images.reshape(-1, 784), dtype=torch.float32) / 255
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(images), batch_size=recipe.batch_size, shuffle=True
    )
    model = DigitsAE()
    optimizer = torch.optim.Adam(model.parameters(), lr=recipe.learning_rate)
    for epoch in range(args.epochs):
        total = 0.0
        for (batch,) in loader:
            out, _ = model(batch)
            loss = ((out - batch) ** 2).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        if epoch % 10 == 9:
            print(f"epoch {epoch + 1}: loss {total / len(loader):.2f}", flush=True)

    args.out.mkdir(parents=True, exist_ok=True)
    torch.jit.script(model).save(str(args.out / "AEdigits.pt"))
    saved = torch.jit.load(str(args.out / "AEdigits.pt")).eval()
    chosen = digits.test.images[first_of_each_class(digits.test)]
    with torch.no_grad():
        out, mu = saved(torch.tensor(chosen.reshape(-1, 784), dtype=torch.float32) / 255)
    vae_jax.write_checkpoint(
        args.out / "AEdigits_outputs.safetensors",
        {
            "input": np.asarray(chosen),
            "latent": mu.numpy(),
            "image": out.numpy().reshape(-1, 28, 28, 1),
        },
    )


if __name__ == "__main__":
    main()
