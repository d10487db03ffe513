"""Compares finetune's logits with those of other packages that have the same networks, on random weights with the
packages' names. The package computes in float64, so that the difference is only finetune's rounding. The rounding of
the package's own float32 is printed too. tests/peers/backbones.sh calls it with the program tests/logits."""
import os
import subprocess
import sys
import tempfile

import timm
import torch
import torchvision
from mmpretrain.models import build_classifier

LIMIT = 1e-5  # relative to the norm of the logits
CLASSES = 1000
IMAGES = 4


def mmpretrain(backbone, channels):
    """Returns mmpretrain's classifier, called like the other packages' networks: images in, logits out."""
    head = {"type": "LinearClsHead", "num_classes": CLASSES, "in_channels": channels}
    model = build_classifier({"type": "ImageClassifier", "backbone": backbone, "neck": {"type": "GlobalAveragePooling"}, "head": head})
    return lambda images: model(images, mode="tensor"), model


def plain(model):
    return model, model


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
    ("mobilenet_v2 {}", "torchvision", lambda: plain(torchvision.models.mobilenet_v2(num_classes=CLASSES))),
    ("mobilenet_v2 {}", "timm", lambda: plain(timm.create_model("mobilenetv2_100", num_classes=CLASSES))),
    ("mobilenet_v2 {}", "mmpretrain", lambda: mmpretrain({"type": "MobileNetV2"}, 1280)),
    ("mobilenet_v2 { width: 1.4 }", "timm", lambda: plain(timm.create_model("mobilenetv2_140", num_classes=CLASSES))),
]


def randomise(model):
    """Sets all weights to random values, those of batch norms too: they start at 1 and 0, and an exchange of two would
    not be seen."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.5, 0.5)
                module.running_mean.uniform_(-0.5, 0.5)
                module.running_var.uniform_(0.5, 1.5)


def logits_of(program, backbone, weights, images):
    config = f"backbone {{ {backbone} }} head {{ num_classes: {CLASSES} }}"
    output = subprocess.run([program, config, weights, images], stdout=subprocess.PIPE, text=True, check=True).stdout
    return torch.tensor([[float(value) for value in line.split()] for line in output.splitlines()], dtype=torch.float64)


def main(program):
    torch.manual_seed(0)
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        images, weights = os.path.join(folder, "images.pth"), os.path.join(folder, "weights.pth")
        batch = torch.randn(IMAGES, 3, 224, 224)
        torch.save({"images": batch}, images)
        for backbone, package, make in CASES:
            call, model = make()
            randomise(model)
            model.eval()
            torch.save(model.state_dict(), weights)
            with torch.no_grad():
                single = call(batch).double()
                model.double()
                expected = call(batch.double())
            actual = logits_of(program, backbone, weights, images)
            parameters = sum(parameter.numel() for parameter in model.parameters())
            error, own = (((logits - expected).norm() / expected.norm()).item() for logits in (actual, single))
            verdict = "ok" if error <= LIMIT else "WRONG"
            wrong += verdict != "ok"
            print(f"{verdict:5} {backbone:28} {package:11} {parameters:10} parameters, logits {error:.1e} of their norm off float64, "
                  f"the package's float32 {own:.1e}", flush=True)
    if wrong:
        sys.exit(f"backbones.py: {wrong} of {len(CASES)} networks have other logits; expected at most {LIMIT:.0e}")
    print(f"all {len(CASES)} networks give the packages' logits")


main(*sys.argv[1:])
