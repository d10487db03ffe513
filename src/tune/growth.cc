#include "src/tune/growth.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_format.h"
#include "src/base/status_macros.h"

namespace finetune {
namespace {

constexpr double kMebibyte = 1 << 20;
// The share of the free memory that the ranks may take.
constexpr double kShare = 0.9;

}  // namespace

int64_t ForeseenBytes(int64_t base, int64_t earlier, int64_t peak, int64_t images) {
  const auto pass = static_cast<double>(std::max<int64_t>(0, peak - base));
  return base +
         static_cast<int64_t>(pass * static_cast<double>(images) / static_cast<double>(earlier));
}

absl::Status CheckGrowth(const std::vector<RankGrowth>& ranks) {
  struct Sum {
    double bytes = 0;
    double free = 0;
    int ranks = 0;
  };
  // By host and the limit's name. Ranks of one host that are under a limit of the same name share
  // the limit.
  std::map<std::pair<std::string, std::string>, Sum> sums;
  for (const RankGrowth& rank : ranks) {
    for (const MemoryLimit& limit : rank.limits) {
      Sum& sum = sums[{rank.host, limit.name}];
      const auto free = static_cast<double>(limit.free_bytes);
      sum.free = sum.ranks == 0 ? free : std::min(sum.free, free);
      sum.bytes += static_cast<double>(rank.bytes);
      ++sum.ranks;
    }
  }
  for (const auto& [key, sum] : sums) {
    if (sum.bytes <= kShare * sum.free) continue;
    const auto& [host, limit] = key;
    return absl::ResourceExhaustedError(absl::StrFormat(
        "%d rank%s on %s would need %.0f MiB more, and %s has %.0f MiB free, of which a tenth is "
        "left to others",
        sum.ranks, sum.ranks == 1 ? "" : "s", host, sum.bytes / kMebibyte, limit,
        sum.free / kMebibyte));
  }
  return absl::OkStatus();
}

absl::Status CheckGrowthOfAll(int64_t bytes, Communicator* comm) {
  nlohmann::json mine = {{"bytes", bytes}, {"limits", nlohmann::json::array()}};
  for (const MemoryLimit& limit : FindMemoryLimits()) {
    mine["limits"].push_back({{"name", limit.name}, {"free", limit.free_bytes}});
  }
  FT_ASSIGN_OR_RETURN(
      const std::vector<std::string> texts,
      comm->AllGather(mine.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)));
  std::vector<RankGrowth> ranks;
  for (size_t r = 0; r < texts.size(); ++r) {
    const nlohmann::json json = nlohmann::json::parse(texts[r]);
    RankGrowth& rank = ranks.emplace_back();
    rank.bytes = json["bytes"];
    rank.host = comm->host(static_cast<int>(r));
    for (const nlohmann::json& limit : json["limits"]) {
      rank.limits.push_back({limit["name"], limit["free"]});
    }
  }
  return CheckGrowth(ranks);
}

}  // namespace finetune
