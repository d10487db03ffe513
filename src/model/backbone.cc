#include "src/model/backbone.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/config/problems.h"

namespace finetune {

NormalizeConfig Backbone::usual_normalization() const {
  NormalizeConfig config;
  config.set_preset(NormalizeConfig::IMAGENET);
  return config;
}

void Backbone::CheckFrozenStages(const Problems& problems) const {
  if (frozen_stages_ >= -1 && frozen_stages_ <= stages()) return;
  problems.Error("frozen_stages",
                 absl::StrCat("is ", frozen_stages_, "; expected -1 to ", stages(), ": ", name(),
                              " has ", stages(), " stages behind its stem"));
}

void Backbone::Build(const ForwardMode& mode, uint64_t seed, LayerBuilder* make) {
  mode_ = mode;
  seed_ = seed;
  for (int stage = 0; stage <= stages(); ++stage) {
    make->BeginPart();
    make->SetTrained(!IsFrozen(stage));
    BuildStage(stage, make);
    folded_.push_back(make->TakeFolded());
  }
  make->BeginHead();
  make->SetTrained(true);
}

Linear Backbone::BuildHead(int64_t in, int64_t classes, LayerBuilder* make) const {
  return make->MakeNormalLinear("head.fc", in, classes, /*deviation=*/0.01);
}

absl::Status Backbone::CheckInput(int64_t channels, int64_t height, int64_t width) const {
  const auto [wanted_channels, side, side_field, least_side] = input();
  const bool any_size = side == 0 && least_side == 1;
  const bool fits =
      side == 0 ? std::min(height, width) >= least_side : height == side && width == side;
  if (channels == wanted_channels && fits) return absl::OkStatus();
  const int64_t wanted_side = side == 0 ? least_side : side;
  const auto with_channels = [](int64_t count) {
    return absl::StrCat(" with ", count, " channel", count == 1 ? "" : "s");
  };
  const auto of_size = [](int64_t h, int64_t w) { return absl::StrCat(" of ", h, "x", w); };
  return absl::InvalidArgumentError(absl::StrCat(
      "found images", any_size ? "" : of_size(height, width), with_channels(channels), "; ", name(),
      " takes images", any_size ? "" : of_size(wanted_side, wanted_side),
      side == 0 && !any_size ? " or larger" : "", with_channels(wanted_channels),
      fits ? "" : absl::StrCat("; end the pipeline with a resize or crop to size ", wanted_side),
      !fits && !side_field.empty() && height == width
          ? absl::StrCat(", or set model.backbone.", side_field, " to ", height)
          : "",
      channels == 1 && wanted_channels == 3 ? ": add grayscale { channels: 3 } to the pipeline"
                                            : ""));
}

int64_t Backbone::LeastBatchNormValues(int64_t height, int64_t width) const {
  return norm_eval_ || IsFrozen(stages()) ? 0 : LastBatchNormValues(height, width);
}

at::Tensor Backbone::Forward(at::Tensor images, const ForwardContext& context) {
  at::Tensor x = std::move(images);
  for (int stage = 0; stage <= stages(); ++stage) {
    const StagePass pass{mode_, context.training && !IsFrozen(stage), batch_statistics(), context,
                         seed_};
    const at::AutoGradMode gradients(pass.trained && at::GradMode::is_enabled());
    x = RunStage(stage, std::move(x), pass);
  }
  return x;
}

void Backbone::DropFolded(bool all) {
  for (int stage = 0; stage <= stages(); ++stage) {
    if (!all && IsFrozen(stage)) continue;
    for (const auto& folded : folded_[stage]) folded->reset();
  }
}

int64_t HalvedPixels(int64_t height, int64_t width, int times) {
  for (int i = 0; i < times; ++i) {
    height = (height + 1) / 2;
    width = (width + 1) / 2;
  }
  return height * width;
}

}  // namespace finetune
