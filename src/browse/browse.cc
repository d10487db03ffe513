#include "src/browse/browse.h"

#include <ATen/TensorOperators.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "src/base/annotate.h"
#include "src/base/atomic_file.h"
#include "src/base/own_file.h"
#include "src/base/utf8.h"
#include "src/data/batch.h"
#include "src/data/dataset.h"
#include "src/data/loader.h"
#include "src/data/manifest.h"
#include "src/data/pipeline.h"
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

// Returns image `row` of a batch as bytes, [H, W, C]. `images`: float32, [N, C, H, W].
// `statistics`: the normalization to undo; none if `mean` is empty.
std::vector<uint8_t> ToBytes(const at::Tensor& images, int64_t row,
                             const PixelStatistics& statistics) {
  const at::Tensor image = images[row].permute({1, 2, 0}).contiguous();
  const float* values = image.const_data_ptr<float>();
  const auto channels = static_cast<size_t>(image.size(2));
  std::vector<uint8_t> bytes(static_cast<size_t>(image.numel()));
  for (size_t i = 0; i < bytes.size(); ++i) {
    double value = values[i];
    if (!statistics.mean.empty()) {
      value = value * statistics.std[i % channels] + statistics.mean[i % channels];
    }
    bytes[i] = static_cast<uint8_t>(std::lround(std::clamp(value, 0.0, 255.0)));
  }
  return bytes;
}

// Returns "cat", or "70 % cat, 30 % dog" for a mixed image.
std::string ClassesOf(const Batch& batch, int64_t row, const DatasetManifest& manifest) {
  const auto name = [&](const at::Tensor& labels) {
    return ValidUtf8(manifest.class_name(static_cast<int>(labels[row].item<int64_t>())));
  };
  const std::string own = name(batch.labels);
  if (!batch.partner_labels.defined()) return own;
  const std::string other = name(batch.partner_labels);
  if (own == other) return own;
  const double share = batch.mixing[0].item<double>();
  return absl::StrFormat("%.0f %% %s, %.0f %% %s", 100 * share, own, 100 * (1 - share), other);
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
  const int64_t images = loader.sampler().images;
  const int64_t wanted = std::min<int64_t>(flags.images, images);

  ContactSheet sheet;
  sheet.height = loader.pipeline().height();
  sheet.width = loader.pipeline().width();
  sheet.channels = loader.pipeline().channels();
  sheet.title =
      absl::StrCat(ValidUtf8(loaded.config.name()), ": ", field, ", epoch ", flags.epoch + 1);
  loader.Seek(training ? flags.epoch : 0, /*iteration=*/0);
  while (static_cast<int64_t>(sheet.images.size()) < wanted) {
    const absl::StatusOr<Batch> batch = loader.Next();
    if (absl::IsOutOfRange(batch.status())) break;
    FT_RETURN_IF_ERROR(batch.status());
    for (int64_t row = 0;
         row < batch->labels.size(0) && static_cast<int64_t>(sheet.images.size()) < wanted; ++row) {
      sheet.images.push_back(
          {ToBytes(batch->images, row, loader.pipeline().statistics()),
           absl::StrCat(batch->indices[row] % images, ": ", ClassesOf(*batch, row, manifest))});
    }
  }
  return sheet;
}

absl::StatusOr<std::string> RunBrowse(const LoadedConfig& loaded, const BrowseFlags& flags) {
  FT_ASSIGN_OR_RETURN(const ContactSheet sheet, MakeContactSheet(loaded, flags));
  std::string text;
  if (IsPng(flags)) {
    FT_ASSIGN_OR_RETURN(const std::string png, ToPng(sheet));
    FT_RETURN_IF_ERROR(Annotate(WriteFileAtomically(flags.out, png), "--out"));
    const auto columns = static_cast<size_t>(Columns(sheet));
    for (size_t i = 0; i < sheet.images.size(); ++i) {
      const bool ends_row = (i + 1) % columns == 0 || i + 1 == sheet.images.size();
      absl::StrAppend(&text, sheet.images[i].caption, ends_row ? "\n" : " | ");
    }
  } else {
    FT_RETURN_IF_ERROR(Annotate(CheckOwnText(flags.out, kSheetFirstLine), "--out"));
    FT_ASSIGN_OR_RETURN(const std::string html, ToHtml(sheet));
    FT_RETURN_IF_ERROR(Annotate(WriteFileAtomically(flags.out, html), "--out"));
  }
  return absl::StrCat(text, flags.out, ": ", sheet.images.size(), " images of ", sheet.height, "x",
                      sheet.width, "\n");
}

}  // namespace finetune
