#include "src/checkpoint/store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <system_error>
#include <tuple>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "src/base/annotate.h"
#include "src/base/atomic_file.h"
#include "src/base/list_folder.h"
#include "src/base/own_file.h"
#include "src/base/status_macros.h"
#include "src/base/system_error.h"
#include "src/checkpoint/alias.h"
#include "src/checkpoint/own_checkpoint.h"
#include "src/checkpoint/reader.h"
#include "src/checkpoint/writer.h"
#include "src/tensor/finite.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;

constexpr char kLatest[] = "latest.pth";
constexpr char kBest[] = "best.pth";
constexpr char kLock[] = ".checkpoints.lock";

// Returns whether a name is epoch_N.pth or iter_N.pth, where N has at most 18 digits and so fits
// int64.
bool IsCheckpointName(absl::string_view name) {
  constexpr size_t kMostDigits = 18;
  if (!absl::ConsumeSuffix(&name, ".pth")) return false;
  if (!absl::ConsumePrefix(&name, "epoch_") && !absl::ConsumePrefix(&name, "iter_")) return false;
  return !name.empty() && name.size() <= kMostDigits &&
         std::all_of(name.begin(), name.end(), absl::ascii_isdigit);
}

// Returns whether a name is one of the store's: a checkpoint's or an alias's.
bool IsManagedName(absl::string_view name) {
  return IsCheckpointName(name) || name == kLatest || name == kBest;
}

// Returns the error for a failed system call in the work_dir. It is InvalidArgument if nothing can
// be created in this place, because the user must then give another work_dir. Otherwise it is that
// of SystemError(), as for a full disk.
absl::Status PlaceError(absl::string_view what, const std::string& path, int error) {
  absl::Status status = SystemError(what, path, error);
  for (const int place : {ENOTDIR, ENOENT, EACCES, EPERM, EROFS, ENAMETOOLONG}) {
    if (error == place) return absl::InvalidArgumentError(status.message());
  }
  return status;
}

// Returns the names in a folder, or an empty list if the folder does not exist.
absl::StatusOr<std::vector<std::string>> List(const std::string& folder) {
  absl::StatusOr<std::vector<std::string>> names = ListFolder(folder);
  if (absl::IsNotFound(names.status())) return std::vector<std::string>();
  return names;
}

// Returns the name of the checkpoint of which `alias` (latest.pth or best.pth) is an alias, or ""
// if there is none. Errors: those of AliasTarget().
absl::StatusOr<std::string> TargetOf(const std::string& folder, const char* alias,
                                     const std::vector<SavedCheckpoint>& saved) {
  FT_ASSIGN_OR_RETURN(std::string target, AliasTarget(folder, alias, saved));
  return IsCheckpointName(target) ? target : "";
}

// Returns whether the store may replace or delete FOLDER/NAME: finetune wrote it, or it does not
// exist. NAME must be one of the store's names. Errors: those of IsOwnCheckpoint().
absl::StatusOr<bool> IsOwn(const std::string& folder, const std::string& name) {
  const std::string path = absl::StrCat(folder, "/", name);
  std::error_code error;
  const fs::file_type type = fs::symlink_status(path, error).type();
  if (type == fs::file_type::not_found) return true;
  if (type == fs::file_type::symlink && !IsCheckpointName(name)) {
    return IsCheckpointName(fs::read_symlink(path, error).string());
  }
  return IsOwnCheckpoint(path);
}

absl::Status CheckOwn(const std::string& folder, const std::string& name) {
  FT_ASSIGN_OR_RETURN(const bool own, IsOwn(folder, name));
  return own ? absl::OkStatus() : ForeignFileError(absl::StrCat(folder, "/", name));
}

struct Listed {
  std::string name;
  // The checkpoint's meta.iteration, or the error of reading it.
  absl::StatusOr<int64_t> iteration;
  // An error if a newer version of finetune wrote the checkpoint; its iteration may then have
  // another meaning.
  absl::Status version;
};

