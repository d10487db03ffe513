#ifndef FINETUNE_DATA_PIPELINE_H_
#define FINETUNE_DATA_PIPELINE_H_

#include <array>
#include <cstdint>
#include <variant>
#include <vector>

#include "absl/types/span.h"
#include "src/base/status_macros.h"
#include "src/config/experiment.pb.h"
#include "src/data/dataset.pb.h"

namespace finetune {

// bfloat16, as the upper half of a float32.
struct Bfloat16 {
  uint16_t bits;
};

// What Normalize subtracts and divides by, one value a channel, for values of 0 to 255.
struct PixelStatistics {
  std::vector<double> mean, std;
};

// The steps that turn a stored picture into the model's input, in the config's order.
//
// Crops and flips work on the pixels; Resize is bilinear in OpenCV's convention (half-pixel
// centres, edges repeated, no antialiasing) but its results are not rounded to integers; Normalize
// is (x - mean) / std. Where a Resize is the last step before Normalize, both are one pass.
class Pipeline {
 public:
  // Space for one picture on its way; one a thread, reused from picture to picture.
  struct Scratch {
    std::vector<float> a, b, rows;
  };

  // `statistics`: for a Normalize that has none of its own; null: the manifest's. Errors:
  // InvalidArgument for a step that does not fit the picture or lacks its settings.
  static absl::StatusOr<Pipeline> Create(
      const google::protobuf::RepeatedPtrField<TransformConfig>& steps,
      const DatasetManifest& manifest, const PixelStatistics* statistics = nullptr);

  // Of the prepared picture; the stored one may have another number of channels.
  int channels() const { return channels_; }
  int height() const { return out_height_; }
  int width() const { return out_width_; }

  // How many numbers Draw() writes: two for each crop, one for each flip.
  int draws() const { return draws_; }
  // What is done to one picture, in the order of the steps: a crop's top and left in the padded
  // picture, a flip's 0 or 1. Depends on `seed`, `epoch` and `index` alone. `draws`: [draws()].
  void Draw(uint64_t seed, int64_t epoch, int64_t index, int64_t* draws) const;

  // Prepares one picture as Draw() said. `pixels`: [H, W, C] as stored. `out`: [height(), width(),
  // channels()]. T: float or Bfloat16.
  template <typename T>
  void Apply(absl::Span<const uint8_t> pixels, const int64_t* draws, Scratch* scratch,
             T* out) const;

  // The steps but for Normalize, which comes last, for those who do them elsewhere.
  struct Crop {
    // Of the picture that it is given, before padding.
    int from_height, from_width;
    int size, padding;
    float pad_value;
    bool random;
  };
  struct Flip {
    float probability;
  };
  // One output position: left neighbour, right neighbour, weight of the right one.
  struct Tap {
    int left, right;
    float weight;
  };
  struct Resize {
    std::vector<Tap> rows, columns;
  };
  // Grey of three channels or one, spread over `to` channels.
  struct Grayscale {
    int from, to;
  };
  // Red's, green's and blue's part of grey: ITU-R BT.601.
  static constexpr std::array<float, 3> kLuma = {0.299f, 0.587f, 0.114f};
  using Step = std::variant<Crop, Flip, Resize, Grayscale>;
  const std::vector<Step>& steps() const { return steps_; }
  // Normalize's mean and std; empty where the pipeline does not normalise.
  const PixelStatistics& statistics() const { return statistics_; }
  // Normalize: x * scale()[c] + shift()[c].
  const std::array<float, 3>& scale() const { return scale_; }
  const std::array<float, 3>& shift() const { return shift_; }

 private:
  static std::vector<Tap> MakeTaps(int from, int to);
  // Resizes [in_height, in_width, channels] to the taps' size with scale and shift a channel, and
  // writes it as T.
  template <typename T>
  static void ResizeTo(const Resize& resize, const float* in, int in_width, int channels,
                       const float* scale, const float* shift, Scratch* scratch, T* out);

  int in_channels_ = 0, channels_ = 0;
  int in_height_ = 0, in_width_ = 0;
  int out_height_ = 0, out_width_ = 0;
  int draws_ = 0;
  std::vector<Step> steps_;
  PixelStatistics statistics_;
  std::array<float, 3> scale_ = {1, 1, 1};
  std::array<float, 3> shift_ = {0, 0, 0};
};

}  // namespace finetune

#endif  // FINETUNE_DATA_PIPELINE_H_
