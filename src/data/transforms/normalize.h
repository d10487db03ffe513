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

// Returns whether a normalize config gives mean and std or a preset. If not, the statistics of the
// training data are used.
bool HasOwnStatistics(const NormalizeConfig& config);

// If the statistics have one channel, returns them repeated for `channels` channels; this is right
// for images whose only channel was copied to several. Otherwise returns them as they are.
PixelStatistics Spread(PixelStatistics statistics, int channels);

// Computes (x - mean) / std for each channel and converts the result to the model's type. Every
// pipeline ends with one, so it is not a Transform. If the config has no normalize step, mean is 0
// and std is 1, so the values stay.
class Normalize {
 public:
  // Creates the Normalize of a config for images of `channels` channels (0: not known yet).
  // `otherwise`: the statistics to use if the config gives none (null: not known yet). Returns
  // nullopt and adds errors to `problems` if there is not one mean and one std for each channel, a
  // mean is not finite, or a std is not positive and finite.
  static std::optional<Normalize> Create(const NormalizeConfig& config, int channels,
                                         const PixelStatistics* otherwise,
                                         const Problems& problems);

  // Writes the normalized values of `image` to `out`, [height, width, channels]. Uses image->next
  // as memory for intermediate results; its former values are lost.
  void Write(Image* image, float* out) const;
  void Write(Image* image, Bfloat16* out) const;

  // The normalized value of x in channel c is x * scale()[c] + shift()[c].
  const std::array<float, 3>& scale() const { return scale_; }
  const std::array<float, 3>& shift() const { return shift_; }
  // Returns the mean and std. Both are empty if the config has no normalize step.
  const PixelStatistics& statistics() const { return statistics_; }

 private:
  PixelStatistics statistics_;
  std::array<float, 3> scale_ = {1, 1, 1};
  std::array<float, 3> shift_ = {0, 0, 0};
};

// Does what Normalize does on a device. Apply() takes and returns images [n, height, width,
// channels] float32.
class DeviceNormalize {
 public:
  DeviceNormalize(const Normalize& normalize, int channels, at::Device device);
  at::Tensor Apply(const at::Tensor& images) const;

 private:
  at::Tensor scale_, shift_;  // [channels]
};

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_NORMALIZE_H_
