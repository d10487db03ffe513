// Problem: vision transformers (Dosovitskiy et al. 2021), also those of DeiT (Touvron et al. 2021)
// and DINOv2 (Oquab et al. 2023). An image is cut into patches, each patch becomes a vector of
// `width` channels (a token), and `depth` equal blocks of attention and of a multi-layer perceptron
// work on the tokens.
//
// Layout: tokens are [N, T, C], contiguous. The first token is the class token, then come the
// registers (Darcet et al. 2023), then the patches row by row. The position embeddings have one
// vector for the class token, none for registers, and one for each patch.
//
// The class token, the registers and the position embeddings do not depend on the image, so they
// are summed to one tensor [1, T, C] (Embedding()). The patches get rows of zeros before them, and
// one addition completes the tokens.
//
// Reference: timm, torchvision, mmpretrain, DINOv2 and transformers. agreement_test.cc and
// tests/peers/backbones.sh compare with them.
#include "src/model/vit.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/scaled_dot_product_attention.h>

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/config/problems.h"
#include "src/model/dropout.h"
#include "src/model/position_embedding.h"

namespace finetune {
namespace {

constexpr double kEpsilon = 1e-6;
// The standard deviation of the initial weights of linear layers and position embeddings, and that
// of the class token and the registers, as in timm.
constexpr double kWeightDeviation = 0.02, kTokenDeviation = 1e-6;
// The hidden layer of the multi-layer perceptron is this many times as wide as a token.
constexpr int64_t kExpansion = 4;
constexpr int kMostPatchesOnASide = 256;

struct Sizes {
  const char* letter;
  int width, depth, heads;
};

// The sizes of a variant, by its number in VitConfig::Variant.
constexpr std::array kVariants = {Sizes{"S", 384, 12, 6}, Sizes{"B", 768, 12, 12},
                                  Sizes{"L", 1024, 24, 16}, Sizes{"Ti", 192, 12, 3}};

Sizes SizesOf(const VitConfig& config) {
  Sizes sizes = kVariants.at(config.variant());
  if (config.has_width()) sizes.width = config.width();
  if (config.has_depth()) sizes.depth = config.depth();
  if (config.has_heads()) sizes.heads = config.heads();
  return sizes;
}

struct Block {
  LayerNorm norm1, norm2;
  Linear qkv;         // the queries, keys and values of all heads: [3 * width, width]
  Linear projection;  // of the heads' results
  Linear expand, reduce;
  at::Tensor scale1, scale2;  // the layer scales of the two branches, [width]; undefined for none
  float drop_path = 0;
  uint32_t index = 0;
};

// Renames the tensors of layer `from` to those of layer `to`, and returns true, if `given` has the
// weight of `from` and not that of `to`.
bool Rename(const std::string& from, const std::string& to, Given* given) {
  if (given->contains(to + ".weight") || !given->contains(from + ".weight")) return false;
  for (const char* tensor : {".weight", ".bias"}) {
    auto moved = given->extract(from + tensor);
    if (moved.empty()) continue;
    moved.key() = to + tensor;
    given->insert(std::move(moved));
  }
  return true;
}

// The beginning of our names of a block's tensors. `index`: from 0.
std::string OurBlock(int index) { return absl::StrCat("backbone.layers.", index, "."); }

class Vit final : public Backbone {
 public:
  Vit(const BackboneConfig& config, const Sizes& sizes)
      : Backbone(config),
        config_(config.vit()),
        sizes_(sizes),
        side_(config_.image_size() / config_.patch_size()) {}

  std::string name() const override {
    const bool named = !config_.has_width() && !config_.has_depth();
    return absl::StrCat("ViT-", named ? sizes_.letter : absl::StrCat(sizes_.width), "/",
                        config_.patch_size());
  }
  int stages() const override { return sizes_.depth; }
  InputShape input() const override {
    return {.channels = 3, .side = config_.image_size(), .side_field = "vit.image_size"};
  }
  Features features() const override { return {.channels = sizes_.width, .are_maps = false}; }
  // timm's ViT, DeiT and DINOv2 were trained with different ones.
  NormalizeConfig usual_normalization() const override { return {}; }

  Linear BuildHead(int64_t in, int64_t classes, LayerBuilder* make) const override {
    make->AlsoNamed("head.layers.head", {"head", "heads.head", "classifier"});
    return make->MakeNormalLinear("head.layers.head", in, classes, /*deviation=*/0.01);
  }

