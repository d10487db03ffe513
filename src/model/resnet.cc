#include "src/model/resnet.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/max_pool2d.h>

#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/model/builder.h"
#include "src/ops/max_pool.h"

namespace finetune {
namespace {

// How a ResNet of some depth is built: blocks in each stage, and whether they are bottlenecks.
struct Plan {
  std::array<int, 4> blocks;
  bool bottleneck;
};

absl::StatusOr<Plan> PlanOf(int depth) {
  switch (depth) {
    case 18:
      return Plan{{2, 2, 2, 2}, false};
    case 34:
      return Plan{{3, 4, 6, 3}, false};
    case 50:
      return Plan{{3, 4, 6, 3}, true};
    case 101:
      return Plan{{3, 4, 23, 3}, true};
    case 152:
      return Plan{{3, 8, 36, 3}, true};
    default:
      return absl::InvalidArgumentError(absl::StrCat("there is no ResNet-", depth));
  }
}

// A residual block: two 3x3 convolutions, or a bottleneck of 1x1, 3x3 and 1x1.
struct Block {
  std::vector<ConvBn> convs;
  // Fits the input to the output where their shapes differ.
  std::optional<ConvBn> downsample;
};

class ResNet : public Classifier {
 public:
  static absl::StatusOr<std::unique_ptr<Classifier>> Make(const ModelConfig& config,
                                                          const ClassifierOptions& options) {
    FT_ASSIGN_OR_RETURN(Plan plan, PlanOf(config.backbone().resnet().depth()));
    if (config.neck().kind() != NeckConfig::GLOBAL_AVERAGE_POOLING) {
      return absl::InvalidArgumentError(
          "model.neck.kind is NONE; a ResNet ends in a feature map, which the linear head can only "
          "take with GLOBAL_AVERAGE_POOLING");
    }
    const int frozen_stages = config.backbone().frozen_stages();
    if (frozen_stages < -1 || frozen_stages > 4) {
      return absl::InvalidArgumentError(absl::StrCat(
          "model.backbone.frozen_stages is ", frozen_stages, "; a ResNet has -1 (none) to 4"));
    }
    std::unique_ptr<ResNet> net(new ResNet(config, options));
    net->Build(plan, options);
    return std::unique_ptr<Classifier>(std::move(net));
  }

  absl::Status CheckInput(int64_t channels, int64_t /*height*/, int64_t /*width*/) const override {
    if (channels == 3) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat("found pictures with ", channels, " channel", channels == 1 ? "" : "s",
                     "; a ResNet takes pictures with 3 channels",
                     channels == 1 ? ": add grayscale { channels: 3 } to the pipeline" : ""));
  }

  int64_t LeastBatchNormValues(int64_t height, int64_t width) const override {
    if (norm_eval_ || frozen_stages_ >= 4) return 0;
    // The last stage's maps are the smallest. The stem's convolution and pooling, and stages 2 to
    // 4, each halve a side and round up.
    for (int i = 0; i < (imagenet_stem_ ? 5 : 3); ++i) {
      height = (height + 1) / 2;
      width = (width + 1) / 2;
    }
    return height * width;
  }

  at::Tensor Forward(const at::Tensor& images, bool training) override {
    const at::AutoGradMode gradients(training && at::GradMode::is_enabled());
    at::Tensor x = Input(images, mode_.bfloat16 ? at::kBFloat16 : at::kFloat);
    x = Stem(x, training && frozen_stages_ < 0);
    for (int stage = 1; stage <= 4; ++stage) {
      const bool trained = training && stage > frozen_stages_;
      for (Block& block : stages_[stage - 1]) x = RunBlock(x, block, trained);
    }
    x = x.mean({2, 3}, /*keepdim=*/false, at::kFloat);
    return at::linear(x, fc_weight_, fc_bias_);
  }

  void ParametersChanged(bool all) override {
    if (all || frozen_stages_ < 0) stem_.Unfold();
    for (int stage = 1; stage <= 4; ++stage) {
      if (!all && stage <= frozen_stages_) continue;
      for (Block& block : stages_[stage - 1]) {
        for (ConvBn& conv : block.convs) conv.Unfold();
        if (block.downsample.has_value()) block.downsample->Unfold();
      }
    }
  }

 private:
  ResNet(const ModelConfig& config, const ClassifierOptions& options)
      : config_(config),
        mode_(options.mode),
        frozen_stages_(config.backbone().frozen_stages()),
        norm_eval_(config.backbone().norm_eval()),
        imagenet_stem_(config.backbone().resnet().stem() == ResNetConfig::IMAGENET) {}