// Reads the meta data of the checkpoint FOLDER/NAME.
Listed ReadListed(const std::string& folder, const std::string& name) {
  const std::string path = absl::StrCat(folder, "/", name);
  const absl::StatusOr<Value> root = ReadTorchFile(path, {"meta"});
  if (!root.ok()) return {name, root.status(), absl::OkStatus()};
  if (const absl::StatusOr<Value> meta = root->Get("meta"); meta.ok()) {
    const absl::Status version = Annotate(CheckCheckpointVersion(*meta), path);
    if (!version.ok()) return {name, version, version};
    if (IsExported(*meta)) {
      return {name, absl::InvalidArgumentError(absl::StrCat(path, ": ", kCannotResumeExported)),
              absl::OkStatus()};
    }
  }
  absl::StatusOr<int64_t> iteration = IterationOf(*root);
  if (!iteration.ok()) {
    iteration = absl::InvalidArgumentError(
        absl::StrCat(path, ": it has no integer meta.iteration, so it is not finetune's"));
  }
  return {name, std::move(iteration), absl::OkStatus()};
}

bool Has(const std::vector<SavedCheckpoint>& saved, absl::string_view name) {
  return std::any_of(saved.begin(), saved.end(),
                     [&](const SavedCheckpoint& one) { return one.name == name; });
}

// Returns those of `listed` whose iteration could be read, in the same order.
std::vector<SavedCheckpoint> Readable(const std::vector<Listed>& listed) {
  std::vector<SavedCheckpoint> readable;
  for (const Listed& one : listed) {
    if (one.iteration.ok()) readable.push_back({*one.iteration, one.name});
  }
  return readable;
}

// Returns the parts of a checkpoint's name: ("epoch", 3) for epoch_3.pth.
std::pair<absl::string_view, int64_t> Parse(absl::string_view name) {
  const size_t mark = name.find('_');
  int64_t number = 0;
  (void)absl::SimpleAtoi(absl::StripSuffix(name.substr(mark + 1), ".pth"), &number);
  return {name.substr(0, mark), number};
}

// Returns the iteration of the checkpoint `latest`, which latest.pth names. If that is damaged,
// returns the largest iteration of the checkpoints with a smaller number in their name. Returns
// INT64_MAX if there are none.
int64_t LatestIteration(const std::string& latest, const std::vector<Listed>& all) {
  const auto [kind, number] = Parse(latest);
  int64_t before = -1;
  for (const Listed& one : all) {
    if (!one.iteration.ok()) continue;
    if (one.name == latest) return *one.iteration;
    const auto [other_kind, other_number] = Parse(one.name);
    if (other_kind == kind && other_number < number) before = std::max(before, *one.iteration);
  }
  return before >= 0 ? before : INT64_MAX;
}

// Lists the checkpoints of a folder; those in `known` are not read again. First come those that
// cannot be read. Then come those of a later iteration than latest.pth's: they belong to an
// abandoned run, because the run resumed from an older checkpoint. Then come the others by
// iteration, with the latest at the end.
absl::StatusOr<std::vector<Listed>> ListCheckpoints(
    const std::string& folder, const std::vector<SavedCheckpoint>& known = {}) {
  FT_ASSIGN_OR_RETURN(const std::vector<std::string> names, List(folder));
  std::vector<Listed> all;
  for (const SavedCheckpoint& one : known) {
    if (std::find(names.begin(), names.end(), one.name) != names.end()) {
      all.push_back({one.name, one.iteration, absl::OkStatus()});
    }
  }
  for (const std::string& name : names) {
    if (IsCheckpointName(name) && !Has(known, name)) all.push_back(ReadListed(folder, name));
  }
  const std::vector<SavedCheckpoint> readable = Readable(all);
  FT_ASSIGN_OR_RETURN(const std::string latest, TargetOf(folder, kLatest, readable));
  const int64_t latest_iteration = LatestIteration(latest, all);
  std::sort(all.begin(), all.end(), [&](const Listed& a, const Listed& b) {
    const auto rank = [&](const Listed& one) {
      const int group = !one.iteration.ok() ? 0 : *one.iteration > latest_iteration ? 1 : 2;
      return std::tuple(group, one.iteration.value_or(0), one.name == latest, one.name);
    };
    return rank(a) < rank(b);
  });
  return all;
}

