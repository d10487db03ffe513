"""Translates the run's length, the schedule of the learning rate and the interval of validations."""

from openmmlab import pbtxt
from openmmlab.legacy import MMCV_WARMUP
from openmmlab.part import NO_COUNTERPART, Part
from openmmlab.values import Dict, plain

WARMUPS = ("LinearLR", MMCV_WARMUP)
# The schedules that may begin where the warm-up ends.
FOLLOWING = ("CosineAnnealingLR", "PolyLR", "MultiStepLR", "StepLR", "ExponentialLR")


class Schedule(Part):
    """Writes the message `schedule`."""

    # Whether the warm-up is that of mmcv, which multiplies the whole rate, as finetune's.
    has_mmcv_warmup = False

    def write(self):
        output = self.output.message("schedule")
        loop = self.top.section("train_cfg")
        self.epochs = self.iterations = None
        if loop is None:
            self.report.miss(self.top.value.place, "train_cfg", "is not set")
        else:
            self.length(loop, output)
        self.schedulers(output)
        scale = self.top.section("auto_scale_lr")
        if scale is not None:
            self.put(
                output,
                "base_batch_size",
                scale.whole("base_batch_size", 1),
                "all ranks' images of an iteration for which lr was chosen",
            )
            enable = scale.flag("enable")
            if enable is not None and "base_batch_size" in scale:
                self.put(output, "auto_scale_lr", enable)
        for key in ("val_cfg", "test_cfg"):
            section = self.top.section(key)
            if section is not None:
                section.type()
                section.expect("fp16", (False,), "finetune validates in the precision it trains in")

    def length(self, loop, output):
        kind = loop.type()
        by_epoch = loop.flag("by_epoch")
        by_iteration = kind == "IterBasedTrainLoop" or by_epoch is not None and not by_epoch.value
        if kind not in ("", "EpochBasedTrainLoop", "IterBasedTrainLoop"):
            loop.refuse("type", f"finetune has no loop {kind}", f"training loop {kind}")
        if by_iteration:
            length = loop.whole("max_iters", 1, 2**62)
            self.iterations = length.value if length is not None else None
            self.put(output, "max_iterations", length)
        else:
            length = loop.whole("max_epochs", 1)
            self.epochs = length.value if length is not None else None
            self.put(output, "max_epochs", length)
        if length is None:
            self.report.miss(
                loop.value.place, "train_cfg." + ("max_iters" if by_iteration else "max_epochs"), "is not set"
            )
        interval = loop.whole("val_interval", 1)
        if not isinstance(self.top.items.get("val_dataloader"), Dict):
            output.set("val_interval_epochs", 0, self.origin(loop.value, "val_dataloader is not set"))
        elif by_iteration:
            output.set(
                "val_interval_iterations",
                interval.value if interval is not None else 1000,
                self.origin(interval or loop.value, "" if interval is not None else "mmengine's default"),
            )
        else:
            self.put(output, "val_interval_epochs", interval)
        loop.expect("val_begin", (0, 1), "finetune validates from the first epoch on")
        loop.expect("dynamic_intervals", (None,), NO_COUNTERPART)

    @staticmethod
    def kind(scheduler):
        """Returns the type's name, of the two that mmengine knows it by the one for learning rates."""
        kind = scheduler.type()
        return kind[: -len("ParamScheduler")] + "LR" if kind.endswith("ParamScheduler") else kind

    def schedulers(self, output):
        written = None
        # The warm-up's end, and whether it is in epochs.
        warmup_end = None
        # The warm-up comes first, because the others depend on it.
        for scheduler in sorted(self.top.sections("param_scheduler"), key=lambda one: self.kind(one) not in WARMUPS):
            kind = self.kind(scheduler)
            by_epoch = scheduler.flag("by_epoch")
            by_epoch = by_epoch is None or by_epoch.value
            converted = scheduler.is_true("convert_to_iter_based")
            per_iteration = converted or not by_epoch
            begin = scheduler.whole("begin")
            begin = begin.value if begin is not None else 0
            end = scheduler.whole("end", 1, 2**62)
            total = self.epochs if by_epoch else self.iterations
            scheduler.expect("param_name", ("lr",), "finetune schedules the learning rate")
            scheduler.note("verbose", "it does not change the result")
            if kind in WARMUPS:
                if self.warmup(scheduler, output, begin, end, by_epoch, per_iteration, total):
                    warmup_end = (end.value, by_epoch)
                continue
            write = {
                "MultiStepLR": self.multi_step,
                "StepLR": self.steps,
                "ExponentialLR": self.steps,
                "CosineAnnealingLR": self.cosine,
                "ReduceOnPlateauLR": self.plateau,
                "PolyLR": self.poly,
                "OneCycleLR": self.one_cycle,
                "CosineRestartLR": self.restarts,
            }.get(kind)
            if written is not None or write is None:
                why = (
                    f"finetune has no schedule {kind}"
                    if write is None
                    else f"finetune has one schedule, and {written} is it"
                )
                scheduler.refuse_all(why, f"schedule {kind}")
                continue
            follows = begin > 0 and warmup_end == (begin, by_epoch)
            if kind not in FOLLOWING and begin != 0 or kind not in ("CosineAnnealingLR", "PolyLR") and (
                end is not None and end.value != total
            ):
                scheduler.refuse_all("finetune's schedule spans the whole run", "schedule of a part of the run")
                continue
            if begin > 0 and not follows:
                scheduler.refuse_all(
                    "finetune's schedule begins with the run or where the warm-up ends", "schedule of a part of the run"
                )
                continue
            if write(scheduler, output, total, by_epoch, per_iteration, begin, end):
                written = kind
                # A schedule that became a constant has no begin.
                if follows and not output.has("constant"):
                    output.message("warmup").set(
                        "schedule_follows", True, self.origin(scheduler.items["begin"], "the end of the warm-up")
                    )
        if written is None and not any(finding.path.startswith("param_scheduler") for finding in self.report.missing):
            output.set("constant", pbtxt.Message())

    def warmup(self, scheduler, output, begin, end, by_epoch, per_iteration, total):
        start = scheduler.number("start_factor", 0, 1)
        last = scheduler.number("end_factor", 0, 1)
        if (
            begin != 0
            or end is None
            or last is not None
            and last.value != 1
            or total is not None
            and end.value >= total
        ):
            scheduler.refuse_all(
                "finetune warms up from the run's start to the full rate, and ends before the run does",
                "LinearLR other than a warm-up",
            )
            return False
        if output.has("warmup"):
            scheduler.refuse_all("finetune has one warm-up", "second warm-up")
            return False
        is_mmcv = self.has_mmcv_warmup = scheduler.type() == MMCV_WARMUP
        if not is_mmcv and end.value < 2 and not (by_epoch and per_iteration):
            scheduler.refuse_all("mmengine's LinearLR needs two steps or more", "LinearLR other than a warm-up")
            return False
        message = output.message("warmup")
        self.put(message, "epochs" if by_epoch else "iterations", end)
        message.set(
            "start_factor",
            start.value if start is not None else 1 / 3,
            self.origin(start or scheduler.value, "" if start is not None else "mmengine's default"),
        )
        if not is_mmcv:
            message.set("ends_at_full_rate", True, self.origin(scheduler.value, "as mmengine's LinearLR"))
        if by_epoch and not per_iteration:
            message.set("unit", pbtxt.Enum("EPOCH"), self.origin(scheduler.value, "once an epoch, by_epoch"))
        return True

    def below_warmup(self, scheduler, output, minimum):
        """Reports a schedule that falls to more than 0 and begins within a warm-up: mmengine's recursion then multiplies only a part of
        the rate."""
        if output.has("warmup") and minimum is not None and minimum.value > 0 and not self.has_mmcv_warmup:
            self.report.miss(
                minimum.place,
                f"{scheduler.path}.eta_min={minimum.value:g}",
                "the warm-up raises only the part of the rate above eta_min there, and the whole rate here",
                "warm-up over eta_min",
            )

    def learning_rate(self):
        """Returns the optimizer's lr; None if it is not set."""
        wrapper = self.top.items.get("optim_wrapper")
        optimizer = plain(wrapper).get("optimizer") if isinstance(wrapper, Dict) else None
        lr = optimizer.get("lr") if isinstance(optimizer, dict) else None
        return lr if isinstance(lr, (int, float)) and not isinstance(lr, bool) else None

    def has_rates(self):
        """Returns whether some parameters have another rate than the schedule's."""
        optimizer = self.output.message("optimizer")
        return optimizer.has("layer_decay") or any("lr_multiplier" in line for line in optimizer.lines())

    def check_least(self, scheduler, key, least):
        """Reports a least rate that is over 0 and does not hold for every parameter."""
        if least is not None and least.value > 0 and self.has_rates():
            self.report.miss(
                least.place,
                f"{scheduler.path}.{key}={least.value:g}",
                "it is the least rate of every parameter there; here a parameter's multiplier multiplies it, too",
                f"{key} beside rates of single parameters",
            )

    def minimum(self, scheduler, message):
        """Translates eta_min or eta_min_ratio."""
        minimum, ratio = scheduler.number("eta_min", 0, 1e30), scheduler.number("eta_min_ratio", 0, 1)
        lr = self.learning_rate()
        if minimum is not None and lr is not None and minimum.value > lr:
            scheduler.refuse("eta_min", "it is above the learning rate")
            return None
        if minimum is not None:
            self.put(message, "min_lr", minimum)
            self.check_least(scheduler, "eta_min", minimum)
            return minimum
        if ratio is not None and lr is not None:
            self.put(message, "min_lr", ratio, f"{ratio.value:g} of lr", ratio.value * lr)
            return ratio
        message.set("min_lr", 0, self.origin(scheduler.value, "mmengine's default"))
        return None

    def poly(self, scheduler, output, total, by_epoch, per_iteration, begin, end):
        """Translates PolyLR, which reaches eta_min in its last step, and not after it."""
        if total is None or end is None or end.value not in (total, total + 1):
            scheduler.refuse_all("finetune's poly spans the run to its end", "PolyLR over a part of the run")
            return False
        message = output.message("poly")
        self.put(message, "power", scheduler.number("power", 1e-30, 1e30))
        minimum = self.minimum(scheduler, message)
        if not per_iteration:
            message.set("unit", pbtxt.Enum("EPOCH"), self.origin(scheduler.value, "once an epoch, by_epoch"))
        if end.value == total or by_epoch and per_iteration:
            unit = "iteration" if per_iteration else "epoch"
            self.report.miss(
                scheduler.value.place,
                f"{scheduler.path}.end={end.value}",
                (
                    f"in the n-th {unit} of N, from 0, (1 - n / (N - 1))^power there and (1 - n / N)^power here"
                    if end.value == total
                    else f"the rate falls over {total + 1 - begin} epochs less an iteration there, and over {total - begin} here"
                ),
                "PolyLR that ends one step earlier",
            )
        if begin == 0:
            self.below_warmup(scheduler, output, minimum)
        return True

    def one_cycle(self, scheduler, output, total, by_epoch, per_iteration, begin, end):
        steps, peak = scheduler.whole("total_steps", 1, 2**62), scheduler.number("eta_max", 1e-30, 1e30)
        share = scheduler.number("pct_start", 0, 0.999999)
        curve = scheduler.text("anneal_strategy")
        if (
            total is None
            or not per_iteration
            or peak is None
            or steps is not None
            and steps.value != total
            or steps is None
            and end is None
            or share is None
            and "pct_start" in scheduler
            or curve is not None
            and curve.value not in ("cos", "linear")
            or scheduler.is_true("three_phase")
            or output.has("warmup")
            or self.has_rates()
        ):
            scheduler.refuse_all(
                "finetune's one_cycle changes after every iteration, over the whole run, in two phases, with one rate for all parameters",
                "OneCycleLR",
            )
            return False
        message = output.message("one_cycle")
        self.put(message, "pct_start", share)
        self.put(message, "div_factor", scheduler.number("div_factor", 1, 1e30))
        self.put(message, "final_div_factor", scheduler.number("final_div_factor", 1e-30, 1e30))
        if curve is not None and curve.value == "linear":
            self.put(message, "anneal", curve, value=pbtxt.Enum("LINEAR"))
        optimizer = self.output.message("optimizer")
        for kind in ("sgd", "adamw", "lars", "lamb", "rmsprop"):
            if optimizer.has(kind) and optimizer.get(kind).has("lr"):
                optimizer.get(kind).change(
                    "lr", peak.value, self.origin(peak, "eta_max, which replaces the optimizer's lr")
                )
        scale = self.top.items.get("auto_scale_lr")
        if isinstance(scale, Dict) and plain(scale).get("enable") is True:
            self.report.miss(
                peak.place,
                f"{scheduler.path}.eta_max",
                "auto_scale_lr does not scale it there, and does here",
                "OneCycleLR that is scaled",
            )
        return True

    def restarts(self, scheduler, output, total, by_epoch, per_iteration, begin, end):
        periods, weights = scheduler.numbers("periods"), scheduler.numbers("restart_weights")
        lengths = plain(periods) if periods is not None else []
        are_whole = bool(lengths) and all(isinstance(n, int) and 0 < n < 2**31 for n in lengths)
        factor = lengths[1] // lengths[0] if are_whole and len(lengths) > 1 else 1
        if (
            total is None
            or not are_whole
            or lengths[0] >= total
            or sum(lengths) < total
            or factor > 1000
            or any(b != a * factor for a, b in zip(lengths, lengths[1:]))
            or weights is not None
            and any(weight != 1 for weight in plain(weights))
            or output.has("warmup")
        ):
            scheduler.refuse_all(
                "finetune's cosine_restarts begins each period with the full rate, and each is a whole number of times as long as the one "
                "before it, until the run's end",
                "CosineRestartLR",
            )
            return False
        message = output.message("cosine_restarts")
        message.set("first_epochs" if by_epoch else "first_iterations", lengths[0], self.origin(periods))
        if factor != 1:
            message.set("multiplier", factor, self.origin(periods))
        self.minimum(scheduler, message)
        if not per_iteration:
            self.report.miss(
                scheduler.value.place,
                f"{scheduler.path}.convert_to_iter_based",
                "the rate falls once an epoch there and every iteration here",
                "CosineRestartLR by epoch",
            )
        return True

    def multi_step(self, scheduler, output, total, by_epoch, per_iteration, begin, end):
        milestones = scheduler.take("milestones")
        gamma = scheduler.number("gamma", 1e-30, 1e30)
        steps = plain(milestones) if milestones is not None else None
        steps = steps if isinstance(steps, (list, tuple)) else [steps]
        if not all(isinstance(step, int) and 0 < step < 2**62 for step in steps):
            scheduler.refuse_all("expected milestones, rising whole numbers", "milestones")
            return False
        # A schedule that begins after the warm-up counts its milestones from there, in both programs.
        reached = sorted(set(step for step in steps if total is None or step < total - begin))
        self.write_steps(
            output,
            reached,
            by_epoch,
            gamma,
            milestones,
            "" if len(reached) == len(steps) else f"of {list(steps)}, those before the run's end",
        )
        return True

    def steps(self, scheduler, output, total, by_epoch, per_iteration, begin, end):
        """Translates StepLR and ExponentialLR into a multi_step schedule with the same milestones."""
        size = scheduler.whole("step_size", 1)
        gamma = scheduler.number("gamma", 1e-30, 1e30)
        every = size.value if size is not None else 1
        if total is None or total // every > 10_000 or per_iteration and by_epoch and size is None:
            scheduler.refuse_all("finetune has no schedule by step size", "StepLR")
            return False
        self.write_steps(
            output,
            list(range(every, total - begin, every)),
            by_epoch,
            gamma,
            size or gamma or scheduler.value,
            f"every {every}",
        )
        return True

    def write_steps(self, output, milestones, by_epoch, gamma, place, remark):
        if not milestones:
            output.set("constant", pbtxt.Message(), self.origin(place, remark))
            return
        message = output.message("multi_step")
        message.set("milestones", milestones, self.origin(place, remark))
        self.put(message, "gamma", gamma)
        if not by_epoch:
            message.set("unit", pbtxt.Enum("ITERATION"))

    def plateau(self, scheduler, output, total, by_epoch, per_iteration, begin, end):
        metric = self.metric(scheduler.take("monitor"))
        rule = scheduler.text("rule")
        if metric is None or rule is None or rule.value != "greater":
            scheduler.refuse_all(
                "finetune translates it for monitor='accuracy/top1' and rule='greater'", "plateau of another measure"
            )
            return False
        message = output.message("plateau")
        message.set("metric", metric, self.origin(scheduler.items["monitor"]))
        self.put(message, "factor", scheduler.number("factor", 1e-30, 0.999999))
        self.put(message, "patience", scheduler.whole("patience"))
        absolute = scheduler.text("threshold_rule")
        absolute = absolute is not None and absolute.value == "abs"
        threshold = scheduler.number("threshold", 0, 100)
        if absolute:
            message.set("threshold_mode", pbtxt.Enum("ABSOLUTE"), self.origin(scheduler.items["threshold_rule"]))
            percent = threshold.value if threshold is not None else 1e-4
            message.set("threshold", percent / 100, self.origin(threshold or scheduler.value, "in percent there"))
        else:
            self.put(message, "threshold", threshold)
        self.put(message, "cooldown", scheduler.whole("cooldown"))
        least = scheduler.number("min_value", 0, 1e30)
        self.put(message, "min_lr", least)
        self.check_least(scheduler, "min_value", least)
        scheduler.expect("eps", (1e-8,), "finetune makes no reduction of 1e-8 or less")
        return True

    def cosine(self, scheduler, output, total, by_epoch, per_iteration, begin, end):
        span = scheduler.whole("T_max", 1, 2**62)
        length = span.value if span is not None else (end.value if end is not None else total or 0) - begin
        if (
            total is None
            or begin + length != total
            or end is not None
            and end.value < total
        ):
            scheduler.refuse_all(
                f"finetune's cosine spans the run to its end, {total} {'epochs' if by_epoch else 'iterations'}",
                "cosine over a part of the run",
            )
            return False
        message = output.message("cosine")
        minimum = self.minimum(scheduler, message)
        if begin == 0:
            self.below_warmup(scheduler, output, minimum)
        if not per_iteration:
            message.set("unit", pbtxt.Enum("EPOCH"), self.origin(scheduler.value, "once an epoch, by_epoch"))
        return True
