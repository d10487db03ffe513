"""Base of the parts of a translation. Each part reads some settings of a config and writes some fields of finetune's."""

import os

from openmmlab import pbtxt
from openmmlab.values import plain, printable

NO_COUNTERPART = "finetune has no counterpart"


class Part:
    """`top`: the whole config as a Section. `output`: the pbtxt.Message of ExperimentConfig, which all parts write to."""

    def __init__(self, top, output, main_file):
        self.top = top
        self.report = top.report
        self.output = output
        self.folder = os.path.dirname(os.path.abspath(main_file))

    def origin(self, value, remark=""):
        """Returns the place of a value as the text of a comment, with a path relative to the config's folder."""
        file = os.path.relpath(os.path.abspath(value.place.file), self.folder)
        return f"{printable(file)}:{value.place.line}" + (f": {remark}" if remark else "")

    def put(self, message, name, leaf, remark="", value=None):
        """Sets a field to a Leaf's value, or to `value`, with the Leaf's place as comment."""
        if leaf is not None:
            message.set(name, leaf.value if value is None else value, self.origin(leaf, remark))

    def backbone_message(self):
        """Returns the message of the backbone, empty if finetune has not the network."""
        return self.output.get("model", pbtxt.Message()).get("backbone", pbtxt.Message())

    def metric(self, leaf):
        """Returns a ValidationMetric for the name of a metric as mmengine's hooks take it: "accuracy/top1". Returns None for
        a metric that finetune does not have, or that no validation measures."""
        name = plain(leaf) if leaf is not None else None
        if name in ("auto", "accuracy/top1", "accuracy", "accuracy_top-1"):
            return pbtxt.Enum("TOP1")
        evaluator = self.top.items.get("val_evaluator")
        evaluator = plain(evaluator) if evaluator is not None else None
        topk = evaluator.get("topk") if isinstance(evaluator, dict) else None
        if name in ("accuracy/top5", "accuracy_top-5") and isinstance(topk, (list, tuple)) and 5 in topk:
            return pbtxt.Enum("TOP5")
        return None

    def mixing(self, section):
        """Translates the `augments` of a section, which mix the images of a batch."""
        augments = section.sections("augments")
        always = plain(section.items["probs"]) in (None, 1, [1], (1,)) if "probs" in section else True
        section.take("probs")
        for augment in augments:
            kind = augment.type()
            if kind not in ("Mixup", "CutMix"):
                augment.refuse_all(f"finetune has no {kind or 'such'} mixing", f"batch augmentation {kind or '?'}")
            elif len(augments) > 1 or not always:
                augment.refuse_all("finetune mixes each batch, and in one way", f"batch augmentation {kind} at times")
            else:
                batch_transform = self.output.message("data").message("train").message("batch_transform")
                self.put(batch_transform.message(kind.lower()), "alpha", augment.number("alpha", 1e-30, 1e30))
                if kind == "CutMix":
                    augment.expect(
                        "cutmix_minmax", (None,), "finetune draws the rectangle's area from Beta(alpha, alpha)"
                    )
                    augment.expect("correct_lam", (True,), "finetune's labels follow the rectangle as it is cut off")
