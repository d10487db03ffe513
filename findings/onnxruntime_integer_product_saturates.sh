#!/usr/bin/env bash
# ONNX Runtime's integer matrix product gives half of the exact int32 result on an x86 processor without VNNI, and
# 7-bit weights are then four times as exact as 8-bit ones.
#
# Software: onnxruntime 1.32.0, onnx 1.23.2, numpy 2.4.6, on an x86-64 processor with AVX2 and without VNNI (an AMD
# EPYC of Zen 3).
#
# Expected: ONNX defines MatMulInteger as a product that does not overflow within int32. So a model gives the same
# integers on every machine, and a quantized model loses less with 8 bits than with 7.
#
# Found: for uint8 activations and int8 weights the kernel adds two neighbouring products in 16 bits with saturation.
# 255 * 127 + 255 * 127 is 64770 and counts as 32767. Nothing is raised or logged. Signed activations are exact in
# MatMulInteger, but a model of quantize_static(), whose activations are signed by default, saturates too: the session
# turns them into unsigned ones at load time. quantize_dynamic() is unsigned by default. `reduce_range=True` (7-bit
# weights) does not saturate, and neither does a session with the setting session.x64quantprecision = "1". On a
# processor with VNNI (AVX-512 VNNI or AVX-VNNI) the instruction sums in 32 bits.
#
# Output: 64 products of 255 * 127: 1048544, exactly 2072640. Of a linear layer of 1280 inputs behind a ReLU, as the
# head of EfficientNet-Lite0 has, the largest error against the largest output:
#   quantize_dynamic 0.0585, with reduce_range 0.0126; quantize_static 0.0554, with reduce_range and unsigned
#   activations 0.0140; the model with 0.0554 in a session with x64quantprecision 0.0114.
#
# Why it matters: a quantized classifier that was tested on a node with VNNI answers differently on an older node of
# the same cluster, where the calibrated accuracy no longer holds. The loss looks like that of quantization itself, so
# nobody looks for it. Large activations next to each other, the usual case behind a ReLU, make it worse.
set -euo pipefail
source "$(dirname "$0")/lib/temporary.sh"

if ! grep -qw avx2 /proc/cpuinfo || grep -qE 'avx_vnni|avx512_vnni' /proc/cpuinfo; then
  echo "This needs an x86-64 processor with AVX2 and without VNNI: on others the product is computed in another way." >&2
  exit 2
fi
make_venv venv onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6

cd "$work"
"$work/venv/bin/python" - <<'PY'
import logging
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_dynamic, quantize_static

logging.getLogger().setLevel(logging.ERROR)
print(f"onnxruntime {onnxruntime.__version__}, onnx {onnx.__version__}")


def product(operator, kind, out, weight):
    """A model of one product x * weight, where x has any number of rows."""
    graph = helper.make_graph(
        [helper.make_node(operator, ["x", "weight"], ["y"])], "product",
        [helper.make_tensor_value_info("x", kind, ["rows", weight.shape[0]])],
        [helper.make_tensor_value_info("y", out, ["rows", weight.shape[1]])],
        [numpy_helper.from_array(weight, "weight")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def run(model, x, precise=False):
    if not isinstance(model, str):
        model = model.SerializeToString()
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.x64quantprecision", "1" if precise else "0")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]


def integers(kind, onnx_kind, activation, weight):
    x = np.full((1, 64), activation, kind)
    w = np.full((64, 1), weight, np.int8)
    exact = int((x.astype(np.int64) @ w.astype(np.int64)).item())
    got = int(run(product("MatMulInteger", onnx_kind, TensorProto.INT32, w), x).item())
    print(f"MatMulInteger, 64 products of {activation} ({kind.__name__}) and {weight}: {got}, exactly {exact}")
    return got == exact


unsigned = integers(np.uint8, TensorProto.UINT8, 255, 127)
signed = integers(np.int8, TensorProto.INT8, 127, 127)
reduced = integers(np.uint8, TensorProto.UINT8, 255, 64)

random = np.random.default_rng(0)
x = np.maximum(random.normal(1, 0.3, (64, 1280)), 0).astype(np.float32)
weight = np.clip(random.normal(0, 1, (1280, 10)), -1, 1).astype(np.float32)
onnx.save(product("MatMul", TensorProto.FLOAT, TensorProto.FLOAT, weight), "float.onnx")
exact = run("float.onnx", x)


class Images(CalibrationDataReader):
    def __init__(self):
        self.batches = iter([{"x": x}])

    def get_next(self):
        return next(self.batches, None)


def error(label, precise=False):
    off = float(np.abs(run("quantized.onnx", x, precise) - exact).max() / np.abs(exact).max())
    print(f"{label:60} {off:.4f}")
    return off


quantize_dynamic("float.onnx", "quantized.onnx")
dynamic8 = error("quantize_dynamic, 8-bit weights: error")
quantize_dynamic("float.onnx", "quantized.onnx", reduce_range=True)
dynamic7 = error("quantize_dynamic, 7-bit weights: error")
quantize_static("float.onnx", "quantized.onnx", Images())
static8 = error("quantize_static, 8-bit weights, signed activations: error")
precise8 = error("the same in a session with x64quantprecision: error", precise=True)
quantize_static("float.onnx", "quantized.onnx", Images(), activation_type=QuantType.QUInt8, reduce_range=True)
static7 = error("quantize_static, 7-bit weights: error")

if unsigned or not signed or not reduced:
    sys.exit("The behaviour has changed: another of the three integer products is exact.")
if dynamic8 < 2 * dynamic7 or static8 < 2 * max(static7, precise8):
    sys.exit("The behaviour has changed: 8-bit weights are no longer less exact than 7-bit ones.")
print("As described: integer products saturate in silence, and fewer bits are more exact.")
PY
