#include "src/plan/link.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "src/base/nearest_name.h"

namespace finetune {
namespace {

// The largest number of ranks that `finetune plan` accepts.
constexpr int kMostRanks = 1 << 20;

struct KnownLink {
  const char* name;
  double bytes_per_second;
  double latency_s;
};

// Bandwidths are the rates in the standards: 802.3 for Ethernet, InfiniBand HDR (4 lanes of 50
// Gbit/s) and NDR, and for NVLink 3 and 4 the rate in one direction (NVIDIA's A100 and H100 data
// sheets give both directions together). Latencies are orders of magnitude: TCP through the kernel
// for Ethernet, verbs for InfiniBand. For another cluster, measure the latency with the smallest
// messages of bench/allreduce_benchmark and give it after the comma. shared-memory lies between two
// results of that benchmark on two busy cores of an AMD EPYC: 12 GB/s for 1 MiB and 1.4 GB/s for 16
// MiB. 4 KiB took 23 us there.
constexpr KnownLink kLinks[] = {
    {"1Gbit", 1e9 / 8, 50e-6},
    {"10Gbit", 10e9 / 8, 30e-6},
    {"25Gbit", 25e9 / 8, 20e-6},
    {"40Gbit", 40e9 / 8, 20e-6},
    {"100Gbit", 100e9 / 8, 15e-6},
    {"infiniband-hdr", 200e9 / 8, 2e-6},
    {"infiniband-ndr", 400e9 / 8, 2e-6},
    {"nvlink3", 300e9, 5e-6},
    {"nvlink4", 450e9, 5e-6},
    {"shared-memory", 5e9, 11e-6},
};

// The latency in seconds of a link that is given by its bandwidth alone.
constexpr double kLatency = 50e-6;

struct Unit {
  const char* name;
  double factor;
};
constexpr Unit kBandwidths[] = {
    {"bit", 1. / 8}, {"kbit", 1e3 / 8}, {"mbit", 1e6 / 8}, {"gbit", 1e9 / 8}, {"tbit", 1e12 / 8},
    {"b", 1},        {"kb", 1e3},       {"mb", 1e6},       {"gb", 1e9},       {"tb", 1e12}};
constexpr Unit kTimes[] = {{"ns", 1e-9}, {"us", 1e-6}, {"ms", 1e-3}, {"s", 1}};

// Parses a number followed by one of the units, such as "10Gbit", and returns it in the base unit;
// nothing for other text.
std::optional<double> Quantity(absl::string_view text, absl::Span<const Unit> units) {
  const size_t end = std::min(text.find_first_not_of("0123456789."), text.size());
  double number = 0;
  if (!absl::SimpleAtod(text.substr(0, end), &number)) return std::nullopt;
  const std::string name = absl::AsciiStrToLower(absl::StripAsciiWhitespace(text.substr(end)));
  for (const Unit& unit : units) {
    if (name == unit.name) return number * unit.factor;
  }
  return std::nullopt;
}

absl::Status NoSuchLink(absl::string_view name) {
  std::vector<std::string> names;
  for (const KnownLink& link : kLinks) names.push_back(link.name);
  const std::string near = NearestName(name, names);
  return absl::InvalidArgumentError(absl::StrCat(
      "found ", name, ", expected a link; ",
      near.empty() ? absl::StrCat("the known ones are ", absl::StrJoin(names, ", "), ".")
                   : absl::StrCat("did you mean ", near, "?"),
      " Give another one as BANDWIDTH,LATENCY or NAME=BANDWIDTH,LATENCY, as in lab=25Gbit,8us"));
}

}  // namespace

absl::StatusOr<Link> ParseLink(absl::string_view text) {
  Link link;
  absl::string_view rest = text;
  const size_t equals = rest.find('=');
  if (equals != absl::string_view::npos) {
    link.name = std::string(rest.substr(0, equals));
    rest = rest.substr(equals + 1);
  } else {
    link.name = std::string(rest);
  }
  const std::vector<absl::string_view> parts = absl::StrSplit(rest, ',');
  if (parts.size() > 2 || parts[0].empty() || link.name.empty()) {
    return absl::InvalidArgumentError(
        "expected NAME, BANDWIDTH,LATENCY or NAME=BANDWIDTH,LATENCY, as in 10Gbit,50us");
  }
  link.latency_s = kLatency;
  const KnownLink* known = std::find_if(
      std::begin(kLinks), std::end(kLinks),
      [&](const KnownLink& candidate) { return absl::EqualsIgnoreCase(candidate.name, parts[0]); });
  if (known != std::end(kLinks)) {
    link.bytes_per_second = known->bytes_per_second;
    link.latency_s = known->latency_s;
  } else {
    const std::optional<double> bandwidth = Quantity(parts[0], kBandwidths);
    if (!bandwidth.has_value()) return NoSuchLink(parts[0]);
    link.bytes_per_second = *bandwidth;
  }
  if (parts.size() == 2) {
    const std::optional<double> latency = Quantity(parts[1], kTimes);
    if (!latency.has_value()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "found '", parts[1], "', expected a latency in ns, us, ms or s, as in 50us"));
    }
    link.latency_s = *latency;
  }
  if (!std::isfinite(link.bytes_per_second) || link.bytes_per_second <= 0 ||
      !std::isfinite(link.latency_s)) {
    return absl::InvalidArgumentError(
        absl::StrCat("found ", text, ", expected a bandwidth of more than 0"));
  }
  return link;
}

absl::StatusOr<std::vector<int>> ParseRanks(absl::string_view text) {
  std::vector<int> ranks;
  for (const absl::string_view part : absl::StrSplit(text, ',')) {
    int number = 0;
    if (!absl::SimpleAtoi(part, &number) || number < 1 || number > kMostRanks) {
      return absl::InvalidArgumentError(absl::StrCat("--ranks=", text, ": found '", part,
                                                     "', expected numbers of ranks from 1 to ",
                                                     kMostRanks, ", as in --ranks=1,8,64,512"));
    }
    ranks.push_back(number);
  }
  std::sort(ranks.begin(), ranks.end());
  ranks.erase(std::unique(ranks.begin(), ranks.end()), ranks.end());
  return ranks;
}

}  // namespace finetune
