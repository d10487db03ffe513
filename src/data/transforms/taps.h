#ifndef FINETUNE_DATA_TRANSFORMS_TAPS_H_
#define FINETUNE_DATA_TRANSFORMS_TAPS_H_

#include <vector>

namespace finetune {

// The number of fraction bits of the integer weights with which OpenCV and Pillow resize bytes.
inline constexpr int kOpenCvBits = 11, kPillowBits = 22;

// How a resize computes a result from the pixels around it.
struct Resampling {
  bool bicubic = false;  // false: bilinear
  // True: Pillow's convention. If the image is reduced, a result is the weighted mean of all pixels
  // that it covers. False: OpenCV's convention. A result depends only on the 2 (bilinear) or 4
  // (bicubic) nearest pixels along an axis.
  bool antialias = false;
  // Whether results are computed in integers and rounded to bytes, so that they equal those of
  // OpenCV or Pillow exactly.
  bool rounded = false;

  bool operator==(const Resampling& other) const = default;
};

// One axis of the rectangle that is resized: the stretch [begin, begin + length) of a row of
// `pixels` pixels, in pixels from the row's beginning. The row is just long enough: the stretch
// covers at least a part of its first and last pixel. If the image was decoded at a smaller scale,
// the stretch need not begin or end at the edge of a pixel.
struct Stretch {
  int pixels = 0;
  double begin = 0;
  double length = 0;

  bool operator==(const Stretch& other) const = default;
};

// Returns the stretch of all pixels of an axis.
inline Stretch WholePixels(int pixels) { return {pixels, 0, static_cast<double>(pixels)}; }

// The weights of a resize along one axis. Result i (of `to` results) is the sum of
// weights[i * count + k] * source[first[i] + k] over k < count. first[i + 1] is at least first[i].
// In a bilinear resize of OpenCV's convention (count 2) the second pixel may be one past the end;
// its weight is then 0, and it must not be read.
struct Taps {
  Resampling resampling;
  Stretch from;
  int to = 0;
  int count = 0;
  std::vector<int> first;
  std::vector<float> weights;
  // Set only if `resampling.rounded`. With Pillow's convention: each weight times 2^22, rounded.
  // With OpenCV's: for each result four numbers, the indices of its two neighbours and their
  // weights times 2^11.
  std::vector<int> integers;
};

// Computes the taps that resize a stretch to `to` results. Stretch and results must have at least 1
// pixel. If `taps` has the taps for these arguments already, it does nothing. `resampling.rounded`
// may be true only if the stretch has whole pixels.
void MakeTaps(const Resampling& resampling, const Stretch& from, int to, Taps* taps);

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_TAPS_H_
