#include "src/predict/inputs.h"

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <optional>
#include <system_error>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "src/base/atomic_file.h"
#include "src/data/decode/decode.h"
#include "src/data/decode/image_ending.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;

// A larger image file is refused.
constexpr size_t kMostBytes = size_t{1} << 30;

// Returns whether a file is an archive, by its first bytes. A tar file from before POSIX cannot be
// recognized by them, so a name that ends in .tar is enough too.
bool IsArchive(const std::string& path) {
  constexpr size_t kTarMagic = 257;
  std::string bytes(512, '\0');
  std::ifstream file(path, std::ios::binary);
  file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  bytes.resize(static_cast<size_t>(file.gcount()));
  if (KindOf(bytes).has_value()) return false;
  for (const absl::string_view magic :
       {absl::string_view("PK\x03\x04"), absl::string_view("PK\x05\x06"),
        absl::string_view("\x1f\x8b"), absl::string_view("BZh"),
        absl::string_view("\xfd"
                          "7zXZ"),
        absl::string_view("\x28\xb5\x2f\xfd")}) {
    if (absl::StartsWith(bytes, magic)) return true;
  }
  return (bytes.size() > kTarMagic + 5 && bytes.compare(kTarMagic, 5, "ustar") == 0) ||
         absl::EndsWith(absl::AsciiStrToLower(path), ".tar");
}

// Returns whether an entry of an archive is an image to predict.
bool IsImage(const ArchiveEntry& entry) {
  return entry.kind == ArchiveEntry::Kind::kFile && HasImageEnding(entry.name) &&
         !HasHiddenPart(entry.name);
}

std::string PathOf(const std::string& archive, const std::string& entry) {
  return absl::StrCat(archive, "/", entry);
}

absl::Status AddArchive(const std::string& archive, ImageList* list) {
  const auto index = static_cast<int64_t>(list->archives.size());
  list->archives.push_back(archive);
  ArchiveReader reader(archive);
  for (int64_t entry = 0;;) {
    const absl::StatusOr<std::optional<ArchiveEntry>> next = reader.Next();
    if (!next.ok()) {
      list->images.push_back({archive, index, entry, std::string(next.status().message())});
      return absl::OkStatus();
    }
    if (!next->has_value()) {
      if (entry > 0) return absl::OkStatus();
      return absl::NotFoundError(absl::StrCat(
          archive, ": found no file in it whose name ends as an image's (.jpg, .png, ...)"));
    }
    if (!IsImage(**next)) continue;
    list->images.push_back({PathOf(archive, (*next)->name), index, entry++, ""});
  }
}

absl::Status AddFolder(const fs::path& folder, ImageList* list) {
  std::vector<std::string> images, archives;
  std::error_code error;
  fs::recursive_directory_iterator entry(folder, error);
  for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
    if (HasHiddenPart(entry->path().filename().string())) {
      entry.disable_recursion_pending();
      continue;
    }
    std::error_code ignored;
    if (!entry->is_regular_file(ignored)) continue;
    std::string path = entry->path().string();
    if (HasImageEnding(path)) {
      images.push_back(std::move(path));
    } else if (absl::EndsWith(path, ".tar")) {
      archives.push_back(std::move(path));
    }
  }
  if (error) {
    return absl::NotFoundError(
        absl::StrCat(folder.string(), ": cannot be listed: ", error.message()));
  }
  if (images.empty() && archives.empty()) {
    return absl::NotFoundError(
        absl::StrCat(folder.string(),
                     ": found no file below it whose name ends as an image's (.jpg, .png, ...)"));
  }
  std::sort(images.begin(), images.end());
  for (std::string& path : images) list->images.push_back({std::move(path), -1, 0, ""});
  if (!images.empty()) return absl::OkStatus();
  std::sort(archives.begin(), archives.end());
  for (const std::string& path : archives) FT_RETURN_IF_ERROR(AddArchive(path, list));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ImageList> ListImages(const std::vector<std::string>& paths) {
  ImageList list;
  for (const std::string& path : paths) {
    std::error_code error;
    const fs::file_status status = fs::status(path, error);
    if (!fs::exists(status)) {
      return absl::NotFoundError(absl::StrCat(
          path, ": does not exist; expected an image, an archive or a folder of images"));
    }
    if (fs::is_directory(status)) {
      FT_RETURN_IF_ERROR(AddFolder(path, &list));
    } else if (fs::is_regular_file(status) && IsArchive(path)) {
      FT_RETURN_IF_ERROR(AddArchive(path, &list));
    } else {
      list.images.push_back({path, -1, 0, ""});
    }
  }
  return list;
}

void AppendList(absl::string_view text, ImageList* list) {
  const bool nul = text.find('\0') != absl::string_view::npos;
  for (absl::string_view line : absl::StrSplit(text, nul ? '\0' : '\n', absl::SkipEmpty())) {
    if (!nul && absl::EndsWith(line, "\r")) line.remove_suffix(1);
    if (!line.empty()) list->images.push_back({std::string(line), -1, 0, ""});
  }
}

// The format: fields that each end in a NUL, which a path cannot contain. First the number of
// archives and their paths, then the four fields of each image.
std::string Serialize(const ImageList& list) {
  std::string bytes;
  const auto append = [&](const auto& field) {
    absl::StrAppend(&bytes, field);
    bytes += '\0';
  };
  append(list.archives.size());
  for (const std::string& archive : list.archives) append(archive);
  for (const ImageInput& image : list.images) {
    append(image.path);
    append(image.archive);
    append(image.entry);
    append(image.error);
  }
  return bytes;
}

ImageList Deserialize(absl::string_view bytes) {
  const auto text = [&] {
    const size_t end = bytes.find('\0');
    const absl::string_view field = bytes.substr(0, end);
    bytes.remove_prefix(end == absl::string_view::npos ? bytes.size() : end + 1);
    return std::string(field);
  };
  const auto number = [&] {
    int64_t value = 0;
    return absl::SimpleAtoi(text(), &value) ? value : 0;
  };
  ImageList list;
  for (int64_t archives = number(); archives > 0; --archives) list.archives.push_back(text());
  while (!bytes.empty()) {
    ImageInput& image = list.images.emplace_back();
    image.path = text();
    image.archive = number();
    image.entry = number();
    image.error = text();
  }
  return list;
}

absl::StatusOr<std::string> InputReader::ReadFromArchive(const ImageInput& image) {
  const std::string& archive = list_.archives[image.archive];
  if (archive_ != image.archive) {
    archive_ = image.archive;
    reader_ = std::make_unique<ArchiveReader>(archive);
    next_ = 0;
    broken_ = absl::OkStatus();
  }
  FT_RETURN_IF_ERROR(broken_);
  while (true) {
    absl::StatusOr<std::optional<ArchiveEntry>> next = reader_->Next();
    if (!next.ok()) return broken_ = next.status();
    if (next->has_value() && (!IsImage(**next) || next_++ < image.entry)) continue;
    if (!next->has_value() || PathOf(archive, (*next)->name) != image.path) {
      return broken_ = absl::DataLossError(
                 absl::StrCat(archive, ": has changed since it was listed; run this again"));
    }
    return reader_->Read(image.path, kMostBytes);
  }
}

absl::StatusOr<std::string> ReadImageFile(const std::string& path) {
  std::error_code error;
  // Reading a pipe would wait for a writer.
  if (fs::is_other(path, error)) {
    return absl::DataLossError(
        absl::StrCat(path, ": found a pipe or a device; expected an image's file"));
  }
  return ReadFile(path, kMostBytes);
}

}  // namespace finetune