  void Build(const Plan& plan, const ClassifierOptions& options) {
    const ResNetConfig& resnet = config_.backbone().resnet();
    const int64_t base = resnet.base_channels();
    ModelBuilder make(options, &parameters_, &buffers_);
    make.SetTrained(frozen_stages_ < 0);
    stem_ = make.MakeConvBn("backbone.conv1", "backbone.bn1", 3, base, imagenet_stem_ ? 7 : 3,
                            imagenet_stem_ ? 2 : 1);
    int64_t in = base;
    for (int stage = 1; stage <= 4; ++stage) {
      make.SetTrained(stage > frozen_stages_);
      const int64_t width = base << (stage - 1);
      for (int i = 0; i < plan.blocks[stage - 1]; ++i) {
        const std::string name = absl::StrCat("backbone.layer", stage, ".", i);
        const int64_t stride = stage > 1 && i == 0 ? 2 : 1;
        stages_[stage - 1].push_back(MakeBlock(make, name, in, width, stride, plan.bottleneck));
        in = width * (plan.bottleneck ? 4 : 1);
      }
    }
    make.SetTrained(true);
    fc_weight_ = make.MakeNormal("head.fc.weight", {config_.head().num_classes(), in}, 0.01);
    fc_bias_ = make.MakeNormal("head.fc.bias", {config_.head().num_classes()}, 0);
  }

  Block MakeBlock(ModelBuilder& make, const std::string& name, int64_t in, int64_t width,
                  int64_t stride, bool bottleneck) const {
    const ResNetConfig& resnet = config_.backbone().resnet();
    const double last_gamma = resnet.zero_init_residual() ? 0 : 1;
    const auto conv = [&](int i, int64_t from, int64_t to, int64_t kernel, int64_t s,
                          double gamma) {
      return make.MakeConvBn(absl::StrCat(name, ".conv", i), absl::StrCat(name, ".bn", i), from, to,
                             kernel, s, gamma);
    };
    // In the order in which RunBlock runs them.
    Block block;
    const int64_t out = bottleneck ? width * 4 : width;
    if (bottleneck) {
      const bool caffe = resnet.style() == ResNetConfig::CAFFE;
      block.convs.push_back(conv(1, in, width, 1, caffe ? stride : 1, 1));
      block.convs.push_back(conv(2, width, width, 3, caffe ? 1 : stride, 1));
    } else {
      block.convs.push_back(conv(1, in, width, 3, stride, 1));
    }
    if (stride != 1 || in != out) {
      block.downsample =
          make.MakeConvBn(name + ".downsample.0", name + ".downsample.1", in, out, 1, stride);
    }
    block.convs.push_back(bottleneck ? conv(3, width, out, 1, 1, last_gamma)
                                     : conv(2, width, out, 3, 1, last_gamma));
    return block;
  }

  at::Tensor Stem(const at::Tensor& images, bool trained) {
    if (!imagenet_stem_) return ConvBnAct(images, stem_, {}, /*relu=*/true, trained);
    // Where there is no gradient, pooling comes before the activation: the result is the same, and
    // there is a quarter of it.
    const bool pool_first = mode_.fused && !trained;
    const at::Tensor x = ConvBnAct(images, stem_, {}, /*relu=*/!pool_first, trained);
    if (!pool_first) return at::max_pool2d(x, 3, 2, 1);
    if (MaxPool3x3Runs(x)) return MaxPool3x3(x, /*relu=*/true);
    return at::max_pool2d(x, 3, 2, 1).relu_();
  }

  at::Tensor RunBlock(const at::Tensor& x, Block& block, bool trained) {
    at::Tensor y = x;
    for (size_t i = 0; i + 1 < block.convs.size(); ++i) {
      y = ConvBnAct(y, block.convs[i], {}, /*relu=*/true, trained);
    }
    const at::Tensor shortcut = block.downsample.has_value()
                                    ? ConvBnAct(x, *block.downsample, {}, /*relu=*/false, trained)
                                    : x;
    return ConvBnAct(y, block.convs.back(), shortcut, /*relu=*/true, trained);
  }

  at::Tensor ConvBnAct(const at::Tensor& x, ConvBn& layer, const at::Tensor& residual, bool relu,
                       bool trained) {
    if (trained) return TrainedConvBn(x, layer, residual, relu, !norm_eval_, mode_);
    return FrozenConvBn(x, layer, residual, relu, mode_);
  }

  const ModelConfig config_;
  const ForwardMode mode_;
  const int frozen_stages_;
  const bool norm_eval_;
  const bool imagenet_stem_;
  ConvBn stem_;
  std::array<std::vector<Block>, 4> stages_;
  at::Tensor fc_weight_, fc_bias_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Classifier>> MakeResNet(const ModelConfig& config,
                                                       const ClassifierOptions& options) {
  return ResNet::Make(config, options);
}

}  // namespace finetune
