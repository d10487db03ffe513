// Problem: Swin transformers (Liu et al. 2021). An image is cut into patches of 4x4 pixels, each of
// which becomes a vector of channels. A block is attention and a multi-layer perceptron, as in a
// vision transformer, but a patch attends only to the patches of its window of side x side patches.
// Every second block shifts the windows by half a side, so that the windows exchange information.
// Behind each stage but the last, patch merging joins 2x2 patches and doubles the channels.
//
// Layout: maps are [N, H, W, C], contiguous. The windows of a map are [N, windows, T, C] with T =
// side^2. Attention runs on [N, windows * heads, T, d], d = 32. So one tensor [1, windows * heads,
// T, T], the same for all images, holds all that is added to the scores of queries and keys: the
// relative position biases, and -100 for pairs of patches that a shift brought together.
//
// A map whose sides are no multiples of a window is padded with zeros at its bottom and right, then
// shifted. A side that one window covers is not shifted. Both as in torchvision, whose rules
// mmpretrain shares for square maps; timm shifts before it pads, and has smaller windows for
// smaller maps.
//
// Reference: the authors' program, torchvision, timm and mmpretrain. agreement_test.cc and
// tests/peers/backbones.sh compare with them.
#include "src/model/swin.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/roll.h>
#include <ATen/ops/scaled_dot_product_attention.h>

#include <array>
#include <cmath>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/base/ceil_divide.h"
#include "src/config/problems.h"
#include "src/model/dropout.h"
#include "src/model/swin_weights.h"

namespace finetune {
namespace {

constexpr int kStages = 4;
constexpr int64_t kPatch = 4;
constexpr int64_t kHeadChannels = 32;
// The hidden layer of the multi-layer perceptron is this many times as wide as a map.
constexpr int64_t kExpansion = 4;
constexpr double kEpsilon = 1e-5;
// The standard deviation of the first weights of linear layers and relative position biases.
constexpr double kDeviation = 0.02;
// The packages' score of two patches that may not attend to each other.
constexpr double kMasked = -100;

struct Size {
  const char* letter;
  std::array<int, kStages> blocks;
  int width;  // the channels of stage 1
};

Size SizeOf(const SwinConfig& config) {
  Size size = {};
  switch (config.variant()) {
    case SwinConfig::TINY:
      size = {"T", {2, 2, 6, 2}, 96};
      break;
    case SwinConfig::SMALL:
      size = {"S", {2, 2, 18, 2}, 96};
      break;
    case SwinConfig::BASE:
      size = {"B", {2, 2, 18, 2}, 128};
      break;
    case SwinConfig::LARGE:
      size = {"L", {2, 2, 18, 2}, 192};
      break;
  }
  if (config.has_width()) size.width = config.width();
  return size;
}

struct Block {
  LayerNorm norm1, norm2;
  at::Tensor bias_table;  // [(2 * side - 1)^2, heads]
  Linear qkv;             // the queries, keys and values of all heads: [3 * C, C]
  Linear projection;      // of the heads' results
  Linear expand, reduce;
  bool is_shifted = false;
  float drop_path = 0;
  uint32_t index = 0;  // among all blocks of the network
};

// Patch merging.
struct Merging {
  LayerNorm norm;    // [4 * C]
  Linear reduction;  // [2 * C, 4 * C], without a bias
};

// Returns, for each place on a side of a shifted map, a number that differs between places of one
// window that are not neighbours in the map before the shift. [size] float32.
at::Tensor RegionsOfSide(int64_t size, int64_t window, int64_t shift, at::Device device) {
  const at::Tensor place = at::arange(size, at::TensorOptions(device).dtype(at::kFloat));
  return (place >= size - window).to(at::kFloat) + (place >= size - shift).to(at::kFloat);
}

// The windows of a map.
class Windows {
 public:
  // height, width: of the map. side: of a window.
  Windows(int64_t height, int64_t width, int64_t side, bool is_shifted)
      : height_(height), width_(width), side_(side) {
    if (is_shifted && rows() > 1) shift_down_ = side / 2;
    if (is_shifted && columns() > 1) shift_across_ = side / 2;
  }

  int64_t count() const { return rows() * columns(); }
  int64_t patches() const { return side_ * side_; }

