#include "src/plan/host_memory.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_format.h"

namespace finetune {
namespace {

constexpr double kMebibyte = 1 << 20;

}  // namespace

int RanksOnHost(int ranks, int ranks_per_host) { return std::min(ranks, ranks_per_host); }

std::optional<MemoryLimit> SmallestLimit(int64_t stated) {
  if (stated > 0) return MemoryLimit{"a host by --host_memory", stated, stated};
  const std::vector<MemoryLimit> limits = FindMemoryLimits();
  const auto smallest = std::min_element(
      limits.begin(), limits.end(),
      [](const MemoryLimit& a, const MemoryLimit& b) { return a.total_bytes < b.total_bytes; });
  return smallest == limits.end() ? std::nullopt : std::optional(*smallest);
}

int RanksThatFit(double rank_bytes, const MemoryLimit& limit) {
  return static_cast<int>(static_cast<double>(limit.total_bytes) / std::max(1.0, rank_bytes));
}

std::string DescribeMisfit(const HostNeed& need, const MemoryLimit& limit) {
  const auto has = static_cast<double>(limit.total_bytes);
  if (need.bytes() <= has) return "";
  return absl::StrFormat(
      "%d rank%s on a host, with passes of %d image%s, need%s %.0f MiB, and %s "
      "has %.0f MiB",
      need.ranks, need.ranks == 1 ? "" : "s", need.pass, need.pass == 1 ? "" : "s",
      need.ranks == 1 ? "s" : "", need.bytes() / kMebibyte, limit.name, has / kMebibyte);
}

}  // namespace finetune
