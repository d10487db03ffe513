"""A part of a translation: reads some of a config and writes some of finetune's."""

import os

from openmmlab.values import printable

NO_COUNTERPART = "finetune has no counterpart"
# Fields of experiment.proto that the program does not follow yet. They are written, and named as missing all the same.
PENDING = ("optimizer.adamw",)


class Part:
    """`top`: the whole config as a Section. `output`: the pbtxt.Message of ExperimentConfig, which all parts write to."""

    def __init__(self, top, output, main_file):
        self.top = top
        self.report = top.report
        self.output = output
        self.folder = os.path.dirname(os.path.abspath(main_file))

    def origin(self, value, remark=""):
        """The place of a value, as a comment: relative to the config's folder."""
        file = os.path.relpath(os.path.abspath(value.place.file), self.folder)
        return f"{printable(file)}:{value.place.line}" + (f": {remark}" if remark else "")

    def put(self, message, name, leaf, remark="", value=None):
        """Sets a field to a Leaf's value, or to `value`, with the Leaf's place as comment."""
        if leaf is not None:
            message.set(name, leaf.value if value is None else value, self.origin(leaf, remark))

    def pending(self, value, path, field):
        """Names a setting whose counterpart is one of PENDING."""
        if field in PENDING:
            self.report.miss(
                value.place, path, f"{field} is written for it; this program does not follow it yet", field
            )


def refuse_augments(section):
    """Names each mixing of a batch's pictures."""
    for augment in section.sections("augments"):
        augment.refuse_all("finetune does not mix pictures of a batch", f"batch augmentation {augment.type() or '?'}")
