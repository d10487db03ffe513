#ifndef FINETUNE_OPS_WINOGRAD_TRANSFORMS_H_
#define FINETUNE_OPS_WINOGRAD_TRANSFORMS_H_

#include <cstdint>

#include "src/ops/vectors.h"

namespace finetune {

// Winograd's minimal filtering F(m x m, 3 x 3) computes m x m results of a 3 x 3 convolution from
// (m + 2) x (m + 2) pixels. winograd.cc describes the algorithm. Each struct here is a transform of
// one row or column: the product with a matrix of Lavin and Gray 2015, "Fast Algorithms for
// Convolutional Neural Networks", written out. Input is B^T, Weight G, Output A^T, OutputGradient
// A, WeightGradient G^T. Apply() reads kFrom values that lie `s` apart and writes kTo values that
// lie `t` apart.

// F(2x2, 3x3): 16 multiplications where the definition has 36. The transforms evaluate polynomials
// at the points 0, 1, -1 and infinity. So the transforms of the input are sums of only two values
// for each dimension, and rounding these to bfloat16 loses little.
struct TilesOf2 {
  static constexpr int64_t kOut = 2, kIn = 4;

  struct Input {
    static constexpr int64_t kFrom = kIn, kTo = kIn;
    template <typename V>
    static FT_INLINE void Apply(const V* d, int64_t s, V* v, int64_t t) {
      v[0] = d[0] - d[2 * s];
      v[t] = d[s] + d[2 * s];
      v[2 * t] = d[2 * s] - d[s];
      v[3 * t] = d[s] - d[3 * s];
    }
  };
  struct Output {
    static constexpr int64_t kFrom = kIn, kTo = kOut;
    template <typename V>
    static FT_INLINE void Apply(const V* m, int64_t s, V* y, int64_t t) {
      y[0] = m[0] + m[s] + m[2 * s];
      y[t] = m[s] - m[2 * s] - m[3 * s];
    }
  };
  struct OutputGradient {
    static constexpr int64_t kFrom = kOut, kTo = kIn;
    template <typename V>
    static FT_INLINE void Apply(const V* y, int64_t s, V* m, int64_t t) {
      m[0] = y[0];
      m[t] = y[0] + y[s];
      m[2 * t] = y[0] - y[s];
      m[3 * t] = -y[s];
    }
  };
  struct Weight {
    static constexpr int64_t kFrom = 3, kTo = kIn;
    template <typename V>
    static FT_INLINE void Apply(const V* g, int64_t s, V* u, int64_t t) {
      const V even = 0.5F * (g[0] + g[2 * s]), odd = 0.5F * g[s];
      u[0] = g[0];
      u[t] = even + odd;
      u[2 * t] = even - odd;
      u[3 * t] = g[2 * s];
    }
  };
  struct WeightGradient {
    static constexpr int64_t kFrom = kIn, kTo = 3;
    template <typename V>
    static FT_INLINE void Apply(const V* u, int64_t s, V* g, int64_t t) {
      const V even = 0.5F * (u[s] + u[2 * s]);
      g[0] = u[0] + even;
      g[t] = 0.5F * (u[s] - u[2 * s]);
      g[2 * t] = even + u[3 * s];
    }
  };
};

// F(4x4, 3x3): 36 multiplications where the definition has 144. The points are 0, +-3/4, +-4/3 and
// infinity. With these the relative error in float32 is 1.1e-6 (norm of the error by norm of the
// result, 256 channels). The usual points 0, +-1, +-2 and infinity give 2.1e-6, and the definition
// summed in float32 gives 0.2e-6. Barabasz et al. 2020, "Error Analysis and Improving the Accuracy
// of Winograd Convolution", explain the difference.
struct TilesOf4 {
  static constexpr int64_t kOut = 4, kIn = 6;

  // The points are +-kA and +-kB, with kA * kB = 1.
  static constexpr float kA = 3.0F / 4, kB = 4.0F / 3;
  static constexpr float kA2 = kA * kA, kB2 = kB * kB, kA3 = kA2 * kA, kB3 = kB2 * kB;
  // The kernel's value at a point is divided by the product of the point's distances to the other
  // finite points: kByA and kByB are these factors for +-kA and +-kB.
  static constexpr float kByA = 1 / (2 * kA2 * (kA2 - kB2)), kByB = 1 / (2 * kB2 * (kB2 - kA2));

