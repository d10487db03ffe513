"""Compares what finetune export writes with the programs that read it. Called by tests/peers/export.sh with the programs finetune and
tests/logits, prepare_dataset, and an empty folder.

Each network is trained for one iteration on made-up images, as a user's is, and the batch norms of its checkpoint are drawn anew:
two that were exchanged would not show where all start at 1 and 0."""
import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import safetensors.torch
import timm
import torch
import torchvision
from PIL import Image

LIMIT = 1e-4  # of a logit or a probability
CLASSES = 10

# By network: the side of its images, which the data set stores as pixels, and the packages that have the network.
NETWORKS = {
    "resnet { depth: 18 }": (128, {
        "torchvision": lambda: torchvision.models.resnet18(num_classes=CLASSES),
        "timm": lambda: timm.create_model("resnet18", num_classes=CLASSES)}),
    "resnet { depth: 50 }": (128, {
        "torchvision": lambda: torchvision.models.resnet50(num_classes=CLASSES),
        "timm": lambda: timm.create_model("resnet50", num_classes=CLASSES)}),
    "resnet { depth: 50 style: CAFFE }": (128, {}),
    "resnet { depth: 50 groups: 32 width_per_group: 4 }": (128, {
        "torchvision": lambda: torchvision.models.resnext50_32x4d(num_classes=CLASSES),
        "timm": lambda: timm.create_model("resnext50_32x4d", num_classes=CLASSES)}),
    "resnet { depth: 50 stem: DEEP avg_down: true se_ratio: 16 }": (128, {
        "timm": lambda: timm.create_model("resnet50d", block_args=dict(attn_layer="se"), num_classes=CLASSES)}),
    "regnet { variant: Y_400MF }": (128, {
        "torchvision": lambda: torchvision.models.regnet_y_400mf(num_classes=CLASSES),
        "timm": lambda: timm.create_model("regnety_004", num_classes=CLASSES)}),
    "densenet {}": (128, {
        "torchvision": lambda: torchvision.models.densenet121(num_classes=CLASSES),
        "timm": lambda: timm.create_model("densenet121", num_classes=CLASSES)}),
    "efficientnet_v2 { variant: BASE_0 }": (128, {}),
    "resnet { depth: 18 stem: CIFAR }": (32, {}),
    "mobilenet_v2 {}": (128, {
        "torchvision": lambda: torchvision.models.mobilenet_v2(num_classes=CLASSES),
        "timm": lambda: timm.create_model("mobilenetv2_100", num_classes=CLASSES)}),
    "mobilenet_v3 {}": (128, {
        "torchvision": lambda: torchvision.models.mobilenet_v3_large(num_classes=CLASSES)}),
    "mobilenet_v3 { variant: SMALL origin: TIMM }": (128, {
        "timm": lambda: timm.create_model("mobilenetv3_small_100", num_classes=CLASSES)}),
    "efficientnet { origin: PYTORCH }": (128, {
        "torchvision": lambda: torchvision.models.efficientnet_b0(num_classes=CLASSES),
        "timm": lambda: timm.create_model("efficientnet_b0", num_classes=CLASSES)}),
    "efficientnet_lite {}": (128, {
        "timm": lambda: timm.create_model("tf_efficientnet_lite0", num_classes=CLASSES)}),
    "efficientnet_lite { variant: 2 }": (128, {}),
    "lenet5 {}": (32, {}),
}


def config_of(backbone, data):
    steps = "pipeline { normalize {} }"
    if backbone.startswith("lenet5"):
        steps = "pipeline { grayscale {} } pipeline { normalize { mean: 120 std: 60 } }"
    split = f'path: "{data}" total_batch_size: 8 {steps}'
    return f"""
name: "export"
model {{ backbone {{ {backbone} }} head {{ num_classes: {CLASSES} topk: 1 }} }}
data {{ train {{ split: "train" {split} }} val {{ split: "test" {split} }} }}
optimizer {{ sgd {{ lr: 0.001 }} }}
schedule {{ max_epochs: 1 base_batch_size: 8 constant {{}} }}
runtime {{ tensorboard: false checkpoint {{ interval_epochs: 1 }} }}
"""


