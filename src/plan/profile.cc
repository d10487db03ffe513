#include "src/plan/profile.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "absl/strings/str_cat.h"
#include "src/base/median.h"
#include "src/data/micro_batches.h"

namespace finetune {
namespace {

using Json = nlohmann::json;

// Interpolates or extrapolates linearly: returns a + (b - a) * t, or 0 where that is negative.
double Along(double a, double b, double t) { return std::max(0.0, a + (b - a) * t); }

// Reads fields of JSON objects and keeps the first error.
class Reader {
 public:
  double Number(const Json& object, const char* name) {
    const auto field = object.find(name);
    if (field != object.end() && field->is_number() && field->get<double>() >= 0) {
      return field->get<double>();
    }
    Fail(name, "a number, 0 or more");
    return 0;
  }
  // Reads a whole number.
  int64_t Count(const Json& value, const char* name) {
    if (value.is_number_integer() && value.get<int64_t>() >= 0) return value.get<int64_t>();
    Fail(name, "a whole number, 0 or more");
    return 0;
  }
  const Json& Array(const Json& object, const char* name) {
    const auto field = object.find(name);
    if (field != object.end() && field->is_array() && !field->empty()) return *field;
    Fail(name, "a list that is not empty");
    return empty_;
  }
  void Fail(const char* name, const char* expected) {
    if (wrong_.empty()) wrong_ = absl::StrCat(name, ": expected ", expected);
  }
  const std::string& wrong() const { return wrong_; }

 private:
  const Json empty_ = Json::array();
  std::string wrong_;
};

}  // namespace

PassTimes PassAt(const Profile& profile, int64_t batch) {
  const std::vector<PassTimes>& passes = profile.passes;
  PassTimes low;
  PassTimes high = passes.front();
  // A pass of no images takes no time. Its memory is that of the parameters.
  low.ready_s.resize(high.ready_s.size(), 0.0);
  low.memory_bytes = high.memory_bytes;
  if (passes.size() > 1) {
    size_t right = 1;
    while (right + 1 < passes.size() && passes[right].batch < batch) ++right;
    low = passes[right - 1];
    high = passes[right];
  }
  const double t =
      static_cast<double>(batch - low.batch) / static_cast<double>(high.batch - low.batch);
  PassTimes at;
  at.batch = batch;
  at.forward_s = Along(low.forward_s, high.forward_s, t);
  at.backward_s = Along(low.backward_s, high.backward_s, t);
  at.memory_bytes = Along(low.memory_bytes, high.memory_bytes, t);
  for (size_t i = 0; i < high.ready_s.size(); ++i) {
    at.ready_s.push_back(std::min(at.backward_s, Along(low.ready_s[i], high.ready_s[i], t)));
  }
  return at;
}

std::string ToJson(const Profile& profile) {
  Json passes = Json::array();
  for (const PassTimes& pass : profile.passes) {
    passes.push_back({{"batch", pass.batch},
                      {"forward_s", pass.forward_s},
                      {"backward_s", pass.backward_s},
                      {"ready_s", pass.ready_s},
                      {"memory_bytes", pass.memory_bytes}});
  }
  return Json{{"source", profile.source},
              {"parameters", profile.parameters},
              {"statistics", profile.statistics},
              {"optimizer_s", profile.optimizer_s},
              {"sum_bytes_per_second", profile.sum_bytes_per_second},
              {"passes", passes}}
      .dump(1);
}

absl::StatusOr<Profile> ParseProfile(absl::string_view json, absl::string_view place) {
  const Json root = Json::parse(json.begin(), json.end(), nullptr, /*allow_exceptions=*/false);
  Profile profile;
  Reader reader;
  if (!root.is_object()) reader.Fail("the file", "an object of JSON");
  for (const Json& count : reader.Array(root, "parameters")) {
    profile.parameters.push_back(reader.Count(count, "parameters"));
  }
  profile.statistics = static_cast<int64_t>(reader.Number(root, "statistics"));
  profile.optimizer_s = reader.Number(root, "optimizer_s");
  profile.sum_bytes_per_second = reader.Number(root, "sum_bytes_per_second");
  if (profile.sum_bytes_per_second == 0) reader.Fail("sum_bytes_per_second", "more than 0");
  for (const Json& from : reader.Array(root, "passes")) {
    PassTimes pass;
    pass.batch = static_cast<int64_t>(reader.Number(from, "batch"));
    pass.forward_s = reader.Number(from, "forward_s");
    pass.backward_s = reader.Number(from, "backward_s");
    pass.memory_bytes = reader.Number(from, "memory_bytes");
    for (const Json& ready : reader.Array(from, "ready_s")) {
      if (!ready.is_number()) reader.Fail("passes.ready_s", "numbers");
      pass.ready_s.push_back(ready.is_number() ? ready.get<double>() : 0);
    }
    if (pass.ready_s.size() != profile.parameters.size()) {
      reader.Fail("passes.ready_s", "as many numbers as there are parameters");
    }
    if (pass.batch <= (profile.passes.empty() ? 0 : profile.passes.back().batch)) {
      reader.Fail("passes.batch", "more than 0, in ascending order");
    }
    profile.passes.push_back(std::move(pass));
  }
  if (!reader.wrong().empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(place, ": ", reader.wrong(),
                     "; --profile takes what --save_profile wrote, or the .jsonl of a run"));
  }
  profile.source = std::string(place);
  return profile;
}

absl::StatusOr<Profile> ProfileOfRun(const History& history, int64_t batch, int64_t micro_batch,
                                     Profile shape, absl::string_view place) {
  std::vector<double> seconds;
  int64_t images = 0;
  double memory = 0;
  for (const IterationRecord& record : history.iterations) {
    const double compute = record.time_s - record.data_time_s;
    if (!(compute > 0)) continue;
    seconds.push_back(compute);
    images =
        std::max(images, static_cast<int64_t>(std::llround(record.images_per_s * record.time_s)));
    memory = std::max(memory, static_cast<double>(record.memory_mib) * (1 << 20));
  }
  if (seconds.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(place,
                     ": holds no record of training with a time; --profile takes the .jsonl "
                     "of a run of one rank, or what --save_profile wrote"));
  }
  if (images != batch) {
    return absl::InvalidArgumentError(absl::StrCat(
        place, ": is of a run of ", images, " images an iteration, the config asks for ", batch,
        " a rank; a plan needs the records of a run of one rank (or --measure)"));
  }
  PassTimes pass;
  const MicroBatches parts = MicroBatches::Of(batch, micro_batch);
  pass.batch = parts.Size(parts.passes() - 1);
  pass.forward_s =
      Median(seconds) / 3 * static_cast<double>(pass.batch) / static_cast<double>(batch);
  pass.backward_s = 2 * pass.forward_s;
  pass.memory_bytes = memory;
  const auto count = static_cast<double>(shape.parameters.size());
  for (size_t i = 0; i < shape.parameters.size(); ++i) {
    pass.ready_s.push_back(pass.backward_s * static_cast<double>(i + 1) / count);
  }
  shape.passes = {std::move(pass)};
  shape.source = std::string(place);
  return shape;
}

}  // namespace finetune
