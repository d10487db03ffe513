"""Translates the optimizer, its rules for single parameters, gradient clipping and mixed precision."""

import re

from openmmlab import pbtxt
from openmmlab.part import NO_COUNTERPART, Part
from openmmlab.values import Dict, plain

# The names of the networks' batch norms, after their parameters' names in src/model.
NORM = r"(\.bn[0-9]*|\.downsample\.1)\."
# Those of depthwise convolutions, by network.
DEPTHWISE = {
    "mobilenet_v2": r"\.layer(1\.[0-9]+\.conv\.0|[2-7]\.[0-9]+\.conv\.1)\.conv\.weight$",
    "mobilenet_v3": r"\.depthwise_conv\.conv\.weight$",
    "efficientnet": r"\.depthwise_conv\.conv\.weight$",
}


class Optimizer(Part):
    """Writes the message `optimizer` and the field `runtime.precision`. Must run after Model."""

    def write(self):
        wrapper = self.top.section("optim_wrapper")
        if wrapper is None:
            self.report.miss(self.top.value.place, "optim_wrapper", "is not set")
            return
        output = self.output.message("optimizer")
        kind = wrapper.type()
        if kind == "AmpOptimWrapper":
            dtype = wrapper.text("dtype")
            self.output.message("runtime").set("precision", pbtxt.Enum("BFLOAT16"), self.origin(dtype or wrapper.value))
            if dtype is not None and dtype.value == "bfloat16":
                wrapper.note("loss_scale", "bfloat16 needs no scaling of the loss")
            else:
                self.report.miss(
                    wrapper.items["type"].place,
                    "optim_wrapper.type='AmpOptimWrapper'",
                    "finetune has bfloat16, which is written, and not float16",
                    "float16",
                )
                wrapper.note("loss_scale", "bfloat16 needs no scaling of the loss")
        elif kind not in ("", "OptimWrapper"):
            wrapper.refuse("type", f"finetune has no optimizer wrapper {kind}", f"optimizer wrapper {kind}")
        sgd = wrapper.section("optimizer")
        if sgd is None:
            self.report.miss(wrapper.value.place, "optim_wrapper.optimizer", "is not set")
        elif sgd.type() == "AdamW":
            self.adam_like(sgd, output.message("adamw"))
            sgd.expect("amsgrad", (False,), "finetune's AdamW is without AMSGrad")
        elif sgd.type() == "Lamb":
            self.lamb(sgd, wrapper, output)
        elif sgd.type() == "LARS":
            self.lars(sgd, output.message("lars"))
        elif sgd.type() != "SGD":
            sgd.refuse_all(
                f"finetune has no optimizer {sgd.type()}; it has SGD, AdamW, Lamb and LARS",
                f"optimizer {sgd.type() or '?'}",
            )
        else:
            message = output.message("sgd")
            for name in ("lr", "momentum", "weight_decay"):
                self.put(message, name, sgd.number(name, 0, 1e30))
            self.put(message, "nesterov", sgd.flag("nesterov"))
            sgd.expect("dampening", (0,), "finetune's SGD has no dampening")
        rules = wrapper.section("paramwise_cfg")
        if rules is not None:
            if self.output.message("model").has("backbone"):
                self.rules(rules, output)
            else:
                rules.refuse_all(
                    "it depends on the backbone's names, and finetune has not this backbone",
                    "paramwise_cfg of a backbone that is not there",
                )
        clip = wrapper.section("clip_grad")
        if clip is not None and clip.type() not in ("", "norm"):
            clip.refuse_all("finetune clips by the norm of all gradients", "clipping by value")
        elif clip is not None:
            self.put(output.message("clip_gradient"), "max_norm", clip.number("max_norm", 1e-30, 1e30))
            clip.expect("norm_type", (2,), "finetune clips by the L2 norm")
            clip.expect("error_if_nonfinite", (False,), NO_COUNTERPART)
        wrapper.expect(
            "constructor",
            ("DefaultOptimWrapperConstructor", None),
            "finetune has one lr for all but optimizer.rule",
            "layer-wise lr decay",
        )
        counts = wrapper.whole("accumulative_counts", 1)
        if counts is not None and counts.value > 1 and self.counts_iterations():
            wrapper.refuse(
                "accumulative_counts",
                "an iteration is a whole step here and a part of one there: divide what the schedule "
                "counts in iterations, and see base_batch_size",
                "accumulation with a schedule by iteration",
            )

    def lamb(self, lamb, wrapper, output):
        """mmpretrain's Lamb, which is timm's: it scales all gradients to a norm of at most 1 unless told otherwise."""
        message = output.message("lamb")
        self.adam_like(lamb, message)
        self.put(message, "trust_clip", lamb.flag("trust_clip"))
        self.put(message, "always_adapt", lamb.flag("always_adapt"))
        for key in ("bias_correction", "grad_averaging"):
            lamb.expect(key, (True,), "finetune's LAMB has it always")
        norm = lamb.number("max_grad_norm", 1e-30, 1e30)
        if "clip_grad" in wrapper and plain(wrapper.items["clip_grad"]) is not None:
            self.report.miss(
                lamb.value.place,
                lamb.at("max_grad_norm"),
                "gradients are clipped twice there, by clip_grad and by Lamb; by clip_grad alone here",
                "clipping by Lamb besides clip_grad",
            )
            return
        output.message("clip_gradient").set(
            "max_norm",
            norm.value if norm is not None else 1.0,
            self.origin(norm or lamb.value, "Lamb's own" if norm is not None else "Lamb's default"),
        )

    def lars(self, lars, message):
        """mmpretrain's LARS, which has a trust ratio for every parameter, unless a custom key sets lars_exclude."""
        for name, key in (
            ("lr", "lr"),
            ("momentum", "momentum"),
            ("weight_decay", "weight_decay"),
            ("trust_coefficient", "eta"),
            ("epsilon", "eps"),
        ):
            self.put(message, name, lars.number(key, 0, 1e30))
        nesterov = lars.flag("nesterov")
        self.put(message, "nesterov", nesterov)
        lars.expect("dampening", (0,), "finetune's LARS has no dampening")
        message.set("always_adapt", True, self.origin(lars.value, "as there"))
        if "momentum" in lars:
            self.report.miss(
                lars.items["momentum"].place,
                lars.at("momentum"),
                "a step's lr multiplies the gradient before it enters the momentum there, and the momentum here: they differ "
                "while lr changes",
                "momentum of LARS",
            )

    def adam_like(self, adamw, message):
        self.put(message, "lr", adamw.number("lr", 0, 1e30))
        betas = adamw.numbers("betas")
        if betas is not None and len(betas.items) == 2:
            for name, beta in zip(("beta1", "beta2"), plain(betas)):
                message.set(name, beta, self.origin(betas))
        elif betas is not None:
            adamw.refuse("betas", "expected two numbers")
        self.put(message, "epsilon", adamw.number("eps", 0, 1e30))
        self.put(message, "weight_decay", adamw.number("weight_decay", 0, 1e30))

    def counts_iterations(self):
        loop = self.top.items.get("train_cfg")
        loop = plain(loop) if isinstance(loop, Dict) else {}
        schedulers = self.top.items.get("param_scheduler")
        schedulers = plain(schedulers) if schedulers is not None else []
        schedulers = schedulers if isinstance(schedulers, list) else [schedulers]
        return "max_iters" in loop or any(isinstance(s, dict) and s.get("by_epoch") is False for s in schedulers)

    def rules(self, rules, output):
        """Writes the rules in mmengine's order: the longest matching custom key comes first, then rules for norms, then
        for biases."""

        def add(pattern, lr, decay, place):
            rule = output.add("rule")
            rule.set("match", pattern, self.origin(place))
            if lr is not None:
                rule.set("lr_multiplier", lr.value)
            if decay is not None:
                rule.set("weight_decay_multiplier", decay.value)

        keys = rules.section("custom_keys")
        if keys is not None:
            names = sorted(sorted(name for name in keys.items if isinstance(name, str) and name), key=len, reverse=True)
            for name in names:
                rule = keys.section(name)
                if rule is not None:
                    add(
                        re.sub(r"([.^$*+?()\[\]{}|\\])", r"\\\1", name),
                        rule.number("lr_mult", 0, 1e30),
                        rule.number("decay_mult", 0, 1e30),
                        rule.value,
                    )
        norm_decay = rules.number("norm_decay_mult", 0, 1e30)
        bias_decay = rules.number("bias_decay_mult", 0, 1e30)
        bias_lr = rules.number("bias_lr_mult", 0, 1e30)
        if norm_decay is not None:
            add(NORM, None, norm_decay, norm_decay)
        elif bias_lr is not None:
            # mmengine does not change the lr of a norm's bias.
            add(NORM + "bias", None, bias_decay, bias_lr)
        if bias_decay is not None or bias_lr is not None:
            add(r"\.bias$", bias_lr, bias_decay, bias_decay or bias_lr)
        backbone = self.output.message("model").message("backbone")
        pattern = next((pattern for name, pattern in DEPTHWISE.items() if backbone.has(name)), None)
        if pattern is None:
            rules.note("dwconv_decay_mult", "the backbone has no depthwise convolutions")
        else:
            decay = rules.number("dwconv_decay_mult", 0, 1e30)
            if decay is not None:
                add(pattern, None, decay, decay)
        rules.note("bypass_duplicate", "no parameter is used twice")
