#ifndef FINETUNE_BASE_PHILOX_H_
#define FINETUNE_BASE_PHILOX_H_

#include <array>
#include <cstdint>

namespace finetune {

// Returns four random words for `counter` and `key` by Philox4x32-10, the counter-based generator
// of Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3". The generator has no state,
// so the random numbers for an image depend only on seed, epoch and the image's index.
inline std::array<uint32_t, 4> Philox(std::array<uint32_t, 4> counter,
                                      std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53} * counter[0];
    const uint64_t b = uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(b),
               static_cast<uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(a)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

// The purpose of a random number. The purpose is part of the counter, so two purposes never use the
// same random number.
enum class RandomPurpose : uint32_t {
  kEpochOrder = 1,
  kAugmentation = 2,
  kSyntheticData = 3,
  kBatchTransform = 4,
  kDropout = 5,
  kDropPath = 6,
  kBootstrap = 16,
};

// A stream of random words for one object, such as an image in an epoch.
class RandomStream {
 public:
  // `period`: the epoch, or the iteration where each iteration needs new numbers. `index`: the
  // object, such as the image's index; below 2^56. `stream`: the number of one of the object's
  // streams, below 2^16. Each stream has 2^18 words.
  RandomStream(uint64_t seed, RandomPurpose purpose, uint32_t period, uint64_t index,
               uint32_t stream = 0)
      : key_{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)},
        // The upper 24 of the index's 56 bits share a counter word with the 8 bits of the purpose.
        counter_{stream << 16, period, static_cast<uint32_t>(index),
                 static_cast<uint32_t>(index >> 32) << 8 | static_cast<uint32_t>(purpose)} {}

  uint32_t Next() {
    if (used_ == 4) {
      block_ = Philox(counter_, key_);
      ++counter_[0];
      used_ = 0;
    }
    return block_[used_++];
  }

  // Returns a random whole number in [0, bound). `bound` must be over 0.
  uint32_t Below(uint32_t bound) { return static_cast<uint32_t>((uint64_t{Next()} * bound) >> 32); }

  // Returns a random number in [0, 1).
  float Uniform() { return static_cast<float>(Next() >> 8) * 0x1p-24f; }

 private:
  std::array<uint32_t, 2> key_;
  std::array<uint32_t, 4> counter_;
  std::array<uint32_t, 4> block_ = {};
  int used_ = 4;
};

}  // namespace finetune

#endif  // FINETUNE_BASE_PHILOX_H_
