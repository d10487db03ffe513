"""Tests tools/import_mmpretrain.py: configs are translated; settings without a counterpart are named; nothing in a
config is run."""

import json
import os
import re
import subprocess
import sys
import tempfile
import textwrap
import unittest

import import_mmpretrain
from openmmlab.names import trained_parameters
from openmmlab.pbtxt import Enum, Message
from openmmlab.reader import Reader, find_root
from openmmlab.translate import translate
from openmmlab.values import ConfigError, Dict, Leaf, List, Place, Symbol, Unknown, copy, plain

FINETUNE = os.path.abspath("src/main/finetune")
CONFIGS = os.path.abspath("configs")

# An experiment in the usual form for mmpretrain 1.x, in four files.
BASES = {
    "_base_/models/resnet50.py": """
        model = dict(
            type='ImageClassifier',
            backbone=dict(type='ResNet', depth=50, num_stages=4, out_indices=(3, ), style='pytorch'),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(
                type='LinearClsHead',
                num_classes=1000,
                in_channels=2048,
                loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
                topk=(1, 5)))
        """,
    "_base_/datasets/cifar10.py": """
        kind = 'CIFAR10'
        data_preprocessor = dict(
            num_classes=10,
            mean=[125.307, 122.961, 113.8575],
            std=[51.5865, 50.847, 51.255],
            to_rgb=False)
        train_dataloader = dict(
            batch_size=16,
            num_workers=2,
            dataset=dict(type=kind, data_root='data/cifar10', split='train', pipeline=[dict(type='PackInputs')]),
            sampler=dict(type='DefaultSampler', shuffle=True))
        val_dataloader = dict(
            batch_size=16,
            num_workers=2,
            dataset=dict(type=kind, data_root='data/cifar10/', split='test', pipeline=[dict(type='PackInputs')]),
            sampler=dict(type='DefaultSampler', shuffle=False))
        val_evaluator = dict(type='Accuracy', topk=(1, 5))
        test_dataloader = val_dataloader
        test_evaluator = val_evaluator
        """,
    "_base_/schedules/steps.py": """
        optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=1e-4))
        param_scheduler = dict(type='MultiStepLR', by_epoch=True, milestones=[100, 150], gamma=0.1)
        train_cfg = dict(by_epoch=True, max_epochs=200, val_interval=1)
        val_cfg = dict()
        test_cfg = dict()
        auto_scale_lr = dict(base_batch_size=128)
        """,
    "_base_/runtime.py": """
        default_scope = 'mmpretrain'
        default_hooks = dict(
            timer=dict(type='IterTimerHook'),
            logger=dict(type='LoggerHook', interval=100),
            checkpoint=dict(type='CheckpointHook', interval=1),
            visualization=dict(type='VisualizationHook', enable=False))
        env_cfg = dict(cudnn_benchmark=False, dist_cfg=dict(backend='nccl'))
        log_level = 'INFO'
        load_from = None
        resume = False
        randomness = dict(seed=None, deterministic=False)
        """,
}
BASE_LIST = """
_base_ = ['../_base_/models/resnet50.py', '../_base_/datasets/cifar10.py',
          '../_base_/schedules/steps.py', '../_base_/runtime.py']
"""
# The fine-tuning example of mmpretrain's tutorial: ResNet-50 with two frozen stages on CIFAR-10.
TUTORIAL = BASE_LIST + """
weights = 'https://download.openmmlab.com/mmclassification/v0/resnet/resnet50_8xb32_in1k_20210831-ea4938fc.pth'
model = dict(
    backbone=dict(frozen_stages=2, init_cfg=dict(type='Pretrained', checkpoint=weights, prefix='backbone')),
    head=dict(num_classes=10))
size = 224
train_pipeline = [
    dict(type='RandomCrop', crop_size=32, padding=4),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='Resize', scale=size),
    dict(type='PackInputs'),
]
test_pipeline = [dict(type='Resize', scale=(size, size)), dict(type='PackInputs')]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
optim_wrapper = dict(optimizer=dict(lr=0.01))
param_scheduler = dict(milestones=[15])
default_hooks = dict(checkpoint=dict(max_keep_ckpts=3, save_best='auto'))
"""


class ConfigTest(unittest.TestCase):
    def setUp(self):
        self._folder = tempfile.TemporaryDirectory()
        self.addCleanup(self._folder.cleanup)
        # Paths in messages are relative to this folder.
        self.folder = os.path.realpath(self._folder.name)
        before = os.getcwd()
        os.chdir(self.folder)
        self.addCleanup(os.chdir, before)
        for name, text in BASES.items():
            self.write(name, text)

    def write(self, name, text):
        os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
        with open(name, "w", encoding="utf-8") as file:
            file.write(textwrap.dedent(text))
        return name

    def translate(self, text, name="resnet/mine.py"):
        """Returns (text of the translation, one line for each setting that was named as missing)."""
        output, report = import_mmpretrain.import_config(self.write(name, text))
        return output, [f"{item.place.file}:{item.place.line}: {item.path}: {item.text}" for item in report.missing]

    def whole(self, text, name="resnet/mine.py"):
        output, missing = self.translate(text, name)
        self.assertEqual(missing, [])
        return output

    def effective(self, output):
        """Returns the config as finetune reads it, in lines without comments. Fails the test if finetune does not
        accept it."""
        path = self.write("mine.pbtxt", output)
        return self.effective_file(path)

    def effective_file(self, path):
        run = subprocess.run(
            [FINETUNE, "config", f"--config={path}", "--origins=false"], capture_output=True, text=True, check=False
        )
        self.assertEqual((run.returncode, run.stderr), (0, ""), run.stdout)
        return run.stdout

    def flat(self, output):
        """Returns the config on one line without comments."""
        return " ".join(re.sub(r"#[^\n]*", "", output).split())

    def accepts_all(self, settings):
        """Expects that finetune accepts all settings together. Each config has the one before as its base."""
        base = self.write("resnet/all.py", BASE_LIST)
        for i, setting in enumerate(settings):
            # mmengine cannot merge a dict into a list, and some settings have a dict as scheduler and some a list.
            scheduler = "_base_.param_scheduler = dict(type='MultiStepLR', milestones=[100, 150])"
            base = self.write(f"resnet/all{i}.py", f"_base_ = '{os.path.basename(base)}'\n{scheduler}\n{setting}\n")
        output, _ = import_mmpretrain.import_config(base)
        self.effective(output)

    def read(self, text, name="c/a.py"):
        """Returns the config as Python's own types, and the reader's problems."""
        reader = Reader(find_root(self.write(name, text)))
        return plain(reader.read(name)), [text for _, text in reader.problems]

    def refusal(self, text, name="c/a.py", **flags):
        with self.assertRaises(ConfigError) as caught:
            import_mmpretrain.import_config(self.write(name, text), **flags)
        return str(caught.exception)


class TutorialTest(ConfigTest):
    def test_equals_the_config_that_finetune_ships(self):
        ours = self.effective_file(os.path.join(CONFIGS, "resnet50_cifar.pbtxt")).splitlines()
        theirs = self.effective(self.whole(TUTORIAL)).splitlines()
        only_ours = [line.strip() for line in ours if line not in theirs]
        only_theirs = [line.strip() for line in theirs if line not in ours]
        # The translation has its own name and data, as many threads as the original, and no list of defaults.
        self.assertEqual(
            only_theirs,
            ['name: "mine"', 'path: "data/cifar10-shards"', "workers: 2", 'path: "data/cifar10-shards"', "workers: 2"],
        )
        for line in only_ours:
            self.assertRegex(
                line, r"^(name|path|stem|style|seed|device|precision|comm|bucket_mebibytes|\w+_seconds)\b|^}$"
            )

    def test_names_the_line_of_each_value(self):
        output = self.whole(TUTORIAL)
        lines = TUTORIAL.splitlines()
        for field, source in (
            ("frozen_stages: 2", "frozen_stages=2"),
            ("lr: 0.01", "lr=0.01"),
            ("milestones: [15]", "[15]"),
        ):
            number = next(i for i, line in enumerate(lines, 1) if source in line)
            self.assertIn(f"{field}  # mine.py:{number}", output)
        self.assertIn("depth: 50  # ../_base_/models/resnet50.py:4", output)

    def test_says_how_many_ranks_make_the_total_batch(self):
        self.assertRegex(self.whole(TUTORIAL), r"batch_size: 16  # .*8 ranks take the 128 of base_batch_size")

    def test_program_writes_the_config_and_exits_with_0(self):
        self.write("resnet/mine.py", TUTORIAL)
        run = subprocess.run(
            [sys.executable, import_mmpretrain.__file__, "resnet/mine.py"], capture_output=True, text=True, check=False
        )
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        self.assertEqual(run.stdout, self.whole(TUTORIAL))

    def test_program_exits_with_3_and_names_what_is_missing(self):
        self.write("resnet/mine.py", TUTORIAL + "custom_hooks = [dict(type='PreciseBNHook', interval=2)]\n")
        run = subprocess.run(
            [sys.executable, import_mmpretrain.__file__, "resnet/mine.py"], capture_output=True, text=True, check=False
        )
        line = len(TUTORIAL.splitlines()) + 1
        self.assertEqual(run.returncode, 3)
        self.assertEqual(
            run.stderr,
            f"resnet/mine.py:{line}: custom_hooks[0]=dict(type='PreciseBNHook', interval=2): "
            f"finetune has no hook PreciseBNHook\n",
        )
        self.assertIn(f"#   mine.py:{line}: custom_hooks[0]=dict(type='PreciseBNHook'", run.stdout)
        self.effective(run.stdout)

    def test_program_exits_with_2_where_it_cannot_read(self):
        for arguments in (["nowhere.py"], [], ["--no-such-flag", "nowhere.py"]):
            run = subprocess.run(
                [sys.executable, import_mmpretrain.__file__, *arguments], capture_output=True, text=True, check=False
            )
            self.assertEqual((run.returncode, run.stdout), (2, ""))


