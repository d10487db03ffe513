#include "src/checkpoint/find_state_dict.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/base/status_macros.h"
#include "src/checkpoint/value.h"

namespace finetune {
namespace {

// Programs that average weights during training store the raw and the averaged weights side by
// side. These are the keys that they use.
struct Pair {
  absl::string_view raw;
  absl::string_view averaged;
};
constexpr Pair kPairs[] = {
    {"state_dict", "state_dict_ema"},       // timm
    {"model", "model_ema"},                 // torchvision's training scripts
    {"ema_state_dict", "state_dict"},       // mmengine's EMAHook
    {"current_model_state", "state_dict"},  // Lightning's WeightAveraging
    {"params", "params_ema"},               // BasicSR
};

constexpr absl::string_view kConfigKey = "model.backbone.pretrained.key";

bool StartsWith(const Place& place, const Place& start) {
  return place.size() >= start.size() && std::equal(start.begin(), start.end(), place.begin());
}

bool Has(const std::vector<Place>& places, Place parent, absl::string_view key) {
  parent.emplace_back(key);
  return absl::c_any_of(places, [&](const Place& one) { return StartsWith(one, parent); });
}

// Returns " (raw)" or " (averaged)" if the place lies below a key of kPairs and the other key of
// that pair is beside it. Otherwise returns "".
std::string Role(const Place& place, const std::vector<Place>& places) {
  for (const Pair& pair : kPairs) {
    Place parent = place;
    for (; !parent.empty(); parent.pop_back()) {
      const std::string key = parent.back();
      if (key != pair.raw && key != pair.averaged) continue;
      const bool is_raw = key == pair.raw;
      Place beside(parent.begin(), std::prev(parent.end()));
      if (Has(places, std::move(beside), is_raw ? pair.averaged : pair.raw)) {
        return is_raw ? " (raw)" : " (averaged)";
      }
    }
  }
  return "";
}

std::string Name(const Place& place) {
  return place.empty() ? "the root"
                       : absl::StrCat("\"", Printable(absl::StrJoin(place, ".")), "\"");
}

std::string Names(const std::vector<Place>& some, const std::vector<Place>& all) {
  constexpr size_t kShown = 8;
  std::string names;
  for (size_t i = 0; i < std::min(some.size(), kShown); ++i) {
    absl::StrAppend(&names, i == 0 ? "" : ", ", Name(some[i]), Role(some[i], all));
  }
  if (some.size() > kShown) absl::StrAppend(&names, " and ", some.size() - kShown, " more");
  return names;
}

// Returns the place, or the beginning of a place, whose keys joined by "." are `key`.
absl::StatusOr<Place> Locate(const std::vector<Place>& places, const std::string& key) {
  for (const Place& place : places) {
    for (auto end = place.begin(); end != place.end();) {
      ++end;
      if (absl::StrJoin(place.begin(), end, ".") == key) return Place(place.begin(), end);
    }
  }
  return absl::InvalidArgumentError(absl::StrCat("it has no weights at the key \"", Printable(key),
                                                 "\"; it has some at ", Names(places, places)));
}

// Returns the keys of the raw and the averaged weights that the file keeps side by side; null where
// it has no such pair.
const Pair* FindPair(const std::vector<Place>& places) {
  const auto* const pair = std::find_if(std::begin(kPairs), std::end(kPairs), [&](const Pair& one) {
    return Has(places, {}, one.raw) && Has(places, {}, one.averaged);
  });
  return pair == std::end(kPairs) ? nullptr : pair;
}

// Returns the place of the chosen one of the two sets of weights that the file keeps side by side;
// the root where the file has no such pair and one set will do.
absl::StatusOr<Place> Choose(const std::vector<Place>& places, WeightsChoice choice) {
  const Pair* const pair = FindPair(places);
  if (pair != nullptr) {
    return Place{std::string(choice == WeightsChoice::kRaw ? pair->raw : pair->averaged)};
  }
  if (choice != WeightsChoice::kAveraged) return Place();
  return absl::InvalidArgumentError(
      absl::StrCat("it has no averaged weights beside the raw ones; it has weights at ",
                   Names(places, places), ". Leave out --weights=ema"));
}

}  // namespace

absl::StatusOr<FoundStateDict> FindStateDict(const std::vector<Place>& places,
                                             const std::string& key, WeightsChoice choice) {
  Place at;
  if (!key.empty()) {
    FT_ASSIGN_OR_RETURN(at, Locate(places, key));
  } else if (choice != WeightsChoice::kUsual) {
    FT_ASSIGN_OR_RETURN(at, Choose(places, choice));
  }
  while (true) {
    const auto* const usual = std::find_if(std::begin(kUsualKeys), std::end(kUsualKeys),
                                           [&](auto name) { return Has(places, at, name); });
    if (usual != std::end(kUsualKeys)) {
      at.emplace_back(*usual);
      continue;
    }
    std::vector<Place> below;
    for (const Place& place : places) {
      if (StartsWith(place, at)) below.push_back(place);
    }
    if (below.front() == at) break;
    // If all places have the same next key, go on with it.
    Place next = at;
    next.push_back(below.front()[at.size()]);
    if (!absl::c_all_of(below, [&](const Place& place) { return StartsWith(place, next); })) {
      return absl::InvalidArgumentError(
          absl::StrCat("it has weights in several entries: ", Names(below, places),
                       "; choose one with --key, or in a config with ", kConfigKey));
    }
    at = std::move(next);
  }
  std::vector<Place> others;
  for (const Place& place : places) {
    if (place != at) others.push_back(place);
  }
  if (others.empty()) return FoundStateDict{at, ""};
  // The two sets of a pair also have short names.
  const bool is_pair = FindPair(places) != nullptr && !Role(at, places).empty();
  return FoundStateDict{at, absl::StrCat("the weights are those in ", Name(at), Role(at, places),
                                         "; it also has ", Names(others, places), " (choose with ",
                                         is_pair ? "--weights=ema or raw, with " : "",
                                         "--key, or in a config with ", kConfigKey, ")")};
}

}  // namespace finetune