  // Returns the windows of the padded and shifted map, [N, count, patches, C]. map: [N, H, W, C].
  at::Tensor Cut(at::Tensor map) const {
    const int64_t images = map.size(0), channels = map.size(3);
    const int64_t below = rows() * side_ - height_, right = columns() * side_ - width_;
    if (below > 0 || right > 0) map = at::constant_pad_nd(map, {0, 0, 0, right, 0, below});
    if (shifts()) map = at::roll(map, {-shift_down_, -shift_across_}, {1, 2});
    return map.reshape({images, rows(), side_, columns(), side_, channels})
        .permute({0, 1, 3, 2, 4, 5})
        .reshape({images, count(), patches(), channels});
  }

  // Returns the map whose windows these are: the inverse of Cut().
  at::Tensor Join(const at::Tensor& windows) const {
    const int64_t images = windows.size(0), channels = windows.size(3);
    at::Tensor map = windows.reshape({images, rows(), columns(), side_, side_, channels})
                         .permute({0, 1, 3, 2, 4, 5})
                         .reshape({images, rows() * side_, columns() * side_, channels});
    if (shifts()) map = at::roll(map, {shift_down_, shift_across_}, {1, 2});
    if (map.size(1) > height_) map = map.slice(1, 0, height_);
    if (map.size(2) > width_) map = map.slice(2, 0, width_);
    return map;
  }

  // Returns what is added to the scores of the patches of each window, [count, patches, patches]
  // float32: kMasked for two patches that a shift brought together. Undefined without a shift.
  at::Tensor Mask(at::Device device) const {
    if (!shifts()) return {};
    const at::Tensor down = RegionsOfSide(rows() * side_, side_, shift_down_, device);
    const at::Tensor across = RegionsOfSide(columns() * side_, side_, shift_across_, device);
    const at::Tensor regions = (down.unsqueeze(1) * 3 + across)
                                   .reshape({rows(), side_, columns(), side_})
                                   .permute({0, 2, 1, 3})
                                   .reshape({count(), patches()});
    return (regions.unsqueeze(1) != regions.unsqueeze(2)).to(at::kFloat) * kMasked;
  }

 private:
  int64_t rows() const { return CeilDivide(height_, side_); }
  int64_t columns() const { return CeilDivide(width_, side_); }
  bool shifts() const { return shift_down_ > 0 || shift_across_ > 0; }

  int64_t height_, width_, side_;
  int64_t shift_down_ = 0, shift_across_ = 0;
};

// Returns whether the tensor is a "relative_position_index" of other packages, which finetune
// computes from the side of a window.
bool IsRelativePositionIndex(const at::Tensor& tensor) {
  if (!tensor.defined() || !at::isIntegralType(tensor.scalar_type(), /*includeBool=*/false)) {
    return false;
  }
  const auto count = static_cast<double>(tensor.numel());
  const int64_t side = std::llround(std::pow(count, 0.25));
  if (side < 1 || side > kMostWindow || tensor.numel() != side * side * side * side) return false;
  return at::equal(tensor.flatten().to(at::kLong), RelativePositionIndex(side).flatten());
}

// The tensors of patch merging.
constexpr std::array kMergingTensors = {".norm.weight", ".norm.bias", ".reduction.weight"};

// Return the beginnings of our names of a stage's and a block's tensors. Both count from 0.
std::string OurStage(int stage) { return absl::StrCat("backbone.stages.", stage); }
std::string OurMerging(int stage) { return OurStage(stage) + ".downsample"; }
std::string OurBlock(int stage, int index) {
  return absl::StrCat(OurStage(stage), ".blocks.", index, ".");
}
std::string OurBiasTable(int stage, int index) {
  return OurBlock(stage, index) + "attn.w_msa.relative_position_bias_table";
}

class Swin final : public Backbone {
 public:
  Swin(const BackboneConfig& config, const Size& size)
      : Backbone(config), config_(config.swin()), size_(size) {}

  std::string name() const override {
    return absl::StrCat("Swin-", size_.letter,
                        config_.has_width() ? absl::StrCat(" of width ", size_.width) : "");
  }
  int stages() const override { return kStages; }
  InputShape input() const override { return {.channels = 3, .least_side = kPatch}; }
  Features features() const override {
    return {.channels = Channels(kStages - 1), .are_maps = true};
  }

  Linear BuildHead(int64_t in, int64_t classes, LayerBuilder* make) const override {
    // The name of the authors and torchvision, and timm's.
    make->AlsoNamed("head.fc", {"head", "head.fc"});
    return make->MakeNormalLinear("head.fc", in, classes, kDeviation);
  }

  std::vector<std::string> ConvertWeights(Given* given) const override;

 private:
  // The channels and heads of a stage, counted from 0.
  int64_t Channels(int stage) const { return int64_t{size_.width} << stage; }
  int64_t Heads(int stage) const { return Channels(stage) / kHeadChannels; }

