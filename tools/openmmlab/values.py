"""Values of an OpenMMLab config, each with the file and line that it was written at."""

import dataclasses

# A value with more parts is refused, because shared lists can otherwise grow exponentially.
MAX_PARTS = 100_000
MAX_NESTING = 64


class ConfigError(Exception):
    """The config cannot be read. The text is complete: file, line, mistake, advice."""


@dataclasses.dataclass(frozen=True)
class Place:
    file: str
    line: int


class Value:
    """Base of all values. `used`: whether the translation has read the value. Unread values are reported."""

    def __init__(self, place):
        self.place = place
        self.used = False

    def is_read(self):
        """Returns whether the value and everything in it has been read."""
        return self.used and all(child.is_read() for child in children(self))


class Leaf(Value):
    """None, or a bool, int, float or str."""

    def __init__(self, value, place):
        super().__init__(place)
        self.value = value


class Symbol(Value):
    """An imported name, as in type=ResNet. Nothing is really imported, so only the last part of the name is known."""

    def __init__(self, name, place):
        super().__init__(place)
        self.name = name


class Unknown(Value):
    """An expression that was not evaluated. The reader has reported it."""

    def __init__(self, text, place):
        super().__init__(place)
        self.text = text


class List(Value):
    def __init__(self, items, place, is_tuple=False):
        super().__init__(place)
        self.items = items
        self.is_tuple = is_tuple


class Dict(Value):
    """`from_base`: whether update() merges inner dicts, as that of mmengine's ConfigDict does."""

    def __init__(self, items, place, from_base=False):
        super().__init__(place)
        self.items = items
        self.from_base = from_base


def children(value):
    if isinstance(value, List):
        return value.items
    if isinstance(value, Dict):
        return list(value.items.values())
    return []


def check_size(value):
    """Returns the number of parts of a value. Raises ConfigError for a value that is too large, too deep or contains
    itself."""
    parts = 0
    todo = [(value, 0)]
    while todo:
        part, depth = todo.pop()
        parts += 1
        if parts > MAX_PARTS or depth > MAX_NESTING:
            limit = f"{MAX_PARTS} parts" if parts > MAX_PARTS else f"{MAX_NESTING} levels"
            raise ConfigError(f"{where(value.place)}: the value has more than {limit}; make it smaller")
        todo.extend((child, depth + 1) for child in children(part))
    return parts


def copy(value, from_base=False):
    """Returns a deep copy that shares nothing with the value. The caller must have checked the size."""
    if isinstance(value, List):
        return List([copy(item, from_base) for item in value.items], value.place, value.is_tuple)
    if isinstance(value, Dict):
        items = {key: copy(item, from_base) for key, item in value.items.items()}
        return Dict(items, value.place, from_base or value.from_base)
    if isinstance(value, Leaf):
        return Leaf(value.value, value.place)
    if isinstance(value, Symbol):
        return Symbol(value.name, value.place)
    return Unknown(value.text, value.place)


def plain(value):
    """Returns the value as Python's own types, to compare and show it."""
    if isinstance(value, Leaf):
        return value.value
    if isinstance(value, List):
        items = [plain(item) for item in value.items]
        return tuple(items) if value.is_tuple else items
    if isinstance(value, Dict):
        return {key: plain(item) for key, item in value.items.items()}
    return Bare(value.name if isinstance(value, Symbol) else value.text)


def to_value(data, place):
    """Returns Python's own dicts, lists and scalars as a Value."""
    if isinstance(data, dict):
        return Dict({key: to_value(item, place) for key, item in data.items()}, place)
    if isinstance(data, (list, tuple)):
        return List([to_value(item, place) for item in data], place, isinstance(data, tuple))
    return Leaf(data, place)


class Bare(str):
    """Text that repr() leaves without quotes."""

    __repr__ = str.__str__


def where(place):
    """ "FILE:LINE", safe to print."""
    return f"{printable(place.file)}:{place.line}"


def printable(text):
    """Returns the text on one line, with control characters escaped."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def show(value, limit=100):
    """Returns the value as Python would write it in a config, on one line, cut off after `limit` characters."""
    text = printable(_call(plain(value)))
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _call(value):
    if isinstance(value, dict):
        if not all(isinstance(key, str) and key.isidentifier() for key in value):
            return repr(value)
        return "dict(" + ", ".join(f"{key}={_call(item)}" for key, item in value.items()) + ")"
    if isinstance(value, list):
        return "[" + ", ".join(map(_call, value)) + "]"
    return repr(value)


def merge(child, base):
    """Returns `child` merged over `base`, as mmengine merges a config over its bases. Changes neither of them."""
    merged = dict(base.items)
    for key, value in child.items.items():
        if not isinstance(value, Dict):
            merged[key] = value
            continue
        replaces = _deletes(value)
        if replaces or key not in merged:
            merged[key] = _without_delete(value)
            continue
        if not isinstance(merged[key], Dict):
            raise ConfigError(
                f"{where(value.place)}: {key} is a dict and {where(merged[key].place)} has "
                f"{show(merged[key])} for it, so mmengine cannot merge them; write _delete_=True into the dict"
            )
        merged[key] = merge(value, merged[key])
    return Dict(merged, child.place, base.from_base)


def _deletes(value):
    flag = value.items.get("_delete_")
    return isinstance(flag, Leaf) and bool(flag.value)


def _without_delete(value):
    if isinstance(value, Dict):
        items = {key: _without_delete(item) for key, item in value.items.items() if key != "_delete_"}
        return Dict(items, value.place, value.from_base)
    return value
