#ifndef FINETUNE_DATA_TRANSFORMS_TAPS_H_
#define FINETUNE_DATA_TRANSFORMS_TAPS_H_

#include <vector>

namespace finetune {

// The number of fraction bits in the integer arithmetic with which OpenCV and Pillow resize bytes.
inline constexpr int kOpenCvBits = 11, kPillowBits = 22;

// How a resize computes a pixel from its neighbours.
struct Resampling {
  bool bicubic = false;  // false: bilinear
  // True: Pillow's convention, which averages all pixels that a result covers. False: OpenCV's.
  bool antialias = false;
  // Whether results are rounded to bytes with the same bits as OpenCV or Pillow.
  bool rounded = false;

  bool operator==(const Resampling& other) const = default;
};

// The taps (neighbours and weights) of one axis of a resize from `from` to `to` pixels. Result i is
// the sum of weights[i * count + k] * source[first[i] + k] over k < count. With two taps (OpenCV's
// bilinear) the second may lie one pixel past the end, with a weight of 0. `first` never decreases.
struct Taps {
  Resampling resampling;
  int from = 0, to = 0;
  int count = 0;
  std::vector<int> first;
  std::vector<float> weights;
  // Only where `resampling.rounded`. With Pillow's convention: each weight times 2^22. With
  // OpenCV's: for each result its two neighbours, then their weights times 2^11.
  std::vector<int> integers;
};

// Makes the taps for `to` results of `from` pixels, both at least 1. If `taps` already holds them,
// does nothing. Otherwise reuses the memory of `taps`.
void MakeTaps(const Resampling& resampling, int from, int to, Taps* taps);

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_TAPS_H_
