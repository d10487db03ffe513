"""Translates the optimizer, its rules for single parameters, gradient clipping and mixed precision."""

import re

from openmmlab import names, pbtxt
from openmmlab.part import NO_COUNTERPART, Part
from openmmlab.values import Dict, plain

# The names of the networks' norms, after their parameters' names in src/model.
NORM = r"(\.bn[0-9]*|\.downsample\.1)\."
# With avg_down, a pooling is the first layer of the shortcuts that have a stride.
NORM_AFTER_POOLING = r"(\.bn[0-9]*|\.layer1\.0\.downsample\.1|\.layer[2-4]\.0\.downsample\.2)\."
NORMS = {
    "densenet": r"\.(norm[12]?|stem\.1|transitions\.3\.0)\.",
    "convnext": r"(\.downsample_layers\.(0\.1|[1-3]\.0)|\.norm3?)\.",
    "vit": r"\.ln[12]\.",
    "swin": r"\.norm[1-3]?\.",
}
# Those of other parameters of one dimension that are not biases.
FLAT = {"convnext": r"\.(gamma|beta)$", "vit": r"\.gamma[12]\.weight$"}
# Those of depthwise convolutions, by network.
DEPTHWISE = {
    "mobilenet_v2": r"\.layer(1\.[0-9]+\.conv\.0|[2-7]\.[0-9]+\.conv\.1)\.conv\.weight$",
    "mobilenet_v3": r"\.depthwise_conv\.conv\.weight$",
    "efficientnet": r"\.depthwise_conv\.conv\.weight$",
    "efficientnet_v2": r"\.depthwise_conv\.conv\.weight$",
    "convnext": r"\.depthwise_conv\.weight$",
}
# Words in the names of parameters that only transformers have.
ONLY_TRANSFORMERS = ("cls_token", "pos_embed", "relative_position")
LAYER_DECAY = "LearningRateDecayOptimWrapperConstructor"


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
        elif sgd.type() == "RMSprop":
            self.rmsprop(sgd, output.message("rmsprop"))
        elif sgd.type() != "SGD":
            sgd.refuse_all(
                f"finetune has no optimizer {sgd.type()}; it has SGD, AdamW, RMSprop, Lamb and LARS",
                f"optimizer {sgd.type() or '?'}",
            )
        else:
            message = output.message("sgd")
            for name in ("lr", "momentum", "weight_decay"):
                self.put(message, name, sgd.number(name, 0, 1e30))
            self.put(message, "nesterov", sgd.flag("nesterov"))
            sgd.expect("dampening", (0,), "finetune's SGD has no dampening")
        rules = wrapper.section("paramwise_cfg")
        constructor = wrapper.type("constructor")
        if rules is not None:
            if self.output.message("model").has("backbone"):
                has_layer_decay = constructor == LAYER_DECAY
                if has_layer_decay:
                    self.layer_decay(rules, output)
                self.rules(rules, output, has_layer_decay)
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
        if constructor not in ("", "DefaultOptimWrapperConstructor", LAYER_DECAY):
            wrapper.refuse(
                "constructor", "finetune has optimizer.rule and optimizer.layer_decay", f"constructor {constructor}"
            )
        counts = wrapper.whole("accumulative_counts", 1)
        if counts is not None and counts.value > 1 and self.counts_iterations():
            wrapper.refuse(
                "accumulative_counts",
                "an iteration is a whole step here and a part of one there: divide what the schedule "
                "counts in iterations, and see base_batch_size",
                "accumulation with a schedule by iteration",
            )

    def rmsprop(self, rmsprop, message):
        """Translates torch.optim.RMSprop."""
        for name, key in (
            ("lr", "lr"),
            ("alpha", "alpha"),
            ("epsilon", "eps"),
            ("momentum", "momentum"),
            ("weight_decay", "weight_decay"),
        ):
            self.put(message, name, rmsprop.number(key, 0, 1e30))
        self.put(message, "centered", rmsprop.flag("centered"))

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

    def layer_decay(self, rules, output):
        """Translates what LearningRateDecayOptimWrapperConstructor reads and the usual constructor does not."""
        for key in ("bias_lr_mult", "dwconv_decay_mult"):
            rules.note(key, f"{LAYER_DECAY} does not read it")
        keys = rules.section("custom_keys")
        for name in keys.items if keys is not None else ():
            rule = keys.section(name)
            if rule is not None:
                rule.note("lr_mult", f"{LAYER_DECAY} does not read it")
        rate = rules.number("layer_decay_rate", 1e-30, 1)
        if rate is None or rate.value == 1:
            return
        if not self.backbone_message().has("vit"):
            rules.refuse(
                "layer_decay_rate",
                "finetune's optimizer.layer_decay goes by stages, as frozen_stages counts them; mmpretrain's goes by groups of blocks "
                "here",
                "layer-wise lr decay",
            )
            return
        self.put(output, "layer_decay", rate)

    def counts_iterations(self):
        loop = self.top.items.get("train_cfg")
        loop = plain(loop) if isinstance(loop, Dict) else {}
        schedulers = self.top.items.get("param_scheduler")
        schedulers = plain(schedulers) if schedulers is not None else []
        schedulers = schedulers if isinstance(schedulers, list) else [schedulers]
        return "max_iters" in loop or any(isinstance(s, dict) and s.get("by_epoch") is False for s in schedulers)

    def rules(self, rules, output, has_layer_decay):
        """Writes the rules in mmengine's order: the longest matching custom key comes first, then rules for norms, then
        for biases, depthwise convolutions and other parameters of one dimension. finetune refuses a rule that matches no
        parameter, so such rules are left out where the names are known. `has_layer_decay`: layer_decay() has read the settings
        that its constructor does not use."""
        backbone = self.backbone_message()
        kind = next((name for name in (*NORMS, *DEPTHWISE) if backbone.has(name)), "")
        free = names.trained_parameters(self.output.get("model"))

        def add(pattern, lr, decay, place):
            nonlocal free
            if free is not None:
                left = [name for name in free if not re.search(pattern, name)]
                if len(left) == len(free):
                    self.report.note(place.place, rules.path, f"no trained parameter that is left matches {pattern}")
                    return
                free = left
            rule = output.add("rule")
            rule.set("match", pattern, self.origin(place))
            if lr is not None:
                rule.set("lr_multiplier", lr.value)
            if decay is not None:
                rule.set("weight_decay_multiplier", decay.value)

        keys = rules.section("custom_keys")
        if keys is not None:
            custom = [name for name in keys.items if isinstance(name, str) and name]
            for name in sorted(sorted(custom), key=len, reverse=True):
                if free is None and any(word in name for word in ONLY_TRANSFORMERS):
                    keys.note(name, "no parameter of the network has such a name")
                    continue
                rule = keys.section(name)
                if rule is not None:
                    add(
                        re.sub(r"([.^$*+?()\[\]{}|\\])", r"\\\1", name),
                        None if has_layer_decay else rule.number("lr_mult", 0, 1e30),
                        rule.number("decay_mult", 0, 1e30),
                        rule.value,
                    )
        has_pooling = backbone.get("resnet", pbtxt.Message()).get("avg_down", False)
        norm = NORMS.get(kind, NORM_AFTER_POOLING if has_pooling else NORM)
        norm_decay = rules.number("norm_decay_mult", 0, 1e30)
        bias_decay = rules.number("bias_decay_mult", 0, 1e30)
        bias_lr = None if has_layer_decay else rules.number("bias_lr_mult", 0, 1e30)
        flat_decay = rules.number("flat_decay_mult", 0, 1e30)
        if norm_decay is not None:
            add(norm, None, norm_decay, norm_decay)
        elif bias_lr is not None:
            # mmengine does not change the lr of a norm's bias.
            add(norm + "bias", None, bias_decay or flat_decay, bias_lr)
        if norm_decay is None and flat_decay is not None:
            add(norm + "weight", None, flat_decay, flat_decay)
        if bias_decay is not None or bias_lr is not None or flat_decay is not None:
            add(r"\.bias$", bias_lr, bias_decay or flat_decay, bias_decay or bias_lr or flat_decay)
        if kind not in DEPTHWISE:
            rules.note("dwconv_decay_mult", "the backbone has no depthwise convolutions")
        elif not has_layer_decay:
            decay = rules.number("dwconv_decay_mult", 0, 1e30)
            if decay is not None:
                add(DEPTHWISE[kind], None, decay, decay)
        if flat_decay is not None and kind in FLAT:
            add(FLAT[kind], None, flat_decay, flat_decay)
        rules.note("bypass_duplicate", "no parameter is used twice")
