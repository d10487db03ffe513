"""Reads an OpenMMLab config and its bases without running them.

The file is parsed by Python's ast module. Assignments, dict(), lists, arithmetic, references and the like are evaluated
here, node by node and within limits. Nothing is imported, called or looked up outside the config. Any other expression
becomes an Unknown value and is reported with its file and line. Configs are merged as by mmengine's Config: see
values.merge.

Both of mmengine's styles are read: `_base_ = [...]`, and `with read_base(): from .x import *`.
"""

import ast
import os
import re
import sys

from openmmlab.values import (
    ConfigError,
    Dict,
    Leaf,
    List,
    Place,
    Symbol,
    Unknown,
    check_size,
    copy,
    merge,
    plain,
    printable,
    show,
    where,
)

MAX_FILE_BYTES = 1 << 20
MAX_FILES = 64
MAX_BASE_DEPTH = 16
MAX_EXPRESSION_DEPTH = 100
MAX_STEPS = 200_000
MAX_ITEMS = 10_000
MAX_TEXT = 65_536
MAX_INT_BITS = 1024

_BASE_VARIABLE = re.compile(r"\{\{\s*_base_\.([\w.]+)\s*\}\}")
_ENVIRONMENT = re.compile(r"\{\{\s*\$(\w+)\s*:\s*(\S*?)\s*\}\}")
_FILE_VARIABLE = re.compile(r"\{\{\s*(fileDirname|fileBasename|fileBasenameNoExtension|fileExtname)\s*\}\}")


class _CannotEvaluate(Exception):
    pass


def find_root(config):
    """Returns the folder that contains all allowed bases: the nearest folder with a _base_ folder in it, from the
    config's own folder up to five levels; if there is none, the parent of the config's own folder."""
    folder = os.path.dirname(os.path.realpath(config))
    parent = os.path.dirname(folder)
    for _ in range(5):
        if os.path.isdir(os.path.join(folder, "_base_")):
            return folder
        folder = os.path.dirname(folder)
    return parent


