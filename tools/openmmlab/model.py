"""The network, its first weights, its head and its loss."""

from openmmlab import pbtxt
from openmmlab.part import NO_COUNTERPART, Part
from openmmlab.section import mark
from openmmlab.values import Leaf, plain, show, to_value

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
CONVNEXTS = {name: name.upper() for name in ("tiny", "small", "base", "large", "atto", "femto", "pico", "nano")}
# mmpretrain's names of VisionTransformer's sizes, and finetune's fields. Others have hidden layers that are not four times as wide.
VITS = {
    **dict.fromkeys(("b", "base", "deit-b", "deit-base"), {"variant": "BASE"}),
    **dict.fromkeys(("l", "large"), {"variant": "LARGE"}),
    **dict.fromkeys(("h", "huge"), {"variant": "LARGE", "width": 1280, "depth": 32}),
    **dict.fromkeys(("deit-t", "deit-tiny"), {"variant": "TINY"}),
    **dict.fromkeys(("deit-s", "deit-small", "dinov2-s", "dinov2-small"), {"variant": "SMALL"}),
}
VIT_DEPTHS = {"SMALL": 12, "BASE": 12, "LARGE": 24, "TINY": 12}
SWINS = {key: name for name in ("TINY", "SMALL", "BASE", "LARGE") for key in (name[0].lower(), name.lower())}
# frozen_stages of mmpretrain, and of finetune where it freezes the same layers.
CONVNEXT_FROZEN = {0: -1, 1: 1, 2: 2, 3: 3}
SWIN_FROZEN = {-1: -1, 0: 1, 1: 2, 2: 3, 3: 4}
EFFICIENTNET_FROZEN = {0: -1, 1: 0, 2: 1, 3: 2, 4: 3, 5: 5, 7: 7}
EFFICIENTNET_BLOCKS = {"b0": 16, "b1": 23, "b2": 23, "b3": 26, "b4": 32}
# mmpretrain's names of EfficientNetV2's sizes: finetune's, and the number of blocks and of stages.
EFFICIENTNET_V2 = {
    **dict.fromkeys(("s", "small"), ("S", 40, 6)),
    **dict.fromkeys(("m", "medium"), ("M", 57, 7)),
    **dict.fromkeys(("l", "large"), ("L", 79, 7)),
    "xl": ("XL", 100, 7),
    "b0": ("BASE_0", 21, 6),
    "b1": ("BASE_1", 27, 6),
    "b2": ("BASE_2", 28, 6),
    "b3": ("BASE_3", 32, 6),
}
DENSENET_DEPTHS = ("121", "161", "169", "201")
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
    # Whether the network's features are vectors, which no neck averages.
    has_vectors = False
    # The standard deviation with which finetune starts the head's weights.
    head_deviation = 0.01
    # Whether a checkpoint gives the backbone and the head their first weights.
    loads_all = False

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
        self.model = model
        self.loads_all = self.is_loaded_whole(model)
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
        elif "neck" in model and (own_classes is not None or self.has_vectors):
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
            "EfficientNetV2": self.efficientnet_v2,
            "DenseNet": self.densenet,
            "ConvNeXt": self.convnext,
            "VisionTransformer": self.vit,
            "SwinTransformer": self.swin,
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
            "-B4, EfficientNetV2, DenseNet-121, -161, -169, -201, ConvNeXt (atto to large), VisionTransformer (without distillation), SwinTransformer (tiny to large) and LeNet-5",
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
        self.common(backbone, output, "MobileNetV3", last=16 if size == "large" else 12, epsilon=1e-3, momentum=0.01)
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
        self.drop_path(backbone, network, EFFICIENTNET_BLOCKS[name])
        self.frozen(backbone, output, EFFICIENTNET_FROZEN)
        self.common(backbone, output, "EfficientNet", last=6, epsilon=1e-3, momentum=0.1)
        backbone.expect("conv_cfg", (dict(type="Conv2dAdaptivePadding"),), "finetune's pads as TensorFlow does")
        backbone.expect("act_cfg", (dict(type="Swish"),), "finetune's EfficientNet has SiLU")

    def efficientnet_v2(self, backbone, model):
        arch = backbone.text("arch")
        name = arch.value if arch is not None else "s"
        if name not in EFFICIENTNET_V2:
            self.has_not(backbone, f"EfficientNetV2 {name}")
            return
        variant, blocks, stages = EFFICIENTNET_V2[name]
        output = model.message("backbone")
        network = output.add("efficientnet_v2", self.origin(backbone.value))
        if variant != "S":
            self.put(network, "variant", arch, value=pbtxt.Enum(variant))
        self.drop_path(backbone, network, blocks)
        self.frozen(backbone, output, {layers: layers - 1 for layers in range(stages + 1)})
        self.common(backbone, output, "EfficientNetV2", last=stages + 1, epsilon=1e-3, momentum=0.1)
        backbone.expect("conv_cfg", (dict(type="Conv2dAdaptivePadding"),), "finetune's pads as TensorFlow does")
        backbone.expect("act_cfg", (dict(type="Swish"),), "finetune's EfficientNetV2 has SiLU")

    def densenet(self, backbone, model):
        arch = backbone.take("arch")
        name = plain(arch) if arch is not None else "121"
        if name not in DENSENET_DEPTHS:
            self.has_not(backbone, f"DenseNet {name if isinstance(name, str) else 'of its own sizes'}")
            return
        output = model.message("backbone")
        network = output.add("densenet", self.origin(backbone.value))
        if name != "121":
            network.set("depth", int(name), self.origin(arch))
        # mmpretrain freezes no stem, so its other numbers have no counterpart.
        self.frozen(backbone, output, {0: -1})
        self.common(backbone, output, "DenseNet", last=3, epsilon=1e-5, momentum=0.1)
        backbone.expect("in_channels", (3,), "finetune's DenseNet takes 3 channels")
        backbone.expect("bn_size", (4,), "finetune's layers have 1x1 convolutions of 4 times the growth rate")
        backbone.expect("drop_rate", (0,), "finetune's DenseNet has no dropout in its layers")
        backbone.expect("compression_factor", (0.5,), "finetune's transitions halve the channels")
        backbone.expect("act_cfg", (dict(type="ReLU"),), "finetune's DenseNet has ReLU")
        backbone.note("memory_efficient", "it trades time for memory and does not change the result")

    def convnext(self, backbone, model):
        arch = backbone.text("arch")
        name = arch.value if arch is not None else "tiny" if "arch" not in backbone else "of its own sizes"
        if name not in CONVNEXTS:
            self.has_not(backbone, f"ConvNeXt {name}")
            return
        output = model.message("backbone")
        network = output.add("convnext", self.origin(backbone.value))
        self.has_vectors, self.head_deviation = True, 0.02
        if name != "tiny":
            self.put(network, "variant", arch, value=pbtxt.Enum(CONVNEXTS[name]))
        scale = backbone.number("layer_scale_init_value", 0, 1e30)
        if backbone.is_true("use_grn"):
            network.set("version", pbtxt.Enum("V2"), self.origin(backbone.items["use_grn"]))
            if scale is None or scale.value != 0:
                self.report.miss(
                    (scale or backbone.value).place,
                    backbone.at("layer_scale_init_value"),
                    "is not 0 beside use_grn; finetune's ConvNeXt V2 has no layer scales",
                )
        else:
            self.put(network, "layer_scale_init", scale)
        self.put(network, "drop_path", backbone.number("drop_path_rate", 0, 0.999999))
        self.frozen(backbone, output, CONVNEXT_FROZEN)
        self.initial_weights(backbone, output)
        backbone.expect("in_channels", (3,), "finetune's ConvNeXt takes 3 channels")
        backbone.expect("stem_patch_size", (4,), "finetune's stem has a stride of 4")
        backbone.expect("norm_cfg", (dict(type="LN2d", eps=1e-6),), "finetune's layer norms have an epsilon of 1e-6")
        backbone.expect("act_cfg", (dict(type="GELU"),), "finetune's ConvNeXt has GELU")
        backbone.expect("out_indices", (-1, 3, (-1,), [-1], (3,), [3]), "finetune classifies by the last stage alone")
        backbone.expect("gap_before_final_norm", (True,), "finetune averages over the pixels before the last norm")
        backbone.note("linear_pw_conv", "both give the same result")
        backbone.note("with_cp", "it trades memory for time and does not change the result")

    def vit(self, backbone, model):
        sizes = self.vit_sizes(backbone)
        if sizes is None:
            return
        sides = [self.side(backbone, key, default) for key, default in (("img_size", 224), ("patch_size", 16))]
        if None in sides or sides[0].value % sides[1].value:
            backbone.refuse_all("finetune's images are squares of whole patches", "VisionTransformer of other images")
            return
        output = model.message("backbone")
        network = output.add("vit", self.origin(backbone.value))
        self.has_vectors = True
        arch = backbone.items.get("arch", backbone.value)
        for name, value in sizes.items():
            network.set(name, pbtxt.Enum(value) if name == "variant" else value, self.origin(arch))
        for name, side, default in zip(("image_size", "patch_size"), sides, (224, 16)):
            if side.value != default:
                self.put(network, name, side)
        self.vit_pooling(backbone, network)
        scale = backbone.number("layer_scale_init_value", 0, 1e30)
        if scale is not None and scale.value > 0:
            self.put(network, "layer_scale", scale)
        bias = backbone.flag("qkv_bias")
        if bias is not None and not bias.value:
            self.put(network, "qkv_bias", bias)
        drop_path = backbone.number("drop_path_rate", 0, 0.999999)
        if drop_path is not None and drop_path.value > 0:
            self.put(network, "drop_path", drop_path)
        depth = sizes.get("depth", VIT_DEPTHS[sizes["variant"]])
        self.frozen(backbone, output, {-1: -1, 0: -1, **{block: block for block in range(1, depth + 1)}})
        self.vit_weights(backbone, output)
        backbone.expect("in_channels", (3,), "finetune's ViT takes 3 channels")
        backbone.expect("drop_rate", (0,), "finetune's ViT has no dropout in its blocks", "dropout in a ViT's blocks")
        backbone.expect("norm_cfg", (dict(type="LN", eps=1e-6),), "finetune's layer norms have an epsilon of 1e-6")
        backbone.expect("out_indices", (-1, (-1,), [-1]), "finetune classifies by the last block alone")
        backbone.expect("with_cls_token", (True,), "finetune's ViT has a class token")
        backbone.expect("interpolate_mode", ("bicubic",), "finetune resamples position embeddings bicubically")
        backbone.expect("pre_norm", (False,), "finetune's ViT has no norm before its blocks")
        for key in ("patch_cfg", "layer_cfgs"):
            backbone.expect(key, ({}, None), NO_COUNTERPART)

    def swin(self, backbone, model):
        arch = backbone.text("arch")
        name = arch.value.lower() if arch is not None else "tiny" if "arch" not in backbone else "of its own sizes"
        if name not in SWINS:
            self.has_not(backbone, f"SwinTransformer {name}")
            return
        output = model.message("backbone")
        network = output.add("swin", self.origin(backbone.value))
        self.head_deviation = 0.02
        if SWINS[name] != "TINY":
            self.put(network, "variant", arch, value=pbtxt.Enum(SWINS[name]))
        window = backbone.whole("window_size", 1, 64)
        # mmpretrain's configs for images of 384x384 set the windows here.
        stages = backbone.section("stage_cfgs")
        blocks = stages.section("block_cfgs") if stages is not None else None
        window = blocks.whole("window_size", 1, 64) or window if blocks is not None else window
        if window is not None and window.value != 7:
            self.put(network, "window_size", window)
        rate = backbone.number("drop_path_rate", 0, 0.999999)
        if rate is None:
            network.set("drop_path", 0.1, self.origin(backbone.value, "mmpretrain's default"))
        elif rate.value > 0:
            self.put(network, "drop_path", rate)
        self.frozen(backbone, output, SWIN_FROZEN)
        self.swin_weights(backbone, output)
        backbone.note("img_size", "the network takes images of any size")
        backbone.expect("patch_size", (4,), "finetune's patches have 4x4 pixels")
        backbone.expect("in_channels", (3,), "finetune's Swin takes 3 channels")
        backbone.expect("drop_rate", (0,), "finetune's Swin has no dropout behind its patches")
        backbone.expect("use_abs_pos_embed", (False,), "finetune's Swin has no absolute position embeddings")
        backbone.expect("norm_cfg", (dict(type="LN"),), "finetune's Swin has a last norm with an epsilon of 1e-5")
        backbone.expect("out_indices", (-1, 3, (-1,), [-1], (3,), [3]), "finetune classifies by the last stage alone")
        backbone.expect("patch_cfg", ({}, None), NO_COUNTERPART)
        backbone.note("out_after_downsample", "nothing is behind the last stage")
        backbone.expect("pad_small_map", (False,), "finetune shifts no side of a map that one window covers")
        backbone.note("interpolate_mode", "it is for absolute position embeddings")
        backbone.note("with_cp", "it trades memory for time and does not change the result")

    def swin_weights(self, backbone, output):
        """Translates the checkpoint, or names how the first weights differ without one."""
        inits = [plain(init.value) for section in (backbone, self.model) for init in section.sections("init_cfg")]
        starts_alike = any(one.get("type") == "Pretrained" or "Linear" in (one.get("layer") or ()) for one in inits)
        self.initial_weights(backbone, output)
        if not self.loads_all and not starts_alike:
            self.report.miss(
                backbone.value.place,
                backbone.at("init_cfg"),
                "without a checkpoint the first weights differ: those of linear layers are PyTorch's there; normal, with a deviation "
                "of 0.02, here",
                "first weights of a Swin",
            )

    def vit_sizes(self, backbone):
        """Returns finetune's fields for the sizes of a VisionTransformer. Returns None, and refuses the backbone, if there
        are none."""
        arch = backbone.take("arch")
        name = plain(arch) if arch is not None else "base"
        if isinstance(name, str) and name.lower() in VITS:
            return VITS[name.lower()]
        if isinstance(name, dict):
            width, depth, heads, hidden = (
                name.get(key) for key in ("embed_dims", "num_layers", "num_heads", "feedforward_channels")
            )
            if (
                len(name) == 4
                and all(isinstance(n, int) and 0 < n <= 16384 for n in (width, depth, heads))
                and hidden == 4 * width
                and width % heads == 0
            ):
                return {"variant": "BASE", "width": width, "depth": depth, "heads": heads}
            name = "of its own sizes"
        backbone.refuse_all(
            "finetune's ViT has the sizes of DeiT-tiny, DeiT-small (DINOv2-small), base, large or huge, or others with hidden layers "
            "of four times the width",
            f"backbone VisionTransformer {name}",
        )
        return None

    def side(self, section, key, default):
        """Returns the side of a square as a Leaf; None for another shape."""
        value = section.take(key)
        if value is None:
            return Leaf(default, section.value.place)
        side = plain(value)
        if isinstance(side, (list, tuple)) and len(side) == 2 and side[0] == side[1]:
            side = side[0]
        good = isinstance(side, int) and not isinstance(side, bool) and 1 <= side <= 8192
        return Leaf(side, value.place) if good else None

    def vit_pooling(self, backbone, network):
        """Translates out_type and final_norm, which say how the last block's tokens become the features."""
        out_type, final_norm = backbone.text("out_type"), backbone.flag("final_norm")
        kind = out_type.value if out_type is not None else "cls_token"
        has_norm = final_norm is None or final_norm.value
        if kind == "avg_featmap":
            self.put(network, "pooling", out_type, value=pbtxt.Enum("MEAN"))
            if has_norm:
                self.report.miss(
                    (final_norm or backbone.value).place,
                    backbone.at("final_norm"),
                    "the tokens are normalised before the mean and after it there, and only after it here",
                    "second final norm",
                )
        elif kind != "cls_token":
            backbone.refuse("out_type", "finetune takes the class token or the mean over the patches")
        elif not has_norm:
            backbone.refuse("final_norm", "finetune's ViT always ends with a norm")

    def vit_weights(self, backbone, output):
        """Translates the checkpoint, or names how the first weights differ without one."""
        inits = [init for section in (backbone, self.model) for init in section.sections("init_cfg")]
        random = [init for init in inits if init.type() != "Pretrained"]
        is_random = len(random) == len(inits)
        for init in random:
            mark(init.value)
        self.initial_weights(backbone, output, is_checked=True)
        if is_random and not self.loads_all:
            self.report.miss(
                (random[0].value if random else backbone.value).place,
                backbone.at("init_cfg"),
                "without a checkpoint the first weights differ: finetune draws those of linear layers normally, with a deviation of "
                "0.02; mmpretrain draws those of each block's perceptron evenly (Xavier), and others as it is told",
                "first weights of a ViT",
            )

    def drop_path(self, backbone, network, blocks):
        """Writes drop_path for an EfficientNet of so many blocks. There the last block has the rate, here the one behind it would
        have."""
        rate = backbone.number("drop_path_rate", 0, 0.9)
        if rate is not None and rate.value > 0:
            ours = float(f"{rate.value * blocks / (blocks - 1):.7g}")
            self.put(network, "drop_path", rate, f"{rate.value:g} * {blocks} / {blocks - 1}", ours)

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
        for key, ours, default, word in (
            ("eps", epsilon, 1e-5, "an epsilon"),
            ("momentum", momentum, 0.1, "a momentum"),
        ):
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
        if kind.startswith("SE"):
            backbone.note("drop_path_rate", "mmpretrain's SE blocks do not read it")
        else:
            drop_path = backbone.number("drop_path_rate", 0, 0.999999)
            if drop_path is not None and drop_path.value > 0:
                self.put(resnet, "drop_path", drop_path)
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

    def is_loaded_whole(self, model):
        """Returns whether load_from, model.pretrained or model.init_cfg names a checkpoint."""
        names = [
            plain(section.items[key])
            for section, key in ((self.top, "load_from"), (model, "pretrained"))
            if key in section
        ]
        init = plain(model.items["init_cfg"]) if "init_cfg" in model else None
        inits = init if isinstance(init, list) else [init]
        names += [one.get("checkpoint") for one in inits if isinstance(one, dict) and one.get("type") == "Pretrained"]
        return any(isinstance(name, str) and name for name in names)

    def first_weights(self, init):
        """Reads an init_cfg of random weights, and refuses it if finetune's first weights are others."""
        kind, wanted = init.type(), plain(init.value)
        layers = wanted.get("layer")
        layers = layers if isinstance(layers, list) else [layers]
        ours = self.backbone_message()
        # The layers whose first weights are normal here, with a deviation of 0.02.
        normal = {"Conv2d", "Linear"} if ours.has("convnext") else {"Linear"} if ours.has("swin") else None
        if self.loads_all:
            self.report.note(init.value.place, init.path, "a checkpoint replaces all weights")
            mark(init.value)
        elif not self.output.message("model").has("backbone"):
            self.report.note(init.value.place, init.path, "finetune has not the network")
            mark(init.value)
        elif normal is not None and (
            kind == "TruncNormal"
            and set(layers) == normal
            and wanted.get("std") == 0.02
            and wanted.get("bias", 0) == 0
            and set(wanted) <= {"type", "layer", "std", "bias"}
            or kind == "Constant"
            and layers == ["LayerNorm"]
            and wanted.get("val") == 1
            and wanted.get("bias", 0) == 0
            and set(wanted) <= {"type", "layer", "val", "bias"}
        ):
            mark(init.value)
        else:
            init.refuse_all("finetune chooses how a network without a checkpoint begins", "init_cfg")

    def initial_weights(self, backbone, output, is_checked=False):
        """Translates init_cfg. Returns whether it names a checkpoint. `is_checked`: whether those of random weights have been
        read."""
        found = False
        for init in backbone.sections("init_cfg"):
            if init.type() != "Pretrained":
                if not is_checked:
                    self.first_weights(init)
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
            elif not init.value.is_read():
                self.first_weights(init)
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
        known = {"LinearClsHead"}
        if self.backbone_message().has("vit"):
            known.add("VisionTransformerClsHead")
        if self.is_one_label(head, kind):
            known.add("MultiLabelLinearClsHead")
        classes = head.whole("num_classes", 2, 1 << 20)
        if kind == "ClsHead" and own_classes is not None:
            classes = own_classes
        elif kind == "StackedLinearClsHead" and self.hidden is not None:
            self.stacked(head, output.message("head"))
        elif kind not in known or self.hidden is not None:
            head.refuse_all(f"finetune has no head {kind}; its head is one linear layer", f"head {kind}")
        elif head.take("hidden_dim") is not None:
            head.refuse("hidden_dim", "finetune's head is one linear layer", "hidden layer in a ViT's head")
        message = output.message("head")
        self.put(message, "num_classes", classes)
        if classes is None:
            self.report.miss(head.value.place, "model.head.num_classes", "is not set")
        if kind not in known | {"ClsHead", "StackedLinearClsHead"}:
            return
        self.head_weights(head, kind)
        if kind == "MultiLabelLinearClsHead":
            head.note("thr", "finetune takes the class with the highest score, as Accuracy does")
        if kind == "VisionTransformerClsHead":
            head.note("act_cfg", "it belongs to a hidden layer")
        head.note("in_channels", "it follows from the backbone")
        head.note("topk", "val_evaluator says what is measured")
        head.note("cal_acc", "finetune measures accuracy on data.val")
        loss = head.section("loss")
        if loss is not None:
            self.loss(loss, message, kind == "MultiLabelLinearClsHead")
        elif kind == "MultiLabelLinearClsHead":
            message.message("bce").set("sum_classes", True, self.origin(head.value, "mmpretrain's default"))

    def is_one_label(self, head, kind):
        """Returns whether the head is a MultiLabelLinearClsHead whose loss is the same as that of a head for one label, which the
        data sets that are translated have."""
        loss = plain(head.items["loss"]) if "loss" in head else {"type": "CrossEntropyLoss", "use_sigmoid": True}
        return (
            kind == "MultiLabelLinearClsHead"
            and isinstance(loss, dict)
            and loss.get("type") == "CrossEntropyLoss"
            and bool(loss.get("use_soft")) != bool(loss.get("use_sigmoid"))
        )

    def head_weights(self, head, kind):
        """Compares the head's first weights with finetune's, which are normal with a deviation of head_deviation."""
        if self.loads_all or not self.output.message("model").has("backbone"):
            head.note(
                "init_cfg", "a checkpoint replaces all weights" if self.loads_all else "finetune has not the network"
            )
            return
        wanted = plain(head.items["init_cfg"]) if "init_cfg" in head else "unset"
        wanted = wanted[0] if isinstance(wanted, list) and len(wanted) == 1 else wanted
        if wanted == "unset" and kind == "VisionTransformerClsHead":
            wanted = dict(type="Constant", layer="Linear", val=0)
        elif wanted == "unset":
            wanted = dict(type="Normal", layer="Linear", std=0.01)
        elif wanted is None:
            # That of the whole model, if any.
            inits = plain(self.model.items["init_cfg"]) if "init_cfg" in self.model else None
            inits = [one for one in (inits if isinstance(inits, list) else [inits]) if isinstance(one, dict)]
            for_linear = [one for one in inits if "Linear" in (one.get("layer") or ())]
            wanted = for_linear[-1] if for_linear else None
        rest = {"layer", "mean", "bias", "type", "std"}
        good = (
            isinstance(wanted, dict)
            # mmengine cuts a TruncNormal off at -2 and 2, a hundred deviations.
            and wanted.get("type") in ("Normal", "TruncNormal")
            and wanted.get("std") == self.head_deviation
            and set(wanted) <= rest
            and not wanted.get("mean")
            and not wanted.get("bias")
        )
        value = head.items.get("init_cfg")
        if value is not None:
            mark(value)
        if not good:
            shown = "PyTorch's" if wanted is None else show(to_value(wanted, head.value.place), 80)
            self.report.miss(
                (value or head.value).place,
                head.at("init_cfg"),
                f"the head's first weights are {shown} there; normal, with a deviation of {self.head_deviation:g}, here",
                "first weights of the head",
            )

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

    def loss(self, loss, head, takes_shares):
        """`takes_shares`: whether the head gives the loss a share for each class in place of a label."""
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
        if takes_shares:
            loss.note("use_soft", "finetune's loss takes labels and mixed labels alike")
        else:
            loss.expect("use_soft", (False,), "the labels of this head are whole numbers", "soft labels")
        loss.expect("reduction", ("mean",), "finetune's loss is the mean of a batch")
        weights = plain(loss.items["class_weight"]) if "class_weight" in loss.items else None
        if isinstance(weights, (list, tuple)) and all(isinstance(weight, (int, float)) for weight in weights):
            mark(loss.items["class_weight"])
            output = head.message("class_weights")
            output.set("weight", [float(weight) for weight in weights], self.origin(loss.items["class_weight"]))
        else:
            loss.expect("class_weight", (None,), "finetune takes one number for each class", "class weights")
        loss.expect(
            "pos_weight", (None,), "finetune's binary cross-entropy has one weight for each class", "pos_weight"
        )