// Returns the path ("state_dict.fc.bias", "optimizer.norms.2") of a tensor in `value` that has an
// infinite or NaN value, or "" if there is none. `path`: the path of `value`.
std::string PathOfNotFinite(const Value& value, const std::string& path) {
  if (value.tensor() != nullptr) return IsFinite(*value.tensor()) ? "" : path;
  const auto below = [&](const std::string& name, const Value& entry) {
    return PathOfNotFinite(entry, path.empty() ? name : absl::StrCat(path, ".", name));
  };
  if (value.list() != nullptr) {
    for (size_t i = 0; i < value.list()->size(); ++i) {
      std::string found = below(absl::StrCat(i), (*value.list())[i]);
      if (!found.empty()) return found;
    }
  }
  if (value.dict() == nullptr) return "";
  for (const auto& [key, entry] : value.dict()->entries()) {
    std::string found =
        below(key.string() != nullptr ? Printable(*key.string()) : key.TypeName(), entry);
    if (!found.empty()) return found;
  }
  return "";
}

// Takes the folder's lock. Returns an invalid Fd if the file system does not support locks. Errors:
// FailedPrecondition if another process holds the lock.
absl::StatusOr<Fd> Lock(const std::string& folder) {
  const std::string path = absl::StrCat(folder, "/", kLock);
  Fd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666));
  if (!fd.ok()) return PlaceError("cannot write", path, errno);
  if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    const int error = errno;
    char owner[256] = {};
    const ssize_t n = error == EWOULDBLOCK ? pread(fd.get(), owner, sizeof(owner) - 1, 0) : 0;
    if (error != EWOULDBLOCK) return Fd();
    return absl::FailedPreconditionError(
        absl::StrCat("another run", n > 0 ? absl::StrCat(" (", Printable(owner), ")") : "",
                     " writes checkpoints to ", folder,
                     "; give this one another work_dir, or end that one (if "
                     "it is dead, and the lock is kept by a network file system, delete ",
                     path, ")"));
  }
  char host[128] = {};
  gethostname(host, sizeof(host) - 1);
  const std::string owner = absl::StrCat("host ", host, ", process ", getpid());
  // The text is used only for the message above, so errors in writing it do not matter.
  (void)!ftruncate(fd.get(), 0);
  (void)!pwrite(fd.get(), owner.data(), owner.size(), 0);
  return fd;
}

}  // namespace

absl::StatusOr<CheckpointStore> CheckpointStore::Open(const std::string& folder, int keep_last,
                                                      const std::vector<SavedCheckpoint>& known) {
  std::error_code error;
  std::vector<std::string> missing;
  for (fs::path p = folder; !p.empty() && !fs::exists(p, error); p = p.parent_path()) {
    missing.push_back(p.string());
  }
  fs::create_directories(folder, error);
  if (error) return PlaceError("cannot create the work_dir", folder, error.value());
  // Without this a crash of the machine could take a new work_dir with all that is synced in it.
  for (const std::string& made : missing) {
    const absl::Status synced = SyncFolderOf(made);
    // A folder in which names can be made, but which cannot be read, cannot be synced.
    if (!absl::IsPermissionDenied(synced)) FT_RETURN_IF_ERROR(synced);
  }
  FT_ASSIGN_OR_RETURN(Fd lock, Lock(folder));
  CheckpointStore store(folder, keep_last, std::move(lock));
  FT_ASSIGN_OR_RETURN(const std::vector<std::string> names, List(folder));
  for (const std::string& name : names) {
    // Only with the lock it is certain that no other run is writing these files.
    if (store.locked() && IsManagedName(FinalNameOf(name))) {
      fs::remove(fs::path(folder) / name, error);
    }
  }
  for (const std::string& name : names) {
    if (IsManagedName(name) && !Has(known, name)) FT_RETURN_IF_ERROR(CheckOwn(folder, name));
  }
  FT_ASSIGN_OR_RETURN(const std::vector<Listed> listed, ListCheckpoints(folder, known));
  // Damaged checkpoints are not in saved_, so they are never deleted and the user can look at them.
  store.saved_ = Readable(listed);
  return store;
}