  // Writes the values at the points kA, -kA, kB and -kB, from their even and odd parts, to out[t],
  // out[2 * t], out[3 * t] and out[4 * t].
  template <typename V>
  static FT_INLINE void PutAtPoints(const V& even_a, const V& odd_a, const V& even_b,
                                    const V& odd_b, V* out, int64_t t) {
    out[t] = even_a + odd_a;
    out[2 * t] = even_a - odd_a;
    out[3 * t] = even_b + odd_b;
    out[4 * t] = even_b - odd_b;
  }

  struct Input {
    static constexpr int64_t kFrom = kIn, kTo = kIn;
    template <typename V>
    static FT_INLINE void Apply(const V* d, int64_t s, V* v, int64_t t) {
      const V even_a = d[4 * s] - kB2 * d[2 * s], odd_a = kA * d[3 * s] - kB * d[s];
      const V even_b = d[4 * s] - kA2 * d[2 * s], odd_b = kB * d[3 * s] - kA * d[s];
      v[0] = d[0] - (kA2 + kB2) * d[2 * s] + d[4 * s];
      PutAtPoints(even_a, odd_a, even_b, odd_b, v, t);
      v[5 * t] = d[5 * s] - (kA2 + kB2) * d[3 * s] + d[s];
    }
  };
  struct Output {
    static constexpr int64_t kFrom = kIn, kTo = kOut;
    template <typename V>
    static FT_INLINE void Apply(const V* m, int64_t s, V* y, int64_t t) {
      const V even_a = m[s] + m[2 * s], odd_a = m[s] - m[2 * s];
      const V even_b = m[3 * s] + m[4 * s], odd_b = m[3 * s] - m[4 * s];
      y[0] = m[0] + even_a + even_b;
      y[t] = kA * odd_a + kB * odd_b;
      y[2 * t] = kA2 * even_a + kB2 * even_b;
      y[3 * t] = kA3 * odd_a + kB3 * odd_b + m[5 * s];
    }
  };
  struct OutputGradient {
    static constexpr int64_t kFrom = kOut, kTo = kIn;
    template <typename V>
    static FT_INLINE void Apply(const V* y, int64_t s, V* m, int64_t t) {
      const V even_a = y[0] + kA2 * y[2 * s], odd_a = kA * y[s] + kA3 * y[3 * s];
      const V even_b = y[0] + kB2 * y[2 * s], odd_b = kB * y[s] + kB3 * y[3 * s];
      m[0] = y[0];
      PutAtPoints(even_a, odd_a, even_b, odd_b, m, t);
      m[5 * t] = y[3 * s];
    }
  };
  struct Weight {
    static constexpr int64_t kFrom = 3, kTo = kIn;
    template <typename V>
    static FT_INLINE void Apply(const V* g, int64_t s, V* u, int64_t t) {
      const V even_a = kByA * (g[0] + kA2 * g[2 * s]), odd_a = (kByA * kA) * g[s];
      const V even_b = kByB * (g[0] + kB2 * g[2 * s]), odd_b = (kByB * kB) * g[s];
      u[0] = g[0];
      PutAtPoints(even_a, odd_a, even_b, odd_b, u, t);
      u[5 * t] = g[2 * s];
    }
  };
  struct WeightGradient {
    static constexpr int64_t kFrom = kIn, kTo = 3;
    template <typename V>
    static FT_INLINE void Apply(const V* u, int64_t s, V* g, int64_t t) {
      const V even_a = kByA * (u[s] + u[2 * s]), odd_a = (kByA * kA) * (u[s] - u[2 * s]);
      const V even_b = kByB * (u[3 * s] + u[4 * s]), odd_b = (kByB * kB) * (u[3 * s] - u[4 * s]);
      g[0] = u[0] + even_a + even_b;
      g[t] = odd_a + odd_b;
      g[2 * t] = kA2 * even_a + kB2 * even_b + u[5 * s];
    }
  };
};

// Applies the transform T to the rows of `in` [kFrom, kFrom], then to the columns of that result.
// Writes `out` [kTo, kTo].
template <typename T, typename V>
FT_INLINE void Transform2d(const V* in, V* out) {
  V rows[T::kFrom * T::kTo];
  Unrolled<T::kFrom>([&](int64_t i) __attribute__((always_inline)) {
    T::Apply(in + i * T::kFrom, 1, rows + i * T::kTo, 1);
  });
  Unrolled<T::kTo>([&](int64_t j) __attribute__((always_inline)) {
    T::Apply(rows + j, T::kTo, out + j, T::kTo);
  });
}

}  // namespace finetune

#endif  // FINETUNE_OPS_WINOGRAD_TRANSFORMS_H_
