"""Translates mmpretrain's own configs and prints how many are translated completely; see mmpretrain_configs.sh.

    mmpretrain_configs.py CONFIGS FINETUNE

Exits with 1 if finetune refuses a completely translated config, or refuses another config for any reason but a gap that
the translation has named.
"""

import collections
import glob
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools"))

import import_mmpretrain  # noqa: E402

FAMILIES = {
    "ResNet": "resnet",
    "ResNeXt": "resnext",
    "SE-ResNet": "seresnet",
    "Wide-ResNet": "wrn",
    "RegNet": "regnet",
    "VGG": "vgg",
    "EfficientNet": "efficientnet",
    "MobileNetV2": "mobilenet_v2",
    "MobileNetV3": "mobilenet_v3",
    "ConvNeXt": "convnext",
    "ConvNeXt V2": "convnext_v2",
    "ViT": "vision_transformer",
    "DeiT": "deit",
    "Swin": "swin_transformer",
    "LeNet": "lenet",
}
# The example of mmpretrain's tutorial on fine-tuning: ResNet-50 with two frozen stages, CIFAR-10 enlarged to 224.
TUTORIAL = """
_base_ = [
    'mmpretrain::_base_/models/resnet50.py', 'mmpretrain::_base_/datasets/cifar10_bs16.py',
    'mmpretrain::_base_/schedules/cifar10_bs128.py', 'mmpretrain::_base_/default_runtime.py'
]
weights = 'https://download.openmmlab.com/mmclassification/v0/resnet/resnet50_8xb32_in1k_20210831-ea4938fc.pth'
model = dict(
    backbone=dict(frozen_stages=2, init_cfg=dict(type='Pretrained', checkpoint=weights, prefix='backbone')),
    head=dict(num_classes=10))
train_pipeline = [
    dict(type='RandomCrop', crop_size=32, padding=4),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='Resize', scale=224),
    dict(type='PackInputs'),
]
test_pipeline = [dict(type='Resize', scale=224), dict(type='PackInputs')]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
optim_wrapper = dict(optimizer=dict(lr=0.01))
param_scheduler = dict(milestones=[15])
"""
# Keys: finetune's message about a part that the translation left empty. Values: how the name of the matching gap
# begins.
EMPTY = {
    r"model\.backbone: has no kind": r"backbone ",
    r"model\.head\.num_classes: is not set": r"model\.head|head ",
    r"schedule\.max_epochs: is not set": r"train_cfg",
    r"optimizer: has no kind": r"optimizer|optim_wrapper",
    r"data\.(train|val)\.path: is not set": r"data set |_dataloader",
}


def most_common(counts, limit):
    """ "drop path 3, float16 2": the largest counts, equal ones by name."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name} {count}" for name, count in ordered[:limit])


def complaints(finetune, text, folder):
    """Returns finetune's errors about a config, without their places."""
    path = os.path.join(folder, "translated.pbtxt")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    run = subprocess.run([finetune, "config", f"--config={path}"], capture_output=True, text=True, check=False)
    if run.returncode == 0:
        return []
    return [re.sub(r"^\S+: ", "", line) for line in run.stderr.splitlines()]


def main(configs, finetune):
    failures = []
    missing_by_feature = collections.Counter()
    total = 0
    with tempfile.TemporaryDirectory() as folder:
        tutorial = os.path.join(folder, "resnet50_finetune_cifar.py")
        with open(tutorial, "w", encoding="utf-8") as file:
            file.write(TUTORIAL)
        groups = {"the tutorial's: ResNet-50, two stages frozen, CIFAR-10": [tutorial]}
        groups.update(
            {name: sorted(glob.glob(os.path.join(configs, inner, "*.py"))) for name, inner in FAMILIES.items()}
        )
        print("| configs | translate whole | what the others lack, in how many of them |")
        print("| --- | --- | --- |")
        for name, files in groups.items():
            whole = 0
            lacks = collections.Counter()
            for path in files:
                text, report = import_mmpretrain.import_config(path, packages={"mmpretrain": configs})
                features = {finding.feature for finding in report.missing}
                whole += not features
                lacks.update(features)
                for complaint in complaints(finetune, text, folder):
                    named = [gap for said, gap in EMPTY.items() if re.match(said, complaint)]
                    if not named or not any(re.search(named[0], feature) for feature in features):
                        failures.append(f"{path}: finetune config: {complaint}")
            total += len(files)
            missing_by_feature.update(lacks)
            listed = most_common(lacks, 8)
            print(f"| {name} | {whole} of {len(files)} | {listed or '-'} |")
    print(f"\nMissing most often in these {total}: {most_common(missing_by_feature, 16)}.")
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
