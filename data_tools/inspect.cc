#include "data_tools/inspect.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <memory>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "data_tools/ordered_work.h"
#include "src/base/annotate.h"
#include "src/base/sha256.h"
#include "src/data/decode/decode.h"
#include "src/data/encoded_shard_reader.h"
#include "src/data/manifest.h"
#include "src/data/shard_reader.h"

namespace finetune {
namespace {

// Reads the manifest of a data set. Errors: those of ReadManifest(); InvalidArgument if `folder` is
// a file.
absl::StatusOr<DatasetManifest> ReadPrepared(const std::string& folder) {
  std::error_code error;
  if (std::filesystem::is_regular_file(folder, error)) {
    return absl::InvalidArgumentError(
        absl::StrCat(folder, ": found a file; expected the folder that prepare_dataset wrote"));
  }
  return ReadManifest(folder);
}

// The histogram of the length of the images' shorter sides: bin i has the images with a side below
// kSides[i] pixels, the last bin all others.
constexpr std::array<int, 6> kSides = {64, 128, 256, 512, 1024, 2048};

// The facts about a split's images that DescribeDataset() prints. status: the error if a shard
// cannot be read. of_class: the number of images of each class.
struct SplitFacts {
  absl::Status status;
  std::vector<int64_t> of_class;
  // The fields below are set only for encoded images. kinds: the number of images of each format.
  // sides: the histogram. bytes: the size of all images.
  std::map<std::string, int64_t> kinds;
  std::array<int64_t, kSides.size() + 1> sides = {};
  int64_t bytes = 0;
  ImageSize smallest, largest;  // those of the images with the fewest and the most pixels
};

void AddSize(const ImageSize& size, SplitFacts* facts) {
  const auto pixels = [](const ImageSize& s) { return int64_t{s.height} * s.width; };
  if (facts->smallest.height == 0 || pixels(size) < pixels(facts->smallest)) {
    facts->smallest = size;
  }
  if (pixels(size) > pixels(facts->largest)) facts->largest = size;
  const int shorter = std::min(size.height, size.width);
  ++facts->sides[std::upper_bound(kSides.begin(), kSides.end(), shorter) - kSides.begin()];
}

absl::Status AddShard(const std::string& folder, const DatasetShard& entry,
                      const DatasetManifest& manifest, SplitFacts* facts) {
  if (!manifest.encoded()) {
    FT_ASSIGN_OR_RETURN(const auto shard, ShardReader::Open(folder, entry, manifest));
    for (int64_t i = 0; i < shard->size(); ++i) ++facts->of_class[shard->label(i)];
    return absl::OkStatus();
  }
  FT_ASSIGN_OR_RETURN(const auto shard, EncodedShardReader::Open(folder, entry, manifest));
  std::string head;
  for (int64_t i = 0; i < shard->size(); ++i) {
    ++facts->of_class[shard->label(i)];
    facts->bytes += shard->bytes(i);
    AddSize(shard->image_size(i), facts);
    FT_RETURN_IF_ERROR(shard->ReadHead(i, &head));
    const std::optional<ImageKind> kind = KindOf(head);
    ++facts->kinds[kind.has_value() ? std::string(NameOf(*kind)) : "of no kind that is read"];
  }
  return absl::OkStatus();
}

SplitFacts FactsOf(const std::string& folder, const DatasetSplit& split,
                   const DatasetManifest& manifest) {
  SplitFacts facts;
  facts.of_class.resize(manifest.class_name_size());
  for (const DatasetShard& entry : split.shard()) {
    facts.status = AddShard(folder, entry, manifest, &facts);
    if (!facts.status.ok()) break;
  }
  return facts;
}

std::string SizeText(const ImageSize& size) { return absl::StrCat(size.height, "x", size.width); }

// Returns text that says how unevenly a split's images are distributed over the classes.
std::string Spread(const SplitFacts& facts, const DatasetManifest& manifest) {
  const auto [least, most] = std::minmax_element(facts.of_class.begin(), facts.of_class.end());
  if (*least == *most) return absl::StrCat(*least, " of each class");
  const auto name = [&](auto at) {
    return manifest.class_name(static_cast<int>(at - facts.of_class.begin()));
  };
  std::string text =
      absl::StrCat(*least, " (", name(least), ") to ", *most, " (", name(most), ") of a class");
  if (*least > 0) {
    absl::StrAppendFormat(&text, ", %.1f times as many", static_cast<double>(*most) / *least);
  }
  return text;
}

// Returns the lines about the formats and sizes of a split's encoded images.
std::string EncodedText(const SplitFacts& facts) {
  const std::string kinds =
      absl::StrJoin(facts.kinds, ", ", [](std::string* out, const auto& kind) {
        absl::StrAppend(out, kind.second, " ", kind.first);
      });
  std::string text = absl::StrFormat("          %s; %.1f MiB\n", kinds,
                                     static_cast<double>(facts.bytes) / (1 << 20));
  absl::StrAppend(&text, "          ", SizeText(facts.smallest), " to ", SizeText(facts.largest),
                  " (height x width); shorter side:");
  for (size_t i = 0; i < facts.sides.size(); ++i) {
    if (facts.sides[i] == 0) continue;
    if (i == kSides.size()) {
      absl::StrAppend(&text, " ", kSides.back(), " or more ", facts.sides[i], ",");
    } else {
      absl::StrAppend(&text, " below ", kSides[i], " ", facts.sides[i], ",");
    }
  }
  text.back() = '\n';
  return text;
}

// Checks a shard of images that are stored as pixels. `read`: called after each image; if it
// returns false, the error Cancelled is returned.
absl::Status VerifyRaw(const std::string& folder, const DatasetShard& entry,
                       const DatasetManifest& manifest, const std::function<bool()>& read) {
  FT_ASSIGN_OR_RETURN(const std::unique_ptr<ShardReader> shard,
                      ShardReader::Open(folder, entry, manifest));
  std::vector<uint8_t> pixels(ImageBytes(manifest));
  for (int64_t i = 0; i < shard->size(); ++i) {
    FT_RETURN_IF_ERROR(shard->Read(i, pixels.data()));
    if (!read()) return absl::CancelledError("stopped");
  }
  return absl::OkStatus();
}

absl::Status VerifyImage(const EncodedShardReader& shard, int64_t index, ImageDecoder* decoder,
                         std::string* bytes, DecodedImage* image) {
  FT_RETURN_IF_ERROR(shard.Read(index, bytes));
  const std::string where = absl::StrCat(shard.path(), ": image ", index);
  FT_RETURN_IF_ERROR(Annotate(decoder->Decode(*bytes, image), where));
  const ImageSize size = shard.image_size(index);
  if (size == ImageSize{image->height, image->width}) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(where, ": is ", image->height, "x", image->width,
                                          " (height x width); the shard says ", SizeText(size)));
}

absl::Status VerifyEncoded(const std::string& folder, const DatasetShard& entry,
                           const DatasetManifest& manifest, int threads,
                           const std::function<bool()>& read) {
  FT_ASSIGN_OR_RETURN(const std::unique_ptr<EncodedShardReader> shard,
                      EncodedShardReader::Open(folder, entry, manifest));
  struct Desk {
    ImageDecoder decoder;
    std::string bytes;
    DecodedImage image;
  };
  const auto make_work = [&]() -> OrderedWork<absl::Status>::Work {
    auto desk = std::make_shared<Desk>();
    desk->decoder =
        ImageDecoder(manifest.ignores_orientation() ? Orientation::kIgnore : Orientation::kApply);
    return [&shard, desk](int64_t i) {
      return VerifyImage(*shard, i, &desk->decoder, &desk->bytes, &desk->image);
    };
  };
  OrderedWork<absl::Status> work(shard->size(), threads, make_work);
  std::vector<std::string> errors;
  for (int64_t i = 0; i < shard->size(); ++i) {
    if (const absl::Status status = work.Next(); !status.ok()) {
      errors.emplace_back(status.message());
    }
    if (!read()) return absl::CancelledError("stopped");
  }
  if (errors.empty()) return absl::OkStatus();
  return absl::DataLossError(absl::StrJoin(errors, "\n"));
}

absl::Status VerifySum(const std::string& folder, const DatasetShard& entry) {
  const std::string path = absl::StrCat(folder, "/", entry.file());
  FT_ASSIGN_OR_RETURN(const std::string sum, Sha256OfFile(path));
  if (sum == absl::AsciiStrToLower(entry.sha256())) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat(path, ": its SHA-256 is ", sum, "; the manifest says ", entry.sha256()));
}

}  // namespace

