#include "src/data/builder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "src/base/annotate.h"
#include "src/base/atomic_file.h"
#include "src/base/list_folder.h"
#include "src/base/sha256.h"
#include "src/base/system_error.h"
#include "src/base/version.h"
#include "src/data/manifest.h"

namespace finetune {

namespace fs = std::filesystem;

namespace {

// A temporary folder has the data set's name, this, and six random characters.
constexpr char kPartial[] = ".partial-";

// The manifest lists at most this many skipped files. Its count includes all.
constexpr size_t kListedFiles = 1000;
// A smaller variance counts as 0. Rounding alone makes less than this; one pixel of another value
// among 10^9 makes about as much.
constexpr double kNoVariance = 1e-9;

std::string WithoutSlash(std::string folder) {
  while (folder.size() > 1 && folder.back() == '/') folder.pop_back();
  return folder;
}

// Checks that a folder holds only a manifest and the shards that it names, so that --force may
// delete the folder. Errors: AlreadyExists, naming another file in the folder or the fault of the
// manifest.
absl::Status CheckHoldsOnlyDataset(const std::string& folder) {
  constexpr char kAdvice[] =
      "--force replaces only data sets: name another --output, or remove the folder yourself";
  const absl::StatusOr<DatasetManifest> manifest = ReadManifest(folder);
  if (!manifest.ok()) {
    return absl::AlreadyExistsError(absl::StrCat(manifest.status().message(), ". ", kAdvice));
  }
  std::set<std::string> own = {kManifestFile};
  for (const DatasetSplit& split : manifest->split()) {
    for (const DatasetShard& shard : split.shard()) own.insert(shard.file());
  }
  FT_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListFolder(folder));
  for (const std::string& name : names) {
    if (!own.contains(name)) {
      return absl::AlreadyExistsError(
          absl::StrCat(folder, " holds ", name, ", which its manifest does not name. ", kAdvice));
    }
  }
  return absl::OkStatus();
}

}  // namespace

PixelSums SumPixels(absl::Span<const uint8_t> pixels, int channels) {
  PixelSums sums;
  sums.pixels = static_cast<int64_t>(pixels.size()) / channels;
  for (size_t i = 0; i < pixels.size(); i += channels) {
    for (int c = 0; c < channels; ++c) {
      const uint64_t v = pixels[i + c];
      sums.sum[c] += v;
      sums.squares[c] += v * v;
    }
  }
  return sums;
}

absl::Status DatasetBuilder::CheckFolder(const std::string& folder, bool force) {
  if (folder.empty()) return absl::InvalidArgumentError("the output folder has no name");
  std::error_code error;
  if (!fs::exists(fs::symlink_status(folder, error))) return absl::OkStatus();
  if (!fs::is_directory(folder, error)) {
    return absl::AlreadyExistsError(
        absl::StrCat(folder, ": found a file; expected a folder, or nothing"));
  }
  if (!force) return absl::AlreadyExistsError(absl::StrCat(folder, " exists; --force replaces it"));
  if (fs::is_empty(folder, error)) return absl::OkStatus();
  if (!fs::exists(fs::path(folder) / kManifestFile, error)) {
    return absl::AlreadyExistsError(absl::StrCat(folder, " holds other files (it has no ",
                                                 kManifestFile,
                                                 "); --force replaces only data sets"));
  }
  return CheckHoldsOnlyDataset(folder);
}

absl::StatusOr<DatasetBuilder> DatasetBuilder::Create(Options options) {
  options.folder = WithoutSlash(options.folder);
  FT_RETURN_IF_ERROR(CheckFolder(options.folder, options.force));
  DatasetBuilder builder(std::move(options));
  DatasetManifest& manifest = builder.manifest_;
  manifest.set_format_version(builder.options_.encoded ? kEncodedFormatVersion : kRawFormatVersion);
  manifest.set_name(builder.options_.name);
  manifest.set_source(builder.options_.source);
  manifest.set_writer(kFinetuneWriter);
  for (const std::string& name : builder.options_.class_names) manifest.add_class_name(name);
  manifest.set_channels(builder.options_.channels);
  manifest.set_height(builder.options_.height);
  manifest.set_width(builder.options_.width);
  if (builder.options_.encoded) manifest.set_encoded(true);
  if (builder.options_.ignores_orientation) manifest.set_ignores_orientation(true);
  if (const std::vector<std::string>& skipped = builder.options_.skipped; !skipped.empty()) {
    manifest.mutable_skipped()->set_count(static_cast<int64_t>(skipped.size()));
    for (size_t i = 0; i < std::min(skipped.size(), kListedFiles); ++i) {
      manifest.mutable_skipped()->add_file(skipped[i]);
    }
  }
  FT_RETURN_IF_ERROR(Annotate(CheckImages(manifest), builder.options_.source));
  FT_RETURN_IF_ERROR(builder.MakeTemporary());
  return builder;
}