  std::vector<std::string> ConvertWeights(Given* given) const override;

 private:
  bool averages() const { return config_.pooling() == VitConfig::MEAN; }
  // The number of tokens before the patches: the class token and the registers.
  int64_t Prefix() const { return 1 + config_.registers(); }
  int64_t Patches() const { return static_cast<int64_t>(side_) * side_; }
  // The layer that normalizes the class token or the mean over the patches.
  const char* FinalNorm() const { return averages() ? "backbone.ln2" : "backbone.ln1"; }

  void BuildStage(int stage, LayerBuilder* make) override;
  void BuildStem(LayerBuilder* make);
  Block MakeBlock(int index, LayerBuilder* make) const;
  static void NameBlock(int index, LayerBuilder* make);

  at::Tensor RunStage(int stage, at::Tensor x, const StagePass& pass) override;
  at::Tensor Embedding() const;
  at::Tensor Attend(const at::Tensor& x, const Block& block) const;
  static at::Tensor Perceive(const at::Tensor& x, const Block& block, const StagePass& pass);
  static at::Tensor AddBranch(const at::Tensor& x, at::Tensor branch, const at::Tensor& scale,
                              const Block& block, int branch_index, const StagePass& pass);
  at::Tensor Pool(const at::Tensor& x) const;

  int64_t LastBatchNormValues(int64_t /*height*/, int64_t /*width*/) const override { return 0; }

  void JoinQueriesKeysAndValues(Given* given) const;
  std::string MoveFinalNorm(Given* given) const;
  std::string FitPositions(Given* given) const;

