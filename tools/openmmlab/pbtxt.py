"""Writes protobuf text format with comments."""

import json
import math

WIDTH = 120


def text(value):
    """Returns a string quoted for text format."""
    # Text format has the same escapes as JSON. protobuf also reads \uXXXX, but UTF-8 is easier to read.
    quoted = json.dumps(value, ensure_ascii=False)
    return "".join(
        c if c.isprintable() else "".join(f"\\{byte:03o}" for byte in c.encode("utf-8", "replace")) for c in quoted
    )


def scalar(value):
    """Returns a value in text format. An enum value's name must be an Enum."""
    if isinstance(value, Enum):
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return text(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(scalar, value)) + "]"
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is not finite")
    return repr(value)


class Enum(str):
    """The name of an enum's value."""


class Message:
    """Fields in the order they were set. A comment stands behind its field, or behind the brace that opens a message."""

    def __init__(self):
        self._fields = []

    def set(self, name, value, comment=""):
        self._fields.append((name, value, comment))

    def message(self, name):
        """Returns the message of a field. Makes it if it does not exist."""
        for field, value, _ in self._fields:
            if field == name:
                return value
        return self.add(name)

    def replace(self, name):
        """Returns a new message for a field. It replaces the existing one, if any."""
        self._fields = [field for field in self._fields if field[0] != name]
        return self.add(name)

    def add(self, name, comment=""):
        inner = Message()
        self._fields.append((name, inner, comment))
        return inner

    def get(self, name, default=None):
        """Returns the value of a field, or `default` if it is not set."""
        return next((value for field, value, _ in self._fields if field == name), default)

    def change(self, name, value, comment):
        """Sets a field that is set already to another value."""
        self._fields = [field if field[0] != name else (name, value, comment) for field in self._fields]

    def comment(self, line):
        """Adds a comment on a line of its own."""
        self._fields.append((None, None, line))

    def has(self, name):
        return any(field == name for field, _, _ in self._fields)

    def sort(self, names):
        """Sorts the fields in this order, and drops empty messages."""
        self._fields = [field for field in self._fields if not isinstance(field[1], Message) or field[1]._fields]
        self._fields.sort(key=lambda field: names.index(field[0]))

    def lines(self, indent=0):
        space = "  " * indent
        for name, value, comment in self._fields:
            behind = f"  # {comment}" if comment else ""
            if name is None:
                yield f"{space}# {comment}"
            elif not isinstance(value, Message):
                yield from _wrap(f"{space}{name}: {scalar(value)}", space, behind)
            elif value._is_short():
                yield f"{space}{name} {value._one_line()}{behind}"
            else:
                yield f"{space}{name} {{{behind}"
                yield from value.lines(indent + 1)
                yield f"{space}}}"

    def _is_short(self):
        """Returns whether the message may be written on one line: it contains no comments."""
        plain = all(name is not None and not comment for name, _, comment in self._fields)
        inner = all(not isinstance(value, Message) or value._is_short() for _, value, _ in self._fields)
        return plain and inner and len(self._one_line()) < WIDTH - 40

    def _one_line(self):
        parts = [
            f"{name} {value._one_line()}" if isinstance(value, Message) else f"{name}: {scalar(value)}"
            for name, value, _ in self._fields
        ]
        return "{ " + " ".join(parts) + " }" if parts else "{}"


def _wrap(line, space, behind):
    if len(line) <= WIDTH or "[" not in line:
        yield line + behind
        return
    # Only a list of numbers can be so long.
    head, _, items = line.partition("[")
    yield f"{head}[{behind}"
    row = space + " "
    for item in items[:-1].split(", "):
        if len(row) + len(item) + 2 > WIDTH:
            yield row
            row = space + " "
        row += f" {item},"
    yield row[:-1]
    yield f"{space}]"
