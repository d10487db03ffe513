"""Lets the real packages write checkpoints of one ResNet, for tests/peers/checkpoints.sh.

    write_checkpoints.py FOLDER

Writes the checkpoints into FOLDER, and its cases.tsv. Each line of cases.tsv has, separated by tabs: the name of a
checkpoint; further flags that `finetune evaluate` needs; and either "same" and the file of plain torchvision tensors
that must give the same result, or "refused" and words of the error.
"""

import argparse
import pathlib
import re
import sys
import warnings

import safetensors.torch
import timm
import torch
import torch.distributed.checkpoint as dcp
import torch.nn.utils.prune
import torchvision
from torch.distributed.checkpoint.format_utils import dcp_to_torch_save

FOLDER = pathlib.Path(sys.argv[1])
CLASSES = 10
LR = 0.01  # the learning rate of the trainers' single step, which makes raw and averaged weights differ


def case(name, flags="", same="raw.pth", refused=None):
    with open(FOLDER / "cases.tsv", "a") as file:
        print(name, flags or "-", *(("refused", refused) if refused else ("same", same)), sep="\t", file=file)


def save(name, value, **kwargs):
    torch.save(value, FOLDER / name, **kwargs)


def randomised(model, seed):
    """Sets the model's weights and statistics to random values that depend only on the seed and are like those after
    training."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith("running_var"):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
            elif name.endswith("num_batches_tracked"):
                tensor.fill_(seed)
            elif tensor.dim() < 2:
                tensor.copy_(torch.rand(tensor.shape, generator=generator))
            else:
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * (2 / tensor[0].numel()) ** 0.5)
    return model


def resnet18(seed=1):
    return randomised(torchvision.models.resnet18(num_classes=CLASSES), seed)


RAW = resnet18()
AVERAGED = resnet18(2)
save("raw.pth", RAW.state_dict())
save("averaged.pth", AVERAGED.state_dict())


class Loss(torch.nn.Module):
    """A loss whose gradient changes every weight but not the running statistics."""

    def forward(self, model):
        return sum((p**2).sum() for p in model.parameters())


class Images(torch.utils.data.Dataset):
    """A data set of one image, which Loss does not read."""

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return torch.zeros(1)


def torch_files():
    state = RAW.state_dict()
    save("torch_legacy.pth", state, _use_new_zipfile_serialization=False)
    case("torch_legacy.pth")
    torch.serialization.set_crc32_options(False)
    save("torch_no_checksums.pth", state)
    torch.serialization.set_crc32_options(True)
    case("torch_no_checksums.pth")
    save("torch_data_parallel.pth", torch.nn.DataParallel(RAW).state_dict())
    case("torch_data_parallel.pth")
    save("torch_compile.pth", {"model_state_dict": torch.compile(RAW).state_dict()})
    case("torch_compile.pth")
    averaged = torch.optim.swa_utils.AveragedModel(RAW)
    averaged.update_parameters(RAW)
    save("torch_averaged_model.pth", averaged.state_dict())
    case("torch_averaged_model.pth")
    save("torch_float64.pth", {k: v.double() for k, v in state.items()})
    case("torch_float64.pth")
    save("torch_counters.pth", {k: v.float().reshape(1) if "num_batches" in k else v for k, v in state.items()})
    case("torch_counters.pth")
    save("torch_sparse_head.pth", {**{"fc.weight": RAW.fc.weight.detach().to_sparse()}, **{k: v for k, v in state.items() if k != "fc.weight"}})
    case("torch_sparse_head.pth", refused="save the tensor's to_dense()")
    # Loading only the backbone works, because it does not need the head.
    case("torch_sparse_head.pth", "pretrained", same="runs")
    # Tensors that do not belong to the network.
    save("torch_sparse_beside.pth", {**state, "adjacency": torch.eye(4).to_sparse(), "neck.weight": torch.eye(4).to_sparse()})
    case("torch_sparse_beside.pth")
    two = {"model." + k: v for k, v in state.items()} | {"ema." + k: v for k, v in AVERAGED.state_dict().items()}
    save("torch_two_sets.pth", two)
    case("torch_two_sets.pth", refused="They fit with --prefix=ema or --prefix=model")
    case("torch_two_sets.pth", "--prefix=model")
    case("torch_two_sets.pth", "--prefix=ema", same="averaged.pth")
    dcp.save({"model": state}, checkpoint_id=FOLDER / "torch_distributed", no_dist=True)
    case("torch_distributed", refused="dcp_to_torch_save")
    dcp_to_torch_save(FOLDER / "torch_distributed", FOLDER / "torch_distributed.pth")
    case("torch_distributed.pth")
    save("torch_whole_model.pth", RAW)
    case("torch_whole_model.pth", refused="save model.state_dict() and not the model")
    save("torch_whole_model_legacy.pth", RAW, _use_new_zipfile_serialization=False)
    case("torch_whole_model_legacy.pth", refused="save model.state_dict() and not the model")
    pruned = resnet18()
    torch.nn.utils.prune.l1_unstructured(pruned.conv1, "weight", amount=0.3)
    save("torch_pruned.pth", pruned.state_dict())
    case("torch_pruned.pth", refused="conv1.weight_orig")
    normed = resnet18()
    torch.nn.utils.parametrizations.weight_norm(normed.conv1)
    save("torch_weight_norm.pth", normed.state_dict())
    case("torch_weight_norm.pth", refused="1 missing: backbone.conv1.weight")


def torchvision_files():
    """Writes checkpoints as torchvision's references/classification/train.py does, and torchvision's own ResNet-50."""
    optimizer = torch.optim.SGD(RAW.parameters(), lr=LR, momentum=0.9)
    average = torch.optim.swa_utils.AveragedModel(AVERAGED)
    save(
        "torchvision_references.pth",
        {
            "model": RAW.state_dict(),
            "optimizer": optimizer.state_dict(),
            "lr_scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 1).state_dict(),
            "epoch": 3,
            "args": argparse.Namespace(lr=LR),
            "model_ema": average.state_dict(),
        },
    )
    case("torchvision_references.pth")
    case("torchvision_references.pth", "--key=model_ema", same="averaged.pth")
    save("torchvision_resnet34.pth", torchvision.models.resnet34(num_classes=CLASSES).state_dict())
    case("torchvision_resnet34.pth", refused="not used")


def timm_files():
    model = timm.create_model("resnet18", num_classes=CLASSES)
    model.load_state_dict(RAW.state_dict())
    ema = timm.utils.ModelEmaV3(model)
    ema.module.load_state_dict(AVERAGED.state_dict())
    saver = timm.utils.CheckpointSaver(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=LR),
        args=argparse.Namespace(model="resnet18"),
        model_ema=ema,
        checkpoint_dir=str(FOLDER),
        checkpoint_prefix="timm",
    )
    saver.save_checkpoint(0)
    case("last.pth.tar")
    case("last.pth.tar", "--key=state_dict_ema", same="averaged.pth")
    timm.models.save_for_hf(model, FOLDER / "timm_hub", safe_serialization=True)
    case("timm_hub/model.safetensors")
    case("timm_hub", refused="timm_hub/model.safetensors")
    grey = randomised(timm.create_model("resnet18", num_classes=CLASSES, in_chans=1), 4).state_dict()
    save("timm_one_channel.pth", grey)
    save("timm_one_channel_spread.pth", grey | {"conv1.weight": grey["conv1.weight"].repeat(1, 3, 1, 1) / 3})
    case("timm_one_channel.pth", refused="--adapt_input_channels fits")
    case("timm_one_channel.pth", "--adapt_input_channels", same="timm_one_channel_spread.pth")
    save("timm_resnet18d.pth", timm.create_model("resnet18d", num_classes=CLASSES).state_dict())
    case("timm_resnet18d.pth", refused="missing")


def safetensors_files():
    safetensors.torch.save_model(RAW, str(FOLDER / "safetensors.safetensors"))
    case("safetensors.safetensors")
    # The low byte of its header's length equals a pickle's first byte.
    name = "safetensors_resnet50.safetensors"
    resnet50 = randomised(torchvision.models.resnet50(num_classes=1000), 1)
    safetensors.torch.save_file(resnet50.state_dict(), FOLDER / name)
    with open(FOLDER / name, "rb") as file:
        assert file.read(1) == b"\x80"
    save("resnet50.pth", resnet50.state_dict())
    case(name, "--set=model.backbone.resnet.depth=50 --set=model.head.num_classes=1000", refused="classes")
    case(name, "pretrained --set=model.backbone.resnet.depth=50", same="runs")


def mmengine_files():
    from mmengine.hooks import EMAHook
    from mmengine.model import BaseModel
    from mmengine.runner import Runner

    class Classifier(BaseModel):
        """A model with mmpretrain's names."""

        def __init__(self):
            super().__init__()
            self.backbone = resnet18()
            self.head = torch.nn.Module()
            self.head.fc = self.backbone.fc
            self.backbone.fc = torch.nn.Identity()

        def forward(self, inputs, mode):
            return {"loss": Loss()(self)}

    class Loader(torch.utils.data.Dataset):
        def __len__(self):
            return 1

        def __getitem__(self, index):
            return {"inputs": torch.zeros(1)}

    def plain(state):
        state = {k.removeprefix("module."): v for k, v in state.items() if k != "steps"}
        return {k.removeprefix("backbone.").removeprefix("head."): v for k, v in state.items()}

    hook = EMAHook(momentum=0.5)
    runner = Runner(
        model=Classifier(),
        work_dir=str(FOLDER / "mmengine"),
        train_dataloader=torch.utils.data.DataLoader(Loader()),
        train_cfg={"by_epoch": True, "max_epochs": 2},
        optim_wrapper={"optimizer": {"type": "SGD", "lr": LR}},
        default_hooks={"checkpoint": {"type": "CheckpointHook", "interval": 1}},
        custom_hooks=[hook],
        log_level="ERROR",
    )
    runner.train()
    save("mmengine_raw.pth", plain(runner.model.state_dict()))
    save("mmengine_averaged.pth", plain(hook.ema_model.state_dict()))
    case("mmengine/epoch_2.pth", same="mmengine_averaged.pth")
    case("mmengine/epoch_2.pth", "--key=ema_state_dict", same="mmengine_raw.pth")


