#!/usr/bin/env bash
# Raising a model's opset with ONNX's own converter shifts every image that the model resizes, by half of what the scale
# adds to a pixel; ONNX Runtime's quantizer does so on its own.
#
# Software: onnx 1.23.2, onnxruntime 1.32.0, numpy 2.4.6.
#
# Expected: onnx.version_converter.convert_version keeps what a model computes, or refuses. The old Resize (opset 10)
# and Upsample (9) know one rule: an output pixel's place is its index divided by the scale, which opset 11 calls
# "asymmetric".
#
# Found: the converted node has none of the attributes that opset 11 added, so it gets their defaults: "half_pixel" for
# the place, and rounding instead of rounding down for "nearest". The checker is content, shapes and weights are the
# same, no warning is given. quantize_dynamic() of ONNX Runtime raises a model of opset 9 by this function, unasked.
#
# Output: a ramp 0 1 2 3, scaled by 2:
#   opset 10, linear: 0 0.5 1 1.5 2 2.5 3 3; converted to 11 and to 21: 0 0.25 0.75 1.25 1.75 2.25 2.75 3
#   Upsample of opset 9, linear, by quantize_dynamic: as converted. "nearest" by 1.25: 0 0 1 2 3 becomes 0 1 1 2 3.
#   At scale 3.5, from 64 to 224 pixels, all is moved by 1.25 pixels of the 224.
#
# Why it matters: models of old exports are raised because a runtime, a quantizer or a tool for graphs asks for a newer
# opset. Where a model scales its input or its feature maps, the accuracy it loses then passes for that of quantization.
# Set coordinate_transformation_mode="asymmetric" and nearest_mode="floor" on each Resize after converting, and compare
# the outputs of before and after.
set -euo pipefail
source "$(dirname "$0")/lib/temporary.sh"

make_venv venv onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6

cd "$work"
"$work/venv/bin/python" - <<'PY'
import logging
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, version_converter
from onnxruntime.quantization import quantize_dynamic

logging.getLogger().setLevel(logging.ERROR)
print(f"onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}")


def resize(operator, opset, mode, width, scale):
    """A model that scales images of 1 x width pixels."""
    scales = helper.make_tensor("scales", TensorProto.FLOAT, [4], [1, 1, 1, scale])
    graph = helper.make_graph(
        [helper.make_node(operator, ["x", "scales"], ["y"], mode=mode)], "resize",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 1, width])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 1, int(width * scale)])], [scales])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=5)
    onnx.checker.check_model(model, full_check=True)
    return model


def run(label, model, width):
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    y = session.run(None, {"x": np.arange(width, dtype=np.float32).reshape(1, 1, 1, -1)})[0].ravel()
    print(f"{label:48}", *(f"{value:g}" for value in y[:8]), "..." if len(y) > 8 else "")
    return y


linear = resize("Resize", 10, "linear", 4, 2)
before = run("Resize of opset 10, linear", linear, 4)
after = [run(f"  converted to opset {opset}", version_converter.convert_version(linear, opset), 4)
         for opset in (11, 21)]

upsample = resize("Upsample", 9, "linear", 4, 2)
before_upsample = run("Upsample of opset 9, linear", upsample, 4)
onnx.save(upsample, "upsample.onnx")
quantize_dynamic("upsample.onnx", "quantized.onnx")
quantized = run("  by quantize_dynamic", onnx.load("quantized.onnx"), 4)

nearest = resize("Resize", 10, "nearest", 4, 1.25)
before_nearest = run("Resize of opset 10, nearest", nearest, 4)
after_nearest = run("  converted to opset 11", version_converter.convert_version(nearest, 11), 4)

large = resize("Resize", 10, "linear", 64, 3.5)
moved = (run("From 64 to 224 pixels, opset 10", large, 64)[112]
         - run("  converted to opset 11", version_converter.convert_version(large, 11), 64)[112]) * 3.5
print(f"Moved by {moved:.2f} pixels of the 224")

asymmetric, half_pixel = [0, 0.5, 1, 1.5, 2, 2.5, 3, 3], [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3]
if before.tolist() != asymmetric or before_upsample.tolist() != asymmetric:
    sys.exit("The behaviour has changed: the model of the old opset has another output.")
if any(y.tolist() != half_pixel for y in after) or np.array_equal(before_nearest, after_nearest):
    sys.exit("The behaviour has changed: the converted model has another output.")
if quantized.tolist() != half_pixel:
    sys.exit("The behaviour has changed: quantize_dynamic no longer moves the pixels of an old model.")
print("As described: the converter and the quantizer move the pixels of old models.")
PY
