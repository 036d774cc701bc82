"""The package's rooms import each other in one order, and no files import in a circle."""

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

# A room imports itself and the rooms on the lines above its own; __init__ is the package's root.
ORDER = """
typing errors memory version markdown
files
recipe
spec
layers
distributions
models
objectives optim corruption data
training
convert
pretrained
optimizer_transfer
latents evaluation figures benchmark
parity explore
__init__
cli
__main__
"""
RANKS = {room: rank for rank, line in enumerate(ORDER.split("\n")) for room in line.split()}
ROOT = Path(__file__).parents[1]
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "vae_jax").rglob("*.py"))
}


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Yields module and line of each import of the package, lazy and type-only ones too."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            assert not getattr(node, "level", 0), f"{path}:{node.lineno}: a relative import"
            module = getattr(node, "module", "")
            for name in (f"{module}.{alias.name}".lstrip(".") for alias in node.names):
                found = name if name in FILES else name.rpartition(".")[0]
                if found in FILES:
                    yield found, node.lineno


def test_a_room_imports_only_the_rooms_before_it():
    wrong = []
    for importer, path in FILES.items():
        for module, line in dict(imports(path)).items():
            here, there = ((name + ".__init__").split(".")[1] for name in (importer, module))
            if here != there and RANKS.get(there, 99) >= RANKS.get(here, 99):
                wrong.append(f"{path.relative_to(ROOT)}:{line}: {here} imports {module}")
    assert not wrong, "\n".join(["", *wrong])


def test_no_files_import_in_a_circle():
    graph = {name: dict(imports(path)) for name, path in FILES.items()}
    graphlib.TopologicalSorter(graph).prepare()  # its error names the files