void DatasetBuilder::RemoveAbandoned() const {
  const fs::path folder(options_.folder);
  const std::string start = folder.filename().string() + kPartial;
  const fs::path parent = folder.has_parent_path() ? folder.parent_path() : fs::path(".");
  // If the parent folder cannot be listed, nothing is deleted.
  const absl::StatusOr<std::vector<std::string>> names = ListFolder(parent.string());
  for (const std::string& name : names.ok() ? *names : std::vector<std::string>()) {
    if (!absl::StartsWith(name, start) || name.size() != start.size() + 6) continue;
    const fs::path path = parent / name;
    std::error_code error;
    // Leave a folder of the last minute alone: another program may have created it and not yet
    // locked it.
    const auto age = fs::file_time_type::clock::now() - fs::last_write_time(path, error);
    if (error || age < std::chrono::minutes(1)) continue;
    const Fd fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (fd.ok() && flock(fd.get(), LOCK_EX | LOCK_NB) == 0) fs::remove_all(path, error);
  }
}

absl::Status DatasetBuilder::MakeTemporary() {
  std::string temporary = absl::StrCat(options_.folder, kPartial, "XXXXXX");
  const auto failed = [&](int error) {
    return SystemError("cannot create a folder beside", options_.folder, error);
  };
  std::error_code error;
  std::vector<std::string> missing;
  for (fs::path p = fs::path(options_.folder).parent_path(); !p.empty() && !fs::exists(p, error);
       p = p.parent_path()) {
    missing.push_back(p.string());
  }
  for (auto p = missing.rbegin(); p != missing.rend(); ++p) {
    if (fs::create_directory(*p, error)) made_.push_back(*p);
    if (error) return failed(error.value());
  }
  RemoveAbandoned();
  if (mkdtemp(temporary.data()) == nullptr) return failed(errno);
  temporary_ = std::move(temporary);
  // The system releases this lock when the process ends, even by a crash. If the file system has no
  // locks, RemoveAbandoned() deletes nothing.
  lock_ = Fd(open(temporary_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!lock_.ok()) return failed(errno);
  flock(lock_.get(), LOCK_EX | LOCK_NB);
  fs::permissions(temporary_, fs::perms(0755), error);
  return absl::OkStatus();
}

DatasetBuilder::DatasetBuilder(DatasetBuilder&& other) noexcept
    : options_(std::move(other.options_)),
      temporary_(std::exchange(other.temporary_, "")),
      lock_(std::move(other.lock_)),
      made_(std::exchange(other.made_, {})),
      manifest_(std::move(other.manifest_)),
      split_count_(other.split_count_),
      split_done_(other.split_done_),
      split_shards_(other.split_shards_),
      shard_end_(other.shard_end_),
      shard_(std::move(other.shard_)),
      encoded_shard_(std::move(other.encoded_shard_)),
      ending_(std::move(other.ending_)),
      ending_split_(other.ending_split_),
      ending_shard_(other.ending_shard_),
      first_size_(other.first_size_),
      one_size_(other.one_size_),
      weight_(other.weight_),
      sum_(other.sum_),
      squares_(other.squares_) {}

DatasetBuilder::~DatasetBuilder() {
  shard_.reset();
  encoded_shard_.reset();
  if (ending_.valid()) ending_.wait();
  std::error_code error;
  if (!temporary_.empty()) fs::remove_all(temporary_, error);
  // rmdir() keeps a folder into which another program has put something.
  for (auto p = made_.rbegin(); p != made_.rend(); ++p) rmdir(p->c_str());
}

absl::Status DatasetBuilder::BeginSplit(const std::string& name, int64_t count) {
  if (count < 1) {
    return absl::InvalidArgumentError(absl::StrCat("split ", name, " has no images"));
  }
  FT_RETURN_IF_ERROR(CheckSplitIsWhole());
  manifest_.add_split()->set_name(name);
  split_count_ = count;
  split_done_ = 0;
  split_shards_ = static_cast<int>(std::min<int64_t>(options_.shards, count));
  return absl::OkStatus();
}

absl::Status DatasetBuilder::CheckNext(int64_t label) const {
  if (label < 0 || label >= manifest_.class_name_size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("label ", label, "; expected 0 to ", manifest_.class_name_size() - 1));
  }
  if (manifest_.split_size() == 0) {
    return absl::FailedPreconditionError("an image came before any split");
  }
  if (split_done_ == split_count_) {
    return absl::FailedPreconditionError(
        absl::StrCat("more than the ", split_count_, " images of split ",
                     manifest_.split(manifest_.split_size() - 1).name()));
  }
  return absl::OkStatus();
}

