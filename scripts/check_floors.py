"""Checks, from the source text alone, that imports only go down the floors of the house and reach no forbidden library.

The floors are the import-linter layers in `pyproject.toml`; nothing is imported, so the check runs where no engine is
installed. Imports inside functions count, imports under `if TYPE_CHECKING:` do not.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SRC_ROOTS = ("frontend", "backends", "plugins")

# Third-party packages each package may import, anywhere. Nobody may import PyTorch.
LIBRARIES = {
    "torchplug_spec": {"numpy", "pluggy", "ml_dtypes"},
    "torchplug_numpy": {"numpy", "ml_dtypes"},
    "torchplug_strict": {"numpy", "ml_dtypes"},
    "torchplug_cupy": {"numpy", "ml_dtypes", "cupy", "cupyx", "cupy_backends"},
    "torchplug_jax": {"numpy", "ml_dtypes", "jax", "jaxlib"},
    "torchplug": {"numpy", "ml_dtypes", "pluggy", "safetensors", "matplotlib", "asv", "PIL"},
    "torchplug_conformance": {"numpy", "ml_dtypes", "pytest", "_pytest", "hypothesis", "xdist"},
}

# The façade re-exports everything below this module, so whoever stands lower and imports the façade imports upwards.
FACADE, ABOVE_THE_FACADE = "torchplug", "torchplug.vision"

# Loaded by every pytest run of whoever installs torchplug: an import error there would end runs that are not ours.
PYTEST_PLUGIN = ("torchplug_conformance", "torchplug_conformance.pytest_plugin")


@dataclass(frozen=True)
class Import:
    """One imported module: who imports it, where, and whether that happens while the importer loads."""

    importer: str
    imported: str
    path: Path
    line: int
    at_load: bool


@dataclass(frozen=True)
class Layers:
    """Groups of sibling modules, highest first; siblings of an independent group never import each other."""

    groups: tuple[tuple[tuple[str, ...], bool], ...]
    container: str = ""

    def place(self, module: str) -> tuple[int, str] | None:
        """The index of `module`'s group and the member it belongs to; None for a module outside these layers."""
        for index, (members, _) in enumerate(self.groups):
            for member in members:
                if module == member or module.startswith(member + "."):
                    return index, member
        return None

    def lacks(self, module: str) -> bool:
        """Whether `module` belongs to the container of these layers but to none of them."""
        return bool(self.container) and module.startswith(self.container + ".") and self.place(module) is None

    def objection(self, importer: str, imported: str) -> str | None:
        """Why `importer` may not import `imported`; None when it may."""
        here, there = self.place(importer), self.place(imported)
        if imported == self.container == FACADE and here is not None:
            top = self.place(ABOVE_THE_FACADE)
            return f"the façade stands above {here[1]}" if top is not None and here[0] > top[0] else None
        if here is None or there is None:
            return None
        if there[0] < here[0]:
            return f"{there[1]} stands above {here[1]}"
        if there[0] == here[0] and there[1] != here[1] and self.groups[here[0]][1]:
            return f"{here[1]} and {there[1]} stand side by side and never import each other"
        return None


def read_layers(pyproject: Path) -> list[Layers]:
    """The layers contracts of import-linter, with full module names."""
    contracts = tomllib.loads(pyproject.read_text())["tool"]["importlinter"]["contracts"]
    found = []
    for contract in contracts:
        if contract["type"] == "layers":
            for container in contract.get("containers", [""]):
                prefix = container + "." if container else ""
                found.append(Layers(tuple(_group(text, prefix) for text in contract["layers"]), container))
    return found


def _group(text: str, prefix: str) -> tuple[tuple[str, ...], bool]:
    independent = ":" not in text
    names = text.split("|" if independent else ":")
    return tuple(prefix + name.strip().strip("()") for name in names), independent


def packages(root: Path) -> dict[str, Path]:
    """The importable packages below the src-roots, by name."""
    return {
        folder.name: folder
        for src_root in SRC_ROOTS
        for folder in sorted((root / src_root).glob("*"))
        if folder.is_dir() and folder.name.isidentifier() and not folder.name.startswith("__")
    }


def imports_of(package: Path) -> Iterator[Import]:
    """Every import statement of a package's modules, relative imports resolved."""
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        module = ".".join(parts[:-1] if is_package else parts)
        home = module if is_package else module.rpartition(".")[0]
        tree = ast.parse(path.read_text(), filename=str(path))
        for node, at_load in _import_nodes(tree, at_load=True):
            for imported in _targets(node, home, package.parent):
                yield Import(module, imported, path, node.lineno, at_load)


def _import_nodes(node: ast.AST, at_load: bool) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, at_load
        elif isinstance(child, ast.If) and ast.unparse(child.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            for statement in child.orelse:
                yield from _import_nodes(ast.Module([statement], []), at_load)
        else:
            inside_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _import_nodes(child, at_load and not inside_function)


def _targets(node: ast.Import | ast.ImportFrom, home: str, src_root: Path) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    source = node.module or ""
    if node.level:
        ancestors = home.split(".")[: len(home.split(".")) - node.level + 1]
        source = ".".join([*ancestors, source] if source else ancestors)
    for alias in node.names:
        # `from package import name` reaches a submodule where there is one of that name, the package itself otherwise.
        submodule = src_root.joinpath(*source.split("."), alias.name)
        is_module = submodule.is_dir() or submodule.with_suffix(".py").is_file()
        yield f"{source}.{alias.name}" if is_module else source


def objections(root: Path) -> list[str]:
    """Each import below `root` that the floors forbid, as "path:line: importer imports imported: reason"."""
    layers = read_layers(root / "pyproject.toml")
    ours = packages(root)
    found = []
    for name, folder in ours.items():
        found += _homeless(folder, root, layers)
        for item in imports_of(folder):
            if reason := _objection(item, name, layers, set(ours)):
                place = f"{item.path.relative_to(root)}:{item.line}"
                found.append(f"{place}: {item.importer} imports {item.imported}: {reason}")
    return found


def _homeless(package: Path, root: Path, layers: list[Layers]) -> list[str]:
    modules = [path.relative_to(package.parent).with_suffix("") for path in sorted(package.glob("*.py"))]
    modules += [path.parent.relative_to(package.parent) for path in sorted(package.glob("*/__init__.py"))]
    names = [".".join(module.parts) for module in modules if module.name != "__init__"]
    missing = [name for name in names if any(group.lacks(name) for group in layers)]
    return [f"{package.relative_to(root)}: {name} has no floor: give it a layer in pyproject.toml" for name in missing]


def _objection(item: Import, package: str, layers: list[Layers], ours: set[str]) -> str | None:
    library = item.imported.split(".")[0]
    standard = library in sys.stdlib_module_names
    if item.at_load and item.importer in PYTEST_PLUGIN:
        if not standard and library != "pytest" and item.imported not in PYTEST_PLUGIN:
            return "it loads in every pytest run, so it starts with pytest and the standard library only"
    if library in ours:
        reasons = (group.objection(item.importer, item.imported) for group in layers)
        return next(filter(None, reasons), None)
    if standard or library in LIBRARIES.get(package, ()):
        return None
    return f"{package} may not import {library}"


def main() -> int:
    """Prints the objections and returns the exit status: 1 when there are any."""
    found = objections(Path(__file__).resolve().parent.parent)
    for line in found:
        print(line)
    print(f"floors: {len(found)} import(s) out of place" if found else "floors: imports only go down")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