def randomise(checkpoint):
    """Draws all batch norms. Those at the end of a bottleneck's branch get a small scale, as after training: with 1, a ResNet-50's
    logits are in the hundreds, and float32's rounding with them."""
    generator = torch.Generator().manual_seed(0)
    state = checkpoint["state_dict"]

    def draw(name, low, high):
        state[name] = torch.empty(state[name].shape).uniform_(low, high, generator=generator)

    for name in list(state):
        if name.endswith(".running_var"):
            norm = name[:-len("running_var")]
            draw(name, 0.5, 1.5)
            draw(norm + "weight", *((0.15, 0.25) if norm.endswith(".bn3.") else (0.5, 1.5)))
            draw(norm + "running_mean", -0.5, 0.5)
            draw(norm + "bias", -0.5, 0.5)


class Peer:
    """The programs and one network's files."""

    def __init__(self, finetune, logits, folder, backbone, data):
        self.finetune, self.logits_program, self.folder = finetune, logits, folder
        self.backbone = backbone
        config = os.path.join(folder, "config.pbtxt")
        with open(config, "w", encoding="utf-8") as file:
            file.write(config_of(backbone, data))
        work_dir = os.path.join(folder, "run")
        subprocess.run([finetune, f"--config={config}", f"--work_dir={work_dir}", "--max_iterations=1", "--quiet"], check=True,
                       stdout=subprocess.DEVNULL)
        self.checkpoint = os.path.join(folder, "best.pth")
        checkpoint = torch.load(os.path.join(work_dir, "latest.pth"), weights_only=True)
        randomise(checkpoint)
        torch.save(checkpoint, self.checkpoint)

    def export(self, name, *flags):
        path = os.path.join(self.folder, name)
        subprocess.run([self.finetune, "export", f"--checkpoint={self.checkpoint}", f"--to={path}", "--force", *flags], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return path

    def logits(self, images):
        """finetune's own, by its fused engine."""
        path = os.path.join(self.folder, "images.pth")
        torch.save({"images": images}, path)
        config = f"backbone {{ {self.backbone} }} head {{ num_classes: {CLASSES} }}"
        output = subprocess.run([self.logits_program, config, self.checkpoint, path], stdout=subprocess.PIPE, text=True, check=True).stdout
        return np.array([[float(value) for value in line.split()] for line in output.splitlines()], dtype=np.float32)

    def probabilities(self, files):
        """finetune predict's, of image files, in the order of the outputs."""
        output = subprocess.run([self.finetune, "predict", f"--checkpoint={self.checkpoint}", f"--top_k={CLASSES}", *files],
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True).stdout
        rows = np.zeros((len(files), CLASSES), np.float32)
        for row, line in zip(rows, output.splitlines()):
            for guess in json.loads(line)["guesses"]:
                row[guess["label"]] = guess["probability"]
        return rows


def session_of(path):
    """Checks the model as onnx does, and opens it. Warnings of onnxruntime are shown."""
    onnx.checker.check_model(path, full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 2
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run(session, images):
    return session.run(None, {session.get_inputs()[0].name: images})[0]


def difference(one, other):
    return float(np.abs(np.asarray(one) - np.asarray(other)).max())


class Results:
    def __init__(self):
        self.wrong = 0

    def add(self, backbone, check, error, limit=LIMIT):
        good = error <= limit
        self.wrong += not good
        print(f"{'ok' if good else 'WRONG':5} {backbone:34} {check:46} {error:.1e}", flush=True)


def check_onnx(peer, results):
    backbone = peer.backbone
    session = session_of(peer.export("model.onnx"))
    shape = session.get_inputs()[0].shape
    images = torch.randn(3, *shape[1:], generator=torch.Generator().manual_seed(1))
    expected = peer.logits(images)
    batch = images.numpy()
    results.add(backbone, "onnx, batch of 3", difference(run(session, batch), expected))
    results.add(backbone, "onnx, batch of 1", difference(run(session, batch[:1]), expected[:1]))
    folded_path = peer.export("folded.onnx", "--fold_batch_norm")
    operators = {node.op_type for node in onnx.load(folded_path).graph.node}
    assert "BatchNormalization" not in operators, operators
    results.add(backbone, "onnx, --fold_batch_norm", difference(run(session_of(folded_path), batch), expected))
    results.add(backbone, "onnx, --opset=18", difference(run(session_of(peer.export("old.onnx", "--opset=18")), batch), expected))
    # float16 and bfloat16 round a weight by 2^-11 and 2^-8 of itself.
    size = float(np.abs(expected).max())
    for dtype, limit in (("float16", 2e-2), ("bfloat16", 2e-1)):
        path = peer.export(f"{dtype}.onnx", f"--dtype={dtype}")
        results.add(backbone, f"onnx, --dtype={dtype}, of the largest logit", difference(run(session_of(path), batch), expected) / size, limit)
    check_metadata(peer, folded_path)


def check_metadata(peer, path):
    metadata = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    checkpoint = torch.load(peer.checkpoint, weights_only=True)
    assert json.loads(metadata["class_names"]) == checkpoint["meta"]["CLASSES"], metadata["class_names"]
    assert np.allclose(json.loads(metadata["mean"]), checkpoint["meta"]["data"]["mean"]), metadata["mean"]
    with open(peer.checkpoint, "rb") as file:
        assert metadata["checkpoint_sha256"] == hashlib.sha256(file.read()).hexdigest()


def check_preprocessing(peer, results):
    """Image files of the input size: finetune predict reads them, and the exported network gets their pixels. The data set has that
    size, so that predict does not fit them to another one first."""
    random = np.random.default_rng(2)
    for layout in ("nhwc", "nchw"):
        session = session_of(peer.export(f"{layout}.onnx", f"--with_preprocessing={layout}", "--softmax", "--fold_batch_norm"))
        assert session.get_inputs()[0].type == "tensor(uint8)", session.get_inputs()[0].type
        shape = session.get_inputs()[0].shape
        height, width, channels = shape[1:] if layout == "nhwc" else (*shape[2:], shape[1])
        pixels = random.integers(0, 256, (2, height, width, channels), np.uint8)
        files = []
        for i, image in enumerate(pixels):
            files.append(os.path.join(peer.folder, f"{i}.png"))
            Image.fromarray(image if channels == 3 else image[..., 0]).save(files[-1])
        batch = pixels if layout == "nhwc" else np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
        results.add(peer.backbone, f"onnx, --with_preprocessing={layout}, predict",
                    difference(run(session, batch), peer.probabilities(files)))


def check_weights(peer, packages, results):
    backbone = peer.backbone
    images = torch.randn(3, 3, 128, 128, generator=torch.Generator().manual_seed(3))
    for package, make in packages.items():
        expected = peer.logits(images)
        for name, read in (("pth", lambda path: torch.load(path, weights_only=True)), ("safetensors", safetensors.torch.load_file)):
            model = make().eval()
            model.load_state_dict(read(peer.export(f"{package}.{name}", f"--names={package}")), strict=True)
            with torch.no_grad():
                results.add(backbone, f"{package}'s load_state_dict of .{name}", difference(model(images), expected))
    # Under finetune's own names, the file answers as the checkpoint does.
    whole = peer.checkpoint
    files = [os.path.join(peer.folder, f"{i}.png") for i in range(2)]
    expected = peer.probabilities(files)
    peer.checkpoint = peer.export("own.pth")
    results.add(backbone, "own.pth, predict", difference(peer.probabilities(files), expected))
    peer.checkpoint = whole


def main(finetune, logits, prepare_dataset, folder):
    results = Results()
    for side in (32, 128):
        subprocess.run([prepare_dataset, "synthetic", f"--classes={CLASSES}", "--train=16", "--test=16", "--shards=1",
                        f"--size={side}", f"--output={folder}/{side}"], check=True, stdout=subprocess.DEVNULL)
    for i, (backbone, (side, packages)) in enumerate(NETWORKS.items()):
        place = os.path.join(folder, f"network{i}")
        os.mkdir(place)
        peer = Peer(finetune, logits, place, backbone, f"{folder}/{side}")
        check_onnx(peer, results)
        check_preprocessing(peer, results)
        check_weights(peer, packages, results)
    if results.wrong:
        sys.exit(f"export.py: {results.wrong} differences are larger than they may be")
    print(f"all {len(NETWORKS)} networks: every reader gives finetune's numbers")


main(*sys.argv[1:])