absl::Status CheckpointStore::CheckOwnFiles(const std::string& folder) {
  FT_ASSIGN_OR_RETURN(const std::vector<std::string> names, List(folder));
  for (const std::string& name : names) {
    if (IsManagedName(name)) FT_RETURN_IF_ERROR(CheckOwn(folder, name));
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> CheckpointStore::HasCheckpoints(const std::string& folder) {
  FT_ASSIGN_OR_RETURN(const std::vector<std::string> names, List(folder));
  return std::any_of(names.begin(), names.end(), IsCheckpointName);
}

absl::Status CheckpointStore::RemoveAll() {
  FT_ASSIGN_OR_RETURN(const std::vector<std::string> names, List(folder_));
  // Delete the aliases first, so that no alias is ever without its checkpoint.
  for (const bool checkpoints : {false, true}) {
    for (const std::string& name : names) {
      if (!IsManagedName(name) || IsCheckpointName(name) != checkpoints) continue;
      FT_RETURN_IF_ERROR(CheckOwn(folder_, name));
      const std::string path = absl::StrCat(folder_, "/", name);
      if (unlink(path.c_str()) != 0 && errno != ENOENT) {
        return SystemError("cannot delete", path, errno);
      }
    }
  }
  saved_.clear();
  return absl::OkStatus();
}

absl::StatusOr<std::optional<int64_t>> CheckpointStore::BestIteration() const {
  FT_ASSIGN_OR_RETURN(const std::string best, TargetOf(folder_, kBest, saved_));
  for (const SavedCheckpoint& one : saved_) {
    if (one.name == best) return one.iteration;
  }
  return std::nullopt;
}

bool CheckpointStore::HasIteration(int64_t iteration) const {
  return std::any_of(saved_.begin(), saved_.end(),
                     [&](const SavedCheckpoint& one) { return one.iteration == iteration; });
}

absl::StatusOr<bool> CheckpointStore::PointBest(int64_t iteration) {
  FT_RETURN_IF_ERROR(CheckOwn(folder_, kBest));
  for (auto it = saved_.rbegin(); it != saved_.rend(); ++it) {
    if (it->iteration != iteration) continue;
    FT_RETURN_IF_ERROR(PointAlias(folder_, kBest, it->name));
    return true;
  }
  return false;
}

absl::Status CheckpointStore::Save(const std::string& name, const Value& root,
                                   const std::vector<int64_t>& best) {
  if (!IsCheckpointName(name)) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", name, "\": expected a checkpoint's name, epoch_N.pth or iter_N.pth"));
  }
  FT_ASSIGN_OR_RETURN(const int64_t iteration, IterationOf(root));
  FT_RETURN_IF_ERROR(CheckNamesWriter(root));
  for (const std::string& replaced : {name, std::string(kLatest), std::string(kBest)}) {
    FT_RETURN_IF_ERROR(CheckOwn(folder_, replaced));
  }
  FT_ASSIGN_OR_RETURN(const std::string named_best, TargetOf(folder_, kBest, saved_));
  FT_RETURN_IF_ERROR(WriteTorchFile(absl::StrCat(folder_, "/", name), root));
  std::erase_if(saved_, [&](const SavedCheckpoint& one) { return one.name == name; });
  // Checkpoints of later iterations belong to an abandoned run: this run resumed from an older one.
  // Put them first, so that they are deleted first.
  std::stable_partition(saved_.begin(), saved_.end(),
                        [&](const SavedCheckpoint& one) { return one.iteration > iteration; });
  saved_.push_back({iteration, name});
  FT_RETURN_IF_ERROR(PointAlias(folder_, kLatest, name));
  if (!best.empty() && best.front() == iteration) {
    FT_RETURN_IF_ERROR(PointAlias(folder_, kBest, name));
  } else if (named_best == name) {
    // best.pth was an alias of the abandoned run's checkpoint of this name, which has just been
    // replaced.
    unlink(absl::StrCat(folder_, "/", kBest).c_str());
  }
  return Prune(best);
}