  const VitConfig config_;
  const Sizes sizes_;
  const int side_;          // the number of patches on a side of an image
  at::Tensor class_token_;  // [1, 1, C]
  at::Tensor registers_;    // [1, registers, C]; undefined for none
  at::Tensor positions_;    // [1, 1 + patches, C]
  Conv patches_;
  std::vector<Block> blocks_;
  LayerNorm final_norm_;
};

void Vit::BuildStage(int stage, LayerBuilder* make) {
  if (stage == 0) return BuildStem(make);
  blocks_.push_back(MakeBlock(stage - 1, make));
  NameBlock(stage - 1, make);
  if (stage < stages()) return;
  // With layer_decay, the final norm has the head's learning rate, as in BEiT, MAE and timm.
  make->BeginHead();
  final_norm_ = make->MakeLayerNorm(FinalNorm(), sizes_.width, kEpsilon);
  make->AlsoNamed("backbone.ln1",
                  {"norm", "encoder.ln", "vit.layernorm", "dinov2.layernorm", "layernorm"});
  make->AlsoNamed("backbone.ln2", {"fc_norm"});
}

void Vit::BuildStem(LayerBuilder* make) {
  const int64_t width = sizes_.width;
  class_token_ = make->MakeEmbedding("backbone.cls_token", {1, 1, width}, kTokenDeviation);
  if (config_.registers() > 0) {
    registers_ = make->MakeEmbedding("backbone.register_tokens", {1, config_.registers(), width},
                                     kTokenDeviation);
  }
  positions_ =
      make->MakeEmbedding("backbone.pos_embed", {1, 1 + Patches(), width}, kWeightDeviation);
  patches_ = make->MakeConv("backbone.patch_embed.projection", {.in = input().channels,
                                                                .out = width,
                                                                .kernel = config_.patch_size(),
                                                                .stride = config_.patch_size()});
  make->AlsoNamed("backbone.cls_token", {"cls_token", "class_token"});
  make->AlsoNamed("backbone.register_tokens", {"register_tokens", "reg_token"});
  make->AlsoNamed("backbone.pos_embed", {"pos_embed", "encoder.pos_embedding"});
  make->AlsoNamed("backbone.patch_embed.projection", {"patch_embed.proj", "conv_proj"});
  // The names of transformers: those of a classifier, then those of a bare network.
  for (const char* parent : {"vit.", "dinov2.", "dinov2_with_registers.", ""}) {
    const std::string embeddings = absl::StrCat(parent, "embeddings.");
    make->AlsoNamed("backbone.cls_token", {embeddings + "cls_token"});
    make->AlsoNamed("backbone.mask_token", {embeddings + "mask_token"});
    make->AlsoNamed("backbone.register_tokens", {embeddings + "register_tokens"});
    make->AlsoNamed("backbone.pos_embed", {embeddings + "position_embeddings"});
    make->AlsoNamed("backbone.patch_embed.projection",
                    {embeddings + "patch_embeddings.projection"});
  }
}

Block Vit::MakeBlock(int index, LayerBuilder* make) const {
  const int64_t width = sizes_.width;
  const std::string ours = OurBlock(index);
  const auto linear = [&](const char* name, int64_t in, int64_t out, bool with_bias = true) {
    return make->MakeNormalLinear(ours + name, in, out, kWeightDeviation, with_bias);
  };
  const auto scale = [&](const char* name) {
    return config_.layer_scale() > 0 ? make->MakeScale(ours + name, width, config_.layer_scale())
                                     : at::Tensor();
  };
  Block block;
  block.norm1 = make->MakeLayerNorm(ours + "ln1", width, kEpsilon);
  block.qkv = linear("attn.qkv", width, 3 * width, config_.qkv_bias());
  block.projection = linear("attn.proj", width, width);
  block.scale1 = scale("attn.gamma1.weight");
  block.norm2 = make->MakeLayerNorm(ours + "ln2", width, kEpsilon);
  block.expand = linear("ffn.layers.0.0", width, kExpansion * width);
  block.reduce = linear("ffn.layers.1", kExpansion * width, width);
  block.scale2 = scale("ffn.gamma2.weight");
  if (sizes_.depth > 1) {
    block.drop_path =
        config_.drop_path() * static_cast<float>(index) / static_cast<float>(sizes_.depth - 1);
  }
  block.index = static_cast<uint32_t>(index);
  return block;
}

// Records other packages' names of a block's layers.
void Vit::NameBlock(int index, LayerBuilder* make) {
  const std::string ours = OurBlock(index);
  const auto name = [&](const char* layer, std::initializer_list<std::string> others) {
    make->AlsoNamed(ours + layer, others);
  };
  const std::string timm = absl::StrCat("blocks.", index, ".");
  name("ln1", {timm + "norm1"});
  name("attn.qkv", {timm + "attn.qkv"});
  name("attn.proj", {timm + "attn.proj"});
  name("attn.gamma1.weight", {timm + "ls1.gamma"});
  name("ln2", {timm + "norm2"});
  name("ffn.layers.0.0", {timm + "mlp.fc1"});
  name("ffn.layers.1", {timm + "mlp.fc2"});
  name("ffn.gamma2.weight", {timm + "ls2.gamma"});
  const std::string torchvision = absl::StrCat("encoder.layers.encoder_layer_", index, ".");
  name("ln1", {torchvision + "ln_1"});
  name("attn.qkv.weight", {torchvision + "self_attention.in_proj_weight"});
  name("attn.qkv.bias", {torchvision + "self_attention.in_proj_bias"});
  name("attn.proj", {torchvision + "self_attention.out_proj"});
  name("ln2", {torchvision + "ln_2"});
  // The second name of each is that of torchvision's published files.
  name("ffn.layers.0.0", {torchvision + "mlp.0", torchvision + "mlp.linear_1"});
  name("ffn.layers.1", {torchvision + "mlp.3", torchvision + "mlp.linear_2"});
  for (const char* parent : {"vit.", "dinov2.", "dinov2_with_registers.", ""}) {
    const std::string layer = absl::StrCat(parent, "encoder.layer.", index, ".");
    name("ln1", {layer + "layernorm_before", layer + "norm1"});
    name("attn.query", {layer + "attention.attention.query"});
    name("attn.key", {layer + "attention.attention.key"});
    name("attn.value", {layer + "attention.attention.value"});
    name("attn.proj", {layer + "attention.output.dense"});
    name("attn.gamma1.weight", {layer + "layer_scale1.lambda1"});
    name("ln2", {layer + "layernorm_after", layer + "norm2"});
    name("ffn.layers.0.0", {layer + "intermediate.dense", layer + "mlp.fc1"});
    name("ffn.layers.1", {layer + "output.dense", layer + "mlp.fc2"});
    name("ffn.gamma2.weight", {layer + "layer_scale2.lambda1"});
  }
}

at::Tensor Vit::RunStage(int stage, at::Tensor x, const StagePass& pass) {
  x = ToStoredType(x, pass);
  if (stage == 0) {
    const at::Tensor patches = ConvWithBias(x, patches_, pass).flatten(2).transpose(1, 2);
    return at::constant_pad_nd(patches, {0, 0, Prefix(), 0}) +
           Embedding().to(patches.scalar_type());
  }
  const Block& block = blocks_[stage - 1];
  x = AddBranch(x, Attend(x, block), block.scale1, block, 0, pass);
  x = AddBranch(x, Perceive(x, block, pass), block.scale2, block, 1, pass);
  return stage == stages() ? Pool(x) : x;
}

// Returns the part of the first block's input that is the same for every image, [1, T, C].
at::Tensor Vit::Embedding() const {
  // Appends rows of zeros before and after x, [1, n, C].
  const auto between = [](const at::Tensor& x, int64_t before, int64_t after) {
    return at::constant_pad_nd(x, {0, 0, before, after});
  };
  const int64_t patches = Patches(), registers = config_.registers();
  if (registers == 0) return positions_ + between(class_token_, 0, patches);
  const at::Tensor of_class = positions_.slice(1, 0, 1) + class_token_;
  return between(of_class, 0, registers + patches) + between(registers_, 1, patches) +
         between(positions_.slice(1, 1), 1 + registers, 0);
}

// Returns the result of the attention between the tokens x, [N, T, C].
at::Tensor Vit::Attend(const at::Tensor& x, const Block& block) const {
  // Three tensors [N, T, C]: the queries, keys and values of all heads.
  const std::vector<at::Tensor> qkv =
      ApplyLinear(ApplyLayerNorm(x, block.norm1), block.qkv).chunk(3, /*dim=*/2);
  const auto by_head = [&](const at::Tensor& all) {
    return all.view({x.size(0), x.size(1), sizes_.heads, sizes_.width / sizes_.heads})
        .transpose(1, 2);
  };
  const at::Tensor attended =
      at::scaled_dot_product_attention(by_head(qkv[0]), by_head(qkv[1]), by_head(qkv[2]));
  return ApplyLinear(attended.transpose(1, 2).flatten(2), block.projection);
}

// Returns the result of the block's multi-layer perceptron, [N, T, C].
at::Tensor Vit::Perceive(const at::Tensor& x, const Block& block, const StagePass& pass) {
  return ApplyGeluMlp(ApplyLayerNorm(x, block.norm2), block.expand, block.reduce, pass);
}

// Returns x + scale * branch, after drop path. branch_index: 0 or 1.
at::Tensor Vit::AddBranch(const at::Tensor& x, at::Tensor branch, const at::Tensor& scale,
                          const Block& block, int branch_index, const StagePass& pass) {
  if (scale.defined()) branch = branch * scale.to(branch.scalar_type());
  if (block.drop_path > 0 && pass.trained) {
    branch = DropPath(branch, block.drop_path, pass.seed, pass.context,
                      2 * block.index + static_cast<uint32_t>(branch_index));
  }
  return x + branch;
}

// Returns the features, [N, C] float32.
at::Tensor Vit::Pool(const at::Tensor& x) const {
  const at::Tensor pooled =
      averages() ? x.slice(1, Prefix()).mean(at::IntArrayRef{1}, /*keepdim=*/false, at::kFloat)
                 : x.slice(1, 0, 1).flatten(1).to(at::kFloat);
  return ApplyLayerNorm(pooled, final_norm_);
}

std::vector<std::string> Vit::ConvertWeights(Given* given) const {
  JoinQueriesKeysAndValues(given);
  // mmpretrain has two heads for these networks. LinearClsHead has this name.
  Rename("head.fc", "head.layers.head", given);
  std::vector<std::string> notes;
  for (std::string note : {MoveFinalNorm(given), FitPositions(given)}) {
    if (!note.empty()) notes.push_back(std::move(note));
  }
  // DINOv2 trains with a token for masked patches, which the network does not need afterwards.
  given->erase("backbone.mask_token");
  return notes;
}

// Joins the three linear layers of transformers to one.
void Vit::JoinQueriesKeysAndValues(Given* given) const {
  for (int i = 0; i < sizes_.depth; ++i) {
    for (const char* tensor : {".weight", ".bias"}) {
      const std::string layer = OurBlock(i) + "attn.";
      std::vector<Given::iterator> parts;
      for (const char* name : {"query", "key", "value"}) {
        parts.push_back(given->find(absl::StrCat(layer, name, tensor)));
      }
      const auto fits = [&](Given::iterator part) {
        return part != given->end() && part->second.tensor.defined() &&
               part->second.tensor.dim() > 0 &&
               part->second.tensor.sizes() == parts[0]->second.tensor.sizes();
      };
      if (!fits(parts[0]) || !fits(parts[1]) || !fits(parts[2])) continue;
      Entry joined = parts[0]->second;
      joined.tensor =
          at::cat({parts[0]->second.tensor, parts[1]->second.tensor, parts[2]->second.tensor}, 0);
      for (const auto part : parts) given->erase(part);
      given->try_emplace(absl::StrCat(layer, "qkv", tensor), std::move(joined));
    }
  }
}

// Gives the final norm of a checkpoint with the other pooling to this network's. Returns a sentence
// for the log if it did, else "".
std::string Vit::MoveFinalNorm(Given* given) const {
  if (!Rename(averages() ? "backbone.ln1" : "backbone.ln2", FinalNorm(), given)) return "";
  return averages() ? "its final norm, of the class token, now follows the mean over the patches "
                      "(vit.pooling: MEAN)"
                    : "its final norm, of the mean over the patches, is now that of the class "
                      "token (vit.pooling: CLASS_TOKEN)";
}

// Resamples the position embeddings of a checkpoint for images of another size. Returns a sentence
// for the log if it did, else "".
std::string Vit::FitPositions(Given* given) const {
  const auto found = given->find("backbone.pos_embed");
  if (found == given->end() || !found->second.tensor.defined()) return "";
  Entry& entry = found->second;
  const int64_t side = PositionSide(entry.tensor);
  if (side == 0 || entry.tensor.size(2) != sizes_.width ||
      entry.tensor.sizes() == positions_.sizes()) {
    return "";
  }
  const auto is_named = [&](const std::string& ours, absl::string_view end) {
    const auto one = given->find(ours);
    return one != given->end() && absl::EndsWith(one->second.name, end);
  };
  PositionSource source = PositionSource::kMmpretrain;
  if (is_named("backbone.pos_embed", "encoder.pos_embedding")) {
    source = PositionSource::kTorchvision;
  } else if (is_named("backbone.register_tokens", "register_tokens")) {
    source = PositionSource::kDinoV2WithRegisters;
  } else if (is_named("backbone.patch_embed.projection.weight", "patch_embed.proj.weight")) {
    source =
        given->contains("backbone.mask_token") ? PositionSource::kDinoV2 : PositionSource::kTimm;
  }
  const bool has_class = entry.tensor.size(1) > side * side;
  entry.tensor = ResamplePositions(entry.tensor, side_, source);
  const std::string resampled =
      side == side_ ? ""
                    : absl::StrCat("are resampled from ", side, "x", side, " to ", side_, "x",
                                   side_, " patches as in ", Describe(source));
  return absl::StrCat("backbone.pos_embed: the position embeddings ", resampled,
                      resampled.empty() || has_class ? "" : " and ",
                      has_class ? "" : "get one for the class token, 0");
}

}  // namespace

std::unique_ptr<Backbone> MakeVit(const BackboneConfig& config, const Problems& problems) {
  const VitConfig& vit = config.vit();
  const Problems here = problems.Within("vit");
  const Sizes sizes = SizesOf(vit);
  bool good = here.InRange("width", sizes.width, 1, 16384);
  good &= here.InRange("depth", sizes.depth, 1, 1024);
  good &= here.InRange("heads", sizes.heads, 1, 1024);
  good &= here.InRange("patch_size", vit.patch_size(), 1, 1024);
  good &= here.AtLeast("image_size", vit.image_size(), 1);
  good &= here.InRange("registers", vit.registers(), 0, 1024);
  good &= here.AtLeast("layer_scale", vit.layer_scale(), 0);
  good &= here.IsFraction("drop_path", vit.drop_path());
  if (!good) return nullptr;
  if (sizes.width % sizes.heads != 0) {
    here.Error(vit.has_heads() ? "heads" : "width",
               absl::StrCat("gives ", sizes.heads, " heads and a width of ", sizes.width,
                            "; expected a width that is a multiple of the heads"));
    return nullptr;
  }
  if (vit.image_size() % vit.patch_size() != 0) {
    here.Error("image_size", absl::StrCat("is ", vit.image_size(), "; expected a multiple of ",
                                          "patch_size (", vit.patch_size(), ")"));
    return nullptr;
  }
  if (vit.image_size() / vit.patch_size() > kMostPatchesOnASide) {
    here.Error("image_size",
               absl::StrCat("is ", vit.image_size(), "; expected at most ",
                            kMostPatchesOnASide * vit.patch_size(), ": ", kMostPatchesOnASide,
                            " patches of ", vit.patch_size(), " on a side"));
    return nullptr;
  }
  return std::make_unique<Vit>(config, sizes);
}

}  // namespace finetune
