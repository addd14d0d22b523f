"""Loading an engine that differs in one place: its source text is changed between reading and compiling it.

Which places is in `mutants`. A mutant that does not apply any more is an error, so that the list keeps up with
the engine.
"""

import ast
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from tests.faults.mutants.mutants import MUTANTS, Change


def install(name: str) -> None:
    """Have everything imported from now on be the mutant of this name.

    Raises:
        ValueError: it does not apply to the engine as it is.
    """
    changes = {change.module: change for change in MUTANTS[name].changes}
    for change in changes.values():
        compile(mutate(source_of(change), change), change.module, "exec")
    sys.meta_path.insert(0, _Finder(changes))
    for module in changes:
        # Imported before, it would stay as it is.
        if module in sys.modules:
            raise ValueError(f"{module} was imported before it could be changed")


def source_of(change: Change) -> str:
    """The source text that a change is about; imports nothing but the top package, which is empty."""
    top, _, rest = change.module.partition(".")
    spec = importlib.util.find_spec(top)
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(f"no package {top}")
    return Path(spec.submodule_search_locations[0], *rest.split(".")).with_suffix(".py").read_text("utf-8")


def mutate(source: str, change: Change) -> str:
    """The source with one change in one function.

    Raises:
        ValueError: the function is missing, or does not hold the text exactly as often as the change expects.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and node.name == change.function:
            lines = source.splitlines(keepends=True)
            first, last = node.lineno - 1, node.end_lineno
            body = "".join(lines[first:last])
            if body.count(change.old) != 1:
                continue
            return "".join(lines[:first]) + body.replace(change.old, change.new) + "".join(lines[last:])
    raise ValueError(f"{change.module}.{change.function} does not hold {change.old!r} exactly once")


class _Finder(MetaPathFinder):
    def __init__(self, changes: dict[str, Change]) -> None:
        self._changes = changes

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self._changes:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path, self._changes[fullname])
        return spec


class _Loader(SourceFileLoader):
    def __init__(self, name: str, path: str, change: Change) -> None:
        super().__init__(name, path)
        self._change = change

    def get_code(self, fullname: str) -> CodeType:
        # Never from or into the cache of bytecode, which others share.
        source = self.get_data(self.path).decode()
        code: Any = compile(mutate(source, self._change), self.path, "exec", dont_inherit=True)
        assert isinstance(code, CodeType)
        return code
