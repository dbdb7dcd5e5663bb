"""The digest of the code a stage runs: the syntax trees of our modules that it imports, directly or not.

Docstrings and comments are left out, so that wording retrains nothing; any other edit in any module reached by an
import (at the top of a file or inside a function) changes the digest. Packages outside the given roots are not
followed: their versions enter a stage's key by name.
"""

import ast
import hashlib
import importlib.util
from collections.abc import Collection
from functools import lru_cache
from pathlib import Path

OWN_PACKAGES = frozenset({"flows", "domains", "shared"})


def _without_docstrings(tree: ast.AST) -> ast.AST:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                # A placeholder keeps a body that held nothing else valid and equal to `pass`.
                node.body = node.body[1:] or [ast.Pass()]
    return tree


def source_digest(source: str) -> str:
    """sha256 of the syntax tree of Python source, without docstrings, comments and positions."""
    return _tree_digest(ast.parse(source))


def _tree_digest(tree: ast.AST) -> str:
    return hashlib.sha256(ast.dump(_without_docstrings(tree), include_attributes=False).encode()).hexdigest()


def _imported_names(tree: ast.AST, module: str, is_package: bool) -> set[str]:
    package = module if is_package else module.rpartition(".")[0]
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, base] if base else parents)
            names.add(base)
            names.update(f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            # A child process is started by module name ("shared.training.worker", or "module:function"): such a string
            # is an import too.
            named = node.value.partition(":")[0]
            if _looks_like_module(named):
                names.add(named)
    return names


def _looks_like_module(text: str) -> bool:
    return (
        text.partition(".")[0] in OWN_PACKAGES and all(part.isidentifier() for part in text.split(".")) and "." in text
    )


def _find(module: str) -> tuple[Path, bool] | None:
    # `from a.b import name` may name a module or something in one. What is asked of a plain module is answered without
    # importlib, which would import it, and with it libraries that take seconds.
    parent = module.rpartition(".")[0]
    if parent and (above := _find(parent)) is not None and not above[1]:
        return None
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, AttributeError, ValueError):
        return None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    return Path(spec.origin), spec.submodule_search_locations is not None


@lru_cache(maxsize=4096)
def _read(path: Path, module: str, is_package: bool, _stamp: tuple[int, int]) -> tuple[str, frozenset[str]]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = frozenset(_imported_names(tree, module, is_package))  # before the docstrings go, which the digest drops
    return _tree_digest(tree), imported


def code_digests(module: str, own_packages: Collection[str] = OWN_PACKAGES) -> dict[str, str]:
    """Digest by module name, of `module` and of every module of `own_packages` that it reaches by imports.

    Args:
        module: dotted name of the module that defines the stage's function. Its own top-level package counts as ours,
            so that a plug-in's code is followed too.
        own_packages: top-level packages whose modules are followed.
    """
    roots = {*own_packages, module.partition(".")[0]}
    digests: dict[str, str] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in digests or name.partition(".")[0] not in roots:
            continue
        found = _find(name)
        if found is None:
            continue
        path, is_package = found
        status = path.stat()
        digest, imported = _read(path, name, is_package, (status.st_mtime_ns, status.st_size))
        digests[name] = digest
        waiting.extend(imported)
    return dict(sorted(digests.items()))
