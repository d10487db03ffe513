#include "src/checkpoint/store.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/checkpoint/reader.h"
#include "src/checkpoint/writer.h"

namespace finetune {

namespace fs = std::filesystem;

namespace {

constexpr const char* kLatest = "latest.pth";
constexpr const char* kBest = "best.pth";

}  // namespace

std::vector<std::string> CheckpointStore::List() const {
  std::vector<std::pair<fs::file_time_type, std::string>> found;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(work_dir_, error)) {
    const std::string name = entry.path().filename().string();
    if (entry.is_symlink(error) || !absl::EndsWith(name, ".pth") ||
        !(absl::StartsWith(name, "epoch_") || absl::StartsWith(name, "iter_"))) {
      continue;
    }
    found.emplace_back(entry.last_write_time(error), name);
  }
  std::sort(found.rbegin(), found.rend());
  std::vector<std::string> names;
  for (auto& [time, name] : found) names.push_back(std::move(name));
  return names;
}

std::string CheckpointStore::LinkTarget(const std::string& link) const {
  std::error_code error;
  return fs::read_symlink(fs::path(work_dir_) / link, error).string();
}

absl::Status CheckpointStore::PointAt(const std::string& link, const std::string& name) const {
  const fs::path path = fs::path(work_dir_) / link, temporary = path.string() + ".tmp";
  std::error_code error;
  fs::remove(temporary, error);
  fs::create_symlink(name, temporary, error);
  if (!error) fs::rename(temporary, path, error);
  if (error)
    return absl::InternalError(absl::StrCat("cannot link ", path.string(), ": ", error.message()));
  return absl::OkStatus();
}

absl::Status CheckpointStore::Save(const std::string& name, const Value& root, bool is_best,
                                   int keep_last) const {
  FT_RETURN_IF_ERROR(WriteTorchFile(absl::StrCat(work_dir_, "/", name), root));
  FT_RETURN_IF_ERROR(PointAt(kLatest, name));
  if (is_best) FT_RETURN_IF_ERROR(PointAt(kBest, name));
  if (keep_last == 0) return absl::OkStatus();
  const std::vector<std::string> names = List();
  const std::string best = LinkTarget(kBest);
  for (size_t i = static_cast<size_t>(keep_last); i < names.size(); ++i) {
    std::error_code error;
    if (names[i] != best && names[i] != name) fs::remove(fs::path(work_dir_) / names[i], error);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<CheckpointStore::Found>> CheckpointStore::FindLatest() const {
  std::vector<std::string> names = List();
  if (names.empty()) return std::nullopt;
  // The link says which is the newest, whatever a copy has done to the times of writing.
  const auto latest = std::find(names.begin(), names.end(), LinkTarget(kLatest));
  if (latest != names.end()) std::rotate(names.begin(), latest, latest + 1);
  std::vector<std::string> damaged;
  for (const std::string& name : names) {
    std::string path = absl::StrCat(work_dir_, "/", name);
    absl::StatusOr<Value> root = ReadTorchFile(path);
    if (root.ok()) return Found{std::move(path), *std::move(root), std::move(damaged)};
    damaged.emplace_back(root.status().message());
  }
  return absl::DataLossError(absl::StrCat("none of the checkpoints in ", work_dir_,
                                          " can be read: ", absl::StrJoin(damaged, "; ")));
}

absl::Status CheckpointStore::Clear() const {
  std::error_code error;
  for (const std::string& name : List()) fs::remove(fs::path(work_dir_) / name, error);
  for (const char* link : {kLatest, kBest}) fs::remove(fs::path(work_dir_) / link, error);
  if (error)
    return absl::InternalError(absl::StrCat("cannot clear ", work_dir_, ": ", error.message()));
  return absl::OkStatus();
}

}  // namespace finetune