def lightning_files():
    import lightning
    from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.save_hyperparameters({"depth": 18})
            self.model = resnet18()

        def training_step(self, batch, index):
            return Loss()(self.model)

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=LR)

    def fit(name, callbacks):
        trainer = lightning.Trainer(
            max_steps=2,
            max_epochs=2,
            accelerator="cpu",
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=FOLDER,
            callbacks=[ModelCheckpoint(FOLDER, name), *callbacks],
        )
        module = Module()
        trainer.fit(module, torch.utils.data.DataLoader(Images()))
        return module

    module = fit("lightning", [])
    save("lightning_raw.pth", module.model.state_dict())
    case("lightning.ckpt", "--prefix=model", same="lightning_raw.pth")
    case("lightning.ckpt", refused="They fit with --prefix=model")

    fit("lightning_ema", [EMAWeightAveraging(decay=0.5)])
    loaded = torch.load(FOLDER / "lightning_ema.ckpt", weights_only=False)
    for kind, key in ("averaged", "state_dict"), ("raw", "current_model_state"):
        save(f"lightning_ema_{kind}.pth", {k.removeprefix("model."): v for k, v in loaded[key].items()})
    # The raw weights have changed more than their average.
    assert loaded["state_dict"]["model.fc.bias"].norm() > loaded["current_model_state"]["model.fc.bias"].norm()
    case("lightning_ema.ckpt", "--prefix=model", same="lightning_ema_averaged.pth")
    case("lightning_ema.ckpt", "--prefix=model --key=current_model_state", same="lightning_ema_raw.pth")


