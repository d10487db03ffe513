"""Translates a config of mmpretrain 1.x into finetune's language (src/config/experiment.proto).

Each part reads some of the config as Sections and writes one message. Section.refuse reports a setting that has no
counterpart in finetune. Section.note reports a setting that needs none, because finetune does the same anyway or
because it does not change the result. Settings that no part has read are reported at the end.
"""

from openmmlab import legacy, pbtxt
from openmmlab.data import Data
from openmmlab.model import Model
from openmmlab.optimizer import Optimizer
from openmmlab.part import NO_COUNTERPART
from openmmlab.runtime import Runtime
from openmmlab.schedule import Schedule
from openmmlab.section import Report, Section
from openmmlab.values import Unknown, plain

# The names that mmengine's Runner reads from a config. It ignores all others.
RUNNER = {
    "model",
    "work_dir",
    "train_dataloader",
    "val_dataloader",
    "test_dataloader",
    "train_cfg",
    "val_cfg",
    "test_cfg",
    "auto_scale_lr",
    "optim_wrapper",
    "param_scheduler",
    "val_evaluator",
    "test_evaluator",
    "default_hooks",
    "custom_hooks",
    "data_preprocessor",
    "load_from",
    "resume",
    "launcher",
    "env_cfg",
    "log_processor",
    "log_level",
    "visualizer",
    "default_scope",
    "randomness",
    "experiment_name",
    "custom_imports",
    "tta_model",
    "tta_pipeline",
}


def translate(config, main_file, report=None):
    """Translates a Dict that the reader returned for `main_file`. Returns (pbtxt.Message, Report)."""
    report = report or Report()
    if legacy.is_legacy(config):
        config = legacy.modernise(config, report)
    top = Section(config, "", report)
    output = pbtxt.Message()
    for part in (Model, Data, Optimizer, Schedule, Runtime):
        part(top, output, main_file).write()
    _report_unread(top)
    output.sort(("model", "data", "optimizer", "schedule", "runtime", "comm"))
    return output, report


def _report_unread(top):
    """Reports every value that nothing has read."""
    for key, value in list(top.items.items()):
        if value.used or key in RUNNER:
            continue
        if key in legacy.NAMES and not isinstance(value, Unknown) and plain(value) is not None:
            top.refuse(key, "mmpretrain 1.x does not read it; it is a name of 0.x", "names of 0.x in a config of 1.x")
        else:
            # A variable that only the config itself uses, such as train_pipeline.
            top.note(key, "a variable that mmengine does not read")
    top.report_unread(NO_COUNTERPART)