absl::Status CheckpointStore::Prune(const std::vector<int64_t>& best) {
  if (keep_last_ <= 0 || saved_.size() <= static_cast<size_t>(keep_last_)) return absl::OkStatus();
  FT_ASSIGN_OR_RETURN(const std::string named_best, TargetOf(folder_, kBest, saved_));
  const auto first_kept = saved_.end() - keep_last_;
  std::vector<SavedCheckpoint> kept;
  for (auto it = saved_.begin(); it != first_kept; ++it) {
    FT_ASSIGN_OR_RETURN(const bool own, IsOwn(folder_, it->name));
    const bool is_best = std::find(best.begin(), best.end(), it->iteration) != best.end();
    if (is_best || it->name == named_best || !own) {
      kept.push_back(*it);
      continue;
    }
    const std::string path = absl::StrCat(folder_, "/", it->name);
    if (unlink(path.c_str()) != 0 && errno != ENOENT) {
      return SystemError("cannot delete", path, errno);
    }
  }
  kept.insert(kept.end(), first_kept, saved_.end());
  saved_ = std::move(kept);
  return absl::OkStatus();
}

namespace {

// Reads a checkpoint from which a run is to resume. Errors: those of ReadTorchFile(); DataLoss if
// weights or the optimizer's state are not finite, as earlier versions of finetune may have saved
// them.
absl::StatusOr<Value> ReadUsable(const std::string& path) {
  FT_ASSIGN_OR_RETURN(Value root, ReadTorchFile(path));
  const std::string bad = PathOfNotFinite(root, "");
  if (bad.empty()) return root;
  return absl::DataLossError(
      absl::StrCat(path, ": ", bad, " holds values that are not finite: the run had diverged"));
}

}  // namespace

absl::StatusOr<FoundCheckpoint> FindLatestCheckpoint(const std::string& folder) {
  FT_ASSIGN_OR_RETURN(std::vector<Listed> listed, ListCheckpoints(folder));
  if (listed.empty()) {
    return absl::NotFoundError(
        absl::StrCat("there is no checkpoint (epoch_N.pth, iter_N.pth) in ", folder));
  }
  FoundCheckpoint found;
  found.saved = Readable(listed);
  std::reverse(listed.begin(), listed.end());
  for (const Listed& one : listed) {
    FT_RETURN_IF_ERROR(one.version);
    if (!one.iteration.ok()) {
      found.skipped.emplace_back(one.iteration.status().message());
    }
  }
  for (const Listed& one : listed) {
    if (!one.iteration.ok()) continue;
    found.path = absl::StrCat(folder, "/", one.name);
    absl::StatusOr<Value> root = ReadUsable(found.path);
    if (root.ok()) {
      found.root = *std::move(root);
      return found;
    }
    found.skipped.emplace_back(root.status().message());
  }
  return absl::DataLossError(absl::StrCat(
      "no checkpoint in ", folder, " can be resumed from: ", absl::StrJoin(found.skipped, "; ")));
}

}  // namespace finetune
