#include "src/data/transforms/resample.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/matmul.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "src/data/transforms/normalize.h"
#include "src/data/transforms/rounding.h"

namespace finetune {
namespace {

// Sets out[i] = a[i] + weight * (b[i] - a[i]).
FT_VECTORISED void BlendRows(const float* __restrict a, const float* __restrict b, float weight,
                             int n, float* __restrict out) {
  for (int i = 0; i < n; ++i) out[i] = a[i] + weight * (b[i] - a[i]);
}
FT_VECTORISED void BlendRows(const float* __restrict a, const float* __restrict b, float weight,
                             int n, uint16_t* __restrict out) {
  for (int i = 0; i < n; ++i) out[i] = ToBfloat16(a[i] + weight * (b[i] - a[i]));
}

// Sets sum[i] to the sum of weights[k] * rows[k * n + i] over k < count.
FT_VECTORISED void AddRows(const float* __restrict rows, const float* __restrict weights, int count,
                           int n, float* __restrict sum) {
  for (int i = 0; i < n; ++i) sum[i] = weights[0] * rows[i];
  for (int k = 1; k < count; ++k) {
    const float* __restrict row = rows + static_cast<size_t>(k) * n;
    const float weight = weights[k];
    for (int i = 0; i < n; ++i) sum[i] += weight * row[i];
  }
}

// Writes the sum of AddRows() to `to`. `sum`: memory for n numbers, in which the sum is made before
// it is rounded to bfloat16.
void WriteSum(const float* rows, const float* weights, int count, int n, float* sum, uint16_t* to) {
  AddRows(rows, weights, count, n, sum);
  RoundAll(sum, n, to);
}
void WriteSum(const float* rows, const float* weights, int count, int n, float*, float* to) {
  AddRows(rows, weights, count, n, to);
}

// Four floats, for one vector instruction. A pixel of three channels uses the first three. The
// fourth is computed and stored too, and the next pixel overwrites it.
using Float4 = float __attribute__((vector_size(16)));

inline Float4 Load(const float* at) {
  Float4 values;
  std::memcpy(&values, at, sizeof(values));
  return values;
}

// Resizes and scales the pixels of a row of three channels; see ResizeRow(). Loads and stores four
// floats at a time. Stops before a load or store would reach beyond the end of the row, and returns
// the number of pixels that it has written. kCount: columns.count, so that the compiler unrolls the
// sums, or 0 for any.
template <int kCount>
int ResizePixels(const float* source, const Taps& columns, const std::array<float, 3>& scale,
                 const std::array<float, 3>& shift, float* out) {
  const Float4 scales = {scale[0], scale[1], scale[2], 0};
  const Float4 shifts = {shift[0], shift[1], shift[2], 0};
  const int count = kCount > 0 ? kCount : columns.count, last = columns.from.pixels - 1;
  const int* const first = columns.first.data();
  const float* weights = columns.weights.data();
  int x = 0;
  for (; x + 1 < columns.to && first[x] + count <= last; ++x, weights += count) {
    const float* pixel = source + first[x] * 3;
    Float4 value;
    if constexpr (kCount == 2) {
      const Float4 left = Load(pixel);
      value = left + weights[1] * (Load(pixel + 3) - left);
    } else {
      value = weights[0] * Load(pixel);
      for (int k = 1; k < count; ++k) value += weights[k] * Load(pixel + k * 3);
    }
    value = value * scales + shifts;
    std::memcpy(out + static_cast<size_t>(x) * 3, &value, sizeof(value));
  }
  return x;
}

// Resizes one row and then scales it: x * scale[k] + shift[k] for channel k. `source`:
// columns.from.pixels pixels of c channels. The function is not FT_VECTORISED and so has no fused
// multiply-adds: it gives the same bits on every processor.
template <int c>
void ResizeRow(const float* source, const Taps& columns, const std::array<float, 3>& scale,
               const std::array<float, 3>& shift, float* out) {
  const int last = columns.from.pixels - 1;
  int x = 0;
  if constexpr (c == 3) {
    // Bilinear resizes have 2 taps, or 3 and more odd numbers with antialias: 5 for up to half
    // size.
    switch (columns.count) {
      case 2:
        x = ResizePixels<2>(source, columns, scale, shift, out);
        break;
      case 3:
        x = ResizePixels<3>(source, columns, scale, shift, out);
        break;
      case 5:
        x = ResizePixels<5>(source, columns, scale, shift, out);
        break;
      default:
        x = ResizePixels<0>(source, columns, scale, shift, out);
    }
  }
  for (; x < columns.to; ++x) {
    const float* pixel = source + columns.first[x] * c;
    const float* weights = columns.weights.data() + static_cast<size_t>(x) * columns.count;
    for (int k = 0; k < c; ++k) {
      float value;
      if (columns.count == 2) {
        const float right = pixel[columns.first[x] < last ? c + k : k];
        value = pixel[k] + weights[1] * (right - pixel[k]);
      } else {
        value = weights[0] * pixel[k];
        for (int t = 1; t < columns.count; ++t) value += weights[t] * pixel[t * c + k];
      }
      out[static_cast<size_t>(x) * c + k] = value * scale[k] + shift[k];
    }
  }
}

}  // namespace

std::optional<NeededPart> ResizingTransform::NeedOf(const ImageShape& image,
                                                    const int64_t* draws) const {
  NeededPart need = {PartOf(image, draws), {}};
  // Both cases need the pixels at full scale. `rounded` must give exactly the bytes of OpenCV or
  // Pillow. Without antialiasing a result is computed from the pixels next to it, and a decoder
  // that scales returns averages of pixels instead.
  if (resampling_.rounded || !resampling_.antialias) return need;
  const ImageShape result = OutputOf(image, draws);
  need.resized = {result.height, result.width};
  return need;
}

ResizingTransform::Source ResizingTransform::Prepare(const int64_t* draws, Image* image) const {
  const ImageShape whole = WholeShape(*image);
  const PartPlace place = image->place.value_or(PartPlace());
  const ImageRectangle part = PartOf(whole, draws);
  Source source;
  source.result = OutputOf(whole, draws);
  // Makes the taps of one axis for the rectangle's side [begin, begin + length) of the whole image,
  // and returns the first pixel in image->values that the side touches.
  const auto prepare = [&](int begin, int length, double offset, int pixels, int to, Taps* taps) {
    const double from = begin * place.scale - offset;
    const double end = std::min<double>(from + length * place.scale, pixels);
    const auto first = static_cast<int>(std::max(from, 0.0));
    const auto last = static_cast<int>(std::ceil(end));
    MakeTaps(resampling_, {last - first, from - first, length * place.scale}, to, taps);
    return first;
  };
  source.top = prepare(part.top, part.height, place.top, image->shape.height, source.result.height,
                       &image->rows);
  source.left = prepare(part.left, part.width, place.left, image->shape.width, source.result.width,
                        &image->columns);
  return source;
}

template <typename T>
void ResizingTransform::Resample(const int64_t* draws, const std::array<float, 3>& scale,
                                 const std::array<float, 3>& shift, Image* image, T* out) const {
  const int c = image->shape.channels;
  const Source source = Prepare(draws, image);
  const Taps &rows = image->rows, &columns = image->columns;
  const int n = columns.to * c;
  // `scratch` holds the resized rows, and one more row for a sum.
  float* resized = ScratchOf(image, (static_cast<size_t>(rows.from.pixels) + 1) * n);
  float* sum = resized + static_cast<size_t>(rows.from.pixels) * n;
  int next = 0;
  for (int y = 0; y < rows.to; ++y) {
    const int first = rows.first[y], end = std::min(first + rows.count, rows.from.pixels);
    for (next = std::max(next, first); next < end; ++next) {
      const float* pixels =
          image->values.data() +
          ((static_cast<size_t>(source.top) + next) * image->shape.width + source.left) * c;
      float* const to = resized + static_cast<size_t>(next) * n;
      if (c == 3) {
        ResizeRow<3>(pixels, columns, scale, shift, to);
      } else {
        ResizeRow<1>(pixels, columns, scale, shift, to);
      }
    }
    const float* weights = rows.weights.data() + static_cast<size_t>(y) * rows.count;
    const float* row = resized + static_cast<size_t>(first) * n;
    T* to = out + static_cast<size_t>(y) * n;
    if (rows.count == 2) {
      BlendRows(row, end - first == 2 ? row + n : row, weights[1], n, Raw(to));
    } else {
      WriteSum(row, weights, rows.count, n, sum, Raw(to));
    }
  }
}

namespace {

// Returns result `i` of a resize of bytes along one axis, in the integer arithmetic of OpenCV
// (without antialiasing) or Pillow. byte(k) must return value k of the axis. After the first axis
// Pillow rounds to bytes, while OpenCV keeps 11 fraction bits, which it drops after the second
// axis. `last`: whether this is the second axis.
template <typename Byte>
int64_t ByteResult(const Taps& taps, int i, bool last, const Byte& byte) {
  if (!taps.resampling.antialias) {
    const int* tap = taps.integers.data() + size_t{4} * i;
    if (!last) return byte(tap[0]) * tap[2] + byte(tap[1]) * tap[3];
    const auto part = [&](int k) { return (tap[2 + k] * (byte(tap[k]) >> 4)) >> 16; };
    return (part(0) + part(1) + 2) >> 2;
  }
  const int* weights = taps.integers.data() + static_cast<size_t>(i) * taps.count;
  int64_t sum = int64_t{1} << (kPillowBits - 1);
  for (int k = 0; k < taps.count; ++k) sum += weights[k] * byte(taps.first[i] + k);
  return std::clamp<int64_t>(sum >> kPillowBits, 0, 255);
}

// Resizes a rectangle of image->values into image->next, with exactly the bytes that OpenCV or
// Pillow would give. The values must be whole numbers of 0 to 255. `top`, `left`: the rectangle's
// upper left corner. Its size is given by the taps image->rows and image->columns.
void ResampleBytes(int top, int left, Image* image) {
  const Taps &rows = image->rows, &columns = image->columns;
  const int c = image->shape.channels;
  const size_t n = static_cast<size_t>(columns.to) * c;
  // Each number in `scratch` is below 2^24, so float32 holds it exactly.
  image->scratch.resize(rows.from.pixels * n);
  for (int y = 0; y < rows.from.pixels; ++y) {
    const float* source =
        image->values.data() + ((static_cast<size_t>(top) + y) * image->shape.width + left) * c;
    float* resized = image->scratch.data() + y * n;
    for (int x = 0; x < columns.to; ++x) {
      for (int k = 0; k < c; ++k) {
        resized[static_cast<size_t>(x) * c + k] =
            static_cast<float>(ByteResult(columns, x, /*last=*/false, [&](int at) -> int64_t {
              return std::lrint(source[static_cast<size_t>(at) * c + k]);
            }));
      }
    }
  }
  image->next.resize(rows.to * n);
  for (int y = 0; y < rows.to; ++y) {
    for (size_t i = 0; i < n; ++i) {
      image->next[y * n + i] = static_cast<float>(ByteResult(rows, y, /*last=*/true, [&](int at) {
        return static_cast<int64_t>(image->scratch[at * n + i]);
      }));
    }
  }
}

}  // namespace

void ResizingTransform::Apply(const int64_t* draws, Image* image) const {
  constexpr std::array<float, 3> kOne = {1, 1, 1}, kZero = {0, 0, 0};
  const ImageShape result = OutputOf(WholeShape(*image), draws);
  if (resampling_.rounded) {
    const Source source = Prepare(draws, image);
    ResampleBytes(source.top, source.left, image);
  } else {
    image->next.resize(size_t{1} * result.height * result.width * result.channels);
    Resample(draws, kOne, kZero, image, image->next.data());
  }
  std::swap(image->values, image->next);
  image->shape = result;
}

void ResizingTransform::Finish(const int64_t* draws, const Normalize& normalize, Image* image,
                               float* out) const {
  if (resampling_.rounded) return Transform::Finish(draws, normalize, image, out);
  Resample(draws, normalize.scale(), normalize.shift(), image, out);
}
void ResizingTransform::Finish(const int64_t* draws, const Normalize& normalize, Image* image,
                               Bfloat16* out) const {
  if (resampling_.rounded) return Transform::Finish(draws, normalize, image, out);
  Resample(draws, normalize.scale(), normalize.shift(), image, out);
}

at::Tensor ResampleOnDevice(const at::Tensor& images, const at::Tensor& rows,
                            const at::Tensor& columns) {
  // `wide` is [n, height, result width, channels]. The second product is [n, result height, result
  // width * channels].
  const at::Tensor wide = at::matmul(columns.unsqueeze(1), images);
  return at::matmul(rows, wide.flatten(2)).unflatten(2, {wide.size(2), wide.size(3)});
}

}  // namespace finetune
