"""Compares finetune's logits with those of other packages that have the same networks, on random weights with the
packages' names. The package computes in float64, so that the difference is only finetune's rounding. The rounding of
the package's own float32 is printed too. tests/peers/backbones.sh calls it with the program tests/logits and
the first letters of the backbones to compare (none: all)."""
import os
import subprocess
import sys
import tempfile

import timm
import torch
import torchvision
from efficientnet_pytorch import EfficientNet
from mmpretrain.models import build_classifier

LIMIT = 1e-5  # relative to the norm of the logits
CLASSES = 1000
IMAGES = 4
# SiLU, hard-swish and squeeze-and-excitation make values smaller in every block. With weights of this gain they do not fade, so that
# the logits depend on the images, and so on the padding of the first layers. In the deepest ones a higher gain lets rounding grow.
GAIN, GAIN_OF_THE_DEEPEST = 1.25, 1.15
DEEPEST = ("efficientnet { variant: 3", "efficientnet { variant: 4")
# With timm's own random weights RegNetY-1.6GF is so sensitive that float32's rounding grows to 1e-3 of the logits.
GAIN_OF_REGNET = 1
UNCHANGED = ("resnet", "mobilenet_v2", "vgg")  # have the packages' own random weights
LEAST_DIFFERENCE = 10 * LIMIT  # of two images' logits, of their norm


def mmpretrain(backbone, channels, hidden=None, pools=True):
    """Returns mmpretrain's classifier, called like the other packages' networks: images in, logits out. `hidden`: the
    number of features of the head's hidden layer. `pools`: whether a neck averages over the pixels."""
    head = {"type": "LinearClsHead", "num_classes": CLASSES, "in_channels": channels}
    if hidden is not None:
        head |= {"type": "StackedLinearClsHead", "mid_channels": [hidden], "act_cfg": {"type": "HSwish"}}
    neck = {"type": "GlobalAveragePooling"} if pools else None
    model = build_classifier({"type": "ImageClassifier", "backbone": backbone, "neck": neck, "head": head})
    return lambda images: model(images, mode="tensor"), model


def mmpretrain_vgg(depth):
    """mmpretrain's VGG with hidden layers, which its backbone has."""
    model = build_classifier({"type": "ImageClassifier", "backbone": {"type": "VGG", "depth": depth, "norm_cfg": {"type": "BN"},
                                                                      "num_classes": CLASSES}, "head": {"type": "ClsHead"}})
    return lambda images: model(images, mode="tensor"), model


def plain(model):
    return model, model


def torchvision_network(name, **settings):
    return lambda: plain(torchvision.models.get_model(name, num_classes=CLASSES, **settings))


def timm_network(name, **settings):
    return lambda: plain(timm.create_model(name, num_classes=CLASSES, **settings))


def efficientnet_pytorch(variant):
    # Without a size it pads by the size of each image, as TensorFlow does.
    return lambda: plain(EfficientNet.from_name(f"efficientnet-b{variant}", image_size=None, num_classes=CLASSES))


def convnext_of_mmpretrain(variant, channels, v2):
    settings = {"use_grn": True, "layer_scale_init_value": 0} if v2 else {}
    return lambda: mmpretrain({"type": "ConvNeXt", "arch": variant, **settings}, channels, pools=False)


CONVNEXT_CHANNELS = {"atto": 320, "femto": 384, "pico": 512, "nano": 640, "tiny": 768, "small": 768, "base": 1024, "large": 1536}
EFFICIENTNET_V2 = {"S": "s", "M": "m", "L": "l", "XL": "xl", **{f"BASE_{size}": f"b{size}" for size in range(4)}}
EFFICIENTNET_V2_CHANNELS = {"b2": 1408, "b3": 1536}  # the others: 1280
DENSENET_CHANNELS = {121: 1024, 161: 2208, 169: 1664, 201: 1920}
EFFICIENTNET_CHANNELS = (1280, 1280, 1408, 1536, 1792)

