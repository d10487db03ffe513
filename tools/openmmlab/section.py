"""A dict of a config that remembers which of its values the translation has read. Unread values are reported, so that
no setting is dropped silently."""

import dataclasses

from openmmlab.values import Dict, Leaf, List, Place, Symbol, Unknown, children, plain, printable, show


@dataclasses.dataclass(frozen=True)
class Finding:
    place: Place
    # The setting's path, such as "default_hooks.timer".
    path: str
    text: str
    # The feature that finetune lacks, for counting: "transform RandomResizedCrop".
    feature: str


class Report:
    def __init__(self):
        # Settings without a counterpart in finetune.
        self.missing = []
        # Settings that need no counterpart.
        self.notes = []

    def miss(self, place, path, text, feature=None):
        finding = Finding(place, printable(path), printable(text), printable(feature or path))
        # The training and the validation split may both have this finding.
        if finding not in self.missing:
            self.missing.append(finding)

    def note(self, place, path, text):
        self.notes.append(Finding(place, printable(path), printable(text), printable(path)))


def mark(value):
    """Marks a value and everything in it as read."""
    value.used = True
    for child in children(value):
        mark(child)


class Section:
    """`value`: a Dict, or None for a dict that does not exist."""

    def __init__(self, value, path, report):
        self.items = value.items if value is not None else {}
        self.value = value
        self.path = path
        self.report = report

    def __contains__(self, key):
        return key in self.items

    def at(self, key):
        return f"{self.path}.{key}" if self.path else str(key)

    def take(self, key):
        """Returns the value and marks it as read. Returns None if the key is missing, or the value is None or could not
        be evaluated."""
        value = self.items.get(key)
        if value is None or isinstance(value, Unknown):
            if value is not None:
                value.used = True
            return None
        if isinstance(value, Leaf) and value.value is None:
            value.used = True
            return None
        mark(value)
        return value

    def type(self, key="type"):
        """Returns the name of the class without package and scope; "" if there is none."""
        value = self.take(key)
        if isinstance(value, Symbol):
            return value.name
        if isinstance(value, Leaf) and isinstance(value.value, str):
            return value.value.split(".")[-1]
        return ""

    def section(self, key):
        """Returns the dict as a Section, whose parts still count as unread; None if it is missing or None."""
        value = self.items.get(key)
        if isinstance(value, Dict):
            value.used = True
            return Section(value, self.at(key), self.report)
        if self.take(key) is not None:
            self.refuse(key, "expected a dict")
        return None

    def sections(self, key):
        """Returns a list of dicts, or a single dict, as Sections."""
        value = self.items.get(key)
        if isinstance(value, List):
            value.used = True
            found = []
            for i, item in enumerate(value.items):
                if isinstance(item, Dict):
                    item.used = True
                    found.append(Section(item, f"{self.at(key)}[{i}]", self.report))
                elif not isinstance(item, Unknown):
                    mark(item)
                    self.report.miss(item.place, f"{self.at(key)}[{i}]", f"{show(item)}: expected a dict")
            return found
        one = self.section(key)
        return [one] if one is not None else []

    def _scalar(self, key, accepts, expected):
        value = self.take(key)
        if value is None:
            return None
        if isinstance(value, Leaf) and accepts(value.value):
            return value
        self.refuse(key, f"expected {expected}")
        return None

    def number(self, key, low=-1e300, high=1e300):
        return self._scalar(
            key,
            lambda v: isinstance(v, (int, float)) and not isinstance(v, bool) and low <= v <= high,
            f"a number of {low:g} to {high:g}" if low > -1e300 else "a number",
        )

    def whole(self, key, low=0, high=2**31 - 1):
        return self._scalar(
            key,
            lambda v: isinstance(v, int) and not isinstance(v, bool) and low <= v <= high,
            f"a whole number of {low} to {high}",
        )

    def flag(self, key):
        return self._scalar(key, lambda v: isinstance(v, bool), "True or False")

    def text(self, key):
        return self._scalar(key, lambda v: isinstance(v, str), "text")

    def is_true(self, key):
        value = self.flag(key)
        return value is not None and value.value

    def numbers(self, key):
        """Returns a list of finite numbers as a List, or None."""
        value = self.take(key)
        if value is None:
            return None
        items = plain(value)
        items = items if isinstance(items, (list, tuple)) else [items]
        if not items or not all(
            isinstance(n, (int, float)) and not isinstance(n, bool) and abs(n) < 1e300 for n in items
        ):
            self.refuse(key, "expected a list of numbers")
            return None
        return value if isinstance(value, List) else List([value], value.place)

    def expect(self, key, allowed, why, feature=None):
        """Reads a setting for which finetune supports only the values `allowed`, and reports any other value."""
        if key in self.items and plain(self.items[key]) not in allowed:
            self.refuse(key, why, feature)
        elif key in self.items:
            mark(self.items[key])

    def note(self, key, why):
        """Reads a setting that needs no counterpart."""
        if key in self.items and not self._already_reported(self.items[key]):
            self.report.note(self.items[key].place, f"{self.at(key)}={show(self.items[key], 60)}", why)
        if key in self.items:
            mark(self.items[key])

    def refuse(self, key, why, feature=None):
        """Reads a setting that has no counterpart."""
        value = self.items.get(key)
        if value is None:
            return
        if not self._already_reported(value):
            self.report.miss(value.place, f"{self.at(key)}={show(value)}", why, feature or self.at(key))
        mark(value)

    def refuse_all(self, why, feature):
        """Reads the whole dict, which has no counterpart."""
        self.report.miss(self.value.place, f"{self.path}={show(self.value)}", why, feature)
        mark(self.value)

    @staticmethod
    def _already_reported(value):
        # The reader has already reported it.
        return isinstance(value, Unknown)

    def report_unread(self, why):
        """Reports every value in this dict that nothing has read."""
        for key, value in self.items.items():
            if key in ("_scope_", "_delete_"):
                mark(value)
            elif not value.used:
                self.refuse(key, why, self.at(key))
            elif isinstance(value, Dict):
                Section(value, self.at(key), self.report).report_unread(why)
            elif isinstance(value, List):
                for i, item in enumerate(value.items):
                    if isinstance(item, Dict) and item.used:
                        Section(item, f"{self.at(key)}[{i}]", self.report).report_unread(why)
                    elif not item.used:
                        self.report.miss(item.place, f"{self.at(key)}[{i}]={show(item)}", why, self.at(key))
                        mark(item)
