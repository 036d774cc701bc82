"""Checks a wheel of this package; ``check_wheel.sh`` builds it and runs this.

python check_wheel.py contents vae_jax-0.1.0-py3-none-any.whl
python check_wheel.py use          # of an environment in which only the wheel is installed
"""

import sys
import zipfile
from importlib.resources import files
from pathlib import Path


def check_contents(wheel: Path) -> None:
    """Check that a wheel holds the package and nothing that only tests need."""
    with zipfile.ZipFile(wheel) as archive:
        rooms = {name.partition("/")[0] for name in archive.namelist()}
        sources = [name for name in archive.namelist() if name.endswith(".py")]
        mocking = [name for name in sources if b"unittest" in archive.read(name)]
    metadata = "-".join(wheel.name.split("-")[:2]) + ".dist-info"
    if rooms != {"vae_jax", metadata}:
        sys.exit(f"error: the wheel holds {sorted(rooms)}")
    if mocking:
        sys.exit(f"error: the package uses unittest in {mocking}")


def check_use() -> None:
    """Import PyTorch's checkpoint, which the package ships, and encode with it."""
    import jax.numpy as jnp

    import vae_jax

    home = Path(vae_jax.__file__).parent
    if not home.is_relative_to(sys.prefix):
        sys.exit(f"error: vae_jax comes from {home}, not from the wheel")
    tensors = vae_jax.read_checkpoint(str(files("vae_jax") / "assets" / "AEdigits.pt"))
    variables = vae_jax.import_weights("digits_ae", tensors)
    model = vae_jax.create_model("digits_ae")
    model.apply(variables, jnp.zeros((1, 28, 28, 1)), method="encode")


if __name__ == "__main__":
    if sys.argv[1] == "contents":
        check_contents(Path(sys.argv[2]))
    else:
        check_use()