# (the backbone in finetune's config, the package, a function that makes its network). The function returns how the
# network is called, and its weights.
CASES = [
    *((f"resnet {{ depth: {depth} }}", package, make)
      for depth in (18, 50)
      for package, make in {
          "torchvision": lambda depth=depth: plain(torchvision.models.get_model(f"resnet{depth}", num_classes=CLASSES)),
          "timm": lambda depth=depth: plain(timm.create_model(f"resnet{depth}", num_classes=CLASSES)),
          "mmpretrain": lambda depth=depth: mmpretrain({"type": "ResNet", "depth": depth}, 512 if depth < 50 else 2048),
      }.items()),
    *((f"resnet {{ {fields} }}", package, make)
      for fields, networks in (
          ("depth: 50 groups: 32 width_per_group: 4",
           {"torchvision": torchvision_network("resnext50_32x4d"), "timm": timm_network("resnext50_32x4d"),
            "mmpretrain": lambda: mmpretrain({"type": "ResNeXt", "depth": 50, "groups": 32, "width_per_group": 4}, 2048)}),
          ("depth: 101 groups: 32 width_per_group: 8", {"torchvision": torchvision_network("resnext101_32x8d")}),
          ("depth: 101 groups: 64 width_per_group: 4", {"torchvision": torchvision_network("resnext101_64x4d")}),
          ("depth: 50 width_per_group: 128",
           {"torchvision": torchvision_network("wide_resnet50_2"), "timm": timm_network("wide_resnet50_2"),
            "mmpretrain": lambda: mmpretrain({"type": "ResNet", "depth": 50, "stem_channels": 64, "base_channels": 128, "expansion": 2},
                                             2048)}),
          ("depth: 101 width_per_group: 128", {"torchvision": torchvision_network("wide_resnet101_2")}),
          ("depth: 50 stem: DEEP",
           {"timm": timm_network("resnet50c"), "mmpretrain": lambda: mmpretrain({"type": "ResNetV1c", "depth": 50}, 2048)}),
          ("depth: 50 stem: DEEP avg_down: true",
           {"timm": timm_network("resnet50d"), "mmpretrain": lambda: mmpretrain({"type": "ResNetV1d", "depth": 50}, 2048)}),
          ("depth: 18 stem: DEEP avg_down: true", {"timm": timm_network("resnet18d")}),
          ("depth: 50 se_ratio: 16",
           {"timm": timm_network("seresnet50"), "mmpretrain": lambda: mmpretrain({"type": "SEResNet", "depth": 50}, 2048)}),
          ("depth: 18 se_ratio: 16", {"timm": timm_network("seresnet18")}),
          ("depth: 50 groups: 32 width_per_group: 4 se_ratio: 16",
           {"timm": timm_network("seresnext50_32x4d"), "mmpretrain": lambda: mmpretrain({"type": "SEResNeXt", "depth": 50}, 2048)}),
      )
      for package, make in networks.items()),
    *((f"regnet {{ variant: {variant} }}", package, make)
      for variant, networks in (
          ("X_400MF", {"timm": timm_network("regnetx_004"),
                       "mmpretrain": lambda: mmpretrain({"type": "RegNet", "arch": "regnetx_400mf"}, 384)}),
          ("X_400MF_TORCHVISION", {"torchvision": torchvision_network("regnet_x_400mf"), "timm": timm_network("regnetx_004_tv")}),
          ("X_800MF", {"torchvision": torchvision_network("regnet_x_800mf"), "timm": timm_network("regnetx_008"),
                       "mmpretrain": lambda: mmpretrain({"type": "RegNet", "arch": "regnetx_800mf"}, 672)}),
          ("X_1600MF", {"torchvision": torchvision_network("regnet_x_1_6gf"), "timm": timm_network("regnetx_016")}),
          ("X_3200MF", {"torchvision": torchvision_network("regnet_x_3_2gf"), "timm": timm_network("regnetx_032")}),
          ("X_8GF", {"torchvision": torchvision_network("regnet_x_8gf")}),
          ("X_16GF", {"torchvision": torchvision_network("regnet_x_16gf")}),
          ("Y_400MF", {"torchvision": torchvision_network("regnet_y_400mf"), "timm": timm_network("regnety_004")}),
          ("Y_800MF", {"timm": timm_network("regnety_008")}),
          ("Y_800MF_TORCHVISION", {"torchvision": torchvision_network("regnet_y_800mf"), "timm": timm_network("regnety_008_tv")}),
          ("Y_1600MF", {"torchvision": torchvision_network("regnet_y_1_6gf"), "timm": timm_network("regnety_016")}),
          ("Y_3200MF", {"torchvision": torchvision_network("regnet_y_3_2gf"), "timm": timm_network("regnety_032")}),
          ("Y_8GF", {"timm": timm_network("regnety_080")}),
          ("Y_8GF_TORCHVISION", {"torchvision": torchvision_network("regnet_y_8gf")}),
          ("Y_16GF", {"torchvision": torchvision_network("regnet_y_16gf")}),
      )
      for package, make in networks.items()),
    ("vgg { depth: 11 }", "torchvision", torchvision_network("vgg11_bn")),
    ("vgg { depth: 13 }", "mmpretrain", lambda: mmpretrain_vgg(13)),
    ("vgg { depth: 16 }", "timm", timm_network("vgg16_bn")),
    ("vgg { depth: 19 hidden_features: 0 }", "mmpretrain",
     lambda: mmpretrain({"type": "VGG", "depth": 19, "norm_cfg": {"type": "BN"}}, 512)),
    ("mobilenet_v2 {}", "torchvision", lambda: plain(torchvision.models.mobilenet_v2(num_classes=CLASSES))),
    ("mobilenet_v2 {}", "timm", lambda: plain(timm.create_model("mobilenetv2_100", num_classes=CLASSES))),
    ("mobilenet_v2 {}", "mmpretrain", lambda: mmpretrain({"type": "MobileNetV2"}, 1280)),
    ("mobilenet_v2 { width: 1.4 }", "timm", lambda: plain(timm.create_model("mobilenetv2_140", num_classes=CLASSES))),
    *((f"mobilenet_v3 {{ variant: {size.upper()}{' origin: ' + origin if origin else ''} }}", package, make)
      for size, channels, hidden in (("large", 960, 1280), ("small", 576, 1024))
      for package, origin, make in (
          ("torchvision", "", torchvision_network(f"mobilenet_v3_{size}")),
          ("timm", "TIMM", timm_network(f"mobilenetv3_{size}_100")),
          ("timm", "TENSORFLOW", timm_network(f"tf_mobilenetv3_{size}_100")),
          ("mmpretrain", "", lambda size=size, channels=channels, hidden=hidden:
           mmpretrain({"type": "MobileNetV3", "arch": size}, channels, hidden)),
      )),
    *((f"efficientnet {{ variant: {variant}{' origin: ' + origin if origin else ''} }}", package, make)
      for variant in range(5)
      for package, origin, make in (
          ("torchvision", "PYTORCH", torchvision_network(f"efficientnet_b{variant}")),
          ("timm", "PYTORCH", timm_network(f"efficientnet_b{variant}")),
          ("timm", "TENSORFLOW", timm_network(f"tf_efficientnet_b{variant}")),
          ("mmpretrain", "", lambda variant=variant:
           mmpretrain({"type": "EfficientNet", "arch": f"b{variant}"}, EFFICIENTNET_CHANNELS[variant])),
          ("original", "", efficientnet_pytorch(variant)),
      )),
    *((f"efficientnet_v2 {{ variant: {variant}{' origin: ' + origin if origin else ''} }}", package, make)
      for variant, size in EFFICIENTNET_V2.items()
      for package, origin, make in (
          *((("torchvision", "TORCHVISION", torchvision_network(f"efficientnet_v2_{size}")),
             ("timm", "TIMM", timm_network(f"efficientnetv2_{size}"))) if size in ("s", "m", "l") else ()),
          ("timm", "TENSORFLOW", timm_network(f"tf_efficientnetv2_{size}")),
          ("mmpretrain", "", lambda size=size:
           mmpretrain({"type": "EfficientNetV2", "arch": size}, EFFICIENTNET_V2_CHANNELS.get(size, 1280))),
      )),
    *((f"densenet {{ depth: {depth} }}", package, make)
      for depth, channels in DENSENET_CHANNELS.items()
      for package, make in (
          ("torchvision", torchvision_network(f"densenet{depth}")),
          ("timm", timm_network(f"densenet{depth}")),
          ("mmpretrain", lambda depth=depth, channels=channels: mmpretrain({"type": "DenseNet", "arch": str(depth)}, channels)),
      )),
    *((f"convnext {{ variant: {variant.upper()} }}", package, make)
      for variant in ("tiny", "small", "base", "large")
      for package, make in (
          ("torchvision", torchvision_network(f"convnext_{variant}")),
          ("timm", timm_network(f"convnext_{variant}")),
          ("mmpretrain", convnext_of_mmpretrain(variant, CONVNEXT_CHANNELS[variant], v2=False)),
      )),
    *((f"convnext {{ variant: {variant.upper()} version: V2 }}", package, make)
      for variant in ("atto", "femto", "pico", "nano", "tiny", "base")
      for package, make in (
          ("timm", timm_network(f"convnextv2_{variant}")),
          ("mmpretrain", convnext_of_mmpretrain(variant, CONVNEXT_CHANNELS[variant], v2=True)),
      )),
    ("vit {}", "timm", timm_network("vit_small_patch16_224")),
    ("vit {}", "mmpretrain", lambda: mmpretrain({"type": "VisionTransformer", "arch": "deit-small"}, 384, pools=False)),
    ("vit { variant: TINY }", "timm", timm_network("deit_tiny_patch16_224")),
    ("vit { variant: BASE }", "timm", timm_network("vit_base_patch16_224")),
    ("vit { variant: BASE }", "torchvision", torchvision_network("vit_b_16")),
    ("vit { variant: LARGE }", "torchvision", torchvision_network("vit_l_16")),
    ("vit { patch_size: 14 layer_scale: 1e-5 }", "timm", timm_network("vit_small_patch14_dinov2", img_size=224)),
    ("vit { patch_size: 14 layer_scale: 1e-5 registers: 4 }", "timm", timm_network("vit_small_patch14_reg4_dinov2", img_size=224)),
    ("vit { variant: BASE patch_size: 14 layer_scale: 1e-5 }", "timm", timm_network("vit_base_patch14_dinov2", img_size=224)),
    *((f"swin {{ variant: {variant.upper()} }}", package, make)
      for variant, channels in (("tiny", 768), ("small", 768), ("base", 1024))
      for package, make in (
          ("torchvision", torchvision_network(f"swin_{variant[0]}")),
          ("timm", timm_network(f"swin_{variant}_patch4_window7_224")),
          ("mmpretrain", lambda variant=variant, channels=channels: mmpretrain({"type": "SwinTransformer", "arch": variant}, channels)),
      )),
    *((f"efficientnet_lite {{ variant: {variant} origin: {origin} }}", "timm", timm_network(f"{prefix}efficientnet_lite{variant}"))
      for variant in (0, 4)
      for prefix, origin in (("", "PYTORCH"), ("tf_", "TENSORFLOW"))),
]


