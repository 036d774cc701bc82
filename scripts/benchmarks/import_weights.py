"""Measures the import of the 63-million-parameter face VAE: seconds, memory, and exactness.

Makes a checkpoint with PyTorch as tutorial 002 saves it, then reads and imports it in a fresh
process that never loads PyTorch, exports it again and compares every bit. Needs the `test` extra:

    python scripts/benchmarks/import_weights.py
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

MEASURED = """
import json, sys, time
import vae_jax
from vae_jax.memory import peak_resident
vae_jax.import_weights, vae_jax.read_checkpoint  # the package's own import is not the measure
before = peak_resident()
start = time.perf_counter()
tensors = vae_jax.read_checkpoint(sys.argv[1])
read = time.perf_counter()
variables = vae_jax.import_weights("face_vae", tensors)
done = time.perf_counter()
peak = peak_resident()
back = vae_jax.export_weights("face_vae", variables)
exact = back.keys() == tensors.keys() and all(
    back[k].dtype == v.dtype and back[k].tobytes() == v.tobytes() for k, v in tensors.items())
print(json.dumps({
    "numbers": sum(v.size for v in tensors.values()), "read_seconds": read - start,
    "import_seconds": done - read, "peak_mb": peak / 2**20, "before_mb": before / 2**20,
    "export_bit_exact": exact, "torch_loaded": "torch" in sys.modules}))
"""


def main() -> None:
    """Prints one line."""
    import torch

    from vae_jax.parity.originals.pytorch import FaceVAE

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "VAEglasses.pth"
        torch.save(FaceVAE().state_dict(), path)
        size = path.stat().st_size / 1e6
        out = subprocess.run(
            [sys.executable, "-c", MEASURED, str(path)], capture_output=True, text=True, check=True
        )
    m = json.loads(out.stdout)
    print(
        f"face_vae, {m['numbers']:,} numbers, {size:.0f} MB: read {m['read_seconds']:.2f} s, "
        f"import {m['import_seconds']:.2f} s, peak memory {m['peak_mb']:.0f} MB "
        f"({m['before_mb']:.0f} MB before), export bit-exact: {m['export_bit_exact']}, "
        f"PyTorch loaded: {m['torch_loaded']}"
    )


if __name__ == "__main__":
    main()