class Reader:
    """Reads one config. `problems` holds (Place, text) for each statement or expression that was not evaluated."""

    def __init__(self, root, packages=None):
        """`root`: the folder outside of which bases are refused. `packages`: {package: folder of its configs}, for
        bases such as mmpretrain::x."""
        self.root = os.path.realpath(root)
        self.packages = packages or {}
        self.problems = []
        self.steps = 0
        self._files = 0

    def read(self, path):
        """Returns the whole config as a Dict. Raises ConfigError if it cannot be read."""
        config = self._read_file(path, [], self.root)
        check_size(config)
        return copy(config)

    def report(self, place, text):
        self.problems.append((place, text))

    def _read_file(self, path, chain, root):
        real = os.path.realpath(path)
        if real in chain:
            cycle = " -> ".join(printable(os.path.basename(file)) for file in chain[chain.index(real) :] + [real])
            raise ConfigError(f"{printable(path)}: the config is among its own bases: {cycle}; remove one of them")
        self._files += 1
        if len(chain) >= MAX_BASE_DEPTH or self._files > MAX_FILES:
            raise ConfigError(
                f"{printable(path)}: the config has more than {MAX_FILES} bases, or bases of bases deeper than "
                f"{MAX_BASE_DEPTH}; use fewer"
            )
        tree = self._parse(path)
        return _File(self, path, chain + [real], root).evaluate(tree)

    def _parse(self, path):
        shown = printable(path)
        try:
            if not os.path.isfile(path):
                raise ConfigError(f"{shown}: there is no such file; check the path")
            with open(path, "rb") as file:
                data = file.read(MAX_FILE_BYTES + 1)
        except (OSError, ValueError) as error:
            raise ConfigError(f"{shown}: the file cannot be read: {error}") from None
        if len(data) > MAX_FILE_BYTES:
            raise ConfigError(f"{shown}: the file is larger than {MAX_FILE_BYTES} bytes; expected a config in Python")
        try:
            return ast.parse(data.decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            raise ConfigError(
                f"{shown}: the file is not UTF-8 text ({error.reason} at byte {error.start}); expected a config in "
                f"Python"
            ) from None
        except SyntaxError as error:
            raise ConfigError(
                f"{shown}:{error.lineno or 1}: the file is not Python: {printable(str(error.msg))}"
            ) from None
        except (RecursionError, MemoryError, ValueError) as error:
            raise ConfigError(
                f"{shown}: the file is not a config that can be parsed: {printable(str(error))}"
            ) from None

    def resolve(self, base, place, root):
        """Returns (path, root) of a `_base_` entry of the file at `place`."""
        package, scoped, rest = base.partition("::")
        if scoped:
            folder = self._package(package, place)
            return self._inside(os.path.join(folder, rest), base, place, folder), folder
        if os.path.isabs(base):
            raise ConfigError(
                f"{where(place)}: the base {show(Leaf(base, place))} is an absolute path; expected one relative to "
                f"the config"
            )
        return self._inside(os.path.join(os.path.dirname(place.file), base), base, place, root), root

    def resolve_module(self, module, level, place, root):
        """Returns (path, root) of the file that `from MODULE import ...` in read_base() names."""
        parts = module.split(".")
        if level:
            path = os.path.join(os.path.dirname(place.file), *[".."] * (level - 1), *parts) + ".py"
            return self._inside(path, "." * level + module, place, root), root
        if len(parts) < 3 or parts[1] != "configs":
            raise ConfigError(
                f"{where(place)}: the base {printable(module)} is not a config; expected a relative import, or "
                f"mmpretrain.configs.NAME"
            )
        folder = self._package(parts[0], place)
        return self._inside(os.path.join(folder, *parts[2:]) + ".py", module, place, folder), folder

    def _package(self, package, place):
        if package in self.packages:
            return os.path.realpath(self.packages[package])
        if package in ("mmpretrain", "mmcls"):
            for folder in sys.path:
                for inner in (".mim/configs", "configs"):
                    candidate = os.path.join(folder, package, inner)
                    if os.path.isdir(candidate):
                        return os.path.realpath(candidate)
        raise ConfigError(
            f"{where(place)}: the configs of the package {show(Leaf(package, place))} were not found; give their "
            f"folder: --mmpretrain=DIR"
        )

    def _inside(self, path, base, place, root):
        real = os.path.realpath(path)
        if not real.endswith(".py"):
            raise ConfigError(
                f"{where(place)}: the base {show(Leaf(base, place))} is not a .py file; only those are read"
            )
        if os.path.commonpath([root, real]) != root:
            raise ConfigError(
                f"{where(place)}: the base {show(Leaf(base, place))} lies outside of {printable(root)}; if that is "
                f"meant, give a folder that holds both: --root=DIR"
            )
        if not os.path.isfile(real):
            raise ConfigError(
                f"{where(place)}: the base {show(Leaf(base, place))} was not found: there is no file "
                f"{printable(real)}"
            )
        return os.path.relpath(real) if not os.path.isabs(place.file) else real


class _File:
    """Evaluates one file."""

    def __init__(self, reader, path, chain, root):
        self.reader = reader
        self.path = path
        self.chain = chain
        self.root = root
        self.base = Dict({}, Place(path, 1), from_base=True)
        self.names = {}
        self.depth = 0

    # The evaluation of a file.

    def evaluate(self, tree):
        for statement in tree.body:
            if self._assigns_base(statement):
                self._read_bases(statement)
        for statement in tree.body:
            if not self._assigns_base(statement):
                self._run(statement)
        own = {}
        for name, value in self.names.items():
            if name.startswith("__") or name == "_deprecation_" or isinstance(value, Symbol):
                continue
            self._check(value)
            # Each variable is copied: two variables that refer to the same value in the file are separate values after
            # it.
            own[name] = copy(value, from_base=True)
        self._check(self.base)
        return merge(Dict(own, Place(self.path, 1), from_base=True), self.base)

    @staticmethod
    def _assigns_base(statement):
        return (
            isinstance(statement, ast.Assign)
            and len(statement.targets) == 1
            and isinstance(statement.targets[0], ast.Name)
            and statement.targets[0].id == "_base_"
        )

    def _read_bases(self, statement):
        value = self._value(statement.value)
        self._check(value)
        entries = value.items if isinstance(value, List) else [value]
        for entry in entries:
            if not isinstance(entry, Leaf) or not isinstance(entry.value, str):
                raise ConfigError(
                    f"{where(self._place(statement))}: _base_ is {show(value)}; expected a file name or a list of them"
                )
            path, root = self.reader.resolve(entry.value, entry.place, self.root)
            config = self.reader._read_file(path, self.chain, root)
            for key, item in config.items.items():
                if key in self.base.items:
                    raise ConfigError(
                        f"{where(item.place)}: {key} is also set by another base, at "
                        f"{where(self.base.items[key].place)}; mmengine allows one of them"
                    )
                self.base.items[key] = item

    def _place(self, node):
        return Place(self.path, getattr(node, "lineno", 1))

    def _charge(self, steps):
        self.reader.steps += steps
        if self.reader.steps > MAX_STEPS:
            raise ConfigError(
                f"{printable(self.path)}: the config takes more than {MAX_STEPS} steps to evaluate; make it smaller"
            )

    def _check(self, value):
        """Checks the size of a value before anything iterates over it."""
        self._charge(1 + check_size(value) // 8)

    def _plain(self, value):
        self._check(value)
        return plain(value)

    def _new_list(self, items, node, is_tuple=False):
        self._check_items(len(items))
        return List(items, self._place(node), is_tuple)

    # Statements.

    def _run(self, statement):
        self._charge(1)
        try:
            if isinstance(statement, ast.Assign):
                value = self._value(statement.value)
                for target in statement.targets:
                    self._assign(target, value)
            elif isinstance(statement, ast.AnnAssign):
                if statement.value is not None:
                    self._assign(statement.target, self._value(statement.value))
            elif isinstance(statement, ast.AugAssign):
                load = ast.copy_location(
                    ast.BinOp(self._as_load(statement.target), statement.op, statement.value), statement
                )
                self._assign(statement.target, self._value(load))
            elif isinstance(statement, ast.Expr):
                self._expression_statement(statement.value)
            elif isinstance(statement, (ast.Import, ast.ImportFrom)):
                self._import(statement)
            elif isinstance(statement, ast.With):
                self._with(statement)
            elif isinstance(statement, ast.If):
                taken = statement.body if self._truth(statement.test) else statement.orelse
                for inner in taken:
                    self._run(inner)
            elif isinstance(statement, ast.Delete):
                self._delete(statement)
            elif not isinstance(statement, ast.Pass):
                raise _CannotEvaluate("only running this statement could tell what it does")
        except _CannotEvaluate as reason:
            self._give_up(statement, str(reason))

    def _give_up(self, statement, reason):
        first_line = (ast.unparse(statement).splitlines() or [""])[0]
        text = printable(first_line if len(first_line) < 80 else first_line[:77] + "...")
        self.reader.report(self._place(statement), f"{text}: {reason}")
        # The statement may have changed these names, so their values are unknown.
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                self.names[node.id] = Unknown(node.id, self._place(statement))
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                self.names[node.name] = Symbol(node.name, self._place(node))

    @staticmethod
    def _as_load(target):
        load = ast.copy_location(type(target)(**dict(ast.iter_fields(target))), target)
        load.ctx = ast.Load()
        return load

    def _assign(self, target, value):
        if isinstance(target, ast.Name):
            self.names[target.id] = value
        elif (
            isinstance(target, (ast.Tuple, ast.List))
            and isinstance(value, List)
            and len(target.elts) == len(value.items)
        ):
            for inner, item in zip(target.elts, value.items):
                self._assign(inner, item)
        elif isinstance(target, ast.Attribute):
            self._put(self._dict_at(target.value), target.attr, value)
        elif isinstance(target, ast.Subscript):
            container, key = self._evaluate(target.value), self._key(target.slice)
            if isinstance(container, Dict):
                self._put(container, key, value)
            elif (
                isinstance(container, List)
                and isinstance(key, int)
                and -len(container.items) <= key < len(container.items)
            ):
                container.items[key] = value
                self._check(container)
            else:
                raise _CannotEvaluate("there is nothing to assign to")
        else:
            raise _CannotEvaluate("the assignment is not of a kind that is read")

    def _put(self, container, key, value):
        if container.from_base:
            # mmengine's ConfigDict converts its argument, which makes a copy.
            self._check(value)
            value = copy(value, from_base=True)
        container.items[key] = value
        self._check(container)

    def _delete(self, statement):
        for target in statement.targets:
            if isinstance(target, ast.Name):
                self.names.pop(target.id, None)
            elif isinstance(target, ast.Subscript):
                container, key = self._evaluate(target.value), self._key(target.slice)
                if not isinstance(container, Dict) or key not in container.items:
                    raise _CannotEvaluate("there is nothing to delete")
                del container.items[key]
            elif isinstance(target, ast.Attribute):
                if self._dict_at(target.value).items.pop(target.attr, None) is None:
                    raise _CannotEvaluate("there is nothing to delete")
            else:
                raise _CannotEvaluate("there is nothing to delete")

    def _import(self, statement):
        # Nothing is imported. The names serve as types, as in type=ResNet.
        for alias in statement.names:
            if alias.name != "*":
                name = alias.asname or (
                    alias.name if isinstance(statement, ast.ImportFrom) else alias.name.split(".")[0]
                )
                self.names[name] = Symbol(alias.name, self._place(statement))

    def _with(self, statement):
        call = statement.items[0].context_expr
        if not (
            len(statement.items) == 1
            and isinstance(call, ast.Call)
            and isinstance(call.func, ast.Name)
            and call.func.id == "read_base"
        ):
            raise _CannotEvaluate("only running this statement could tell what it does")
        for inner in statement.body:
            if not isinstance(inner, ast.ImportFrom) or inner.module is None:
                raise ConfigError(
                    f"{where(self._place(inner))}: read_base() holds {printable(ast.unparse(inner)[:60])}; expected "
                    f"from .MODULE import *"
                )
            path, root = self.reader.resolve_module(inner.module, inner.level, self._place(inner), self.root)
            config = self.reader._read_file(path, self.chain, root)
            self._check(config)
            for alias in inner.names:
                if alias.name == "*":
                    self.names.update({name: copy(value, from_base=True) for name, value in config.items.items()})
                elif alias.name in config.items:
                    self.names[alias.asname or alias.name] = copy(config.items[alias.name], from_base=True)
                else:
                    raise ConfigError(
                        f"{where(self._place(inner))}: {printable(path)} does not set {printable(alias.name)}"
                    )

    def _expression_statement(self, node):
        if isinstance(node, ast.Constant):
            return
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            raise _CannotEvaluate("only running this statement could tell what it does")
        method = node.func.attr
        target = self._evaluate(node.func.value)
        arguments = [self._value(argument) for argument in node.args]
        for argument in arguments:
            self._check(argument)
        keywords = Dict(self._keywords(node), self._place(node))
        if isinstance(target, Dict) and method in ("update", "merge") and len(arguments) <= 1:
            for other in arguments + [keywords]:
                if not isinstance(other, Dict):
                    raise _CannotEvaluate("expected a dict")
                self._check(other)
                self._update(target, copy(other), deep=target.from_base, deletes=method == "merge")
        elif isinstance(target, Dict) and method == "pop" and arguments:
            target.items.pop(plain(arguments[0]) if isinstance(arguments[0], Leaf) else None, None)
        elif isinstance(target, List) and method == "append" and len(arguments) == 1:
            target.items.append(arguments[0])
        elif isinstance(target, List) and method == "extend" and len(arguments) == 1 and isinstance(arguments[0], List):
            target.items.extend(list(arguments[0].items))
        elif (
            isinstance(target, List)
            and method == "insert"
            and len(arguments) == 2
            and isinstance(plain(arguments[0]), int)
        ):
            target.items.insert(plain(arguments[0]), arguments[1])
        elif isinstance(target, List) and method == "pop" and len(arguments) <= 1 and target.items:
            try:
                target.items.pop(*[plain(argument) for argument in arguments])
            except (IndexError, TypeError) as error:
                raise _CannotEvaluate(str(error)) from None
        else:
            raise _CannotEvaluate("only running this call could tell what it does")
        self._check(target)

    def _update(self, target, other, deep, deletes):
        if deletes:
            target.items = merge(other, target).items
            return
        for key, value in other.items.items():
            inner = target.items.get(key)
            if deep and isinstance(inner, Dict) and isinstance(value, Dict):
                self._update(inner, value, deep, deletes)
            else:
                target.items[key] = value

    # Expressions.

    def _value(self, node):
        """Returns the node's value. If it cannot be evaluated, reports it and returns an Unknown."""
        try:
            return self._evaluate(node)
        except _CannotEvaluate as reason:
            try:
                text = printable(ast.unparse(node))
            except (RecursionError, ValueError):
                text = "an expression"
            text = text if len(text) < 80 else text[:77] + "..."
            self.reader.report(self._place(node), f"{text}: {reason}")
            return Unknown(text, self._place(node))

    def _evaluate(self, node):
        self._charge(1)
        self.depth += 1
        if self.depth > MAX_EXPRESSION_DEPTH:
            raise ConfigError(
                f"{where(self._place(node))}: the expression is nested deeper than {MAX_EXPRESSION_DEPTH} levels; "
                f"make it simpler"
            )
        try:
            method = self._EXPRESSIONS.get(type(node))
            if method is None:
                raise _CannotEvaluate("only running this expression could tell its value")
            return method(self, node)
        except (TypeError, ValueError, ArithmeticError, KeyError, IndexError) as error:
            raise _CannotEvaluate(f"{type(error).__name__}: {printable(str(error))[:100]}") from None
        finally:
            self.depth -= 1

    def _leaf(self, value, node):
        if isinstance(value, int) and value.bit_length() > MAX_INT_BITS:
            raise _CannotEvaluate(f"the number has more than {MAX_INT_BITS} bits")
        if isinstance(value, str) and len(value) > MAX_TEXT:
            raise _CannotEvaluate(f"the text has more than {MAX_TEXT} characters")
        if isinstance(value, str):
            self._charge(len(value) // 64)
        return Leaf(value, self._place(node))

    def _constant(self, node):
        if isinstance(node.value, str):
            return self._text(node.value, node)
        if node.value is None or isinstance(node.value, (bool, int, float)):
            return self._leaf(node.value, node)
        raise _CannotEvaluate("a literal of this type has no meaning in a config")

    def _text(self, text, node):
        base = _BASE_VARIABLE.fullmatch(text)
        if base:
            return self._base_variable(base[1].split("."))
        variable = _ENVIRONMENT.search(text)
        if variable:
            # The environment of the translation may differ from that of the training.
            self.reader.report(
                self._place(node), f"{printable(variable[0])}: an environment variable; its default is written"
            )
            text = _ENVIRONMENT.sub(lambda match: match[2], text)
        stem, ending = os.path.splitext(os.path.basename(self.path))
        known = {
            "fileDirname": os.path.dirname(self.path),
            "fileBasename": stem + ending,
            "fileBasenameNoExtension": stem,
            "fileExtname": ending,
        }
        return self._leaf(_FILE_VARIABLE.sub(lambda match: known[match[1]], text), node)

    def _base_variable(self, path):
        value = self.base
        for name in path:
            if not isinstance(value, Dict) or name not in value.items:
                raise _CannotEvaluate(f"the bases do not set {printable('.'.join(path))}")
            value = value.items[name]
        self._check(value)
        return copy(value)

    def _name(self, node):
        if node.id == "_base_":
            return self.base
        if node.id == "__name__":
            return self._leaf("config", node)
        if node.id not in self.names:
            raise _CannotEvaluate(f"{printable(node.id)} is not set in the config")
        return self.names[node.id]

    def _list(self, node):
        return self._new_list(self._items(node.elts), node)

    def _tuple(self, node):
        return self._new_list(self._items(node.elts), node, is_tuple=True)

    def _items(self, nodes):
        items = []
        for node in nodes:
            if isinstance(node, ast.Starred):
                inner = self._evaluate(node.value)
                if not isinstance(inner, List):
                    raise _CannotEvaluate("only a list can be unpacked")
                items.extend(inner.items)
            else:
                items.append(self._value(node))
        self._check_items(len(items))
        return items

    def _set(self, node):
        # Python parses {{_base_.x}} as a set that contains a set.
        inner = node.elts[0]
        if len(node.elts) == 1 and isinstance(inner, ast.Set) and len(inner.elts) == 1:
            return self._text("{{" + ast.unparse(inner.elts[0]).strip("'\"") + "}}", node)
        raise _CannotEvaluate("a set has no meaning in a config")

    def _dict_items(self, pairs, node):
        items = {}
        for key, value in pairs:
            if key is None:
                inner = self._evaluate(value)
                if not isinstance(inner, Dict):
                    raise _CannotEvaluate("only a dict can be unpacked")
                items.update(inner.items)
            else:
                items[key] = self._value(value)
        return Dict(items, self._place(node))

    def _dict_at(self, node):
        value = self._evaluate(node)
        if not isinstance(value, Dict):
            raise _CannotEvaluate("expected a dict")
        return value

    def _dict(self, node):
        return self._dict_items(
            [(None if key is None else self._key(key), value) for key, value in zip(node.keys, node.values)], node
        )

    def _keywords(self, node):
        return self._dict_items([(keyword.arg, keyword.value) for keyword in node.keywords], node).items

    def _key(self, node):
        value = self._plain(self._evaluate(node))
        if isinstance(value, (str, int, float, bool)) or value is None:
            return value
        raise _CannotEvaluate("expected a name or number as key")

    def _attribute(self, node):
        value = self._evaluate(node.value)
        if isinstance(value, Symbol):
            return Symbol(node.attr, self._place(node))
        if isinstance(value, Dict) and node.attr in value.items:
            return value.items[node.attr]
        raise _CannotEvaluate(f"{printable(node.attr)} is not set there")

    def _subscript(self, node):
        value = self._evaluate(node.value)
        if isinstance(node.slice, ast.Slice):
            bounds = [
                None if part is None else self._key(part)
                for part in (node.slice.lower, node.slice.upper, node.slice.step)
            ]
            if isinstance(value, List):
                return self._new_list(value.items[slice(*bounds)], node, value.is_tuple)
            return self._leaf(self._text_of(value)[slice(*bounds)], node)
        key = self._key(node.slice)
        if isinstance(value, (List, Dict)):
            return value.items[key]
        return self._leaf(self._text_of(value)[key], node)

    @staticmethod
    def _text_of(value):
        if isinstance(value, Leaf) and isinstance(value.value, str):
            return value.value
        raise _CannotEvaluate("expected a list, dict or text")

    def _scalar(self, node):
        value = self._evaluate(node)
        if isinstance(value, Leaf):
            return value.value
        if isinstance(value, Unknown):
            raise _CannotEvaluate(f"uses {value.text}, which was not evaluated")
        raise _CannotEvaluate("expected a number or text")

    def _number(self, node):
        value = self._scalar(node)
        if isinstance(value, (bool, int, float)):
            return value
        raise _CannotEvaluate("expected a number")

    def _binop(self, node):
        left, right = self._evaluate(node.left), self._evaluate(node.right)
        if isinstance(node.op, ast.Add) and isinstance(left, List) and isinstance(right, List):
            self._check_items(len(left.items) + len(right.items))
            return self._new_list(left.items + right.items, node, left.is_tuple)
        if isinstance(node.op, ast.Mult) and isinstance(right, List):
            left, right = right, left
        if not isinstance(right, Leaf):
            raise _CannotEvaluate(
                f"uses {show(right, 40)}" if isinstance(right, Unknown) else "expected a number or text"
            )
        b = right.value
        if isinstance(node.op, ast.Mult) and isinstance(left, List) and isinstance(b, int):
            self._check_items(len(left.items) * b)
            return self._new_list(left.items * b, node, left.is_tuple)
        if not isinstance(left, Leaf):
            raise _CannotEvaluate(
                f"uses {show(left, 40)}" if isinstance(left, Unknown) else "expected a number or text"
            )
        a = left.value
        if isinstance(node.op, ast.Add) and isinstance(a, str) and isinstance(b, str):
            return self._leaf(a + b, node)
        if isinstance(node.op, ast.Mult) and isinstance(a, str) and isinstance(b, int):
            if len(a) * b > MAX_TEXT:
                raise _CannotEvaluate(f"the text has more than {MAX_TEXT} characters")
            return self._leaf(a * b, node)
        if not all(isinstance(value, (bool, int, float)) for value in (a, b)):
            raise _CannotEvaluate("expected numbers")
        if isinstance(node.op, ast.Pow):
            if isinstance(a, int) and isinstance(b, int) and a.bit_length() * abs(b) > MAX_INT_BITS:
                raise _CannotEvaluate(f"the number has more than {MAX_INT_BITS} bits")
            result = a**b
            if isinstance(result, complex):
                raise _CannotEvaluate("the result is not a real number")
            return self._leaf(result, node)
        operations = {
            ast.Add: lambda: a + b,
            ast.Sub: lambda: a - b,
            ast.Mult: lambda: a * b,
            ast.Div: lambda: a / b,
            ast.FloorDiv: lambda: a // b,
            ast.Mod: lambda: a % b,
        }
        if type(node.op) not in operations:
            raise _CannotEvaluate("this operator is not evaluated")
        return self._leaf(operations[type(node.op)](), node)

    def _check_items(self, count):
        if count > MAX_ITEMS:
            raise _CannotEvaluate(f"the list has more than {MAX_ITEMS} elements")
        self._charge(max(count, 0) // 8)

    def _unaryop(self, node):
        if isinstance(node.op, ast.Not):
            return self._leaf(not self._truth(node.operand), node)
        number = self._number(node.operand)
        if isinstance(node.op, ast.USub):
            return self._leaf(-number, node)
        if isinstance(node.op, ast.UAdd):
            return self._leaf(+number, node)
        raise _CannotEvaluate("this operator is not evaluated")

    def _truth(self, node):
        value = self._evaluate(node)
        if isinstance(value, (Unknown, Symbol)):
            raise _CannotEvaluate(f"uses {show(value, 40)}, which was not evaluated")
        return bool(value.value) if isinstance(value, Leaf) else bool(value.items)

    def _ifexp(self, node):
        return self._evaluate(node.body if self._truth(node.test) else node.orelse)

    def _boolop(self, node):
        stop = isinstance(node.op, ast.Or)
        for operand in node.values[:-1]:
            if self._truth(operand) == stop:
                return self._evaluate(operand)
        return self._evaluate(node.values[-1])

    def _compare(self, node):
        if len(node.ops) != 1:
            raise _CannotEvaluate("chained comparisons are not evaluated")
        left, right = self._plain(self._evaluate(node.left)), self._plain(self._evaluate(node.comparators[0]))
        operations = {
            ast.Eq: lambda: left == right,
            ast.NotEq: lambda: left != right,
            ast.Lt: lambda: left < right,
            ast.LtE: lambda: left <= right,
            ast.Gt: lambda: left > right,
            ast.GtE: lambda: left >= right,
            ast.Is: lambda: left is right,
            ast.IsNot: lambda: left is not right,
            ast.In: lambda: left in right,
            ast.NotIn: lambda: left not in right,
        }
        return self._leaf(operations[type(node.ops[0])](), node)

    def _joinedstr(self, node):
        parts = []
        for part in node.values:
            if isinstance(part, ast.Constant):
                parts.append(part.value)
            elif part.format_spec is None and part.conversion == -1:
                parts.append(str(self._scalar(part.value)))
            else:
                raise _CannotEvaluate("a format specification is not evaluated")
            if sum(map(len, parts)) > MAX_TEXT:
                raise _CannotEvaluate(f"the text has more than {MAX_TEXT} characters")
        return self._leaf("".join(parts), node)

    def _listcomp(self, node):
        if len(node.generators) != 1 or node.generators[0].is_async:
            raise _CannotEvaluate("only one loop is evaluated")
        loop = node.generators[0]
        over = self._evaluate(loop.iter)
        if not isinstance(over, List):
            raise _CannotEvaluate("expected a list to loop over")
        before = dict(self.names)
        try:
            items = []
            for item in over.items:
                self._assign(loop.target, item)
                if all(self._truth(condition) for condition in loop.ifs):
                    items.append(self._evaluate(node.elt))
            return self._new_list(items, node)
        finally:
            self.names = before

    # Calls of a few Python functions, whose results are computed here.

    def _call(self, node):
        function = node.func
        if isinstance(function, ast.Attribute):
            return self._method(node, function)
        if (
            not isinstance(function, ast.Name)
            or function.id in self.names
            and not isinstance(self.names[function.id], Symbol)
        ):
            raise _CannotEvaluate("only running this call could tell its value")
        name = function.id
        if name == "dict" and len(node.args) <= 1:
            given = self._pairs(node.args[0]) if node.args else {}
            return Dict({**given, **self._keywords(node)}, self._place(node))
        if node.keywords:
            raise _CannotEvaluate("only running this call could tell its value")
        if name == "deepcopy" and len(node.args) == 1:
            return self._copied(node.args[0])
        if name in ("list", "tuple") and len(node.args) <= 1:
            inner = self._evaluate(node.args[0]).items if node.args else []
            return self._new_list(list(inner), node, name == "tuple")
        if name == "len" and len(node.args) == 1:
            value = self._evaluate(node.args[0])
            return self._leaf(len(value.items if isinstance(value, (List, Dict)) else self._text_of(value)), node)
        if name in ("min", "max", "sum") and len(node.args) == 1:
            numbers = self._plain(self._evaluate(node.args[0]))
            if not isinstance(numbers, (list, tuple)) or not all(isinstance(n, (int, float)) for n in numbers):
                raise _CannotEvaluate("expected a list of numbers")
            return self._leaf({"min": min, "max": max, "sum": sum}[name](numbers), node)
        if name in ("min", "max", "round", "abs", "range"):
            numbers = [self._number(argument) for argument in node.args]
            if name == "range":
                values = range(*numbers)
                self._check_items(len(values))
                return self._new_list([self._leaf(value, node) for value in values], node)
            if name == "round" and len(numbers) == 2 and not -20 <= numbers[1] <= 20:
                raise _CannotEvaluate("expected 20 digits at most")
            return self._leaf({"min": min, "max": max, "round": round, "abs": abs}[name](*numbers), node)
        if name in ("int", "float", "str", "bool") and len(node.args) == 1:
            return self._leaf(
                {"int": int, "float": float, "str": str, "bool": bool}[name](self._scalar(node.args[0])), node
            )
        raise _CannotEvaluate("only running this call could tell its value")

    def _pairs(self, node):
        value = self._evaluate(node)
        if isinstance(value, Dict):
            return value.items
        if not isinstance(value, List) or not all(
            isinstance(pair, List) and len(pair.items) == 2 for pair in value.items
        ):
            raise _CannotEvaluate("expected a dict or a list of pairs")
        return {self._plain(pair.items[0]): pair.items[1] for pair in value.items}

    def _copied(self, node):
        value = self._evaluate(node)
        self._check(value)
        return copy(value)

    def _method(self, node, function):
        name = function.attr
        if isinstance(function.value, ast.Name) and function.value.id == "copy" and name in ("copy", "deepcopy"):
            if len(node.args) == 1 and not node.keywords and isinstance(self.names.get("copy"), Symbol):
                return self._copied(node.args[0])
        target = self._evaluate(function.value)
        if isinstance(target, (Dict, List)) and name == "copy" and not node.args and not node.keywords:
            if isinstance(target, List):
                return self._new_list(list(target.items), node, target.is_tuple)
            return Dict(dict(target.items), self._place(node), target.from_base)
        if isinstance(target, Dict) and name == "get" and 1 <= len(node.args) <= 2:
            key = self._key(node.args[0])
            if key in target.items:
                return target.items[key]
            return self._evaluate(node.args[1]) if len(node.args) == 2 else self._leaf(None, node)
        if name == "format" and not node.keywords:
            parts = self._text_of(target).split("{}")
            values = [str(self._scalar(argument)) for argument in node.args]
            if len(parts) == len(values) + 1 and not any(c in part for part in parts for c in "{}"):
                return self._leaf("".join(a + b for a, b in zip(parts, values + [""])), node)
        raise _CannotEvaluate("only running this call could tell its value")

    _EXPRESSIONS = {
        ast.Attribute: _attribute,
        ast.BinOp: _binop,
        ast.BoolOp: _boolop,
        ast.Call: _call,
        ast.Compare: _compare,
        ast.Constant: _constant,
        ast.Dict: _dict,
        ast.IfExp: _ifexp,
        ast.JoinedStr: _joinedstr,
        ast.List: _list,
        ast.ListComp: _listcomp,
        ast.Name: _name,
        ast.Set: _set,
        ast.Subscript: _subscript,
        ast.Tuple: _tuple,
        ast.UnaryOp: _unaryop,
    }