class MeaningTest(ConfigTest):
    """Tests one setting at a time, on top of the four base files."""

    def test_focal_loss(self):
        loss = "model = dict(head=dict(loss=dict(_delete_=True, type='FocalLoss', gamma=1.5, alpha=0.5)))\n"
        output = self.whole(BASE_LIST + loss)
        self.assertIn("focal { gamma: 1.5 alpha: 0.5", self.flat(output))
        self.effective(output)

    def test_settings_with_a_counterpart(self):
        settings = (
            # Networks.
            ("model = dict(backbone=dict(type='ResNet_CIFAR', depth=18))", r"depth: 18 stem: CIFAR"),
            ("model = dict(backbone=dict(style='caffe'))", "style: CAFFE"),
            ("model = dict(backbone=dict(norm_eval=True))", "norm_eval: true"),
            ("model = dict(backbone=dict(frozen_stages=0))", "frozen_stages: 0"),
            ("model = dict(backbone=dict(zero_init_residual=True))", "zero_init_residual: true"),
            ("model = dict(backbone=dict(base_channels=32, stem_channels=32))", "base_channels: 32"),
            ("model = dict(backbone=dict(norm_cfg=dict(type='SyncBN', requires_grad=True)))", "sync_batch_norm: true"),
            (
                "model = dict(head=dict(loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1)))",
                "label_smoothing: 0.1",
            ),
            (
                "model = dict(head=dict(loss=dict(_delete_=True, type='LabelSmoothLoss', label_smooth_val=0.1, use_sigmoid=True)))",
                r"label_smoothing: 0.1 bce { sum_classes: true",
            ),
            (
                "model = dict(head=dict(num_classes=1000, loss=dict(type='CrossEntropyLoss', class_weight=[1.5] + [1] * 999)))",
                r"class_weights { weight: \[ ?1.5, 1.0, 1.0",
            ),
            # With mode classy_vision the smoothing is 0.25 / 1.25.
            (
                "model = dict(head=dict(loss=dict(type='LabelSmoothLoss', label_smooth_val=0.25, mode='classy_vision')))",
                "label_smoothing: 0.2",
            ),
            # Data. mmpretrain gives sizes as (width, height).
            (
                "train_dataloader = dict(dataset=dict(pipeline=[dict(type='Resize', scale=(48, 40)), dict(type='PackInputs')]))",
                r"height: 40 width: 48",
            ),
            (
                "train_dataloader = dict(dataset=dict(pipeline=[dict(type='RandomCrop', crop_size=(28, 28), padding=[2] * 4, "
                "pad_val=(9, 9, 9))]))",
                r"size: 28 padding: 2 pad_value: 9",
            ),
            (
                "train_dataloader = dict(dataset=dict(pipeline=[dict(type='CenterCrop', crop_size=24)]))",
                r"center_crop { size: 24 middle: EVEN",
            ),
            (
                "train_dataloader = dict(dataset=dict(pipeline=[dict(type='Resize', scale=32, interpolation='bicubic', "
                "backend='pillow')]))",
                r"resize { size: 32 interpolation: BICUBIC antialias: true",
            ),
            (
                "train_dataloader = dict(dataset=dict(pipeline=[dict(type='RandomResizedCrop', scale=224, backend='pillow')]))",
                r"random_resized_crop { size: 224 antialias: true",
            ),
            (
                "train_dataloader = dict(dataset=dict(pipeline=[dict(type='RandomResizedCrop', scale=(32, 32), "
                "crop_ratio_range=(0.5, 1.0), aspect_ratio_range=(0.5, 2.0))]))",
                r"size: 32 min_area: 0.5 max_area: 1.0 min_ratio: 0.5 max_ratio: 2.0",
            ),
            (
                "train_dataloader = dict(dataset=dict(pipeline=[dict(type='ResizeEdge', scale=256, edge='short', "
                "backend='pillow')]))",
                r"resize_edge { size: 256 antialias: true",
            ),
            (
                "train_dataloader = dict(dataset=dict(pipeline=[dict(type='ResizeEdge', scale=256, edge='long')]))",
                r"resize_edge { size: 256 edge: LONG",
            ),
            (
                "train_dataloader = dict(dataset=dict(pipeline=[dict(type='ColorJitter', brightness=0.4, contrast=0.2, hue=0.1)]))",
                r"color_jitter { brightness: 0.4 contrast: 0.2 hue: 0.1",
            ),
            # mmpretrain's CIFAR images are RGB, as finetune's are. Images that mmpretrain reads from files are BGR.
            (
                "train_dataloader = dict(dataset=dict(pipeline=[dict(type='RandomErasing', erase_prob=0.25, mode='rand', "
                "fill_color=[1, 2, 3], fill_std=[4, 5, 6])]))",
                r"value: \[1.0, 2.0, 3.0\] std: \[4.0, 5.0, 6.0\]",
            ),
            (
                "data_preprocessor = dict(to_rgb=True)\ntrain_dataloader = dict(dataset=dict(pipeline=[dict(type='LoadImageFromFile'), "
                "dict(type='RandomErasing', fill_color=[1, 2, 3])]))\nval_dataloader = dict(dataset=dict(pipeline=["
                "dict(type='LoadImageFromFile')]))\ntest_dataloader = val_dataloader",
                r"value: \[3.0, 2.0, 1.0\]",
            ),
            ("model = dict(train_cfg=dict(augments=[dict(type='CutMix', alpha=1.0)]))", r"cutmix { alpha: 1.0"),
            (
                "model = dict(head=dict(_delete_=True, type='MultiLabelLinearClsHead', num_classes=10, in_channels=2048, "
                "loss=dict(type='CrossEntropyLoss', use_soft=True)), train_cfg=dict(augments=dict(type='Mixup', alpha=1.)))",
                r"head { num_classes: 10 topk: \[1, 5\] } .*mixup { alpha: 1.0",
            ),
            (
                "model = dict(head=dict(_delete_=True, type='MultiLabelLinearClsHead', num_classes=10, in_channels=2048))",
                r"head { num_classes: 10 bce { sum_classes: true } topk: \[1, 5\] }",
            ),
            ("train_dataloader = dict(drop_last=True)", "drop_last: true"),
            (
                "train_dataloader = dict(sampler=dict(_delete_=True, type='RepeatAugSampler'))",
                "repeated_augmentation: 3",
            ),
            (
                "train_dataloader = dict(sampler=dict(_delete_=True, type='RepeatAugSampler', num_repeats=2, shuffle=False))",
                "repeated_augmentation: 2 shuffle: false",
            ),
            (
                "train_dataloader = dict(dataset=dict(_delete_=True, type='RepeatDataset', times=1, dataset=dict(type='CIFAR10', "
                "data_root='data/cifar10', split='train', pipeline=[dict(type='PackInputs')])))",
                'path: "data/cifar10-shards" split: "train" batch_size: 16',
            ),
            (
                "train_dataloader = dict(dataset=dict(_delete_=True, type='ImageNet21k', data_root='data/in21k', split='train', "
                "pipeline=[dict(type='LoadImageFromFile')]))\nval_dataloader = None\nval_evaluator = None\ntest_dataloader = None\n"
                "test_evaluator = None\ndata_preprocessor = dict(to_rgb=True)",
                'path: "data/in21k-shards" split: "train"',
            ),
            ("train_dataloader = dict(sampler=dict(shuffle=False))", "shuffle: false"),
            ("optim_wrapper = dict(accumulative_counts=4)", r"batch_size: 64 micro_batch_size: 16"),
            # Optimizer.
            ("optim_wrapper = dict(optimizer=dict(nesterov=True))", "nesterov: true"),
            ("optim_wrapper = dict(clip_grad=dict(max_norm=5.0))", r"clip_gradient { max_norm: 5.0"),
            # A norm's weight and all biases have one dimension.
            (
                "optim_wrapper = dict(paramwise_cfg=dict(flat_decay_mult=0.))",
                r'rule { match: "\(\\\\.bn\[0-9\]\*\|\\\\.downsample\\\\.1\)\\\\.weight" weight_decay_multiplier: 0.0 } '
                r'rule { match: "\\\\.bias\$" weight_decay_multiplier: 0.0 }',
            ),
            (
                "optim_wrapper = dict(optimizer=dict(_delete_=True, type='Lamb', lr=0.005, weight_decay=0.02))",
                r"lamb { lr: 0.005 weight_decay: 0.02 } clip_gradient { max_norm: 1.0",
            ),
            (
                "optim_wrapper = dict(optimizer=dict(_delete_=True, type='LARS', lr=1.6, weight_decay=1e-6, eta=0.01))",
                r"lars { lr: 1.6 weight_decay: 1e-06 trust_coefficient: 0.01 always_adapt: true",
            ),
            (
                "optim_wrapper = dict(optimizer=dict(_delete_=True, type='RMSprop', lr=0.064, alpha=0.9, momentum=0.9, eps=0.0316, "
                "weight_decay=1e-5))",
                r"rmsprop { lr: 0.064 alpha: 0.9 epsilon: 0.0316 momentum: 0.9 weight_decay: 1e-05 }",
            ),
            ("model = dict(backbone=dict(drop_path_rate=0.1))", r"drop_path: 0.1"),
            ("optim_wrapper = dict(type='AmpOptimWrapper', dtype='bfloat16')", "precision: BFLOAT16"),
            # Schedule.
            # mmengine divides by end - 1, so the last of these iterations has the full rate.
            (
                "param_scheduler = [dict(type='LinearLR', by_epoch=False, end=500), dict(type='StepLR', step_size=90)]",
                r"iterations: 500 start_factor: 0.333[0-9]* ends_at_full_rate: true } .*milestones: \[90, 180\]",
            ),
            # A cosine that begins where the warm-up ends, by iteration, converted, and by epoch.
            (
                "train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=900)\nparam_scheduler = [dict(type='LinearLR', end=5, "
                "by_epoch=False), dict(type='CosineAnnealingLR', by_epoch=False, begin=5, T_max=895)]",
                r"warmup { iterations: 5 start_factor: 0.333[0-9]* ends_at_full_rate: true schedule_follows: true } cosine { min_lr: 0 }",
            ),
            (
                "param_scheduler = [dict(type='LinearLR', start_factor=0.25, end=5, convert_to_iter_based=True), "
                "dict(type='CosineAnnealingLR', T_max=195, eta_min=1e-5, begin=5, end=200)]",
                r"warmup { epochs: 5 start_factor: 0.25 ends_at_full_rate: true schedule_follows: true } "
                r"cosine { min_lr: 1e-05 unit: EPOCH }",
            ),
            (
                "param_scheduler = [dict(type='CosineAnnealingLR', begin=5), dict(type='LinearLR', start_factor=0.1, end=5)]",
                r"warmup { epochs: 5 start_factor: 0.1 ends_at_full_rate: true unit: EPOCH schedule_follows: true } "
                r"cosine { min_lr: 0 unit: EPOCH }",
            ),
            (
                "train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=900)\nparam_scheduler = [dict(type='LinearLR', end=5, "
                "by_epoch=False), dict(type='PolyLR', by_epoch=False, begin=5, end=901)]",
                r"schedule_follows: true } poly { min_lr: 0 }",
            ),
            # Milestones count from the schedule's begin.
            (
                "param_scheduler = [dict(type='LinearLR', end=10, convert_to_iter_based=True), "
                "dict(type='MultiStepLR', begin=10, milestones=[60, 120, 190])]",
                r"schedule_follows: true } multi_step { milestones: \[60, 120\]",
            ),
            (
                "train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=900)\nparam_scheduler = dict(_delete_=True, "
                "type='PolyLR', by_epoch=False, power=2.0, eta_min=1e-4, end=901)",
                r"poly { power: 2.0 min_lr: 0.0001 }",
            ),
            (
                "param_scheduler = dict(_delete_=True, type='PolyLR', power=0.9, end=201)",
                r"poly { power: 0.9 min_lr: 0 unit: EPOCH }",
            ),
            (
                "param_scheduler = dict(_delete_=True, type='OneCycleLR', eta_max=0.5, total_steps=200, pct_start=0.2, div_factor=10., "
                "final_div_factor=100., anneal_strategy='linear', convert_to_iter_based=True)",
                r"sgd { lr: 0.5 momentum: 0.9 weight_decay: 0.0001 } .*"
                r"one_cycle { pct_start: 0.2 div_factor: 10.0 final_div_factor: 100.0 anneal: LINEAR }",
            ),
            (
                "param_scheduler = dict(_delete_=True, type='CosineRestartLR', periods=[50, 50, 50, 50], restart_weights=[1, 1, 1, 1], "
                "eta_min=1e-4, convert_to_iter_based=True)",
                r"cosine_restarts { first_epochs: 50 min_lr: 0.0001 }",
            ),
            (
                "train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=700)\nparam_scheduler = dict(_delete_=True, "
                "type='CosineRestartLR', by_epoch=False, periods=[100, 200, 400], restart_weights=[1, 1, 1], eta_min_ratio=0.01)",
                r"cosine_restarts { first_iterations: 100 multiplier: 2 min_lr: 0.001 }",
            ),
            (
                "param_scheduler = dict(_delete_=True, type='CosineAnnealingLR', T_max=200, eta_min=1e-5)",
                r"cosine { min_lr: 1e-05 unit: EPOCH",
            ),
            (
                "param_scheduler = dict(_delete_=True, type='CosineAnnealingLR', T_max=200, convert_to_iter_based=True)",
                r"cosine { min_lr: 0 }",
            ),
            ("param_scheduler = dict(milestones=[100, 200, 300])", r"milestones: \[100\] gamma"),
            ("param_scheduler = []", "constant {}"),
            ("train_cfg = dict(by_epoch=True, max_epochs=200, val_interval=7)", "val_interval_epochs: 7"),
            (
                "train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=900)\nparam_scheduler = dict(_delete_=True, "
                "type='MultiStepLR', by_epoch=False, milestones=[300])",
                r"max_iterations: 900 val_interval_iterations: 1000 multi_step { milestones: \[300\] unit: ITERATION",
            ),
            ("auto_scale_lr = dict(enable=True)", r"base_batch_size: 128 auto_scale_lr: true"),
            (
                "val_dataloader = None\nval_evaluator = None\ntest_dataloader = None\ntest_evaluator = None",
                "val_interval_epochs: 0",
            ),
            # Runtime.
            (
                "custom_hooks = [dict(type='EMAHook', momentum=1e-4, update_buffers=True, priority='ABOVE_NORMAL')]",
                r"ema { decay: 0.9999 }",
            ),
            (
                "model = dict(backbone=dict(norm_eval=True))\ncustom_hooks = [dict(type='EMAHook')]",
                r"ema { decay: 0.9998 }",
            ),
            (
                "default_hooks = dict(checkpoint=dict(max_keep_ckpts=2, save_best='accuracy/top1'))",
                r"keep_last: 2 save_best: true",
            ),
            (
                "default_hooks = dict(checkpoint=dict(save_best='accuracy/top5'))",
                r"save_best: true best_metric: TOP5",
            ),
            (
                "custom_hooks = [dict(type='EarlyStoppingHook', monitor='accuracy/top1', patience=3, min_delta=0.5)]",
                r"early_stopping { metric: TOP1 patience: 3 min_delta: 0.005",
            ),
            (
                "param_scheduler = [dict(type='ReduceOnPlateauLR', monitor='accuracy/top1', rule='greater', factor=0.5, patience=2, "
                "threshold=0.2, threshold_rule='abs', cooldown=1, min_value=1e-5)]",
                r"plateau { metric: TOP1 factor: 0.5 patience: 2 threshold_mode: ABSOLUTE threshold: 0.002 cooldown: 1 min_lr: 1e-05",
            ),
            (
                "default_hooks = dict(checkpoint=dict(by_epoch=False, interval=500))",
                r"interval_epochs: 0 interval_iterations: 500",
            ),
            (
                "default_hooks = dict(checkpoint=dict(_delete_=True, type='CheckpointHook'))",
                r"interval_epochs: 0 keep_last: 0 save_best: false",
            ),
            ("default_hooks = dict(logger=dict(_delete_=True, type='LoggerHook'))", "log_interval: 10"),
            ("randomness = dict(seed=7)", "seed: 7"),
            (
                "model = dict(train_cfg=dict(augments=dict(type='Mixup', alpha=0.4)))",
                r"batch_transform \{ mixup \{ alpha: 0.4 \} \}",
            ),
            ("work_dir = './runs/{{ fileBasenameNoExtension }}'", 'work_dir: "./runs/mine"'),
            (
                "visualizer = dict(vis_backends=[dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')])",
                "tensorboard: true",
            ),
        )
        for setting, expected in settings:
            with self.subTest(setting):
                self.assertRegex(self.flat(self.whole(BASE_LIST + setting + "\n")), expected)
        for group in range(11):
            self.accepts_all([setting for setting, _ in settings[group::11]])

    def test_adamw_and_whole_checkpoints_have_their_counterparts(self):
        for setting, expected in (
            (
                "optim_wrapper = dict(optimizer=dict(_delete_=True, type='AdamW', lr=0.001, betas=(0.9, 0.95), eps=1e-6))",
                "adamw { lr: 0.001 beta1: 0.9 beta2: 0.95 epsilon: 1e-06 }",
            ),
            ("load_from = 'whole.pth'", 'pretrained { checkpoint: "whole.pth" with_head: true }'),
        ):
            self.assertIn(expected, self.flat(self.whole(BASE_LIST + setting + "\n")))

    def test_settings_without_one_are_named_and_the_rest_is_accepted(self):
        settings = (
            ("model = dict(backbone=dict(dilations=(1, 1, 2, 4)))", "model.backbone.dilations=(1, 1, 2, 4)"),
            ("model = dict(backbone=dict(norm_cfg=dict(requires_grad=False)))", "norm_cfg.requires_grad=False"),
            (
                "model = dict(backbone=dict(frozen_stages=5))",
                "model.backbone.frozen_stages=5: expected a whole number of -1 to 4",
            ),
            (
                "model = dict(backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50')))",
                "finetune does not know torchvision://",
            ),
            ("model = dict(neck=dict(type='GeneralizedMeanPooling'))", "finetune has no neck GeneralizedMeanPooling"),
            (
                "model = dict(train_cfg=dict(augments=[dict(type='ResizeMix', alpha=0.2)]))",
                "model.train_cfg.augments[0]=dict(type='ResizeMix', alpha=0.2): finetune has no ResizeMix mixing",
            ),
            (
                "model = dict(train_cfg=dict(augments=[dict(type='CutMix', alpha=1.0)], probs=[0.5]))",
                "model.train_cfg.augments[0]=dict(type='CutMix', alpha=1.0): finetune mixes each batch, and in one way",
            ),
            (
                "model = dict(train_cfg=dict(augments=[dict(type='Mixup', alpha=0.2)], probs=[0.5]))",
                "model.train_cfg.augments[0]=dict(type='Mixup', alpha=0.2): finetune mixes each batch",
            ),
            (
                "model = dict(head=dict(loss=dict(type='CrossEntropyLoss', use_soft=True)))",
                "model.head.loss.use_soft=True: the labels of this head are whole numbers",
            ),
            (
                "model = dict(head=dict(loss=dict(type='SeesawLoss')))",
                "model.head.loss=dict(type='SeesawLoss'",
            ),
            (
                "optim_wrapper = dict(optimizer=dict(_delete_=True, type='LARS', lr=0.3, momentum=0.9))",
                "optim_wrapper.optimizer.momentum: a step's lr multiplies the gradient before it enters the momentum there",
            ),
            (
                "optim_wrapper = dict(clip_grad=dict(max_norm=5.0), optimizer=dict(_delete_=True, type='Lamb', lr=0.005))",
                "optim_wrapper.optimizer.max_grad_norm: gradients are clipped twice there",
            ),
            (
                "custom_hooks = [dict(type='EarlyStoppingHook', monitor='single-label/f1-score')]",
                "finetune translates accuracy/top1, and accuracy/top5 where val_evaluator measures it",
            ),
            ("data_preprocessor = dict(to_rgb=True)", "the network gets BGR there"),
            (
                "train_dataloader = dict(dataset=dict(pipeline=[dict(type='RandomResizedCrop', scale=(224, 200)), dict(type='PackInputs')]))",
                "train_dataloader.dataset.pipeline[0]=dict(type='RandomResizedCrop', scale=(224, 200))",
            ),
            (
                "train_dataloader = dict(dataset=dict(pipeline=[dict(type='RandomErasing', mode='rand')]))",
                "finetune paints with one colour or normal noise",
            ),
            (
                "train_dataloader = dict(dataset=dict(pipeline=[dict(type='RandAugment', num_policies=2)]))",
                "each always and all with one strength; mmpretrain's applies those of `policies`",
            ),
            (
                "train_dataloader = dict(dataset=dict(pipeline=[dict(type='RandAugment', policies='timm_increasing', num_policies=2)]))",
                "timm's has 15, with Invert and SolarizeAdd, half of the time each, and draws a strength for each",
            ),
            (
                "train_dataloader = dict(dataset=dict(pipeline=[dict(type='AutoAugment', policies=[[dict(type='Invert')]])]))",
                "finetune's auto_augment has the policies of torchvision",
            ),
            (
                "train_dataloader = dict(dataset=dict(pipeline=[dict(type='Lighting', eigval=[1.], eigvec=[[1.], [0.], [0.]])]))",
                "finetune's lighting takes three eigenvalues and vectors",
            ),
            (
                "train_dataloader = dict(dataset=dict(_delete_=True, type='ClassBalancedDataset', oversample_thr=0.1, "
                "dataset=dict(type='CIFAR10', data_root='data/cifar10', split='train', pipeline=[dict(type='PackInputs')])))",
                "train_dataloader.dataset.oversample_thr=0.1: it repeats the images of classes below this share",
            ),
            (
                "train_dataloader = dict(dataset=dict(_delete_=True, type='RepeatDataset', times=4, dataset=dict(type='CIFAR10', "
                "data_root='data/cifar10', split='train', pipeline=[dict(type='PackInputs')])))",
                "train_dataloader.dataset.times=4: an epoch has all images so many times there",
            ),
            (
                "model = dict(head=dict(_delete_=True, type='MultiLabelLinearClsHead', num_classes=10, in_channels=2048, "
                "loss=dict(type='AsymmetricLoss')))",
                "finetune has no head MultiLabelLinearClsHead",
            ),
            (
                "train_dataloader = dict(dataset=dict(pipeline=[dict(type='RandomFlip', prob=0.5, direction='vertical')]))",
                "pipeline[0]=dict(type='RandomFlip', prob=0.5, direction='vertical')",
            ),
            (
                "train_dataloader = dict(dataset=dict(pipeline=[dict(type='Resize', scale=32, interpolation='nearest')]))",
                "finetune resizes bilinearly or bicubically",
            ),
            (
                "train_dataloader = dict(sampler=dict(type='KFoldSampler'))",
                "finetune has no sampler KFoldSampler",
            ),
            (
                "train_dataloader = dict(dataset=dict(ann_file='train.txt'))",
                "train_dataloader.dataset.ann_file='train.txt'",
            ),
            ("test_dataloader = dict(batch_size=99)", "test_dataloader=dict(batch_size=99"),
            (
                "val_evaluator = dict(type='SingleLabelMetric')\ntest_evaluator = val_evaluator",
                "finetune measures accuracy and loss, not SingleLabelMetric",
            ),
            ("optim_wrapper = dict(optimizer=dict(dampening=0.1))", "optim_wrapper.optimizer.dampening=0.1"),
            (
                "optim_wrapper = dict(type='AmpOptimWrapper', loss_scale='dynamic')",
                "finetune has bfloat16, which is written, and not",
            ),
            (
                "optim_wrapper = dict(clip_grad=dict(type='value', clip_value=0.5))",
                "optim_wrapper.clip_grad=dict(type='value', clip_value=0.5)",
            ),
            (
                "optim_wrapper = dict(paramwise_cfg=dict(dcn_offset_lr_mult=0.1))",
                "optim_wrapper.paramwise_cfg.dcn_offset_lr_mult=0.1",
            ),
            (
                "optim_wrapper = dict(constructor='MyConstructor')",
                "optim_wrapper.constructor='MyConstructor'",
            ),
            (
                "optim_wrapper = dict(constructor='LearningRateDecayOptimWrapperConstructor', paramwise_cfg=dict(layer_decay_rate=0.7))",
                "paramwise_cfg.layer_decay_rate=0.7: finetune's optimizer.layer_decay goes by stages",
            ),
            # Schedules. Without end the fall is endless, and with the run's length it reaches its end one step earlier.
            ("param_scheduler = [dict(type='PolyLR', power=2)]", "finetune's poly spans the run to its end"),
            (
                "param_scheduler = [dict(type='PolyLR', end=200)]",
                "(1 - n / (N - 1))^power there and (1 - n / N)^power here",
            ),
            (
                "param_scheduler = [dict(type='PolyLR', end=201, convert_to_iter_based=True)]",
                "the rate falls over 201 epochs less an iteration there, and over 200 here",
            ),
            (
                "param_scheduler = [dict(type='OneCycleLR', eta_max=0.5, total_steps=200)]",
                "one_cycle changes after every iteration",
            ),
            (
                "param_scheduler = [dict(type='CosineRestartLR', periods=[50, 150], eta_min=0., convert_to_iter_based=True, "
                "restart_weights=[1, 0.5])]",
                "cosine_restarts begins each period with the full rate",
            ),
            (
                "param_scheduler = [dict(type='CosineRestartLR', periods=[100, 100], eta_min=0., restart_weights=[1, 1])]",
                "the rate falls once an epoch there and every iteration here",
            ),
            (
                "param_scheduler = [dict(type='LinearLR', by_epoch=False, end=50), dict(type='CosineAnnealingLR', T_max=200, eta_min=0.01)]",
                "the warm-up raises only the part of the rate above eta_min there",
            ),
            (
                "param_scheduler = [dict(type='CosineAnnealingLR', T_max=200, eta_min=0.01), dict(type='LinearLR', by_epoch=False, end=50)]",
                "the warm-up raises only the part of the rate above eta_min there",
            ),
            (
                "optim_wrapper = dict(paramwise_cfg=dict(bias_lr_mult=2.))\nparam_scheduler = dict(_delete_=True, "
                "type='CosineAnnealingLR', T_max=200, eta_min=0.01)",
                "eta_min=0.01: it is the least rate of every parameter there",
            ),
            (
                "optim_wrapper = dict(paramwise_cfg=dict(bias_lr_mult=2.))\nparam_scheduler = dict(_delete_=True, "
                "type='ReduceOnPlateauLR', monitor='accuracy/top1', rule='greater', min_value=0.01)",
                "min_value=0.01: it is the least rate of every parameter there",
            ),
            (
                "param_scheduler = [dict(type='ReduceOnPlateauLR')]",
                "finetune translates it for monitor='accuracy/top1' and rule='greater'",
            ),
            # The warm-up counts iterations and the cosine epochs.
            (
                "param_scheduler = [dict(type='LinearLR', end=5, by_epoch=False), dict(type='CosineAnnealingLR', begin=5)]",
                "finetune's schedule begins with the run or where the warm-up ends",
            ),
            (
                "param_scheduler = [dict(type='LinearLR', end=5), dict(type='CosineAnnealingLR', begin=6)]",
                "finetune's schedule begins with the run or where the warm-up ends",
            ),
            (
                "param_scheduler = [dict(type='LinearLR', end=5), dict(type='OneCycleLR', eta_max=0.5, begin=5)]",
                "finetune's schedule spans the whole run",
            ),
            ("param_scheduler = [dict(type='LinearLR', end=200)]", "ends before the run does"),
            (
                "param_scheduler = [dict(type='CosineAnnealingLR', T_max=50)]",
                "finetune's cosine spans the run to its end, 200 epochs",
            ),
            ("train_cfg = dict(dynamic_intervals=[(90, 1)])", "train_cfg.dynamic_intervals=[(90, 1)]"),
            (
                "default_hooks = dict(checkpoint=dict(save_best='accuracy/top3'))",
                "default_hooks.checkpoint.save_best='accuracy/top3'",
            ),
            ("default_hooks = dict(mine=dict(type='MyHook'))", "default_hooks.mine=dict(type='MyHook')"),
            (
                "custom_hooks = [dict(type='EMAHook', momentum=1e-4)]",
                "custom_hooks[0].update_buffers: is False: validations use the running statistics of the latest weights there",
            ),
            (
                "custom_hooks = [dict(type='EMAHook', ema_type='StochasticWeightAverage')]",
                "finetune's average has one decay",
            ),
            (
                "custom_hooks = [dict(type='EMAHook', update_buffers=True, evaluate_on_origin=True)]",
                "custom_hooks[0].evaluate_on_origin=True: finetune validates only the averaged weights",
            ),
            ("custom_imports = dict(imports=['my_package'])", "custom_imports=dict(imports=['my_package'])"),
            ("visualizer = dict(vis_backends=[dict(type='WandbVisBackend')])", "not to WandbVisBackend"),
            ("lr_config = dict(policy='step')", "lr_config=dict(policy='step'): mmpretrain 1.x does not read it"),
        )
        for setting, expected in settings:
            with self.subTest(setting):
                output, missing = self.translate(BASE_LIST + setting + "\n")
                self.assertEqual(len(missing), 1, missing)
                self.assertIn(expected, missing[0])
                self.assertRegex(missing[0], r"^resnet/mine\.py:[45]: ")
                self.assertIn(expected.splitlines()[0], output)
        for group in range(11):
            self.accepts_all([setting for setting, _ in settings[group::11]])

    def test_a_network_that_finetune_has_not_leaves_its_place_empty(self):
        output, missing = self.translate(
            BASE_LIST + "model = dict(backbone=dict(_delete_=True, type='EfficientNet', arch='es'))\n"
        )
        self.assertIn("finetune has no backbone EfficientNet es", missing[0])
        path = self.write("mine.pbtxt", output)
        run = subprocess.run([FINETUNE, "config", f"--config={path}"], capture_output=True, text=True, check=False)
        self.assertEqual(run.returncode, 2)
        self.assertRegex(run.stderr, r"^[^\n]*model\.backbone: has no kind[^\n]*\n$")

    def network(self, backbone, more=""):
        """The model's part of a translation, and what was missing; `more`: further settings of the model."""
        output, missing = self.translate(
            BASE_LIST + f"model = dict(backbone=dict(_delete_=True, {backbone}), {more})\n"
        )
        return re.sub(r"\s+", " ", re.sub(r" *#[^\n]*", "", output)), missing

    def test_networks_of_inverted_residual_blocks(self):
        for backbone, expected in (
            ("type='MobileNetV2'", "backbone { mobilenet_v2 {}"),
            ("type='MobileNetV2', widen_factor=0.5, frozen_stages=6", "mobilenet_v2 { width: 0.5 } frozen_stages: 6"),
            ("type='EfficientNet', arch='b0'", "efficientnet {}"),
            # 23 blocks; the last one, number 22 from 0, has the rate.
            ("type='EfficientNet', arch='b1', drop_path_rate=0.2", "efficientnet { variant: 1 drop_path: 0.2090909 }"),
            (
                "type='EfficientNet', arch='b4', frozen_stages=1, norm_eval=True",
                "efficientnet { variant: 4 } frozen_stages: 0 norm_eval: true",
            ),
            ("type='EfficientNet', norm_cfg=dict(type='SyncBN', eps=1e-3)", "efficientnet {}"),
            ("type='EfficientNetV2', arch='small', frozen_stages=6", "efficientnet_v2 {} frozen_stages: 5"),
            # 21 blocks.
            (
                "type='EfficientNetV2', arch='b0', drop_path_rate=0.2",
                "efficientnet_v2 { variant: BASE_0 drop_path: 0.21 }",
            ),
            ("type='DenseNet', frozen_stages=0", "densenet {} frozen_stages: -1"),
            ("type='DenseNet', arch='169', memory_efficient=True", "densenet { depth: 169 }"),
        ):
            with self.subTest(backbone):
                output, missing = self.network(backbone)
                self.assertEqual(missing, [])
                self.assertIn(expected, output)

    def test_variants_of_resnet_and_regnet(self):
        zero = "zero_init_residual: true"
        for backbone, expected in (
            ("type='ResNetV1c', depth=18", f"resnet {{ depth: 18 stem: DEEP {zero} }}"),
            ("type='ResNetV1d', depth=50", f"resnet {{ depth: 50 stem: DEEP avg_down: true {zero} }}"),
            ("type='ResNet', depth=50, deep_stem=True, zero_init_residual=False", "resnet { depth: 50 stem: DEEP }"),
            ("type='ResNeXt', depth=50", f"resnet {{ depth: 50 groups: 32 width_per_group: 4 {zero} }}"),
            (
                "type='ResNeXt', depth=101, groups=64, width_per_group=4, frozen_stages=2, zero_init_residual=False",
                "resnet { depth: 101 groups: 64 width_per_group: 4 } frozen_stages: 2",
            ),
            ("type='SEResNet', depth=50, avg_down=True", f"resnet {{ depth: 50 avg_down: true se_ratio: 16 {zero} }}"),
            (
                "type='SEResNeXt', depth=50, se_ratio=8",
                f"resnet {{ depth: 50 groups: 32 width_per_group: 4 se_ratio: 8 {zero} }}",
            ),
            # Wide-ResNet-50-2.
            (
                "type='ResNet', depth=50, stem_channels=64, base_channels=128, expansion=2",
                f"resnet {{ depth: 50 width_per_group: 128 {zero} }}",
            ),
            ("type='RegNet', arch='regnetx_1.6gf'", f"regnet {{ variant: X_1600MF {zero} }}"),
        ):
            with self.subTest(backbone):
                output, missing = self.network(backbone)
                self.assertEqual(missing, [])
                self.assertIn(expected, output)
        for backbone, expected in (
            ("type='ResNeXt', depth=18", "finetune has no backbone ResNeXt-18"),
            ("type='ResNet', depth=50, expansion=2", "finetune's bottlenecks have results of 4 times stem_channels"),
            ("type='RegNet', arch='regnetx_12gf'", "finetune has no backbone RegNet regnetx_12gf"),
        ):
            with self.subTest(backbone):
                _, missing = self.network(backbone)
                self.assertIn(expected, missing[0])

    def test_vgg_with_and_without_hidden_layers(self):
        pooled = "type='VGG', depth=13, norm_cfg=dict(type='BN')"
        hidden = f"{pooled}, num_classes=10"
        own_head = "neck=None, head=dict(_delete_=True, type='ClsHead')"
        for backbone, more, expected in (
            (pooled, "", "vgg { depth: 13 hidden_features: 0 }"),
            (f"{pooled}, frozen_stages=5", "", "vgg { depth: 13 hidden_features: 0 } frozen_stages: 4"),
            (f"{hidden}, frozen_stages=2", own_head, "vgg { depth: 13 hidden_dropout: 0.5 } frozen_stages: 1"),
        ):
            with self.subTest(backbone):
                output, missing = self.network(backbone, more)
                self.assertEqual(missing, [])
                self.assertIn(expected, output)
        self.assertIn("head { dropout: 0.5 num_classes: 10", output)
        self.assertIn("neck { kind: NONE }", output)
        _, missing = self.network(f"{hidden}, frozen_stages=5", own_head)
        self.assertIn("no frozen_stages of finetune freezes these layers", missing[0])
        _, missing = self.network("type='VGG', depth=16")
        self.assertIn("finetune has no backbone VGG-16 without batch norm", missing[0])

    def test_convnext(self):
        init = "init_cfg=dict(type='TruncNormal', layer=['Conv2d', 'Linear'], std=.02, bias=0.)"
        head = f"neck=None, head=dict(init_cfg=None), {init}"
        for backbone, expected in (
            ("type='ConvNeXt'", "backbone { convnext {} }"),
            (
                "type='ConvNeXt', arch='base', drop_path_rate=0.5, layer_scale_init_value=0.",
                "convnext { variant: BASE layer_scale_init: 0.0 drop_path: 0.5 }",
            ),
            (
                "type='ConvNeXt', arch='atto', use_grn=True, layer_scale_init_value=0., frozen_stages=2",
                "convnext { variant: ATTO version: V2 } frozen_stages: 2",
            ),
            (
                "type='ConvNeXt', frozen_stages=0, out_indices=(3, ), linear_pw_conv=False",
                "convnext {} frozen_stages: -1",
            ),
        ):
            with self.subTest(backbone):
                output, missing = self.network(backbone, head)
                self.assertEqual(missing, [])
                self.assertIn(expected, output)
                self.assertIn("neck { kind: NONE }", output)
        for backbone, more, expected in (
            ("type='ConvNeXt', arch='xlarge'", head, "finetune has no backbone ConvNeXt xlarge"),
            ("type='ConvNeXt', frozen_stages=4", head, "no frozen_stages of finetune freezes these layers"),
            ("type='ConvNeXt', use_grn=True", head, "finetune's ConvNeXt V2 has no layer scales"),
            ("type='ConvNeXt', gap_before_final_norm=False", head, "averages over the pixels before the last norm"),
            (
                "type='ConvNeXt'",
                "neck=None",
                "Normal', layer='Linear', std=0.01) there; normal, with a deviation of 0.02, here",
            ),
            ("type='ConvNeXt'", "neck=None, head=dict(init_cfg=None)", "the head's first weights are PyTorch's there"),
            ("type='ConvNeXt', init_cfg=dict(type='Xavier', layer='Conv2d')", head, "finetune chooses how a network"),
        ):
            with self.subTest(backbone + more):
                _, missing = self.network(backbone, more)
                self.assertEqual(len(missing), 1, missing)
                self.assertIn(expected, missing[0])

    def test_swin_transformer(self):
        init = (
            "init_cfg=[dict(type='TruncNormal', layer='Linear', std=0.02, bias=0.), "
            "dict(type='Constant', layer='LayerNorm', val=1., bias=0.)]"
        )
        head = f"head=dict(init_cfg=None), {init}"
        for backbone, expected in (
            ("type='SwinTransformer'", "backbone { swin { drop_path: 0.1 } }"),
            (
                "type='SwinTransformer', arch='base', img_size=384, drop_path_rate=0., stage_cfgs=dict(block_cfgs=dict(window_size=12))",
                "backbone { swin { variant: BASE window_size: 12 } }",
            ),
            (
                "type='SwinTransformer', arch='S', drop_path_rate=0.3, frozen_stages=0, window_size=7",
                "backbone { swin { variant: SMALL drop_path: 0.3 } frozen_stages: 1 }",
            ),
        ):
            with self.subTest(backbone):
                output, missing = self.network(backbone, head)
                self.assertEqual(missing, [])
                self.assertIn(expected, output)
                self.assertIn("kind: GLOBAL_AVERAGE_POOLING", output)
        for backbone, more, expected in (
            ("type='SwinTransformer', arch='huge'", head, "finetune has no backbone SwinTransformer huge"),
            ("type='SwinTransformerV2', arch='tiny'", head, "finetune has no backbone SwinTransformerV2"),
            ("type='SwinTransformer', use_abs_pos_embed=True", head, "has no absolute position embeddings"),
            ("type='SwinTransformer', stage_cfgs=dict(block_cfgs=dict(ffn_ratio=2.))", head, "ffn_ratio"),
            (
                "type='SwinTransformer'",
                "head=dict(init_cfg=dict(type='TruncNormal', layer='Linear', std=0.02))",
                "without a checkpoint the first weights differ",
            ),
        ):
            with self.subTest(backbone + more):
                _, missing = self.network(backbone, more)
                self.assertEqual(len(missing), 1, missing)
                self.assertIn(expected, missing[0])

    def vit(self, backbone, more="head=dict(init_cfg=dict(type='Normal', layer='Linear', std=0.01))"):
        """As network(), of a ViT that takes its first weights from a checkpoint."""
        return self.network(
            f"type='VisionTransformer', init_cfg=dict(type='Pretrained', checkpoint='a.pth'), {backbone}",
            f"neck=None, {more}",
        )

    def test_vision_transformer(self):
        for backbone, expected in (
            ("arch='b'", "vit { variant: BASE }"),
            (
                "arch='deit-tiny', patch_size=8, img_size=(32, 32), qkv_bias=False",
                "vit { variant: TINY image_size: 32 patch_size: 8 qkv_bias: false }",
            ),
            ("arch='Deit-Small', out_type='avg_featmap', final_norm=False", "vit { variant: SMALL pooling: MEAN }"),
            (
                "arch='large', drop_path_rate=0.1, layer_scale_init_value=1e-5, frozen_stages=24",
                "vit { variant: LARGE layer_scale: 1e-05 drop_path: 0.1 } frozen_stages: 24",
            ),
            (
                "arch='h', patch_size=14, frozen_stages=0",
                "vit { variant: LARGE width: 1280 depth: 32 patch_size: 14 } frozen_stages: -1",
            ),
            (
                "arch=dict(embed_dims=64, num_layers=3, num_heads=2, feedforward_channels=256)",
                "vit { variant: BASE width: 64 depth: 3 heads: 2 }",
            ),
        ):
            with self.subTest(backbone):
                output, missing = self.vit(backbone)
                self.assertEqual(missing, [])
                self.assertIn(expected, output)
                self.assertIn('pretrained { checkpoint: "a.pth" }', output)
                self.assertIn("neck { kind: NONE }", output)
        for backbone, expected in (
            ("arch='small'", "finetune's ViT has the sizes of DeiT-tiny"),
            ("arch='dinov2-g'", "finetune's ViT has the sizes of DeiT-tiny"),
            ("arch='b', img_size=(224, 192)", "finetune's images are squares of whole patches"),
            ("arch='b', img_size=225", "finetune's images are squares of whole patches"),
            ("arch='b', drop_rate=0.1", "finetune's ViT has no dropout in its blocks"),
            ("arch='b', out_type='avg_featmap'", "normalised before the mean and after it there"),
            ("arch='b', out_type='raw'", "finetune takes the class token or the mean over the patches"),
            ("arch='b', pre_norm=True", "finetune's ViT has no norm before its blocks"),
            ("arch='b', layer_cfgs=dict(ffn_type='swiglu_fused')", "model.backbone.layer_cfgs="),
            ("arch='b', frozen_stages=13", "no frozen_stages of finetune freezes these layers"),
        ):
            with self.subTest(backbone):
                _, missing = self.vit(backbone)
                self.assertEqual(len(missing), 1, missing)
                self.assertIn(expected, missing[0])

    def test_heads_of_vision_transformers(self):
        head = "head=dict(_delete_=True, type='VisionTransformerClsHead', num_classes=10, in_channels=768"
        _, missing = self.vit("arch='b'", f"{head})")
        self.assertEqual(len(missing), 1, missing)
        self.assertIn("the head's first weights are dict(type='Constant', layer='Linear', val=0) there", missing[0])
        output, missing = self.vit("arch='b'", f"{head}, init_cfg=dict(type='TruncNormal', layer='Linear', std=0.01))")
        self.assertEqual(missing, [])
        self.assertIn("head { num_classes: 10", output)
        _, missing = self.vit("arch='b'", f"{head}, hidden_dim=3072, init_cfg=dict(type='Normal', std=0.01))")
        self.assertIn("model.head.hidden_dim=3072: finetune's head is one linear layer", missing[0])
        # A ResNet has no such head.
        _, missing = self.network("type='ResNet', depth=50", f"{head})")
        self.assertIn("finetune has no head VisionTransformerClsHead", missing[0])
        # A distilled DeiT has two heads.
        _, missing = self.network(
            "type='DistilledVisionTransformer', arch='deit-tiny'",
            "head=dict(_delete_=True, type='DeiTClsHead', num_classes=10)",
        )
        self.assertIn("finetune has no backbone DistilledVisionTransformer", missing[0])
        self.assertIn("finetune has no head DeiTClsHead", missing[1])

    def test_first_weights_of_a_vision_transformer_are_others_without_a_checkpoint(self):
        vit = (
            "model = dict(backbone=dict(_delete_=True, type='VisionTransformer', arch='b'{}), neck=None, "
            "head=dict(_delete_=True, type='VisionTransformerClsHead', num_classes=10, in_channels=768))\n"
        )
        for init, line in (("", 4), (", init_cfg=[\n  dict(type='Kaiming', layer='Conv2d')]", 5)):
            _, missing = self.translate(BASE_LIST + vit.format(init))
            self.assertEqual(len(missing), 2, missing)
            self.assertRegex(
                missing[0],
                rf"^resnet/mine.py:{line}: model.backbone.init_cfg: without a checkpoint the first weights differ",
            )
        # All weights come from a checkpoint.
        output = self.whole(BASE_LIST + vit.format("") + "load_from = 'whole.pth'\n")
        self.assertIn('checkpoint: "whole.pth"', output)

    def test_rules_of_networks_with_layer_norms_name_all_parameters_as_mmengine_does(self):
        rules = (
            "optim_wrapper = dict(optimizer=dict(_delete_=True, type='AdamW', lr=0.001, weight_decay=0.05), "
            "paramwise_cfg=dict(norm_decay_mult=0.1, bias_decay_mult=0.2, flat_decay_mult=0.3, "
            "custom_keys={'.cls_token': dict(decay_mult=0.4), '.absolute_pos_embed': dict(decay_mult=0.5)}))\n"
        )
        model = "model = dict(backbone=dict(_delete_=True, {}), {}head=dict(init_cfg=None))\nload_from = 'a.pth'\n"
        for backbone, expected in (
            (
                "type='ConvNeXt'",
                {
                    "backbone.downsample_layers.0.0.weight": 1,
                    "backbone.downsample_layers.0.1.weight": 0.1,
                    "backbone.downsample_layers.2.0.bias": 0.1,
                    "backbone.downsample_layers.2.1.weight": 1,
                    "backbone.downsample_layers.2.1.bias": 0.2,
                    "backbone.stages.0.1.depthwise_conv.weight": 1,
                    "backbone.stages.0.1.norm.weight": 0.1,
                    "backbone.stages.3.0.pointwise_conv1.weight": 1,
                    "backbone.stages.3.0.pointwise_conv1.bias": 0.2,
                    "backbone.stages.3.0.gamma": 0.3,
                    "backbone.norm3.bias": 0.1,
                    "head.fc.weight": 1,
                    "head.fc.bias": 0.2,
                },
            ),
            (
                "type='ConvNeXt', arch='atto', use_grn=True, layer_scale_init_value=0.",
                {
                    "backbone.stages.1.1.grn.gamma": 0.3,
                    "backbone.stages.1.1.grn.beta": 0.3,
                },
            ),
            (
                "type='VisionTransformer', arch='deit-tiny', layer_scale_init_value=0.1",
                {
                    "backbone.cls_token": 0.4,
                    "backbone.pos_embed": 1,
                    "backbone.patch_embed.projection.bias": 0.2,
                    "backbone.layers.11.ln1.weight": 0.1,
                    "backbone.layers.0.attn.qkv.weight": 1,
                    "backbone.layers.0.attn.qkv.bias": 0.2,
                    "backbone.layers.0.attn.gamma1.weight": 0.3,
                    "backbone.layers.0.ffn.layers.0.0.weight": 1,
                    "backbone.ln1.bias": 0.1,
                },
            ),
            (
                "type='SwinTransformer'",
                {
                    "backbone.patch_embed.projection.weight": 1,
                    "backbone.patch_embed.norm.weight": 0.1,
                    "backbone.stages.0.blocks.1.norm2.bias": 0.1,
                    "backbone.stages.0.blocks.1.attn.w_msa.relative_position_bias_table": 1,
                    "backbone.stages.0.blocks.1.attn.w_msa.qkv.bias": 0.2,
                    "backbone.stages.2.downsample.norm.weight": 0.1,
                    "backbone.stages.2.downsample.reduction.weight": 1,
                    "backbone.norm3.weight": 0.1,
                },
            ),
        ):
            with self.subTest(backbone):
                # Only a Swin transformer gives maps to the base config's neck, which averages them.
                neck = "" if "Swin" in backbone else "neck=None, "
                output = self.whole(BASE_LIST + model.format(backbone, neck) + rules)
                # Keys that match nothing are left out, for finetune refuses a rule that matches nothing.
                self.assertNotIn("absolute", re.sub(r"#.*", "", output))
                found = re.findall(r'match: "(.*?)".*\n.*weight_decay_multiplier: ([\d.]+)', output)
                for name, multiplier in expected.items():
                    first = next(
                        (float(decay) for match, decay in found if re.search(json.loads(f'"{match}"'), name)), 1
                    )
                    self.assertEqual(first, multiplier, name)

    def test_names_of_parameters_are_those_of_the_networks(self):
        settings = (
            ("convnext", {"variant": "ATTO", "layer_scale_init": 0.5}, -1),
            ("convnext", {"variant": "NANO", "version": "V2"}, 2),
            ("convnext", {"variant": "ATTO", "layer_scale_init": 0.0}, 0),
            ("vit", {"variant": "TINY", "image_size": 32, "depth": 2, "layer_scale": 0.5, "qkv_bias": False}, -1),
            ("vit", {"variant": "TINY", "image_size": 32, "depth": 3, "pooling": "MEAN"}, 1),
            ("swin", {"variant": "TINY"}, 3),
        )
        for network, fields, frozen in settings:
            with self.subTest(network, **fields):
                model = Message()
                message = model.message("backbone").message(network)
                for name, value in fields.items():
                    message.set(name, Enum(value) if isinstance(value, str) else value)
                model.message("backbone").set("frozen_stages", frozen)
                model.message("head").set("num_classes", 10)
                config = Message()
                config.set("model", model)
                data = 'data { train { path: "none" batch_size: 2 pipeline { random_crop { size: 32 } } } }'
                rest = "optimizer { sgd { lr: 0.1 } } schedule { max_epochs: 1 constant {} }"
                path = self.write("summary.pbtxt", "\n".join([*config.lines(), data, rest]))
                run = subprocess.run(
                    [FINETUNE, "summary", f"--config={path}", "--depth=0", "--memory=false"],
                    capture_output=True,
                    text=True,
                    check=False,
                )
                self.assertEqual((run.returncode, run.stderr), (0, ""))
                # The layers whose parameters are trained.
                layers = re.findall(r"^((?:backbone|head)\S*) .* trained$", run.stdout, re.MULTILINE)
                names = trained_parameters(model)
                self.assertEqual({name.rpartition(".")[0] for name in names}, set(layers))
                self.assertEqual(len(names), len(set(names)))

    def test_rules_of_frozen_parameters_are_left_out(self):
        rules = "optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'.cls_token': dict(decay_mult=0.), '.ln1': dict(decay_mult=0.)}))\n"
        model = (
            "model = dict(backbone=dict(_delete_=True, type='VisionTransformer', arch='deit-tiny', frozen_stages=3), neck=None)\n"
            "load_from = 'a.pth'\n"
        )
        output = self.whole(BASE_LIST + model + rules)
        self.assertEqual(re.findall(r'match: "(.*)"', output), ["\\\\.ln1"])

    def test_norms_of_shortcuts_that_begin_with_a_pooling(self):
        output = self.whole(
            BASE_LIST
            + "model = dict(backbone=dict(type='ResNetV1d'))\noptim_wrapper = dict(paramwise_cfg=dict(norm_decay_mult=0.))\n"
        )
        pattern = json.loads('"' + re.search(r'match: "(.*)"', output)[1] + '"')
        names = (
            "layer1.0.downsample.0",
            "layer1.0.downsample.1",
            "layer3.0.downsample.1",
            "layer3.0.downsample.2",
            "stem.1.bn",
            "layer2.1.bn3",
        )
        self.assertEqual(
            [bool(re.search(pattern, f"backbone.{name}.weight")) for name in names],
            [False, True, False, True, True, True],
        )

    def test_layer_decay_of_a_vision_transformer(self):
        constructor = (
            "optim_wrapper = dict(constructor='LearningRateDecayOptimWrapperConstructor', paramwise_cfg=dict(layer_decay_rate=0.65, "
            "bias_lr_mult=2., custom_keys={'.ln': dict(decay_mult=0., lr_mult=3.)}))\n"
        )
        vit = "model = dict(backbone=dict(_delete_=True, type='VisionTransformer', arch='b'), neck=None)\nload_from = 'a.pth'\n"
        output = self.flat(self.whole(BASE_LIST + vit + constructor))
        # mmpretrain's constructor reads neither lr_mult nor bias_lr_mult.
        rule = 'rule { match: "\\\\.ln" weight_decay_multiplier: 0.0 } }'
        self.assertIn(f"layer_decay: 0.65 {rule}", output)
        output = self.flat(self.whole(BASE_LIST + vit + constructor.replace("layer_decay_rate=0.65, ", "")))
        self.assertNotIn("layer_decay", output)
        self.assertIn(rule, output)
        # The usual constructor does not read layer_decay_rate.
        output, missing = self.translate(
            BASE_LIST + vit + constructor.replace("constructor='LearningRateDecayOptimWrapperConstructor', ", "")
        )
        self.assertEqual(len(missing), 1, missing)
        self.assertIn("paramwise_cfg.layer_decay_rate=0.65", missing[0])
        self.assertIn("lr_multiplier: 3.0", output)

    def test_averages_of_networks_without_batch_norms_need_no_update_buffers(self):
        output = self.whole(
            BASE_LIST + "model = dict(backbone=dict(_delete_=True, type='ConvNeXt'), neck=None)\nload_from = 'a.pth'\n"
            "custom_hooks = [dict(type='EMAHook', momentum=4e-5)]\n"
        )
        self.assertIn("ema { decay: 0.99996 }", self.flat(output))

    def train_pipeline(self, transforms, more=""):
        """The translated steps, and what was missing, of a pipeline whose images are read from files."""
        load = "dict(type='LoadImageFromFile')"
        output, missing = self.translate(
            BASE_LIST + f"data_preprocessor = dict(to_rgb={'False' if 'to_rgb=True' in transforms else 'True'})\n"
            f"train_dataloader = dict(dataset=dict(pipeline=[{load}, {transforms}]))\n"
            f"val_dataloader = dict(dataset=dict(pipeline=[{load}]))\ntest_dataloader = val_dataloader\n{more}"
        )
        return self.flat(output), [
            line for line in missing if "val_dataloader" not in line and "to_rgb=False" not in line
        ]

    def test_lighting_of_bgr_and_rgb_images(self):
        axes = "eigval=[1., 2., 3.], eigvec=[[.1, .2, .3], [.4, .5, .6], [.7, .8, .9]], alphastd=25.5"
        output, missing = self.train_pipeline(f"dict(type='Lighting', {axes})")
        self.assertIn(
            "alpha_std: 25.5 eigenvalue: [1.0, 2.0, 3.0] eigenvector: [0.7, 0.8, 0.9, 0.4, 0.5, 0.6, 0.1, 0.2, 0.3]",
            output,
        )
        self.assertEqual(len(missing), 1, missing)
        self.assertIn("values that leave 0 to 255 wrap around there", missing[0])
        # mmcv leaves the image as RGB, so that the numbers of the next step are for RGB.
        output, _ = self.train_pipeline(
            f"dict(type='Lighting', to_rgb=True, {axes}), dict(type='RandomErasing', fill_color=[1, 2, 3])"
        )
        self.assertIn("eigenvector: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]", output)
        self.assertIn("value: [1.0, 2.0, 3.0]", output)

    def test_transforms_that_are_nearly_the_same_are_written_and_named(self):
        for transform, expected, difference in (
            (
                "dict(type='AutoAugment', policies='imagenet', hparams=dict(pad_val=[104, 116, 124], interpolation='bicubic'))",
                "pipeline { auto_augment { fill: 128 } }",
                "the one pair that shears interpolates bicubically there",
            ),
            (
                "dict(type='EfficientNetRandomCrop', scale=240)",
                "random_resized_crop { size: 240 interpolation: BICUBIC min_area: 0.1 max_area: 1.0 }",
                "the rectangle's height and its ratio are uniform there",
            ),
            (
                "dict(type='EfficientNetCenterCrop', crop_size=240, crop_padding=16, interpolation='bilinear', backend='pillow')",
                "resize_edge { size: 256 antialias: true } } pipeline { center_crop { size: 240 middle: EVEN } }",
                "it is cut out before it is resized there",
            ),
        ):
            with self.subTest(transform):
                output, missing = self.train_pipeline(transform)
                self.assertIn(expected, output)
                self.assertEqual(len(missing), 1, missing)
                self.assertIn(difference, missing[0])

    def test_mobilenet_v3_and_its_hidden_layer(self):
        head = (
            "head=dict(_delete_=True, type='StackedLinearClsHead', num_classes=10, in_channels=576, mid_channels=[{}], "
            "dropout_rate=0.2, act_cfg=dict(type='HSwish'))"
        )
        for backbone, hidden, expected in (
            ("type='MobileNetV3', arch='large', frozen_stages=6", 1280, "backbone { mobilenet_v3 {} frozen_stages: 3"),
            ("type='MobileNetV3'", 1024, "mobilenet_v3 { variant: SMALL }"),
        ):
            output, missing = self.network(backbone, head.format(hidden))
            self.assertEqual(missing, [])
            self.assertIn(expected, output)
            self.assertIn("dropout: 0.2", output)
        _, missing = self.network("type='MobileNetV3'", head.format(1280))
        self.assertIn("one hidden layer of 1024 features", missing[0])

    def test_frozen_stages_that_have_no_counterpart_are_named(self):
        for backbone in (
            "type='MobileNetV2', frozen_stages=7",
            "type='EfficientNet', frozen_stages=6",
            "type='EfficientNetV2', frozen_stages=7",
            "type='DenseNet', frozen_stages=1",
        ):
            _, missing = self.network(backbone)
            self.assertEqual(len(missing), 1, missing)
            self.assertIn("no frozen_stages of finetune freezes these layers", missing[0])

    def test_decay_of_depthwise_convolutions(self):
        output = self.whole(
            BASE_LIST + "model = dict(backbone=dict(_delete_=True, type='MobileNetV2'))\n"
            "optim_wrapper = dict(paramwise_cfg=dict(norm_decay_mult=0., dwconv_decay_mult=0.5))\n"
        )
        patterns = [json.loads('"' + found + '"') for found in re.findall(r'match: "(.*)"', output)]
        matches = [
            [
                name
                for name in (
                    "backbone.layer1.0.conv.0.conv.weight",
                    "backbone.layer3.1.conv.1.conv.weight",
                    "backbone.layer3.1.conv.0.conv.weight",
                    "backbone.layer1.0.conv.0.bn.weight",
                )
                if re.search(pattern, name)
            ]
            for pattern in patterns
        ]
        self.assertEqual(
            matches,
            [
                ["backbone.layer1.0.conv.0.bn.weight"],
                ["backbone.layer1.0.conv.0.conv.weight", "backbone.layer3.1.conv.1.conv.weight"],
            ],
        )

    def test_rules_match_as_mmengine_matches(self):
        output = self.whole(
            BASE_LIST + "optim_wrapper = dict(paramwise_cfg=dict(norm_decay_mult=0., bias_decay_mult=0.5, "
            "bias_lr_mult=2., custom_keys={'layer1': dict(lr_mult=0.1), '.layer1.0': dict(decay_mult=0.)}))\n"
        )
        self.effective(output)
        rules = re.findall(r"rule \{[^}]*\}|rule \{ .* \}", output)
        found = [
            (
                re.search(r'match: "(.*?)"', rule)[1].replace("\\\\", "\\"),
                re.search(r"lr_multiplier: ([\d.]+)", rule),
                re.search(r"weight_decay_multiplier: ([\d.]+)", rule),
            )
            for rule in rules
        ]

        def multipliers(name):
            for pattern, lr, decay in found:
                if re.search(pattern, name):
                    return float(lr[1]) if lr else 1.0, float(decay[1]) if decay else 1.0
            return 1.0, 1.0

        self.assertEqual(multipliers("backbone.layer1.0.conv1.weight"), (1, 0))  # the longer key wins
        self.assertEqual(multipliers("backbone.layer1.1.bn1.weight"), (0.1, 1))  # a key wins over norm_decay_mult
        self.assertEqual(multipliers("backbone.layer1.1.conv1.weight"), (0.1, 1))
        self.assertEqual(multipliers("backbone.layer2.0.bn3.bias"), (1, 0))  # a norm's bias counts as a norm
        self.assertEqual(multipliers("backbone.layer2.0.downsample.1.weight"), (1, 0))
        self.assertEqual(multipliers("backbone.layer2.0.downsample.0.weight"), (1, 1))
        self.assertEqual(multipliers("head.fc.bias"), (2, 0.5))
        self.assertEqual(multipliers("head.fc.weight"), (1, 1))

    def test_pretrained_weights_and_zero_init_exclude_each_other(self):
        self.assertIn(
            "zero_init_residual: true  # ../_base_/models/resnet50.py:4: mmpretrain's default", self.whole(BASE_LIST)
        )
        self.assertNotIn("zero_init_residual", self.whole(TUTORIAL))

    def test_warmup_of_0_x_keeps_its_length_and_multiplies_the_whole_rate(self):
        output = self.whole("""
            model = dict(type='ImageClassifier', backbone=dict(type='ResNet_CIFAR', depth=18), neck=dict(type='GlobalAveragePooling'),
                         head=dict(type='LinearClsHead', num_classes=10, in_channels=512, loss=dict(type='CrossEntropyLoss')))
            data = dict(samples_per_gpu=16, workers_per_gpu=2, train=dict(type='CIFAR10', data_prefix='data/cifar10', pipeline=[]))
            optimizer = dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=1e-4)
            lr_config = dict(policy='CosineAnnealing', min_lr=1e-3, warmup='linear', warmup_iters=5, warmup_by_epoch=True,
                             warmup_ratio=0.25)
            runner = dict(type='EpochBasedRunner', max_epochs=30)
            """)
        self.assertIn("warmup { epochs: 5 start_factor: 0.25 } cosine { min_lr: 0.001 unit: EPOCH }", self.flat(output))

    def test_lenet(self):
        output = self.whole(
            """
            model = dict(type='ImageClassifier', backbone=dict(type='LeNet5', num_classes=10), neck=None,
                         head=dict(type='ClsHead', loss=dict(type='CrossEntropyLoss')))
            data_preprocessor = dict(mean=[33.46], std=[78.87])
            pipeline = [dict(type='Resize', scale=32), dict(type='PackInputs')]
            common = dict(type='MNIST', data_prefix='data/mnist', pipeline=pipeline)
            train_dataloader = dict(batch_size=128, num_workers=0, dataset=dict(**common, test_mode=False))
            val_dataloader = dict(batch_size=128, num_workers=1, dataset=dict(**common, test_mode=True))
            val_evaluator = dict(type='Accuracy', topk=1)
            optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.01))
            param_scheduler = dict(type='MultiStepLR', milestones=[4])
            train_cfg = dict(max_epochs=5)
            """,
            "lenet/mine.py",
        )
        effective = self.effective(output)
        for expected in ("lenet5 {", "kind: NONE", "num_classes: 10", 'split: "test"', "mean: 33.46", "max_epochs: 5"):
            self.assertIn(expected, effective)

    def test_mmcls_0_x(self):
        output = self.whole("""
            norm = dict(mean=[125.3, 123.0, 113.9], std=[51.6, 50.8, 51.3], to_rgb=False)
            model = dict(type='ImageClassifier', backbone=dict(type='ResNet_CIFAR', depth=18), neck=dict(type='GlobalAveragePooling'),
                         head=dict(type='LinearClsHead', num_classes=10, in_channels=512, loss=dict(type='CrossEntropyLoss')))
            test = [dict(type='Normalize', **norm), dict(type='ImageToTensor', keys=['img']), dict(type='Collect', keys=['img'])]
            train = [dict(type='RandomCrop', size=32, padding=4), dict(type='RandomFlip', flip_prob=0.25)] + test
            data = dict(samples_per_gpu=16, workers_per_gpu=2,
                        train=dict(type='CIFAR10', data_prefix='data/cifar10', pipeline=train),
                        val=dict(type='CIFAR10', data_prefix='data/cifar10', pipeline=test, test_mode=True),
                        test=dict(type='CIFAR10', data_prefix='data/cifar10', pipeline=test, test_mode=True))
            evaluation = dict(interval=2, metric='accuracy', metric_options=dict(topk=(1, 3)), save_best='auto')
            optimizer = dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=1e-4)
            optimizer_config = dict(grad_clip=dict(max_norm=2.0))
            lr_config = dict(policy='CosineAnnealing', min_lr=0, warmup='linear', warmup_iters=100, warmup_ratio=0.25)
            runner = dict(type='EpochBasedRunner', max_epochs=30)
            checkpoint_config = dict(interval=3, max_keep_ckpts=4)
            log_config = dict(interval=50, hooks=[dict(type='TextLoggerHook')])
            dist_params = dict(backend='nccl')
            workflow = [('train', 1)]
            resume_from = None
            """)
        effective = self.effective(output)
        for expected in (
            r"batch_size: 16",
            r"probability: 0.25",
            r"normalize {\n\s*mean: 125.3",
            r"max_norm: 2",
            r"max_epochs: 30",
            r"cosine {\n\s*min_lr: 0\n\s*unit: EPOCH",
            r"iterations: 100\n\s*start_factor: 0.25",
            r"topk: 1\n\s*topk: 3",
            r"val_interval_epochs: 2",
            r"interval_epochs: 3\n\s*keep_last: 4\n\s*save_best: true",
            r"log_interval: 50",
        ):
            self.assertRegex(effective, expected)

    def test_an_unknown_setting_is_named_wherever_it_stands(self):
        config = Reader(find_root(self.write("resnet/mine.py", TUTORIAL))).read("resnet/mine.py")
        tried = 0
        for path in list(dicts(config, [])):
            if path and (path[0] in ("test_dataloader", "test_evaluator") or path[0].endswith("_pipeline")):
                continue  # named as a whole: it differs from val's, or is a variable
            changed = copy(config)
            inside(changed, path).items["surprise"] = Leaf(4711, Place("resnet/mine.py", 1))
            _, report = translate(changed, "resnet/mine.py")
            # At the top level mmengine ignores unknown names: they are variables of the config.
            named = report.missing if path else report.notes
            self.assertTrue(any("surprise" in item.path + item.text for item in named + report.notes), path)
            tried += 1
        self.assertGreater(tried, 25)


