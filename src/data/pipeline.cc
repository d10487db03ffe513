#include "src/data/pipeline.h"

#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/philox.h"
#include "src/data/transforms/all.h"

namespace finetune {
namespace {

PixelStatistics ManifestStatistics(const DatasetManifest& manifest) {
  return {{manifest.mean().begin(), manifest.mean().end()},
          {manifest.std().begin(), manifest.std().end()}};
}

}  // namespace

absl::StatusOr<Pipeline> Pipeline::Create(
    const google::protobuf::RepeatedPtrField<TransformConfig>& steps,
    const DatasetManifest& manifest, const PixelStatistics* statistics) {
  Pipeline p;
  p.input_ = p.output_ = {manifest.channels(), manifest.height(), manifest.width()};
  bool mixed = false;
  std::map<TransformConfig::KindCase, int> before;
  for (int i = 0; i < steps.size(); ++i) {
    const TransformConfig& step = steps[i];
    if (step.has_normalize() && i + 1 == steps.size()) {
      if (mixed && step.normalize().mean_size() == 0) {
        return absl::InvalidArgumentError(
            "normalize {} has the mean and std of stored red, green and blue, not those of the "
            "grey that grayscale makes of them; give normalize its mean and std");
      }
      PixelStatistics own = statistics == nullptr ? ManifestStatistics(manifest) : *statistics;
      // Grey that was spread has one mean for all channels.
      if (p.input_.channels == 1) own = Spread(std::move(own), p.output_.channels);
      FT_ASSIGN_OR_RETURN(p.normalize_,
                          Normalize::Create(step.normalize(), p.output_.channels, own));
      continue;
    }
    if (step.kind_case() == TransformConfig::KIND_NOT_SET) {
      return absl::InvalidArgumentError(absl::StrCat("pipeline[", i, "] is empty"));
    }
    FT_ASSIGN_OR_RETURN(std::unique_ptr<Transform> transform, MakeTransform(step, p.output_));
    p.output_ = transform->output();
    p.draws_ += transform->draws();
    mixed = mixed || transform->mixes_channels();
    p.steps_.push_back(
        {std::move(transform), StepStream(step.kind_case(), before[step.kind_case()]++)});
  }
  return p;
}

void Pipeline::Draw(uint64_t seed, int64_t epoch, int64_t index, int64_t* draws) const {
  for (const Step& step : steps_) {
    const int count = step.transform->draws();
    if (count == 0) continue;
    RandomStream random(seed, RandomPurpose::kAugmentation, static_cast<uint32_t>(epoch),
                        static_cast<uint64_t>(index), step.stream);
    step.transform->Draw(&random, draws);
    draws += count;
  }
}

template <typename T>
void Pipeline::Apply(absl::Span<const uint8_t> pixels, const int64_t* draws, Scratch* scratch,
                     T* out) const {
  scratch->shape = input_;
  scratch->values.assign(pixels.begin(), pixels.end());
  if (steps_.empty()) return normalize_.Write(scratch, out);
  for (size_t i = 0; i + 1 < steps_.size(); ++i) {
    steps_[i].transform->Apply(draws, scratch);
    draws += steps_[i].transform->draws();
  }
  steps_.back().transform->Finish(draws, normalize_, scratch, out);
}

template void Pipeline::Apply<float>(absl::Span<const uint8_t>, const int64_t*, Scratch*,
                                     float*) const;
template void Pipeline::Apply<Bfloat16>(absl::Span<const uint8_t>, const int64_t*, Scratch*,
                                        Bfloat16*) const;

}  // namespace finetune