def transformers_files():
    import transformers

    config = transformers.TimmWrapperConfig(architecture="resnet18", num_labels=CLASSES)
    wrapper = transformers.TimmWrapperForImageClassification(config)
    wrapper.timm_model.load_state_dict(RAW.state_dict())
    wrapper.save_pretrained(FOLDER / "transformers_timm")
    case("transformers_timm/model.safetensors", "--prefix=timm_model")

    config = transformers.ResNetConfig(depths=[2, 2, 2, 2], hidden_sizes=[64, 128, 256, 512], layer_type="basic", num_labels=CLASSES)
    model = randomised(transformers.ResNetForImageClassification(config), 3)
    model.save_pretrained(FOLDER / "transformers")
    names = [
        (r"^resnet\.", ""),
        (r"^embedder\.embedder\.convolution", "conv1"),
        (r"^embedder\.embedder\.normalization", "bn1"),
        (r"^encoder\.stages\.(\d)\.layers\.(\d)\.", lambda m: f"layer{int(m[1]) + 1}.{m[2]}."),
        (r"layer\.(\d)\.convolution", lambda m: f"conv{int(m[1]) + 1}"),
        (r"layer\.(\d)\.normalization", lambda m: f"bn{int(m[1]) + 1}"),
        ("shortcut.convolution", "downsample.0"),
        ("shortcut.normalization", "downsample.1"),
        (r"^classifier\.1", "fc"),
    ]
    state = {}
    for name, tensor in model.state_dict().items():
        for theirs, ours in names:
            name = re.sub(theirs, ours, name)
        state[name] = tensor
    plain = torchvision.models.resnet18(num_classes=CLASSES)
    plain.load_state_dict(state)
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(model.eval()(images).logits, plain.eval()(images))
    save("transformers_plain.pth", state)
    case("transformers/model.safetensors", same="transformers_plain.pth")


torch.manual_seed(0)
warnings.simplefilter("ignore")
if __name__ == "__main__":
    for write in torch_files, torchvision_files, timm_files, safetensors_files, mmengine_files, lightning_files, transformers_files:
        write()
