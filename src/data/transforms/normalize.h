#ifndef FINETUNE_DATA_TRANSFORMS_NORMALIZE_H_
#define FINETUNE_DATA_TRANSFORMS_NORMALIZE_H_

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <array>
#include <optional>
#include <vector>

#include "src/config/experiment.pb.h"
#include "src/config/problems.h"
#include "src/data/transforms/transform.h"

namespace finetune {

// The mean that Normalize subtracts and the std that it divides by, one value a channel, for values
// of 0 to 255.
struct PixelStatistics {
  std::vector<double> mean, std;
};

// Whether a normalize step says its mean and std, so that it does not take the data's.
bool HasOwnStatistics(const NormalizeConfig& config);

// The statistics of one channel for images whose one channel was spread over `channels`; others as
// they are.
PixelStatistics Spread(PixelStatistics statistics, int channels);

// (x - mean) / std a channel, and the type that the model wants. It ends every pipeline, so it is
// not a Transform; without a normalize step it leaves the values as they are.
class Normalize {
 public:
  // For images of `channels` channels; 0: not known yet. `otherwise`: the statistics for a config
  // that has none of its own; null: not known yet. Nothing, and errors in `problems`, where there
  // is not one mean and one std for each channel, or where they are not numbers to work with.
  static std::optional<Normalize> Create(const NormalizeConfig& config, int channels,
                                         const PixelStatistics* otherwise,
                                         const Problems& problems);

  // Writes the normalised values of `image` to `out`, as many as it has.
  void Write(Image* image, float* out) const;
  void Write(Image* image, Bfloat16* out) const;

  // x * scale()[c] + shift()[c].
  const std::array<float, 3>& scale() const { return scale_; }
  const std::array<float, 3>& shift() const { return shift_; }
  // The mean and std; empty where nothing is normalised.
  const PixelStatistics& statistics() const { return statistics_; }

 private:
  PixelStatistics statistics_;
  std::array<float, 3> scale_ = {1, 1, 1};
  std::array<float, 3> shift_ = {0, 0, 0};
};

// The device side, for images [n, height, width, channels].
class DeviceNormalize {
 public:
  DeviceNormalize(const Normalize& normalize, int channels, at::Device device);
  at::Tensor Apply(const at::Tensor& images) const;

 private:
  at::Tensor scale_, shift_;  // [channels]
};

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_NORMALIZE_H_