absl::StatusOr<std::string> DescribeDataset(const std::string& folder) {
  FT_ASSIGN_OR_RETURN(const DatasetManifest manifest, ReadPrepared(folder));
  std::string text = absl::StrCat(manifest.name(), ", from ", manifest.source(), "\nimages    ");
  if (manifest.height() == 0) {
    absl::StrAppend(&text, "of several sizes");
  } else {
    absl::StrAppend(&text, SizeText({manifest.height(), manifest.width()}), " (height x width)");
  }
  absl::StrAppend(&text, ", ", manifest.channels(), " channel", manifest.channels() == 1 ? "" : "s",
                  manifest.encoded() ? ", stored encoded" : "",
                  manifest.ignores_orientation() ? ", EXIF orientation ignored" : "", "\n");
  const auto list = [](const auto& values) {
    return absl::StrJoin(values, " ",
                         [](std::string* out, double v) { absl::StrAppendFormat(out, "%.3f", v); });
  };
  absl::StrAppend(&text, "mean      ", list(manifest.mean()), "\nstd       ", list(manifest.std()),
                  "\n");
  std::vector<SplitFacts> facts;
  for (const DatasetSplit& split : manifest.split()) {
    facts.push_back(FactsOf(folder, split, manifest));
  }
  absl::StrAppend(&text, "classes   ", manifest.class_name_size(), ":");
  for (int i = 0; i < manifest.class_name_size(); ++i) {
    absl::StrAppend(&text, i == 0 ? " " : ", ", manifest.class_name(i));
    if (facts[0].status.ok()) absl::StrAppend(&text, " (", facts[0].of_class[i], ")");
  }
  text += "\n";
  for (int i = 0; i < manifest.split_size(); ++i) {
    const DatasetSplit& split = manifest.split(i);
    absl::StrAppendFormat(&text, "%-9s %d images in %d shard%s; ", split.name(), ImageCount(split),
                          split.shard_size(), split.shard_size() == 1 ? "" : "s");
    if (!facts[i].status.ok()) {
      absl::StrAppend(&text, "not counted: ", facts[i].status.message(), "\n");
      continue;
    }
    absl::StrAppend(&text, Spread(facts[i], manifest), "\n");
    if (manifest.encoded()) text += EncodedText(facts[i]);
  }
  if (manifest.has_skipped()) {
    absl::StrAppend(&text, "left out  ", manifest.skipped().count(),
                    " images that could not be read:\n");
    for (const std::string& file : manifest.skipped().file()) {
      absl::StrAppend(&text, "  ", file, "\n");
    }
  }
  return text;
}

absl::StatusOr<int64_t> VerifyDataset(const std::string& folder, int threads,
                                      const std::function<bool(int64_t, int64_t)>& progress) {
  FT_ASSIGN_OR_RETURN(const DatasetManifest manifest, ReadPrepared(folder));
  std::vector<std::string> errors;
  int64_t images = 0, done = 0;
  for (const DatasetSplit& split : manifest.split()) images += ImageCount(split);
  const auto read = [&] { return progress(++done, images); };
  for (const DatasetSplit& split : manifest.split()) {
    for (const DatasetShard& shard : split.shard()) {
      absl::Status status = manifest.encoded()
                                ? VerifyEncoded(folder, shard, manifest, threads, read)
                                : VerifyRaw(folder, shard, manifest, read);
      if (absl::IsCancelled(status)) return status;
      if (status.ok()) status = VerifySum(folder, shard);
      if (!status.ok()) errors.emplace_back(status.message());
    }
  }
  if (!errors.empty()) return absl::DataLossError(absl::StrJoin(errors, "\n"));
  return images;
}

}  // namespace finetune
