#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "data_tools/builder_options.h"
#include "data_tools/converters.h"
#include "src/base/philox.h"
#include "src/data/builder.h"

namespace finetune {
namespace {

// Returns a uniform random number in [low, high).
double Between(RandomStream* random, double low, double high) {
  return low + (high - low) * random->Uniform();
}

// Adds a grating (a sine wave) under a Gaussian window to the image, with random frequency, phase,
// place and colour. `angle`: its direction in radians. `contrast`: its amplitude in pixel values.
// `window`: the radius at which it falls to 1/e, as a part of `size`.
void AddGrating(RandomStream* random, double angle, double contrast, double window, int size,
                std::vector<double>* image) {
  const double frequency = Between(random, 0.12, 0.25);  // periods per pixel
  const double phase = Between(random, 0, 2 * std::numbers::pi);
  const double cx = Between(random, 0.35, 0.65) * size, cy = Between(random, 0.35, 0.65) * size;
  const double color[3] = {Between(random, -1, 1), Between(random, -1, 1), Between(random, -1, 1)};
  const double norm =
      std::max(0.4, std::sqrt(color[0] * color[0] + color[1] * color[1] + color[2] * color[2]));
  for (int y = 0; y < size; ++y) {
    for (int x = 0; x < size; ++x) {
      const double along = (x - cx) * std::cos(angle) + (y - cy) * std::sin(angle);
      const double r2 =
          ((x - cx) * (x - cx) + (y - cy) * (y - cy)) / (window * window * size * size);
      const double value =
          contrast * std::sin(2 * std::numbers::pi * frequency * along + phase) * std::exp(-r2);
      for (int c = 0; c < 3; ++c) (*image)[(y * size + x) * 3 + c] += value * color[c] / norm;
    }
  }
}

}  // namespace

absl::Status MakeSynthetic(const ConvertOptions& options, const SyntheticOptions& synthetic) {
  DatasetBuilder::Options build = BuilderOptions(options);
  build.name = "synthetic";
  build.source = absl::StrCat("prepare_dataset synthetic, seed ", synthetic.seed);
  for (int i = 0; i < synthetic.classes; ++i) {
    build.class_names.push_back(absl::StrCat("angle_", 180.0 * i / synthetic.classes));
  }
  build.height = build.width = synthetic.size;
  build.channels = 3;
  FT_ASSIGN_OR_RETURN(DatasetBuilder builder, DatasetBuilder::Create(build));
  const int size = synthetic.size;
  std::vector<double> image(static_cast<size_t>(size) * size * 3);
  std::vector<uint8_t> pixels(image.size());
  int64_t index = 0;
  for (const auto& [split, count] :
       {std::pair{"train", synthetic.train}, std::pair{"test", synthetic.test}}) {
    FT_RETURN_IF_ERROR(builder.BeginSplit(split, count));
    for (int64_t i = 0; i < count; ++i, ++index) {
      RandomStream random(synthetic.seed, RandomPurpose::kSyntheticData, 0,
                          static_cast<uint64_t>(index));
      const int label = static_cast<int>(i % synthetic.classes);
      std::fill(image.begin(), image.end(), Between(&random, 90, 165));
      // Clutter: two fainter and smaller gratings of random orientation.
      for (int k = 0; k < 2; ++k) {
        AddGrating(&random, Between(&random, 0, std::numbers::pi), 30, 0.15, size, &image);
      }
      const double jitter = Between(&random, -0.2, 0.2) * std::numbers::pi / synthetic.classes;
      AddGrating(&random, std::numbers::pi * label / synthetic.classes + jitter,
                 Between(&random, 50, 100), 0.4, size, &image);
      for (size_t p = 0; p < image.size(); ++p) {
        pixels[p] =
            static_cast<uint8_t>(std::clamp(image[p] + Between(&random, -25, 25), 0.0, 255.0));
      }
      FT_RETURN_IF_ERROR(builder.Add(pixels, label));
    }
  }
  return builder.Finish();
}

}  // namespace finetune
