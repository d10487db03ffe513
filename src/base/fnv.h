#ifndef FINETUNE_BASE_FNV_H_
#define FINETUNE_BASE_FNV_H_

#include <cstdint>

#include "absl/strings/string_view.h"

namespace finetune {

inline constexpr uint64_t kFnvStart = 14695981039346656037ULL;

// Returns the 64-bit FNV-1a hash of `bytes` (Fowler, Noll and Vo), which is the same on every
// machine and in every build. To hash text in pieces, pass the hash of the earlier pieces as
// `start`.
inline uint64_t Fnv1a(absl::string_view bytes, uint64_t start = kFnvStart) {
  uint64_t hash = start;
  for (const char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
  return hash;
}

}  // namespace finetune

#endif  // FINETUNE_BASE_FNV_H_
