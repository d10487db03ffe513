#include "src/data/pipeline.h"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "src/base/philox.h"
#include "src/data/transforms/all.h"
#include "src/data/transforms/rounding.h"

namespace finetune {
namespace {

PixelStatistics ManifestStatistics(const DatasetManifest& manifest) {
  return {{manifest.mean().begin(), manifest.mean().end()},
          {manifest.std().begin(), manifest.std().end()}};
}

}  // namespace

Pipeline::Pipeline(const SplitConfig& split, const ImageShape& input,
                   const PixelStatistics* statistics, const Problems& problems)
    : input_(input), output_(input) {
  // Whether a step so far has computed a channel from several stored channels, as grayscale does.
  bool mixed = false;
  // Whether the images' size is known, or that it differs between images. It is not known without
  // the data set, nor behind a step that is wrong.
  bool known = input.channels > 0;
  std::map<TransformConfig::KindCase, int> before;
  for (int i = 0; i < split.pipeline_size(); ++i) {
    const TransformConfig& step = split.pipeline(i);
    const Problems of_step = problems.Within("pipeline", i);
    if (step.has_normalize() && i + 1 == split.pipeline_size()) {
      const Problems of_normalize = of_step.Within("normalize");
      if (mixed && !HasOwnStatistics(step.normalize())) {
        of_normalize.Error("",
                           "has no mean and std, and the data's own are those of red, green and "
                           "blue, not of the grey that the pipeline makes of them; give it both");
        continue;
      }
      PixelStatistics spread;
      if (statistics != nullptr && input.channels == 1) {
        // The data set has one channel. Steps that copy it to three channels leave each with its
        // mean and std.
        spread = Spread(*statistics, output_.channels);
        statistics = &spread;
      }
      std::optional<Normalize> normalize =
          Normalize::Create(step.normalize(), output_.channels, statistics, of_normalize);
      if (normalize.has_value()) normalize_ = *std::move(normalize);
      continue;
    }
    std::unique_ptr<Transform> transform = MakeTransform(step, output_, of_step);
    if (transform == nullptr) {
      // This step is wrong, so the shape of its result is unknown. Later steps are checked as far
      // as possible without it.
      output_ = ImageShape();
      known = false;
      continue;
    }
    output_ = transform->output();
    draws_ += transform->draws();
    mixed = mixed || transform->mixes_channels();
    steps_.push_back(
        {std::move(transform), StepStream(step.kind_case(), before[step.kind_case()]++)});
  }
  if (known && !output_.has_size()) {
    problems.Error("pipeline",
                   "leaves images of different sizes; add random_resized_crop, or resize_edge and "
                   "center_crop, or resize, so that all get one size");
  }
}

void Pipeline::Check(const SplitConfig& split, const ImageShape& input, bool training,
                     const Problems& problems) {
  const Pipeline checked(split, input, /*statistics=*/nullptr, problems);
  for (int i = 0; i < split.pipeline_size() && !training; ++i) {
    if (!IsRandom(split.pipeline(i))) continue;
    problems.Within("pipeline", i)
        .Warn(KindName(split.pipeline(i)),
              "is a random augmentation, so the accuracy is that of changed images; expected none "
              "in data.val. Usual are resize_edge and center_crop, or resize");
  }
  const auto normalizes = [](const TransformConfig& step) { return step.has_normalize(); };
  if (std::none_of(split.pipeline().begin(), split.pipeline().end(), normalizes)) {
    problems.Warn("pipeline", "has no normalize { }; the model will see values of 0 to 255");
  }
}

absl::StatusOr<Pipeline> Pipeline::Create(const SplitConfig& split, const DatasetManifest& manifest,
                                          const PixelStatistics* statistics) {
  const PixelStatistics own = ManifestStatistics(manifest);
  ProblemList found;
  Pipeline pipeline(split, {manifest.channels(), manifest.height(), manifest.width()},
                    statistics == nullptr ? &own : statistics, Problems(&found));
  FT_RETURN_IF_ERROR(found.status());
  return pipeline;
}

void Pipeline::Draw(uint64_t seed, int64_t epoch, int64_t visit, const ImageShape& stored,
                    int64_t* draws) const {
  ImageShape shape = stored;
  for (const Step& step : steps_) {
    const int count = step.transform->draws();
    if (count > 0) {
      RandomStream random(seed, RandomPurpose::kAugmentation, static_cast<uint32_t>(epoch),
                          static_cast<uint64_t>(visit), step.stream);
      step.transform->Draw(&random, shape, draws);
    }
    shape = step.transform->OutputOf(shape, draws);
    draws += count;
  }
}

bool Pipeline::on_device() const {
  return input_.has_size() && std::all_of(steps_.begin(), steps_.end(), [](const Step& step) {
           return step.transform->on_device();
         });
}

std::optional<NeededPart> Pipeline::NeedOf(const ImageShape& stored, const int64_t* draws) const {
  if (steps_.empty()) return std::nullopt;
  return steps_.front().transform->NeedOf(stored, draws);
}

template <typename T>
void Pipeline::Apply(absl::Span<const uint8_t> pixels, const ImageShape& stored,
                     const int64_t* draws, Scratch* scratch, T* out) const {
  scratch->shape = stored;
  scratch->place.reset();
  Run(pixels, draws, scratch, out);
}

template <typename T>
void Pipeline::ApplyToPart(absl::Span<const uint8_t> pixels, const ImageShape& part,
                           const PartPlace& place, const int64_t* draws, Scratch* scratch,
                           T* out) const {
  scratch->shape = part;
  scratch->place = place;
  Run(pixels, draws, scratch, out);
}

template <typename T>
void Pipeline::Run(absl::Span<const uint8_t> pixels, const int64_t* draws, Scratch* scratch,
                   T* out) const {
  scratch->values.resize(pixels.size());
  WidenAll(pixels.data(), pixels.size(), scratch->values.data());
  if (steps_.empty()) return normalize_.Write(scratch, out);
  for (size_t i = 0; i + 1 < steps_.size(); ++i) {
    steps_[i].transform->Apply(draws, scratch);
    scratch->place.reset();
    draws += steps_[i].transform->draws();
  }
  steps_.back().transform->Finish(draws, normalize_, scratch, out);
}

#define FT_INSTANTIATE(T)                                                                        \
  template void Pipeline::Apply<T>(absl::Span<const uint8_t>, const ImageShape&, const int64_t*, \
                                   Scratch*, T*) const;                                          \
  template void Pipeline::ApplyToPart<T>(absl::Span<const uint8_t>, const ImageShape&,           \
                                         const PartPlace&, const int64_t*, Scratch*, T*) const

FT_INSTANTIATE(float);
FT_INSTANTIATE(Bfloat16);

#undef FT_INSTANTIATE

}  // namespace finetune
