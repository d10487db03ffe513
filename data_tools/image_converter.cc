#include "data_tools/image_converter.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "data_tools/ordered_work.h"
#include "data_tools/resample.h"
#include "src/base/annotate.h"
#include "src/base/atomic_file.h"
#include "src/base/encode_image.h"
#include "src/base/sha256.h"
#include "src/data/decode/decode.h"

namespace finetune {
namespace {

// With --check=header, mean and std are computed from at least this many training images, or from
// all if there are fewer.
constexpr int64_t kSample = 4096;

using Digest = std::pair<uint64_t, uint64_t>;

// An image that is ready to be stored, or the error.
struct Prepared {
  absl::Status status;
  ImageSize size;
  std::vector<uint8_t> pixels;  // only if images are stored as pixels
  std::string encoded;          // only if images are stored encoded
  // Set if the image counts for mean and std.
  std::optional<PixelSums> sums;
  std::string warning;
  // The first half of the SHA-256 of the file's bytes. Set only if the caller asked for it.
  std::optional<Digest> digest;
};

// Prepares images, one at a time. Each thread has its own Preparer.
class Preparer {
 public:
  Preparer(Store store, const FolderOptions& folder)
      : store_(store), folder_(folder), decoder_(folder.orientation) {}

  // Reads, checks and prepares an image. `measure`: whether to compute Prepared::sums. `digest`:
  // whether to compute Prepared::digest.
  Prepared Prepare(const SourceImage& image, bool measure, bool digest) {
    Prepared prepared;
    // Reading a pipe would wait for a writer.
    std::error_code error;
    if (std::filesystem::is_other(image.path, error)) {
      prepared.status = absl::DataLossError(
          absl::StrCat(image.name(), ": is a pipe or a device; expected a file"));
      return prepared;
    }
    absl::StatusOr<std::string> bytes = ReadFile(image.path);
    if (!bytes.ok()) {
      prepared.status = bytes.status();
      return prepared;
    }
    if (digest) {
      Sha256 sum;
      sum.Update(*bytes);
      const std::string text = sum.HexDigest();
      Digest& half = prepared.digest.emplace();
      if (!absl::SimpleHexAtoi(text.substr(0, 16), &half.first) ||
          !absl::SimpleHexAtoi(text.substr(16, 16), &half.second)) {
        prepared.digest.reset();
      }
    }
    prepared.status =
        Annotate(store_ == Store::kEncoded ? Encode(*std::move(bytes), measure, &prepared)
                                           : Decode(*bytes, &prepared),
                 image.name());
    return prepared;
  }

 private:
  absl::Status Decode(const std::string& bytes, Prepared* prepared) {
    DecodedImage image;
    FT_RETURN_IF_ERROR(decoder_.Decode(bytes, &image));
    prepared->warning = image.warning;
    prepared->size = {image.height, image.width};
    if (folder_.size > 0) {
      FT_ASSIGN_OR_RETURN(image, FitSquare(image, folder_.size));
      prepared->size = {image.height, image.width};
    }
    // An image this large makes kAuto store all images encoded, so its pixels are not needed.
    if (store_ == Store::kAuto && folder_.size == 0 &&
        std::max(image.height, image.width) > kLargestRaw) {
      return absl::OkStatus();
    }
    prepared->sums = SumPixels(image.pixels, 3);
    prepared->pixels = std::move(image.pixels);
    return absl::OkStatus();
  }

  absl::Status Encode(std::string bytes, bool measure, Prepared* prepared) {
    FT_ASSIGN_OR_RETURN(prepared->size, decoder_.ReadSize(bytes));
    const bool scales = folder_.size > 0 ||
                        (folder_.max_side > 0 &&
                         std::max(prepared->size.height, prepared->size.width) > folder_.max_side);
    if (folder_.decode_all || measure || scales) {
      FT_RETURN_IF_ERROR(decoder_.Decode(bytes, &image_));
      prepared->warning = image_.warning;
      if (scales) {
        FT_ASSIGN_OR_RETURN(const DecodedImage scaled, folder_.size > 0
                                                           ? FitSquare(image_, folder_.size)
                                                           : ScaleDown(image_, folder_.max_side));
        FT_ASSIGN_OR_RETURN(
            bytes, EncodeJpeg({scaled.pixels, scaled.height, scaled.width, 3}, folder_.quality));
        prepared->size = {scaled.height, scaled.width};
        if (measure) prepared->sums = SumPixels(scaled.pixels, 3);
      } else if (measure) {
        prepared->sums = SumPixels(image_.pixels, 3);
      }
    }
    prepared->encoded = std::move(bytes);
    return absl::OkStatus();
  }

  const Store store_;
  const FolderOptions& folder_;
  ImageDecoder decoder_;
  DecodedImage image_;
};

// Finds images that are in two splits, by the digests of their files.
class Duplicates {
 public:
  void Add(const Digest& digest, size_t split, const SourceImage& image) {
    const auto [at, is_new] = seen_.try_emplace(digest, Place{split, &image});
    if (is_new || at->second.split == split) return;
    if (count_++ == 0) first_ = absl::StrCat(image.name(), " is ", at->second.image->name());
  }
  void Report(const ImageSource& source, const Warn& warn) const {
    if (count_ == 0 || !warn) return;
    warn(absl::StrCat(count_, count_ == 1 ? " image is" : " images are",
                      " in two splits, byte for byte, so the held-out accuracy will be too high; "
                      "the first: ",
                      first_));
  }

