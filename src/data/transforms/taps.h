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

// One axis of the part of an image that is resized: the stretch [begin, begin + length) of `pixels`
// pixels, of which the first and the last are at least touched by it. Where only a part of the
// image was decoded, scaled down, the stretch need not begin and end with a pixel.
struct Stretch {
  int pixels = 0;
  double begin = 0;
  double length = 0;

  bool operator==(const Stretch& other) const = default;
};

inline Stretch WholePixels(int pixels) { return {pixels, 0, static_cast<double>(pixels)}; }

// One axis of a resize: result i is the sum of weights[i * count + k] * source[first[i] + k] over k
// < count. Of two taps (bilinear, OpenCV's) the second may lie one past the end, with a weight of
// 0. `first` never falls.
struct Taps {
  Resampling resampling;
  Stretch from;
  int to = 0;
  int count = 0;
  std::vector<int> first;
  std::vector<float> weights;
  // Only where `resampling.rounded`. With Pillow's convention: each weight times 2^22. With
  // OpenCV's: for each result its two neighbours, then their weights times 2^11.
  std::vector<int> integers;
};

// Makes the taps for `to` results of a stretch, both of 1 pixel or more. Keeps those that are there
// where they are the same, and their memory. `resampling.rounded` only for whole pixels.
void MakeTaps(const Resampling& resampling, const Stretch& from, int to, Taps* taps);

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_TAPS_H_