def dicts(value, path):
    """Yields the path of each dict in a config."""
    items = (
        value.items.items() if isinstance(value, Dict) else enumerate(value.items) if isinstance(value, List) else ()
    )
    if isinstance(value, Dict):
        yield path
    for key, item in items:
        yield from dicts(item, path + [key])


def inside(value, path):
    for key in path:
        value = value.items[key]
    return value


class ReadingTest(ConfigTest):
    def test_expressions(self):
        for expression, expected in (
            ("[1, 2] * 3 + [4]", [1, 2, 1, 2, 1, 2, 4]),
            ("(1, 2) + (3, )", (1, 2, 3)),
            ("norm['mean'][::-1]", [3, 2, 1]),
            ("[round(x) for x in [1.4, 2.6] if x > 2]", [3]),
            ("5e-4 * 1024 / 512", 0.001),
            ("2**5 // 3 % 4 - -1", 3),
            ("dict(norm, std=[1], **dict(a=1))", {"mean": [1, 2, 3], "std": [1], "a": 1}),
            ("{**norm, 'a b': (1, )}", {"mean": [1, 2, 3], "a b": (1,)}),
            ("dict([('a', 1)])", {"a": 1}),
            ("f'{name}-{7}/x'", "r-7/x"),
            ("'{}-{}'.format(name, 3)", "r-3"),
            ("'a' 'b' + 'c' * 2", "abcc"),
            ("1 if name == 'r' and not False else 2", 1),
            ("max(1, 2) + len([1, 2]) + int('3') + sum([1, 2])", 10),
            ("[*[1, 2], 3][-1]", 3),
            ("list(range(2, 8, 3))", [2, 5]),
            ("norm.get('std', 5)", 5),
        ):
            with self.subTest(expression):
                config, problems = self.read(f"norm = dict(mean=[1, 2, 3])\nname = 'r'\nx = {expression}\n")
                self.assertEqual((config["x"], problems), (expected, []))

    def test_statements(self):
        config, problems = self.read("""
            '''A docstring.'''
            import copy
            a, (b, c) = 1, (2, 3)
            d: int = 4
            d += 1
            pipe = [dict(type='A'), dict(type='B')]
            other = copy.deepcopy(pipe)
            pipe[0]['size'] = 8
            pipe.insert(1, dict(type='N'))
            pipe.append(dict(type='Z'))
            pipe.pop()
            loader = dict(pipeline=pipe)
            loader.update(batch=2)
            pipe[-1]['size'] = 9
            del a
            if d > 4:
                e = 'yes'
            else:
                e = 'no'
            __hidden = 1
            """)
        self.assertEqual(problems, [])
        pipe = [{"type": "A", "size": 8}, {"type": "N"}, {"type": "B", "size": 9}]
        # `loader` refers to the same list, as in Python.
        self.assertEqual(
            config,
            {
                "b": 2,
                "c": 3,
                "d": 5,
                "pipe": pipe,
                "other": [{"type": "A"}, {"type": "B"}],
                "loader": {"pipeline": pipe, "batch": 2},
                "e": "yes",
            },
        )

    def test_merging(self):
        self.write("c/base.py", "a = dict(x=1, inner=dict(y=1, z=[1, 2]), gone=dict(q=1))\nb = [1, 2]\nkept = 3\n")
        config, problems = self.read(
            "_base_ = 'base.py'\n"
            "a = dict(x=2, inner=dict(z=[3]), gone=dict(_delete_=True, r=2), new=dict(_delete_=True))\nb = [9]\n"
        )
        self.assertEqual(problems, [])
        self.assertEqual(
            config, {"a": {"x": 2, "inner": {"y": 1, "z": [3]}, "gone": {"r": 2}, "new": {}}, "b": [9], "kept": 3}
        )

    def test_base_variables(self):
        self.write("c/base.py", "model = dict(depth=50)\nmean = [1, 2]\nloader = dict(pipeline=[1])\n")
        config, problems = self.read("""
            _base_ = ['./base.py']
            a = {{_base_.model.depth}}
            b = '{{_base_.mean}}'
            c = _base_.model
            d = _base_.mean[::-1]
            _base_.loader.pipeline = [2]
            name = '{{ fileBasenameNoExtension }}'
            """)
        self.assertEqual(problems, [])
        self.assertEqual(
            config,
            {
                "model": {"depth": 50},
                "mean": [1, 2],
                "loader": {"pipeline": [2]},
                "a": 50,
                "b": [1, 2],
                "c": {"depth": 50},
                "d": [2, 1],
                "name": "a",
            },
        )

    def test_pure_python_style(self):
        self.write("c/base.py", "from torch.optim import SGD\nmodel = dict(a=dict(x=1, y=1))\noptim = dict(type=SGD)\n")
        self.write("c/more.py", "wanted = 1\nunwanted = 2\n")
        config, problems = self.read("""
            from mmengine.config import read_base
            from mmpretrain.models import ResNet
            with read_base():
                from .base import *
                from ..c.more import wanted
            model.update(dict(a=dict(x=2), backbone=dict(type=ResNet)))
            """)
        self.assertEqual(problems, [])
        self.assertEqual(
            config,
            {"model": {"a": {"x": 2, "y": 1}, "backbone": {"type": "ResNet"}}, "optim": {"type": "SGD"}, "wanted": 1},
        )

    def test_bases_by_scope(self):
        self.write("package/net/x.py", "a = 1\n")
        self.write("c/a.py", "_base_ = 'mmpretrain::net/x.py'\nb = 2\n")
        reader = Reader(find_root("c/a.py"), {"mmpretrain": "package"})
        self.assertEqual(plain(reader.read("c/a.py")), {"a": 1, "b": 2})
        self.assertIn("--mmpretrain=DIR", self.refusal("_base_ = 'mmdet::x.py'\n"))

    def test_environment_is_not_read(self):
        os.environ["IMPORT_TEST_SECRET"] = "secret"
        self.addCleanup(os.environ.pop, "IMPORT_TEST_SECRET")
        config, problems = self.read("a = '{{$IMPORT_TEST_SECRET:default}}'\n")
        self.assertEqual(config, {"a": "default"})
        self.assertIn("IMPORT_TEST_SECRET", problems[0])


