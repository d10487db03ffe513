#include "src/browse/browse.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/base/annotate.h"
#include "src/base/atomic_file.h"
#include "src/base/output_file.h"
#include "src/base/own_file.h"
#include "src/base/utf8.h"
#include "src/data/batch.h"
#include "src/data/dataset.h"
#include "src/data/loader.h"
#include "src/data/manifest.h"
#include "src/data/pipeline.h"
#include "src/data/show_batch.h"
#include "src/validate/validate.h"

namespace finetune {
namespace {

bool IsPng(const BrowseFlags& flags) { return absl::EndsWithIgnoreCase(flags.out, ".png"); }

// Returns the pixel statistics of data.train, which a `normalize {}` of data.val uses. Returns
// nullopt if data.train's pipeline has none.
absl::StatusOr<std::optional<PixelStatistics>> TrainingStatistics(const DataConfig& data) {
  FT_ASSIGN_OR_RETURN(const DatasetManifest manifest, ReadManifest(data.train().path()));
  const absl::StatusOr<Pipeline> pipeline = Pipeline::Create(data.train(), manifest);
  FT_RETURN_IF_ERROR(Annotate(pipeline.status(), "data.train"));
  if (pipeline->statistics().mean.empty()) return std::nullopt;
  return pipeline->statistics();
}

}  // namespace

absl::Status CheckBrowseFlags(const BrowseFlags& flags) {
  if (flags.split != "train" && flags.split != "val") {
    return absl::InvalidArgumentError(
        absl::StrCat("--split=", flags.split, ": expected train or val"));
  }
  if (IsPng(flags) || absl::EndsWithIgnoreCase(flags.out, ".html")) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--out=", flags.out, ": expected a name that ends in .html or .png"));
}

absl::StatusOr<ContactSheet> MakeContactSheet(const LoadedConfig& loaded,
                                              const BrowseFlags& flags) {
  const DataConfig& data = loaded.config.data();
  const bool training = flags.split == "train";
  const SplitConfig& split = training ? data.train() : data.val();
  const std::string field = training ? "data.train" : "data.val";
  absl::StatusOr<std::unique_ptr<Dataset>> dataset = Dataset::Open(split.path(), split.split());
  FT_RETURN_IF_ERROR(
      Annotate(dataset.status(), absl::StrCat(loaded.PlaceOf(field + ".path"), ": ", field)));
  RunFacts facts;
  const DatasetManifest manifest = (*dataset)->manifest();
  (training ? facts.train : facts.val) = FactsOf(manifest, (*dataset)->size());
  FT_RETURN_IF_ERROR(ValidateConfig(loaded, facts).status());

  LoaderOptions options;
  options.seed = loaded.config.runtime().seed();
  options.training = training;
  options.on_corrupt = data.on_corrupt();
  options.exact_decoding = data.exact_decoding();
  if (!training) {
    FT_ASSIGN_OR_RETURN(options.statistics, TrainingStatistics(data));
  }
  absl::StatusOr<std::unique_ptr<BatchLoader>> created =
      BatchLoader::Create(*std::move(dataset), split, options);
  FT_RETURN_IF_ERROR(Annotate(created.status(), field));
  BatchLoader& loader = **created;
  const auto wanted = static_cast<size_t>(std::min<int64_t>(flags.images, loader.sampler().images));

  ContactSheet sheet = SheetFor(loader, /*most_side=*/0);
  sheet.title =
      absl::StrCat(ValidUtf8(loaded.config.name()), ": ", field, ", epoch ", flags.epoch + 1);
  loader.Seek(training ? flags.epoch : 0, /*iteration=*/0);
  while (sheet.images.size() < wanted) {
    const absl::StatusOr<Batch> batch = loader.Next();
    if (absl::IsOutOfRange(batch.status())) break;
    FT_RETURN_IF_ERROR(batch.status());
    AddToSheet(loader, *batch, batch->images, wanted, &sheet);
  }
  return sheet;
}

absl::StatusOr<std::string> RunBrowse(const LoadedConfig& loaded, const BrowseFlags& flags) {
  // A page that finetune wrote says so in its first line, and is replaced without --force.
  const bool own_page = !IsPng(flags) && CheckOwnText(flags.out, kSheetFirstLine).ok();
  FT_RETURN_IF_ERROR(CheckOutputs({{"--out", flags.out}}, flags.force || own_page, {loaded.file}));
  FT_ASSIGN_OR_RETURN(const ContactSheet sheet, MakeContactSheet(loaded, flags));
  std::string text;
  if (IsPng(flags)) {
    FT_ASSIGN_OR_RETURN(const std::string png, ToPng(sheet));
    FT_RETURN_IF_ERROR(Annotate(WriteFileAtomically(flags.out, png), "--out"));
    text = CaptionRows(sheet);
  } else {
    FT_ASSIGN_OR_RETURN(const std::string html, ToHtml(sheet));
    FT_RETURN_IF_ERROR(Annotate(WriteFileAtomically(flags.out, html), "--out"));
  }
  return absl::StrCat(text, flags.out, ": ", sheet.images.size(), " images of ", sheet.height, "x",
                      sheet.width, "\n");
}

}  // namespace finetune
