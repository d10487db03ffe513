"""The names of the parameters of finetune's ConvNeXt, vision and Swin transformers, which are those of src/model/convnext.cc, vit.cc
and swin.cc."""

from openmmlab import pbtxt

CONVNEXT_BLOCKS = {
    **dict.fromkeys(("ATTO", "FEMTO", "PICO"), (2, 2, 6, 2)),
    "NANO": (2, 2, 8, 2),
    "TINY": (3, 3, 9, 3),
    **dict.fromkeys(("SMALL", "BASE", "LARGE"), (3, 3, 27, 3)),
}
SWIN_BLOCKS = {"TINY": (2, 2, 6, 2), **dict.fromkeys(("SMALL", "BASE", "LARGE"), (2, 2, 18, 2))}
VIT_BLOCKS = {"TINY": 12, "SMALL": 12, "BASE": 12, "LARGE": 24}


def trained_parameters(model):
    """Returns the names of the parameters of a ModelConfig (pbtxt.Message) that are not frozen. Returns None for networks that
    this module does not know."""
    backbone = model.get("backbone", pbtxt.Message())
    if backbone.has("convnext"):
        stages = _convnext(backbone.get("convnext"))
        head = "head.fc"
    elif backbone.has("vit"):
        stages = _vit(backbone.get("vit"))
        head = "head.layers.head"
    elif backbone.has("swin"):
        stages = _swin(backbone.get("swin"))
        head = "head.fc"
    else:
        return None
    trained = [name for stage in stages[backbone.get("frozen_stages", -1) + 1 :] for name in stage]
    return ["backbone." + name for name in trained] + _layer(head)


def _layer(name):
    return [name + ".weight", name + ".bias"]


def _convnext(config):
    """Returns the names of each stage's parameters; stage 0 is the stem."""
    is_v2 = config.get("version") == "V2"
    has_scale = not is_v2 and config.get("layer_scale_init", 1e-6) > 0
    stages = [_layer("downsample_layers.0.0") + _layer("downsample_layers.0.1")]
    for stage, blocks in enumerate(CONVNEXT_BLOCKS[config.get("variant", "TINY")]):
        found = []
        if stage > 0:
            found += _layer(f"downsample_layers.{stage}.0") + _layer(f"downsample_layers.{stage}.1")
        for block in range(blocks):
            parent = f"stages.{stage}.{block}."
            for layer in ("depthwise_conv", "norm", "pointwise_conv1", "pointwise_conv2"):
                found += _layer(parent + layer)
            if is_v2:
                found += [parent + "grn.gamma", parent + "grn.beta"]
            if has_scale:
                found.append(parent + "gamma")
        stages.append(found)
    stages[-1] += _layer("norm3")
    return stages


def _vit(config):
    """Returns the names of each stage's parameters; stage 0 is the embedding."""
    stages = [["cls_token", "pos_embed"] + _layer("patch_embed.projection")]
    for block in range(config.get("depth", VIT_BLOCKS[config.get("variant", "SMALL")])):
        parent = f"layers.{block}."
        found = [parent + "attn.qkv.weight"]
        if config.get("qkv_bias", True):
            found.append(parent + "attn.qkv.bias")
        for layer in ("ln1", "attn.proj", "ln2", "ffn.layers.0.0", "ffn.layers.1"):
            found += _layer(parent + layer)
        if config.get("layer_scale", 0) > 0:
            found += [parent + "attn.gamma1.weight", parent + "ffn.gamma2.weight"]
        stages.append(found)
    stages[-1] += _layer("ln2" if config.get("pooling") == "MEAN" else "ln1")
    return stages


def _swin(config):
    """Returns the names of each stage's parameters; stage 0 is the patch embedding."""
    stages = [_layer("patch_embed.projection") + _layer("patch_embed.norm")]
    for stage, blocks in enumerate(SWIN_BLOCKS[config.get("variant", "TINY")]):
        found = []
        for block in range(blocks):
            parent = f"stages.{stage}.blocks.{block}."
            found.append(parent + "attn.w_msa.relative_position_bias_table")
            for layer in ("norm1", "attn.w_msa.qkv", "attn.w_msa.proj", "norm2", "ffn.layers.0.0", "ffn.layers.1"):
                found += _layer(parent + layer)
        if stage < 3:
            found += [*_layer(f"stages.{stage}.downsample.norm"), f"stages.{stage}.downsample.reduction.weight"]
        stages.append(found)
    stages[-1] += _layer("norm3")
    return stages