  void BuildStage(int stage, LayerBuilder* make) override;
  void BuildStem(LayerBuilder* make);
  void BuildMerging(int stage, LayerBuilder* make);
  Block MakeBlock(int stage, int index, LayerBuilder* make);

  at::Tensor RunStage(int stage, at::Tensor x, const StagePass& pass) override;
  at::Tensor RunBlock(at::Tensor x, const Block& block, const Windows& windows,
                      const at::Tensor& mask, const StagePass& pass) const;
  at::Tensor Attend(const at::Tensor& x, const Block& block, const Windows& windows,
                    const at::Tensor& mask) const;

  int64_t LastBatchNormValues(int64_t /*height*/, int64_t /*width*/) const override { return 0; }

  void ConvertMergings(Given* given) const;
  std::string FitWindows(Given* given) const;

  const SwinConfig config_;
  const Size size_;
  uint32_t built_ = 0;  // the number of blocks that MakeBlock() has made
  Conv patches_;
  LayerNorm patch_norm_;
  std::array<std::vector<Block>, kStages> blocks_;
  std::array<Merging, kStages - 1> mergings_;
  LayerNorm final_norm_;
};

void Swin::BuildStage(int stage, LayerBuilder* make) {
  if (stage == 0) return BuildStem(make);
  const int index = stage - 1;  // as names count
  for (int i = 0; i < size_.blocks[index]; ++i) {
    blocks_[index].push_back(MakeBlock(index, i, make));
  }
  if (stage < kStages) return BuildMerging(index, make);
  // With layer_decay, the final norm has the head's learning rate, as in timm and mmpretrain.
  make->BeginHead();
  const std::string name = absl::StrCat("backbone.norm", index);
  final_norm_ = make->MakeLayerNorm(name, features().channels, kEpsilon);
  make->AlsoNamed(name, {"norm"});
}

// The second name of each layer below is torchvision's, the first one that of the others.
void Swin::BuildStem(LayerBuilder* make) {
  const std::string name = "backbone.patch_embed.";
  const int64_t channels = Channels(0);
  patches_ =
      make->MakeConv(name + "projection",
                     {.in = input().channels, .out = channels, .kernel = kPatch, .stride = kPatch});
  patch_norm_ = make->MakeLayerNorm(name + "norm", channels, kEpsilon);
  make->AlsoNamed(name + "projection", {"patch_embed.proj", "features.0.0"});
  make->AlsoNamed(name + "norm", {"patch_embed.norm", "features.0.2"});
}

void Swin::BuildMerging(int stage, LayerBuilder* make) {
  const std::string name = OurMerging(stage);
  const int64_t channels = Channels(stage);
  Merging& merging = mergings_[stage];
  merging.norm = make->MakeLayerNorm(name + ".norm", 4 * channels, kEpsilon);
  merging.reduction = make->MakeNormalLinear(name + ".reduction", 4 * channels, 2 * channels,
                                             kDeviation, /*with_bias=*/false);
  // timm has patch merging at the beginning of the next stage. The authors' program has it where
  // mmpretrain does, so that "layers.1.downsample" is another layer there (ConvertMergings()).
  for (const char* layer : {".norm", ".reduction"}) {
    make->AlsoNamed(name + layer, {absl::StrCat("layers.", stage + 1, ".downsample", layer),
                                   absl::StrCat("features.", 2 * stage + 2, layer)});
  }
}

Block Swin::MakeBlock(int stage, int index, LayerBuilder* make) {
  const int64_t channels = Channels(stage);
  const std::string ours = OurBlock(stage, index);
  const auto linear = [&](const char* name, int64_t in, int64_t out) {
    return make->MakeNormalLinear(ours + name, in, out, kDeviation);
  };
  Block block;
  block.norm1 = make->MakeLayerNorm(ours + "norm1", channels, kEpsilon);
  const int64_t distances = 2 * config_.window_size() - 1;
  block.bias_table = make->MakeEmbedding(OurBiasTable(stage, index),
                                         {distances * distances, Heads(stage)}, kDeviation);
  block.qkv = linear("attn.w_msa.qkv", channels, 3 * channels);
  block.projection = linear("attn.w_msa.proj", channels, channels);
  block.norm2 = make->MakeLayerNorm(ours + "norm2", channels, kEpsilon);
  block.expand = linear("ffn.layers.0.0", channels, kExpansion * channels);
  block.reduce = linear("ffn.layers.1", kExpansion * channels, channels);
  block.is_shifted = index % 2 == 1;
  const int all = std::accumulate(size_.blocks.begin(), size_.blocks.end(), 0);
  block.drop_path = config_.drop_path() * static_cast<float>(built_) / static_cast<float>(all - 1);
  block.index = built_++;

  const std::string timm = absl::StrCat("layers.", stage, ".blocks.", index, ".");
  const std::string torchvision = absl::StrCat("features.", 2 * stage + 1, ".", index, ".");
  for (const auto& [layer, of_timm, of_torchvision] :
       {std::array{"norm1", "norm1", "norm1"}, std::array{"attn.w_msa", "attn", "attn"},
        std::array{"attn.w_msa.qkv", "attn.qkv", "attn.qkv"},
        std::array{"attn.w_msa.proj", "attn.proj", "attn.proj"},
        std::array{"norm2", "norm2", "norm2"}, std::array{"ffn.layers.0.0", "mlp.fc1", "mlp.0"},
        std::array{"ffn.layers.1", "mlp.fc2", "mlp.3"}}) {
    make->AlsoNamed(ours + layer, {timm + of_timm, torchvision + of_torchvision});
  }
  return block;
}

// Returns the result of patch merging, [N, ceil(H / 2), ceil(W / 2), 2 * C]. x: [N, H, W, C].
at::Tensor Merge(at::Tensor x, const Merging& merging) {
  const int64_t below = x.size(1) % 2, right = x.size(2) % 2;
  if (below > 0 || right > 0) x = at::constant_pad_nd(x, {0, 0, 0, right, 0, below});
  const at::Tensor joined = x.reshape({x.size(0), x.size(1) / 2, 2, x.size(2) / 2, 2, x.size(3)})
                                .permute({0, 1, 3, 5, 2, 4})
                                .flatten(3, 5);
  return ApplyLinear(ApplyLayerNorm(joined, merging.norm), merging.reduction);
}

at::Tensor Swin::RunStage(int stage, at::Tensor x, const StagePass& pass) {
  x = ToStoredType(x, pass);
  if (stage == 0) {
    return ApplyLayerNorm(ConvWithBias(x, patches_, pass).permute({0, 2, 3, 1}), patch_norm_);
  }
  const int64_t side = config_.window_size();
  const Windows plain(x.size(1), x.size(2), side, /*is_shifted=*/false);
  const Windows shifted(x.size(1), x.size(2), side, /*is_shifted=*/true);
  const at::Tensor mask = shifted.Mask(x.device());
  for (const Block& block : blocks_[stage - 1]) {
    x = block.is_shifted ? RunBlock(std::move(x), block, shifted, mask, pass)
                         : RunBlock(std::move(x), block, plain, /*mask=*/{}, pass);
  }
  if (stage < kStages) return Merge(std::move(x), mergings_[stage - 1]);
  return ApplyLayerNorm(x, final_norm_).permute({0, 3, 1, 2});
}

at::Tensor Swin::RunBlock(at::Tensor x, const Block& block, const Windows& windows,
                          const at::Tensor& mask, const StagePass& pass) const {
  const auto add_branch = [&](const at::Tensor& branch, uint32_t branch_index) {
    const bool drops = block.drop_path > 0 && pass.trained;
    return x + (drops ? DropPath(branch, block.drop_path, pass.seed, pass.context,
                                 2 * block.index + branch_index)
                      : branch);
  };
  x = add_branch(Attend(ApplyLayerNorm(x, block.norm1), block, windows, mask), 0);
  return add_branch(ApplyGeluMlp(ApplyLayerNorm(x, block.norm2), block.expand, block.reduce, pass),
                    1);
}

// Returns the result of the attention within the windows of x, [N, H, W, C]. `mask`: that of the
// windows, which may be undefined.
at::Tensor Swin::Attend(const at::Tensor& x, const Block& block, const Windows& windows,
                        const at::Tensor& mask) const {
  const int64_t images = x.size(0), count = windows.count(), patches = windows.patches();
  const int64_t heads = x.size(3) / kHeadChannels;
  // Three tensors [N, windows, T, C]: the queries, keys and values of all heads.
  const std::vector<at::Tensor> qkv = ApplyLinear(windows.Cut(x), block.qkv).chunk(3, /*dim=*/3);
  const auto by_head = [&](const at::Tensor& all) {
    return all.view({images, count, patches, heads, kHeadChannels}).transpose(2, 3).flatten(1, 2);
  };
  const at::Tensor bias = BiasOfPairs(block.bias_table, config_.window_size());
  // What is added to the scores, [windows * heads, T, T].
  const at::Tensor added =
      mask.defined() ? (bias + mask.unsqueeze(1)).flatten(0, 1) : bias.repeat({count, 1, 1});
  const at::Tensor attended =
      at::scaled_dot_product_attention(by_head(qkv[0]), by_head(qkv[1]), by_head(qkv[2]),
                                       added.unsqueeze(0).to(qkv[0].scalar_type()));
  const at::Tensor by_patch =
      attended.reshape({images, count, heads, patches, kHeadChannels}).transpose(2, 3).flatten(3);
  return windows.Join(ApplyLinear(by_patch, block.projection));
}

std::vector<std::string> Swin::ConvertWeights(Given* given) const {
  // Other packages keep tensors that follow from the sizes of windows and images.
  std::erase_if(*given, [](const auto& one) {
    const auto& [name, entry] = one;
    return absl::EndsWith(name, ".attn_mask") ||
           (absl::EndsWith(name, ".relative_position_index") &&
            IsRelativePositionIndex(entry.tensor));
  });
  ConvertMergings(given);
  std::string note = FitWindows(given);
  if (note.empty()) return {};
  return {std::move(note)};
}

// Gives the patch mergings of the authors' program to their stages, and brings the channels of all
// but mmpretrain's into mmpretrain's order.
void Swin::ConvertMergings(Given* given) const {
  const auto move = [&](const std::string& from, const std::string& to) {
    auto moved = given->extract(from);
    if (moved.empty()) return;
    moved.key() = to;
    given->insert(std::move(moved));
  };
  for (const char* tensor : kMergingTensors) {
    // Only the authors' program has a patch merging in "layers.0". Its later ones have been taken
    // for those of timm, one stage too early.
    const std::string first = absl::StrCat("backbone.layers.0.downsample", tensor);
    if (given->contains(first) && !given->contains(OurMerging(2) + tensor)) {
      move(OurMerging(1) + tensor, OurMerging(2) + tensor);
      move(OurMerging(0) + tensor, OurMerging(1) + tensor);
      move(first, OurMerging(0) + tensor);
    }
    for (int stage = 0; stage < kStages - 1; ++stage) {
      const std::string ours = OurMerging(stage) + tensor;
      const auto found = given->find(ours);
      if (found == given->end()) continue;
      at::Tensor& values = found->second.tensor;
      const bool is_mmpretrains =
          absl::EndsWith(found->second.name, absl::StripPrefix(ours, "backbone."));
      if (is_mmpretrains || !values.defined() || values.dim() == 0 ||
          values.size(-1) != 4 * Channels(stage)) {
        continue;
      }
      values = ToUnfoldOrder(values);
    }
  }
}

// Resamples the relative position biases of a checkpoint for windows of another size. Returns a
// sentence for the log if it did, else "".
std::string Swin::FitWindows(Given* given) const {
  const int64_t wanted = config_.window_size();
  int64_t resampled = 0;
  for (int stage = 0; stage < kStages; ++stage) {
    for (int i = 0; i < size_.blocks[stage]; ++i) {
      const auto found = given->find(OurBiasTable(stage, i));
      if (found == given->end() || !found->second.tensor.defined()) continue;
      at::Tensor& table = found->second.tensor;
      const int64_t side = WindowOfBiasTable(table);
      if (side == 0 || side == wanted || table.size(1) != Heads(stage)) continue;
      table = ResampleBiasTable(table, wanted);
      resampled = side;
    }
  }
  if (resampled == 0) return "";
  return absl::StrCat("the relative position biases are resampled from windows of ", resampled, "x",
                      resampled, " patches to ", wanted, "x", wanted,
                      " as in the authors' program (bicubic)");
}

}  // namespace

std::unique_ptr<Backbone> MakeSwin(const BackboneConfig& config, const Problems& problems) {
  const SwinConfig& swin = config.swin();
  const Problems here = problems.Within("swin");
  const Size size = SizeOf(swin);
  bool good = here.InRange("window_size", swin.window_size(), 1, kMostWindow);
  good &= here.InRange("width", size.width, kHeadChannels, 4096);
  good &= here.IsFraction("drop_path", swin.drop_path());
  if (!good) return nullptr;
  if (size.width % kHeadChannels != 0) {
    here.Error("width", absl::StrCat("is ", size.width, "; expected a multiple of ", kHeadChannels,
                                     ", the channels of an attention head"));
    return nullptr;
  }
  return std::make_unique<Swin>(config, size);
}

}  // namespace finetune
