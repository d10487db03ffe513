"""The network, its first weights, its head and its loss."""

from openmmlab import pbtxt
from openmmlab.part import NO_COUNTERPART, Part
from openmmlab.section import mark
from openmmlab.values import plain

RESNET_DEPTHS = (18, 34, 50, 101, 152)
BOTTLENECK_DEPTHS = (50, 101, 152)
# The classes that finetune's ResNet stands for, and the depths that each has there.
RESNET_VARIANTS = {
    "ResNet": RESNET_DEPTHS,
    "ResNet_CIFAR": RESNET_DEPTHS,
    "ResNetV1c": RESNET_DEPTHS,
    "ResNetV1d": RESNET_DEPTHS,
    "ResNeXt": BOTTLENECK_DEPTHS,
    "SEResNet": BOTTLENECK_DEPTHS,
    "SEResNeXt": BOTTLENECK_DEPTHS,
}
REGNETS = {
    "regnetx_400mf": "X_400MF",
    "regnetx_800mf": "X_800MF",
    "regnetx_1.6gf": "X_1600MF",
    "regnetx_3.2gf": "X_3200MF",
    "regnetx_8.0gf": "X_8GF",
}
VGG_DEPTHS = (11, 13, 16, 19)
# frozen_stages of mmpretrain, and of finetune where it freezes the same layers.
EFFICIENTNET_FROZEN = {0: -1, 1: 0, 2: 1, 3: 2, 4: 3, 5: 5, 7: 7}
EFFICIENTNET_BLOCKS = {"b0": 16, "b1": 23, "b2": 23, "b3": 26, "b4": 32}
MOBILENET_V2_FROZEN = {stage: stage for stage in range(-1, 7)}
MOBILENET_V3_FROZEN = {
    "large": {-1: -1, 0: 0, 1: 1, 3: 2, 6: 3, 10: 4, 12: 5},
    "small": {-1: -1, 0: 0, 1: 1, 3: 2, 6: 3, 8: 4},
}
MOBILENET_V3_HIDDEN = {"large": 1280, "small": 1024}