absl::Status DatasetBuilder::Add(absl::Span<const uint8_t> pixels, int64_t label,
                                 const PixelSums* sums) {
  if (static_cast<int64_t>(pixels.size()) != ImageBytes(manifest_)) {
    return absl::InvalidArgumentError(
        absl::StrCat("an image of ", pixels.size(), " bytes; expected ", ImageBytes(manifest_)));
  }
  FT_RETURN_IF_ERROR(CheckNext(label));
  if (manifest_.split_size() == 1) {
    const PixelSums own = sums != nullptr ? *sums : SumPixels(pixels, manifest_.channels());
    weight_ += static_cast<double>(own.pixels);
    for (size_t c = 0; c < sum_.size(); ++c) {
      sum_[c] += static_cast<double>(own.sum[c]);
      squares_[c] += static_cast<double>(own.squares[c]);
    }
  }
  if (shard_ == nullptr) FT_RETURN_IF_ERROR(BeginShard());
  FT_RETURN_IF_ERROR(shard_->Append(pixels, label));
  return Count();
}

absl::Status DatasetBuilder::AddEncoded(absl::string_view image, const ImageSize& size,
                                        int64_t label, const PixelSums* sums) {
  FT_RETURN_IF_ERROR(CheckNext(label));
  if (first_size_.height == 0) first_size_ = size;
  one_size_ = one_size_ && size == first_size_;
  if (manifest_.split_size() == 1 && sums != nullptr) {
    const auto pixels = static_cast<double>(sums->pixels);
    weight_ += 1;
    for (size_t c = 0; c < sum_.size(); ++c) {
      sum_[c] += static_cast<double>(sums->sum[c]) / pixels;
      squares_[c] += static_cast<double>(sums->squares[c]) / pixels;
    }
  }
  if (encoded_shard_ == nullptr) FT_RETURN_IF_ERROR(BeginShard());
  FT_RETURN_IF_ERROR(encoded_shard_->Append(image, size, label));
  return Count();
}

absl::Status DatasetBuilder::Count() {
  ++split_done_;
  if (split_done_ == shard_end_) FT_RETURN_IF_ERROR(EndShard());
  const std::string& split = manifest_.split(manifest_.split_size() - 1).name();
  if (options_.progress && !options_.progress(split, split_done_, split_count_)) {
    return absl::CancelledError("stopped; nothing was written");
  }
  return absl::OkStatus();
}

absl::Status DatasetBuilder::BeginShard() {
  DatasetSplit& split = *manifest_.mutable_split(manifest_.split_size() - 1);
  DatasetShard& shard = *split.add_shard();
  shard.set_file(
      absl::StrFormat("%s-%05d-of-%05d.h5", split.name(), split.shard_size() - 1, split_shards_));
  // Shard s has the images from s * count / shards to (s + 1) * count / shards - 1.
  shard_end_ = split.shard_size() * split_count_ / split_shards_;
  shard.set_count(shard_end_ - split_done_);
  const std::string path = absl::StrCat(temporary_, "/", shard.file());
  if (options_.encoded) {
    FT_ASSIGN_OR_RETURN(encoded_shard_, EncodedShardWriter::Create(path, shard.count()));
    return absl::OkStatus();
  }
  FT_ASSIGN_OR_RETURN(shard_, ShardWriter::Create(path, {.count = shard.count(),
                                                         .height = manifest_.height(),
                                                         .width = manifest_.width(),
                                                         .channels = manifest_.channels()}));
  return absl::OkStatus();
}