class HostileTest(ConfigTest):
    def test_nothing_runs(self):
        config, problems = self.read("""
            a = __import__('os').system('touch ran')
            b = open('ran', 'w')
            c = (lambda: 1)()
            d = ().__class__.__mro__[1].__subclasses__()
            e = [x for x in ().__class__.__mro__]
            exec("open('ran', 'w')")
            f = dict(type='A', x=eval('1'))
            for i in [1]:
                g = i
            while True:
                g = 2
            def h(x=open('ran', 'w')):
                pass
            with open('ran', 'w') as i:
                pass
            j = '{0.__class__}'.format(1)
            """)
        self.assertFalse(os.path.exists("ran"))
        self.assertEqual(len(problems), 12, problems)
        self.assertIn("__import__('os').system('touch ran'): only running this call could tell its value", problems)
        self.assertEqual(config["f"]["type"], "A")

    def test_expressions_that_only_running_could_tell_are_named_with_their_line(self):
        output, missing = self.translate(TUTORIAL + "randomness = dict(seed=__import__('os').getpid())\n")
        line = len(TUTORIAL.splitlines()) + 1
        self.assertEqual(
            missing,
            [f"resnet/mine.py:{line}: : __import__('os').getpid(): only running this call could tell its value"],
        )
        self.assertNotIn("seed:", output)
        self.effective(output)

    def test_unreadable_files_are_refused_by_name(self):
        for text, expected in (
            ("model = dict(\n", "c/a.py:1: the file is not Python: '(' was never closed"),
            ("x = " + "[" * 5000 + "]" * 5000, "too many nested parentheses"),
            ("x = " + "[" * 150 + "]" * 150, "nested deeper than 100 levels"),
            ("x = " + "-" * 100_000 + "1", "not a config that can be parsed"),
            ("x = " + "+".join(["1"] * 100_000), "not a config that can be parsed"),
            ("x = " + "9" * 100_000, "not Python"),
            ("a = []\na.append(a)\n", "more than 64 levels"),
            ("a = dict()\na['a'] = a\n", "more than 64 levels"),
            ("a0 = [0] * 10\n" + "".join(f"a{i + 1} = [a{i}] * 10\n" for i in range(20)), "more than 100000 parts"),
            ("x = [[i for i in range(9999)] for j in range(9999)]\n", "more than 200000 steps"),
            ("".join(f"a{i} = [0] * 10000\n" for i in range(10_000)), "more than 200000 steps"),
            ("#" * (1 << 20) + "\n", "larger than 1048576 bytes"),
            ("_base_ = 5\n", "expected a file name or a list of them"),
            ("_base_ = 'a.py'\n", "the config is among its own bases: a.py -> a.py"),
            ("_base_ = 'b.py'\n", "there is no file"),
            ("_base_ = '/etc/passwd'\n", "is an absolute path"),
            ("_base_ = '../../../etc/x.py'\n", "lies outside of"),
            ("_base_ = 'x.yaml'\n", "is not a .py file"),
        ):
            with self.subTest(expected):
                self.assertIn(expected, self.refusal(text))

    def test_binary_files_are_refused(self):
        with open("x.py", "wb") as file:
            file.write(b"\xff\xfe\x00x")
        with self.assertRaisesRegex(ConfigError, "not UTF-8"):
            import_mmpretrain.import_config("x.py")

    def test_cycles_show_the_chain(self):
        self.write("c/b.py", "_base_ = 'a.py'\n")
        self.assertIn("a.py -> b.py -> a.py", self.refusal("_base_ = 'b.py'\n"))

    def test_bases_are_bounded(self):
        for i in range(30):
            self.write(f"c/b{i}.py", f"_base_ = 'b{i + 1}.py'\n")
        self.assertIn("deeper than 16", self.refusal("_base_ = 'b0.py'\n"))

    def test_links_do_not_lead_outside(self):
        self.write("elsewhere/x.py", "a = 1\n")
        os.makedirs("root/c")
        os.symlink("../../elsewhere/x.py", "root/c/x.py")
        text = "_base_ = 'x.py'\n"
        self.assertIn("lies outside of", self.refusal(text, "root/c/a.py", root="root"))
        import_mmpretrain.import_config("root/c/a.py", root=self.folder)

    def test_two_bases_that_set_one_name_are_refused_with_both_places(self):
        self.write("c/b.py", "x = 1\n")
        self.write("c/d.py", "\nx = 2\n")
        self.assertIn(
            "c/d.py:2: x is also set by another base, at c/b.py:1", self.refusal("_base_ = ['b.py', 'd.py']\n")
        )

    def test_a_dict_over_something_else_is_refused(self):
        self.write("c/b.py", "x = 1\n")
        self.assertIn("write _delete_=True", self.refusal("_base_ = 'b.py'\nx = dict(a=1)\n"))

    def test_huge_values_are_named_and_not_made(self):
        config, problems = self.read(
            "a = 10**10**10\nb = 'a' * 10**10\nc = [0] * 10**10\nd = range(10**12)\ne = 1 << 10**9\n"
            "f = round(5, -10**9)\ng = f'{5:1000000000}'\nh = '%1000000000d' % 5\n"
        )
        self.assertEqual(len(problems), 8)
        self.assertEqual(len(config), 8)

    def test_control_characters_reach_neither_terminal_nor_config(self):
        output, missing = self.translate(
            TUTORIAL + "custom_hooks = [dict(type='\\x1b[31mX\\nmodel {')]\nwork_dir = 'a\\x07\\n\"b\\\\'\n"
        )
        for text in [output] + missing:
            self.assertTrue(all(c.isprintable() or c == "\n" for c in text))
        self.assertIn(r'work_dir: "a\007\n\"b\\"', self.effective(output))

    def test_values_of_any_type_anywhere_never_crash(self):
        config = Reader(find_root(self.write("resnet/mine.py", TUTORIAL))).read("resnet/mine.py")
        place = Place("resnet/mine.py", 1)
        odd = [
            Leaf(5, place),
            Leaf("x", place),
            Leaf(None, place),
            Leaf(float("-inf"), place),
            Leaf(True, place),
            Symbol("X", place),
            Unknown("x()", place),
            List([Leaf(1, place), Leaf("x", place), Dict({}, place)], place),
            Dict({"type": Leaf(3, place)}, place),
        ]
        for path in list(dicts(config, [])):
            for key in inside(config, path).items:
                for value in odd:
                    changed = copy(config)
                    inside(changed, path).items[key] = copy(value)
                    message, _ = translate(changed, "resnet/mine.py")
                    list(message.lines())


if __name__ == "__main__":
    unittest.main()
