#include "src/train/check_batches.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/base/ceil_divide.h"
#include "src/config/total_batch_size.h"
#include "src/data/micro_batches.h"

namespace finetune {
namespace {

// The advice tries batch sizes up to this much larger or smaller than the config's.
constexpr int kFarthest = 64;

// Returns the number of images of a global batch that rank `rank` takes, as Sampler::Part() divides
// the batch. `global`: the number of images in the batch.
int64_t PartOf(int64_t global, int rank, int ranks) {
  return global * (rank + 1) / ranks - global * rank / ranks;
}

// Returns whether a global batch of `global` images has a pass of one image. `most`: the most
// images in a pass; 0: no limit.
bool HasLonePass(int64_t global, int64_t most, const EpochShape& epoch) {
  const int64_t largest = CeilDivide(global, epoch.ranks);
  if (!epoch.sync_batch_norm) {
    // Each rank takes `largest` images or one less. The first pass of a part is its smallest.
    for (const int64_t part : {largest, global / epoch.ranks}) {
      if (part > 0 && MicroBatches::Of(part, most).Size(0) == 1) return true;
    }
    return false;
  }
  const int64_t passes = MicroBatches::Of(largest, most).passes();
  for (int64_t pass = 0; pass < passes; ++pass) {
    int64_t images = 0;
    for (int r = 0; r < epoch.ranks && images < 2; ++r) {
      images += MicroBatches::InStep(PartOf(global, r, epoch.ranks), largest, most).Size(pass);
    }
    if (images == 1) return true;
  }
  return false;
}

enum class Lone { kNone, kEveryBatch, kLastBatch };

Lone FindLone(const SplitConfig& train, const EpochShape& epoch) {
  const int64_t total = TotalBatchSize(train, epoch.ranks);
  const int64_t most = train.micro_batch_size();
  if (epoch.images >= total && HasLonePass(total, most, epoch)) return Lone::kEveryBatch;
  const int64_t rest = epoch.images % total;
  if (rest > 0 && !train.drop_last() && HasLonePass(rest, most, epoch)) return Lone::kLastBatch;
  return Lone::kNone;
}

// Returns config changes, each of which alone gives every pass two images or more.
std::vector<std::string> Remedies(const SplitConfig& train, const EpochShape& epoch) {
  std::vector<std::string> remedies;
  const auto helps = [&](const SplitConfig& changed) {
    return FindLone(changed, epoch) == Lone::kNone;
  };
  SplitConfig changed = train;
  changed.set_drop_last(true);
  if (epoch.images >= TotalBatchSize(train, epoch.ranks) && helps(changed)) {
    remedies.emplace_back("data.train.drop_last: true");
  }
  if (train.micro_batch_size() > 0) {
    changed = train;
    const int64_t largest = CeilDivide(TotalBatchSize(train, epoch.ranks), epoch.ranks);
    for (int more = 1; more <= kFarthest && changed.micro_batch_size() < largest; ++more) {
      changed.set_micro_batch_size(train.micro_batch_size() + more);
      if (!helps(changed)) continue;
      remedies.push_back(absl::StrCat("data.train.micro_batch_size: ", changed.micro_batch_size()));
      break;
    }
  }
  const bool by_rank = train.has_batch_size();
  const int64_t size = by_rank ? train.batch_size() : train.total_batch_size();
  for (int i = 2; i < 2 * kFarthest; ++i) {
    const int64_t other = size + (i % 2 == 0 ? i / 2 : -(i / 2));
    if (other < (by_rank ? 1 : epoch.ranks) || other > (by_rank ? 1 << 20 : 1 << 24)) continue;
    changed = train;
    if (by_rank) {
      changed.set_batch_size(static_cast<int32_t>(other));
    } else {
      changed.set_total_batch_size(static_cast<int32_t>(other));
    }
    if (!helps(changed)) continue;
    remedies.push_back(
        absl::StrCat(by_rank ? "data.train.batch_size: " : "data.train.total_batch_size: ", other));
    break;
  }
  if (epoch.ranks > 1 && !epoch.sync_batch_norm) {
    EpochShape synchronised = epoch;
    synchronised.sync_batch_norm = true;
    if (FindLone(train, synchronised) == Lone::kNone) {
      remedies.emplace_back("comm.sync_batch_norm: true");
    }
  }
  remedies.emplace_back("model.backbone.norm_eval: true");
  return remedies;
}

}  // namespace

absl::Status CheckNoLoneImage(const SplitConfig& train, const EpochShape& epoch) {
  const Lone lone = FindLone(train, epoch);
  if (lone == Lone::kNone) return absl::OkStatus();
  const int64_t total = TotalBatchSize(train, epoch.ranks);
  const int64_t global = lone == Lone::kLastBatch ? epoch.images % total : total;
  std::string what = absl::StrCat(
      lone == Lone::kLastBatch
          ? absl::StrCat("an epoch's last batch has ", global, " of the ", epoch.images, " images")
          : absl::StrCat("a batch has ", global, " images"),
      epoch.ranks == 1 ? "" : absl::StrCat(" for ", epoch.ranks, " ranks"),
      train.micro_batch_size() == 0
          ? ""
          : absl::StrCat(" in passes of ", train.micro_batch_size(), " at most"),
      ", so that a pass has one image");
  return absl::InvalidArgumentError(
      absl::StrCat(what, "; set ", absl::StrJoin(Remedies(train, epoch), ", or ")));
}

}  // namespace finetune