def randomise(model, gain):
    """Sets all weights to random values, those of norms, biases and layer scales too: they start at 1 and 0 (layer scales at
    1e-6), and an exchange of two would not be seen."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".grn." in name or name.endswith(("gamma", "layer_scale")):
                parameter.uniform_(0.5, 1.5)
            elif parameter.dim() == 3 or name.endswith("in_proj_bias"):  # the tokens and position embeddings of vision transformers
                parameter.uniform_(-0.5, 0.5)
            elif name.endswith("relative_position_bias_table"):
                parameter.uniform_(-2, 2)
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.5, 0.5)
                module.running_mean.uniform_(-0.5, 0.5)
                module.running_var.uniform_(0.5, 1.5)
            elif isinstance(module, torch.nn.LayerNorm):
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.5, 0.5)
            elif gain is not None and isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
                fan_in = module.weight[0].numel()
                module.weight.normal_(0, (gain if isinstance(module, torch.nn.Conv2d) else 1) / fan_in**0.5)
                if module.bias is not None:
                    module.bias.uniform_(-0.5, 0.5)


def logits_of(program, backbone, weights, images):
    config = f"backbone {{ {backbone} }} head {{ num_classes: {CLASSES} }}"
    output = subprocess.run([program, config, weights, images], stdout=subprocess.PIPE, text=True, check=True).stdout
    return torch.tensor([[float(value) for value in line.split()] for line in output.splitlines()], dtype=torch.float64)


def main(program, *chosen):
    torch.manual_seed(0)
    cases = [case for case in CASES if not chosen or any(case[0].startswith(name) for name in chosen)]
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        images, weights = os.path.join(folder, "images.pth"), os.path.join(folder, "weights.pth")
        batch = torch.randn(IMAGES, 3, 224, 224)
        torch.save({"images": batch}, images)
        for backbone, package, make in cases:
            call, model = make()
            gain = GAIN_OF_THE_DEEPEST if backbone.startswith(DEEPEST) else GAIN
            gain = GAIN_OF_REGNET if backbone.startswith("regnet") else gain
            randomise(model, None if backbone.startswith(UNCHANGED) else gain)
            model.eval()
            torch.save(model.state_dict(), weights)
            with torch.no_grad():
                single = call(batch).double()
                model.double()
                expected = call(batch.double())
            actual = logits_of(program, backbone, weights, images)
            parameters = sum(parameter.numel() for parameter in model.parameters())
            error, own = (((logits - expected).norm() / expected.norm()).item() for logits in (actual, single))
            difference = ((expected[0] - expected[1]).norm() / expected[0].norm()).item()
            fades = difference < LEAST_DIFFERENCE and not backbone.startswith(UNCHANGED)
            verdict = "ok" if error <= LIMIT and not fades else "WRONG"
            wrong += verdict != "ok"
            print(f"{verdict:5} {backbone:48} {package:11} {parameters:10} parameters, logits {error:.1e} of their norm off float64, "
                  f"the package's float32 {own:.1e}, two images {difference:.1e} apart", flush=True)
    if wrong:
        sys.exit(f"backbones.py: {wrong} of {len(cases)} networks have other logits; expected at most {LIMIT:.0e}")
    print(f"all {len(cases)} networks give the packages' logits")


main(*sys.argv[1:])
