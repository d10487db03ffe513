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

// The mean that Normalize subtracts and the std that it divides by: one value for each channel, for
// pixel values of 0 to 255.
struct PixelStatistics {
  std::vector<double> mean, std;
};

// Returns whether a normalize config gives a mean and std or a preset. If not, the statistics of
// the training set are used.
bool HasOwnStatistics(const NormalizeConfig& config);

// If the statistics have one channel, repeats them for `channels` channels, for images whose only
// channel was copied. Otherwise returns them as they are.
PixelStatistics Spread(PixelStatistics statistics, int channels);

// Computes (x - mean) / std for each channel and converts the result to the model's type. It ends
// every pipeline, so it is not a Transform. Without a normalize step it keeps the values.
class Normalize {
 public:
  // Makes the Normalize of a config for images of `channels` channels (0: not known yet).
  // `otherwise`: the statistics to use if the config gives none (null: not known yet). Returns
  // nothing and adds errors to `problems` where there is not one mean and one std for each channel,
  // where a mean is not finite, or where a std is not positive and finite.
  static std::optional<Normalize> Create(const NormalizeConfig& config, int channels,
                                         const PixelStatistics* otherwise,
                                         const Problems& problems);

  // Writes the normalised values of `image` to `out`, [height, width, channels].
  void Write(Image* image, float* out) const;
  void Write(Image* image, Bfloat16* out) const;

  // The normalised value of x in channel c is x * scale()[c] + shift()[c].
  const std::array<float, 3>& scale() const { return scale_; }
  const std::array<float, 3>& shift() const { return shift_; }
  // Returns the mean and std. Both are empty where nothing is normalised.
  const PixelStatistics& statistics() const { return statistics_; }

 private:
  PixelStatistics statistics_;
  std::array<float, 3> scale_ = {1, 1, 1};
  std::array<float, 3> shift_ = {0, 0, 0};
};

// Normalises images [n, height, width, channels] on a device.
class DeviceNormalize {
 public:
  DeviceNormalize(const Normalize& normalize, int channels, at::Device device);
  at::Tensor Apply(const at::Tensor& images) const;

 private:
  at::Tensor scale_, shift_;  // [channels]
};

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_NORMALIZE_H_