 private:
  struct Place {
    size_t split;
    const SourceImage* image;
  };
  absl::flat_hash_map<Digest, Place> seen_;
  int64_t count_ = 0;
  std::string first_;
};

}  // namespace

absl::Status ImageConverter::Run(const ImageSource& source) {
  FT_ASSIGN_OR_RETURN(const bool done, RunAs(folder_.store, source));
  return done ? absl::OkStatus() : RunAs(Store::kEncoded, source).status();
}

absl::StatusOr<bool> ImageConverter::RunAs(Store store, const ImageSource& source) {
  DatasetBuilder::Options build = build_;
  build.class_names = source.class_names;
  build.channels = 3;
  build.encoded = store == Store::kEncoded;
  build.ignores_orientation = build.encoded && folder_.orientation == Orientation::kIgnore;

  struct Place {
    size_t split, index;
  };
  std::vector<Place> places;
  for (size_t s = 0; s < source.splits.size(); ++s) {
    for (size_t i = 0; i < source.splits[s].images.size(); ++i) places.push_back({s, i});
  }
  const auto count = static_cast<int64_t>(places.size());
  const auto training = static_cast<int64_t>(source.splits[0].images.size());
  const int64_t stride = folder_.decode_all ? 1 : std::max<int64_t>(1, training / kSample);
  const auto make_work = [&]() -> OrderedWork<Prepared>::Work {
    auto preparer = std::make_shared<Preparer>(store, folder_);
    return [&, preparer](int64_t i) {
      const SourceImage& image = source.splits[places[i].split].images[places[i].index];
      return preparer->Prepare(image, /*measure=*/i < training && i % stride == 0,
                               /*digest=*/source.splits.size() > 1);
    };
  };
  const int threads = folder_.threads > 0
                          ? folder_.threads
                          : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));

  std::optional<DatasetBuilder> builder;
  if (build.encoded) {
    FT_ASSIGN_OR_RETURN(DatasetBuilder made, DatasetBuilder::Create(build));
    builder.emplace(std::move(made));
  }
  Duplicates duplicates;
  int64_t damaged = 0;
  std::string first_damaged;
  OrderedWork<Prepared> work(count, threads, make_work);
  for (int64_t i = 0; i < count; ++i) {
    const SourceSplit& split = source.splits[places[i].split];
    const auto total = static_cast<int64_t>(split.images.size());
    const auto in_split = static_cast<int64_t>(places[i].index);
    const SourceImage& image = split.images[in_split];
    const Prepared prepared = work.Next();
    if (absl::IsResourceExhausted(prepared.status)) return prepared.status;
    if (!prepared.status.ok()) {
      const std::string place = image.listed.empty() ? "" : absl::StrCat(image.listed, ": ");
      bad_.push_back({image.path, absl::StrCat(place, prepared.status.message())});
      builder.reset();
    } else if (bad_.empty() && store == Store::kAuto && folder_.size == 0 &&
               (prepared.pixels.empty() ||
                (builder.has_value() && prepared.size != ImageSize{build.height, build.width}))) {
      return false;
    }
    if (!bad_.empty()) {
      if (options_.progress && !options_.progress(split.name, in_split + 1, total)) {
        return absl::CancelledError("stopped; nothing was written");
      }
      continue;
    }
    if (!prepared.warning.empty() && damaged++ == 0) {
      first_damaged = absl::StrCat(image.name(), ": ", prepared.warning);
    }
    if (prepared.digest.has_value()) duplicates.Add(*prepared.digest, places[i].split, image);
    if (!builder.has_value()) {
      build.height = prepared.size.height;
      build.width = prepared.size.width;
      FT_ASSIGN_OR_RETURN(DatasetBuilder made, DatasetBuilder::Create(build));
      builder.emplace(std::move(made));
    }
    if (in_split == 0) FT_RETURN_IF_ERROR(builder->BeginSplit(split.name, total));
    const PixelSums* const sums = prepared.sums.has_value() ? &*prepared.sums : nullptr;
    if (build.encoded) {
      FT_RETURN_IF_ERROR(builder->AddEncoded(prepared.encoded, prepared.size, image.label, sums));
      continue;
    }
    if (prepared.size != ImageSize{build.height, build.width}) {
      return absl::InvalidArgumentError(absl::StrCat(
          image.name(), ": is ", prepared.size.height, "x", prepared.size.width,
          " and the first image ", build.height, "x", build.width,
          " (height x width); give --size=N to fit all to NxN, or --store=encoded to keep their "
          "sizes"));
    }
    FT_RETURN_IF_ERROR(builder->Add(prepared.pixels, image.label, sums));
  }
  if (!bad_.empty()) return true;
  if (damaged > 0 && options_.warn) {
    options_.warn(absl::StrCat("read ", damaged,
                               " JPEG files with faults that decoders pass over, the first ",
                               first_damaged));
  }
  duplicates.Report(source, options_.warn);
  FT_RETURN_IF_ERROR(builder->Finish());
  return true;
}

}  // namespace finetune
