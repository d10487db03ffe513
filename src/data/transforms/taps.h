#ifndef FINETUNE_DATA_TRANSFORMS_TAPS_H_
#define FINETUNE_DATA_TRANSFORMS_TAPS_H_

#include <vector>

namespace finetune {

// Bits of the fraction in the libraries' arithmetic with bytes.
inline constexpr int kOpenCvBits = 11, kPillowBits = 22;

// How a resize computes a pixel from its neighbours.
struct Resampling {
  bool bicubic = false;  // else bilinear
  // Pillow's convention, which averages all pixels that a result covers; else OpenCV's.
  bool antialias = false;
  // Rounded to bytes to the bit of these two libraries.
  bool rounded = false;

  bool operator==(const Resampling& other) const = default;
};

// One axis of a resize: result i is the sum of weights[i * count + k] * source[first[i] + k] over k
// < count. Of two taps (bilinear, OpenCV's) the second may lie one past the end, with a weight of
// 0. `first` never falls.
struct Taps {
  Resampling resampling;
  int from = 0, to = 0;
  int count = 0;
  std::vector<int> first;
  std::vector<float> weights;
  // Only where `resampling.rounded`. Pillow: each weight times 2^22. OpenCV: for each result its
  // two neighbours and their weights times 2^11.
  std::vector<int> integers;
};

// Makes the taps for `to` results of `from` pixels, both 1 or more. Keeps those that are there
// where they are the same, and their memory.
void MakeTaps(const Resampling& resampling, int from, int to, Taps* taps);

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_TAPS_H_