class Model(Part):
    """Writes the message `model` and the field `comm.sync_batch_norm`."""

    # The features of the network's hidden layer; None where it has none.
    hidden = None

    def write(self):
        model = self.top.section("model")
        if model is None:
            self.report.miss(
                self.top.value.place, "model", "is not set; expected model=dict(type='ImageClassifier', ...)"
            )
            return
        kind = model.type()
        if kind not in ("ImageClassifier", ""):
            model.refuse_all(f"{kind}: finetune trains image classifiers", f"model {kind}")
            return
        output = self.output.message("model")
        backbone = model.section("backbone")
        own_classes = None
        if backbone is None:
            self.report.miss(model.value.place, "model.backbone", "is not set")
        else:
            own_classes = self.backbone(backbone, output)
        neck = model.section("neck")
        if neck is not None:
            kind = neck.type()
            if kind == "GlobalAveragePooling":
                neck.expect("dim", (2,), "finetune pools over height and width")
                output.message("neck").set("kind", pbtxt.Enum("GLOBAL_AVERAGE_POOLING"), self.origin(neck.value))
            else:
                neck.refuse_all(f"finetune has no neck {kind}", f"neck {kind}")
        elif "neck" in model and own_classes is not None:
            output.message("neck").set("kind", pbtxt.Enum("NONE"), self.origin(model.items["neck"]))
        elif "neck" in model and output.has("backbone"):
            model.refuse("neck", "finetune's network ends in a global average pooling")
        self.head(model, output, own_classes)
        self.whole_checkpoint(model)
        train_cfg = model.section("train_cfg")
        if train_cfg is not None:
            self.mixing(train_cfg)
        if "data_preprocessor" in model:
            # mmengine prefers the model's own data_preprocessor to the one at the top level.
            self.top.note("data_preprocessor", "the model has its own")
            self.top.items["data_preprocessor"] = model.items["data_preprocessor"]
            model.items["data_preprocessor"].used = True

    def backbone(self, backbone, model):
        """Returns the number of classes of a network that has its own last layer, LeNet-5 or VGG, as a Leaf; None for others."""
        kind = backbone.type()
        if kind == "LeNet5":
            model.message("backbone").set("lenet5", pbtxt.Message(), self.origin(backbone.value))
            self.initial_weights(backbone, model.message("backbone"))
            return backbone.whole("num_classes", 2)
        if kind == "VGG":
            return self.vgg(backbone, model)
        known = {
            **dict.fromkeys(RESNET_VARIANTS, self.resnet),
            "RegNet": self.regnet,
            "MobileNetV2": self.mobilenet_v2,
            "MobileNetV3": self.mobilenet_v3,
            "EfficientNet": self.efficientnet,
        }
        if kind in known:
            known[kind](backbone, model)
        else:
            self.has_not(backbone, kind)
        return None

    def has_not(self, backbone, name):
        backbone.refuse_all(
            f"finetune has no backbone {name}; it has ResNet-18, -34, -50, -101, -152, ResNetV1c, ResNetV1d, ResNeXt, SEResNet, "
            "SEResNeXt, RegNetX-400MF to -8GF, VGG with batch norm, MobileNetV2, MobileNetV3 (large, small), EfficientNet-B0 to "
            "-B4 and LeNet-5",
            f"backbone {name or '?'}",
        )

    def regnet(self, backbone, model):
        arch = backbone.text("arch")
        if arch is None or arch.value not in REGNETS:
            self.has_not(backbone, "RegNet" if arch is None else f"RegNet {arch.value}")
            return
        output = model.message("backbone")
        regnet = output.add("regnet", self.origin(backbone.value))
        self.put(regnet, "variant", arch, value=pbtxt.Enum(REGNETS[arch.value]))
        self.put(output, "frozen_stages", backbone.whole("frozen_stages", -1, 4))
        self.common(backbone, output, "RegNet", last=3, epsilon=1e-5, momentum=0.1)
        self.zero_init(backbone, regnet, output.has("pretrained"))

    def vgg(self, backbone, model):
        """Returns the number of classes of the hidden layers' network; None for one without hidden layers."""
        depth = backbone.whole("depth")
        name = "VGG" if depth is None else f"VGG-{depth.value}"
        if depth is None or depth.value not in VGG_DEPTHS or backbone.section("norm_cfg") is None:
            self.has_not(backbone, name if "norm_cfg" in backbone else f"{name} without batch norm")
            return None
        output = model.message("backbone")
        network = output.add("vgg", self.origin(backbone.value))
        self.put(network, "depth", depth)
        classes = backbone.whole("num_classes", -1, 1 << 20)
        has_hidden = classes is not None and classes.value > 0
        if has_hidden:
            origin = self.origin(classes, "mmpretrain's hidden layers")
            network.set("hidden_dropout", 0.5, origin)
            model.message("head").set("dropout", 0.5, origin)
        else:
            network.set("hidden_features", 0, self.origin(backbone.value, "no num_classes"))
        # mmpretrain never freezes the hidden layers, which belong to finetune's last stage.
        self.frozen(backbone, output, {-1: -1, **{k: k - 1 for k in range(5)}, **({} if has_hidden else {5: 4})})
        last = 5 if has_hidden else 4
        self.common(backbone, output, "VGG", last=last, epsilon=1e-5, momentum=0.1)
        backbone.expect("num_stages", (5,), "finetune's VGG has 5 groups of convolutions")
        backbone.expect("dilations", ((1,) * 5, [1] * 5), "finetune's convolutions are not dilated")
        backbone.expect("act_cfg", (dict(type="ReLU"),), "finetune's VGG has ReLU")
        backbone.expect("ceil_mode", (False,), "finetune's poolings round down")
        backbone.expect("with_last_pool", (True,), "finetune's VGG ends in a pooling")
        backbone.expect("conv_cfg", (None,), NO_COUNTERPART)
        return classes if has_hidden else None

    def mobilenet_v2(self, backbone, model):
        output = model.message("backbone")
        width = backbone.number("widen_factor", 0.1, 4)
        network = output.add("mobilenet_v2", self.origin(backbone.value))
        if width is not None and width.value != 1:
            self.put(network, "width", width)
        self.frozen(backbone, output, MOBILENET_V2_FROZEN)
        self.common(backbone, output, "MobileNetV2", last=7, epsilon=1e-5, momentum=0.1)
        backbone.expect("conv_cfg", (None,), NO_COUNTERPART)
        backbone.expect("act_cfg", (dict(type="ReLU6"),), "finetune's MobileNetV2 has ReLU6")

    def mobilenet_v3(self, backbone, model):
        arch = backbone.text("arch")
        size = arch.value if arch is not None else "small"
        if size not in MOBILENET_V3_FROZEN:
            self.has_not(backbone, f"MobileNetV3 {size}")
            return
        output = model.message("backbone")
        network = output.add("mobilenet_v3", self.origin(backbone.value))
        if size == "small":
            network.set(
                "variant",
                pbtxt.Enum("SMALL"),
                self.origin(arch or backbone.value, "" if arch is not None else "mmpretrain's default"),
            )
        self.hidden = MOBILENET_V3_HIDDEN[size]
        self.frozen(backbone, output, MOBILENET_V3_FROZEN[size])
        self.common(
            backbone, output, "MobileNetV3", last=16 if size == "large" else 12, epsilon=1e-3, momentum=0.01
        )
        backbone.expect("conv_cfg", (None,), NO_COUNTERPART)

    def efficientnet(self, backbone, model):
        arch = backbone.text("arch")
        name = arch.value if arch is not None else "b0"
        if name not in EFFICIENTNET_BLOCKS:
            self.has_not(backbone, f"EfficientNet {name}")
            return
        output = model.message("backbone")
        network = output.add("efficientnet", self.origin(backbone.value))
        if name != "b0":
            self.put(network, "variant", arch, value=int(name[1]))
        blocks = EFFICIENTNET_BLOCKS[name]
        rate = backbone.number("drop_path_rate", 0, 0.9)
        if rate is not None and rate.value > 0:
            # There the last block has the rate, here the one behind it would have.
            ours = float(f"{rate.value * blocks / (blocks - 1):.7g}")
            self.put(network, "drop_path", rate, f"{rate.value:g} * {blocks} / {blocks - 1}", ours)
        self.frozen(backbone, output, EFFICIENTNET_FROZEN)
        self.common(backbone, output, "EfficientNet", last=6, epsilon=1e-3, momentum=0.1)
        backbone.expect("conv_cfg", (dict(type="Conv2dAdaptivePadding"),), "finetune's pads as TensorFlow does")
        backbone.expect("act_cfg", (dict(type="Swish"),), "finetune's EfficientNet has SiLU")

    def frozen(self, backbone, output, ours):
        """Writes frozen_stages by the number that freezes the same layers."""
        frozen = backbone.whole("frozen_stages", -1, 100)
        if frozen is None:
            return
        if frozen.value in ours:
            same = ours[frozen.value] == frozen.value
            remark = "" if same else f"{frozen.value} in mmpretrain, which counts in another way"
            self.put(output, "frozen_stages", frozen, remark, ours[frozen.value])
        else:
            backbone.refuse("frozen_stages", "no frozen_stages of finetune freezes these layers", "frozen_stages")

    def common(self, backbone, output, name, last, epsilon, momentum):
        """Settings that the networks after ResNet share. `last`: the index of the last stage's result."""
        self.put(output, "norm_eval", backbone.flag("norm_eval"))
        self.initial_weights(backbone, output)
        self.norm(backbone, name, epsilon, momentum)
        backbone.expect("out_indices", ((last,), [last], None), "finetune classifies by the last stage alone")
        backbone.note("with_cp", "it trades memory for time and does not change the result")

    def norm(self, backbone, name, epsilon, momentum):
        norm = backbone.section("norm_cfg")
        if norm is None:
            return
        kind = norm.type()
        if kind == "SyncBN":
            self.output.message("comm").set("sync_batch_norm", True, self.origin(norm.value))
        elif kind != "BN":
            norm.refuse("type", f"finetune's {name} has batch norm")
        norm.expect(
            "requires_grad", (True,), "finetune trains the scale and shift of every batch norm that is not frozen"
        )
        for key, ours, default, word in (("eps", epsilon, 1e-5, "an epsilon"), ("momentum", momentum, 0.1, "a momentum")):
            why = f"finetune's {name} has batch norms with {word} of {ours:g}"
            if key in norm:
                norm.expect(key, (ours,), why)
            elif default != ours:
                # mmcv's default.
                self.report.miss(norm.value.place, f"{norm.path}.{key}", f"is {default:g}; {why}")

    def resnet(self, backbone, model):
        kind = backbone.type()
        depth = backbone.whole("depth")
        if depth is None or depth.value not in RESNET_VARIANTS[kind]:
            self.has_not(backbone, kind if depth is None else f"{kind}-{depth.value}")
            return
        output = model.message("backbone")
        resnet = output.message("resnet")
        self.put(resnet, "depth", depth)
        if kind == "ResNet_CIFAR":
            resnet.set("stem", pbtxt.Enum("CIFAR"), self.origin(backbone.value))
        style = backbone.text("style")
        if style is not None and style.value in ("pytorch", "caffe"):
            if style.value == "caffe":
                resnet.set("style", pbtxt.Enum("CAFFE"), self.origin(style))
        elif style is not None:
            backbone.refuse("style", "expected pytorch or caffe")
        self.resnet_stem(backbone, resnet, kind)
        self.resnet_blocks(backbone, resnet, kind)
        frozen = backbone.whole("frozen_stages", -1, 4)
        self.put(output, "frozen_stages", frozen)
        norm_eval = backbone.flag("norm_eval")
        self.put(output, "norm_eval", norm_eval)
        pretrained = self.initial_weights(backbone, output)
        self.zero_init(backbone, resnet, pretrained)
        self.norm(backbone, "ResNet", 1e-5, 0.1)
        backbone.expect("in_channels", (3,), "finetune's ResNet takes 3 channels")
        backbone.expect("num_stages", (4,), "finetune's ResNet has 4 stages")
        backbone.expect("out_indices", ((3,), [3]), "finetune classifies by the last stage alone")
        backbone.expect("strides", ((1, 2, 2, 2), [1, 2, 2, 2]), "finetune's stages have the strides 1, 2, 2, 2")
        backbone.expect("dilations", ((1, 1, 1, 1), [1, 1, 1, 1]), "finetune's convolutions are not dilated")
        backbone.expect("drop_path_rate", (0,), "finetune has no drop path", "drop path")
        backbone.expect("conv_cfg", (None,), NO_COUNTERPART)
        backbone.note("with_cp", "it trades memory for time and does not change the result")

    def zero_init(self, backbone, network, pretrained):
        zero = backbone.flag("zero_init_residual")
        if (zero is None or zero.value) and not pretrained:
            place = zero or backbone.value
            network.set(
                "zero_init_residual", True, self.origin(place, "" if zero is not None else "mmpretrain's default")
            )

    def resnet_stem(self, backbone, resnet, kind):
        deep, down = backbone.flag("deep_stem"), backbone.flag("avg_down")
        if kind in ("ResNetV1c", "ResNetV1d"):
            resnet.set("stem", pbtxt.Enum("DEEP"), self.origin(backbone.value))
        elif deep is not None and deep.value:
            resnet.set("stem", pbtxt.Enum("DEEP"), self.origin(deep))
        if kind == "ResNetV1d":
            resnet.set("avg_down", True, self.origin(backbone.value))
        elif down is not None and down.value:
            self.put(resnet, "avg_down", down)

    def resnet_blocks(self, backbone, resnet, kind):
        """Translates the channels of the stem and of the blocks."""
        channels = backbone.whole("base_channels", 1, 1024)
        stem = backbone.whole("stem_channels", 1, 1024)
        expansion = backbone.whole("expansion", 1, 64)
        width = channels.value if channels is not None else 64
        base = stem.value if stem is not None else 64
        has_groups = kind in ("ResNeXt", "SEResNeXt")
        if expansion is not None and not has_groups and width * expansion.value == 4 * base and width * 64 % base == 0:
            # As Wide-ResNet-50-2: blocks as wide as base_channels, whose results are those of a usual ResNet.
            if width != base:
                remark = f"base_channels {width} and expansion {expansion.value}"
                self.put(resnet, "width_per_group", expansion, remark, width * 64 // base)
        elif expansion is not None:
            backbone.refuse("expansion", "finetune's bottlenecks have results of 4 times stem_channels")
        elif width != base:
            backbone.refuse(
                "stem_channels" if stem is not None else "base_channels",
                "finetune's stem has as many channels as the first stage is wide",
            )
        if base != 64:
            self.put(resnet, "base_channels", stem)
        if has_groups:
            if width != 64:
                backbone.refuse("base_channels", "finetune counts width_per_group for 64 base_channels")
            for key, default in (("groups", 32), ("width_per_group", 4)):
                value = backbone.whole(key, 1, 1024)
                if value is None:
                    resnet.set(key, default, self.origin(backbone.value, "mmpretrain's default"))
                else:
                    self.put(resnet, key, value)
        if kind in ("SEResNet", "SEResNeXt"):
            ratio = backbone.whole("se_ratio", 1, 256)
            if ratio is None:
                resnet.set("se_ratio", 16, self.origin(backbone.value, "mmpretrain's default"))
            else:
                self.put(resnet, "se_ratio", ratio)

    def initial_weights(self, backbone, output):
        """Translates init_cfg. Returns whether it names a checkpoint."""
        found = False
        for init in backbone.sections("init_cfg"):
            if init.type() != "Pretrained":
                init.refuse_all("finetune chooses how a network without a checkpoint begins", "init_cfg")
                continue
            checkpoint = init.text("checkpoint")
            prefix = init.text("prefix")
            if checkpoint is None or not checkpoint.value:
                init.refuse_all("it names no checkpoint", "init_cfg")
            elif self.checkpoint_is_readable(init, "checkpoint", checkpoint):
                pretrained = output.message("pretrained")
                self.put(pretrained, "checkpoint", checkpoint)
                self.put(pretrained, "prefix", prefix)
                found = True
            init.expect("map_location", ("cpu", None), NO_COUNTERPART)
        return found

    def checkpoint_is_readable(self, section, key, checkpoint):
        scheme = checkpoint.value.partition("://")[0] if "://" in checkpoint.value else ""
        if scheme in ("", "file", "http", "https"):
            return True
        section.refuse(
            key,
            f"finetune does not know {scheme}://; give the file or its https:// address",
            f"checkpoints of {scheme}://",
        )
        return False

    def whole_checkpoint(self, model):
        """Translates load_from, model.pretrained and model.init_cfg: weights of backbone and head. The first one that
        is set is used."""
        sources = [(self.top, "load_from"), (model, "pretrained")]
        for init in model.sections("init_cfg"):
            if init.type() == "Pretrained":
                sources.append((init, "checkpoint"))
            else:
                init.refuse_all("finetune chooses how a network without a checkpoint begins", "init_cfg")
        for section, key in sources:
            checkpoint = section.text(key)
            if checkpoint is None or not self.checkpoint_is_readable(section, key, checkpoint):
                continue
            output = self.output.message("model")
            if not output.has("backbone"):
                section.refuse(
                    key, "its weights are those of a network that finetune has not", "weights of another network"
                )
                continue
            # mmengine loads this checkpoint over the backbone's own.
            if output.message("backbone").has("pretrained"):
                self.report.note(checkpoint.place, "model.backbone.init_cfg", f"the weights of {key} replace its own")
            pretrained = output.message("backbone").replace("pretrained")
            self.put(pretrained, "checkpoint", checkpoint)
            pretrained.set("with_head", True, self.origin(checkpoint, "all weights, the head's too"))
            break

    def head(self, model, output, own_classes):
        head = model.section("head")
        if head is None:
            self.report.miss(model.value.place, "model.head", "is not set")
            return
        kind = head.type()
        classes = head.whole("num_classes", 2, 1 << 20)
        if kind == "ClsHead" and own_classes is not None:
            classes = own_classes
        elif kind == "StackedLinearClsHead" and self.hidden is not None:
            self.stacked(head, output.message("head"))
        elif kind != "LinearClsHead" or self.hidden is not None:
            head.refuse_all(f"finetune has no head {kind}; its head is one linear layer", f"head {kind}")
        message = output.message("head")
        self.put(message, "num_classes", classes)
        if classes is None:
            self.report.miss(head.value.place, "model.head.num_classes", "is not set")
        if kind not in ("LinearClsHead", "ClsHead", "StackedLinearClsHead"):
            return
        head.expect(
            "init_cfg",
            (
                dict(type="Normal", layer="Linear", std=0.01),
                dict(type="Normal", layer="Linear", mean=0.0, std=0.01, bias=0.0),
            ),
            "finetune starts the head as mmpretrain does by " "default: normal, deviation 0.01",
            "init_cfg",
        )
        head.note("in_channels", "it follows from the backbone")
        head.note("topk", "val_evaluator says what is measured")
        head.note("cal_acc", "finetune measures accuracy on data.val")
        loss = head.section("loss")
        if loss is not None:
            self.loss(loss, message)

    def stacked(self, head, message):
        """MobileNetV3's head, whose hidden layer is finetune's last stage."""
        head.expect(
            "mid_channels",
            ([self.hidden], (self.hidden,)),
            f"finetune's network has one hidden layer of {self.hidden} features",
            "hidden layers of another size",
        )
        head.expect("act_cfg", (dict(type="HSwish"),), "finetune's hidden layer has hard-swish")
        head.expect("norm_cfg", (None,), "finetune's hidden layer has no batch norm")
        dropout = head.number("dropout_rate", 0, 0.999999)
        if dropout is not None and dropout.value > 0:
            self.put(message, "dropout", dropout)

    def loss(self, loss, head):
        kind = loss.type()
        if kind == "LabelSmoothLoss":
            smoothing = loss.number("label_smooth_val", 0, 0.999999)
            mode = loss.text("mode")
            mode = mode.value if mode is not None else "original"
            if smoothing is not None and mode == "original":
                self.put(head, "label_smoothing", smoothing)
            elif smoothing is not None and mode == "classy_vision":
                share = smoothing.value
                self.put(
                    head,
                    "label_smoothing",
                    smoothing,
                    f"{share:g} / (1 + {share:g}), mode classy_vision",
                    share / (1 + share),
                )
            else:
                loss.refuse(
                    "mode" if "mode" in loss else "label_smooth_val",
                    "finetune has no such smoothing",
                    f"smoothing {mode}",
                )
            loss.note("num_classes", "it is the head's")
        elif kind == "FocalLoss":
            focal = head.message("focal")
            self.put(focal, "gamma", loss.number("gamma", 0, 1e30))
            self.put(focal, "alpha", loss.number("alpha", 0, 1))
        elif kind != "CrossEntropyLoss":
            loss.refuse_all(f"finetune has no loss {kind}", f"loss {kind}")
            return
        loss.expect("loss_weight", (1,), "finetune does not scale the loss")
        if loss.is_true("use_sigmoid"):
            remark = "mmpretrain divides by the images alone"
            head.message("bce").set("sum_classes", True, self.origin(loss.items["use_sigmoid"], remark))
        loss.expect("use_soft", (False,), "finetune's labels are whole numbers", "soft labels")
        loss.expect("reduction", ("mean",), "finetune's loss is the mean of a batch")
        weights = plain(loss.items["class_weight"]) if "class_weight" in loss.items else None
        if isinstance(weights, (list, tuple)) and all(isinstance(weight, (int, float)) for weight in weights):
            mark(loss.items["class_weight"])
            output = head.message("class_weights")
            output.set("weight", [float(weight) for weight in weights], self.origin(loss.items["class_weight"]))
        else:
            loss.expect("class_weight", (None,), "finetune takes one number for each class", "class weights")
        loss.expect("pos_weight", (None,), "finetune's binary cross-entropy has one weight for each class", "pos_weight")