absl::Status DatasetBuilder::EndShard() {
  FT_RETURN_IF_ERROR(JoinEnding());
  ending_split_ = manifest_.split_size() - 1;
  ending_shard_ = manifest_.split(ending_split_).shard_size() - 1;
  const std::string path =
      absl::StrCat(temporary_, "/", manifest_.split(ending_split_).shard(ending_shard_).file());
  const auto end = [path](auto shard) -> absl::StatusOr<std::string> {
    FT_RETURN_IF_ERROR(shard->Finish());
    shard.reset();
    return Sha256OfFile(path);
  };
  ending_ = options_.encoded ? std::async(std::launch::async, end, std::move(encoded_shard_))
                             : std::async(std::launch::async, end, std::move(shard_));
  return absl::OkStatus();
}

absl::Status DatasetBuilder::JoinEnding() {
  if (!ending_.valid()) return absl::OkStatus();
  FT_ASSIGN_OR_RETURN(std::string sum, ending_.get());
  manifest_.mutable_split(ending_split_)->mutable_shard(ending_shard_)->set_sha256(std::move(sum));
  return absl::OkStatus();
}

absl::Status DatasetBuilder::CheckSplitIsWhole() const {
  if (split_done_ == split_count_) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("split ", manifest_.split(manifest_.split_size() - 1).name(), " has ",
                   split_done_, " of its ", split_count_, " images"));
}

absl::Status DatasetBuilder::Finish() {
  if (manifest_.split_size() == 0) return absl::FailedPreconditionError("a data set needs a split");
  FT_RETURN_IF_ERROR(CheckSplitIsWhole());
  FT_RETURN_IF_ERROR(JoinEnding());
  if (weight_ == 0) {
    return absl::FailedPreconditionError("mean and std need pixels of one image at least");
  }
  if (options_.encoded && one_size_) {
    manifest_.set_height(first_size_.height);
    manifest_.set_width(first_size_.width);
  }
  for (int c = 0; c < manifest_.channels(); ++c) {
    const double mean = sum_[c] / weight_;
    manifest_.add_mean(mean);
    const double variance = std::max(0.0, squares_[c] / weight_ - mean * mean);
    // Normalization divides by std, so a channel without variance must not get 0.
    manifest_.add_std(std::max(1e-3, std::sqrt(variance)));
    if (variance < kNoVariance && options_.warn) {
      options_.warn(absl::StrCat(
          "channel ", c, " of ", manifest_.channels(), " is ", std::llround(mean),
          " in every pixel of split ", manifest_.split(0).name(),
          ", so it tells no image from another. Look at the images (the alpha of transparent "
          "ones is dropped, which leaves a drawing whose colours are all the same)"));
    }
  }
  FT_RETURN_IF_ERROR(
      WriteFileAtomically(absl::StrCat(temporary_, "/", kManifestFile), SealManifest(manifest_)));
  return PutInPlace();
}

absl::Status DatasetBuilder::PutInPlace() {
  const std::string& folder = options_.folder;
  std::error_code error;
  const bool replaces = fs::exists(folder, error);
  std::string old = temporary_;
  if (!replaces) {
    fs::rename(temporary_, folder, error);
  } else if (renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, folder.c_str(), RENAME_EXCHANGE) !=
             0) {
    // Most network file systems cannot exchange two names. There the old folder is moved aside
    // first.
    error.assign(errno, std::generic_category());
    if (error.value() == EINVAL || error.value() == ENOSYS) {
      old += ".old";
      fs::rename(folder, old, error);
      if (!error) fs::rename(temporary_, folder, error);
      std::error_code ignored;
      if (error && !fs::exists(folder, ignored)) fs::rename(old, folder, ignored);
    }
  }
  if (error) return SystemError("cannot put the data set at", folder, error.value());
  temporary_.clear();
  // The new names must be on the disk before the old data set is deleted.
  absl::Status synced = SyncFolderOf(folder);
  for (const std::string& made : made_) synced.Update(SyncFolderOf(made));
  made_.clear();
  if (replaces) fs::remove_all(old, error);
  if (error && options_.warn) {
    options_.warn(absl::StrCat("cannot delete the data set that was replaced, ", old, ": ",
                               error.message(), ". Delete it yourself"));
  }
  return synced;
}

}  // namespace finetune
