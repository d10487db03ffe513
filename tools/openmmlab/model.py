"""The network, its first weights, its head and its loss."""

from openmmlab import pbtxt
from openmmlab.part import NO_COUNTERPART, Part
from openmmlab.section import mark
from openmmlab.values import plain

RESNET_DEPTHS = (18, 34, 50, 101, 152)


class Model(Part):
    """Writes the message `model` and the field `comm.sync_batch_norm`."""

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
        lenet_classes = None
        if backbone is None:
            self.report.miss(model.value.place, "model.backbone", "is not set")
        else:
            lenet_classes = self.backbone(backbone, output)
        neck = model.section("neck")
        if neck is not None:
            kind = neck.type()
            if kind == "GlobalAveragePooling":
                neck.expect("dim", (2,), "finetune pools over height and width")
                output.message("neck").set("kind", pbtxt.Enum("GLOBAL_AVERAGE_POOLING"), self.origin(neck.value))
            else:
                neck.refuse_all(f"finetune has no neck {kind}", f"neck {kind}")
        elif "neck" in model and lenet_classes is not None:
            output.message("neck").set("kind", pbtxt.Enum("NONE"), self.origin(model.items["neck"]))
        elif "neck" in model and output.has("backbone"):
            model.refuse("neck", "finetune's ResNet ends in a global average pooling")
        self.head(model, output, lenet_classes)
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
        """Returns LeNet-5's own number of classes as a Leaf; None for other networks."""
        kind = backbone.type()
        if kind == "LeNet5":
            model.message("backbone").set("lenet5", pbtxt.Message(), self.origin(backbone.value))
            self.initial_weights(backbone, model.message("backbone"))
            return backbone.whole("num_classes", 2)
        depth = backbone.whole("depth") if kind in ("ResNet", "ResNet_CIFAR") else None
        if depth is None or depth.value not in RESNET_DEPTHS:
            name = kind if depth is None else f"{kind}-{depth.value}"
            backbone.refuse_all(
                f"finetune has no backbone {name}; it has ResNet-18, -34, -50, -101, -152 and LeNet-5",
                f"backbone {kind or '?'}",
            )
            return None
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
        channels = backbone.whole("base_channels", 1, 1024)
        stem = backbone.whole("stem_channels", 1, 1024)
        width = channels.value if channels is not None else 64
        if (stem.value if stem is not None else 64) != width:
            backbone.refuse(
                "stem_channels" if stem is not None else "base_channels",
                "finetune's stem has as many channels as the first stage is wide",
            )
        if channels is not None and width != 64:
            self.put(resnet, "base_channels", channels)
        frozen = backbone.whole("frozen_stages", -1, 4)
        self.put(output, "frozen_stages", frozen)
        norm_eval = backbone.flag("norm_eval")
        self.put(output, "norm_eval", norm_eval)
        pretrained = self.initial_weights(backbone, output)
        zero = backbone.flag("zero_init_residual")
        if (zero is None or zero.value) and not pretrained:
            place = zero or backbone.value
            resnet.set(
                "zero_init_residual", True, self.origin(place, "" if zero is not None else "mmpretrain's default")
            )
        norm = backbone.section("norm_cfg")
        if norm is not None:
            kind = norm.type()
            if kind == "SyncBN":
                self.output.message("comm").set("sync_batch_norm", True, self.origin(norm.value))
            elif kind != "BN":
                norm.refuse("type", "finetune's ResNet has batch norm")
            norm.expect(
                "requires_grad", (True,), "finetune trains the scale and shift of every batch norm that is not frozen"
            )
            norm.expect("eps", (1e-5,), "finetune's batch norm has an epsilon of 1e-5")
            norm.expect("momentum", (0.1,), "finetune's batch norm has a momentum of 0.1")
        backbone.expect("in_channels", (3,), "finetune's ResNet takes 3 channels")
        backbone.expect("num_stages", (4,), "finetune's ResNet has 4 stages")
        backbone.expect("out_indices", ((3,), [3]), "finetune classifies by the last stage alone")
        backbone.expect("strides", ((1, 2, 2, 2), [1, 2, 2, 2]), "finetune's stages have the strides 1, 2, 2, 2")
        backbone.expect("dilations", ((1, 1, 1, 1), [1, 1, 1, 1]), "finetune's convolutions are not dilated")
        backbone.expect("drop_path_rate", (0,), "finetune has no drop path", "drop path")
        for key in ("expansion", "conv_cfg"):
            backbone.expect(key, (None,), NO_COUNTERPART)
        for key in ("deep_stem", "avg_down"):
            backbone.expect(key, (False,), "finetune's ResNet is the one of 2015")
        backbone.note("with_cp", "it trades memory for time and does not change the result")
        return None

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

    def head(self, model, output, lenet_classes):
        head = model.section("head")
        if head is None:
            self.report.miss(model.value.place, "model.head", "is not set")
            return
        kind = head.type()
        classes = head.whole("num_classes", 2, 1 << 20)
        if kind == "ClsHead" and lenet_classes is not None:
            classes = lenet_classes
        elif kind != "LinearClsHead":
            head.refuse_all(f"finetune has no head {kind}; its head is one linear layer", f"head {kind}")
        message = output.message("head")
        self.put(message, "num_classes", classes)
        if classes is None:
            self.report.miss(head.value.place, "model.head.num_classes", "is not set")
        if kind not in ("LinearClsHead", "ClsHead"):
            return
        head.expect(
            "init_cfg",
            (dict(type="Normal", layer="Linear", std=0.01),),
            "finetune starts the head as mmpretrain does by " "default: normal, deviation 0.01",
            "init_cfg",
        )
        head.note("in_channels", "it follows from the backbone")
        head.note("topk", "val_evaluator says what is measured")
        head.note("cal_acc", "finetune measures accuracy on data.val")
        loss = head.section("loss")
        if loss is not None:
            self.loss(loss, message)

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
        elif kind != "CrossEntropyLoss":
            loss.refuse_all(f"finetune has no loss {kind}", f"loss {kind}")
            return
        loss.expect("loss_weight", (1,), "finetune does not scale the loss")
        loss.expect("use_sigmoid", (False, None), "finetune has no binary cross-entropy", "binary cross-entropy")
        loss.expect("use_soft", (False,), "finetune's labels are whole numbers", "soft labels")
        loss.expect("reduction", ("mean",), "finetune's loss is the mean of a batch")
        weights = plain(loss.items["class_weight"]) if "class_weight" in loss.items else None
        if isinstance(weights, (list, tuple)) and all(isinstance(weight, (int, float)) for weight in weights):
            mark(loss.items["class_weight"])
            output = head.message("class_weights")
            output.set("weight", [float(weight) for weight in weights], self.origin(loss.items["class_weight"]))
        else:
            loss.expect("class_weight", (None,), "finetune takes one number for each class", "class weights")
        loss.expect("pos_weight", (None,), "finetune has no binary cross-entropy", "binary cross-entropy")
