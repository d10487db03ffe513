#include "src/train/run_folder.h"

#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/atomic_file.h"
#include "src/base/list_folder.h"
#include "src/base/own_file.h"
#include "src/config/print.h"
#include "src/observe/event_file.h"
#include "src/observe/first_batch.h"
#include "src/observe/open_metrics.h"
#include "src/observe/report.h"
#include "src/observe/run_status.h"

namespace finetune {
namespace {

// The first line of WORK_DIR/config.pbtxt.
constexpr char kConfigMark[] =
    "# Written by finetune: the config of the run in this folder, with the place of each value.";

// A text file that a run replaces, and the first line that marks the file as written by finetune.
struct ReplacedText {
  std::string path;
  const char* first_line;
};

ReplacedText ConfigText(const std::string& work_dir) {
  return {work_dir + "/config.pbtxt", kConfigMark};
}

std::vector<ReplacedText> ReplacedTexts(const std::string& work_dir) {
  return {ConfigText(work_dir),
          {work_dir + "/report.html", kReportFirstLine},
          {FirstBatchPath(work_dir), kFirstBatchFirstLine},
          {work_dir + "/status.json", kStatusFirstLine},
          {work_dir + "/metrics.prom", kMetricsFirstLine}};
}

// Deletes the incomplete files that killed runs left in place of the texts. Files that cannot be
// deleted stay. The caller must hold the folder's lock. Errors: those of ListFolder().
absl::Status RemoveIncomplete(const std::string& work_dir, const std::vector<ReplacedText>& texts) {
  FT_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListFolder(work_dir));
  for (const std::string& name : names) {
    const absl::string_view final_name = FinalNameOf(name);
    for (const ReplacedText& text : texts) {
      if (absl::StrCat(work_dir, "/", final_name) != text.path) continue;
      std::error_code error;
      std::filesystem::remove(absl::StrCat(work_dir, "/", name), error);
    }
  }
  return absl::OkStatus();
}

bool LiesIn(const std::string& path, const std::string& folder) {
  std::error_code error;
  return std::filesystem::equivalent(std::filesystem::absolute(path).parent_path(), folder, error);
}

}  // namespace

absl::StatusOr<std::optional<FoundCheckpoint>> RunFolder::ReadSource() {
  // Another program's file is reported as such here, because reading it would report a damaged
  // checkpoint.
  FT_RETURN_IF_ERROR(CheckpointStore::CheckOwnFiles(options_.work_dir));
  absl::StatusOr<std::optional<FoundCheckpoint>> found =
      CheckpointKeeper::Find(options_.work_dir, options_.resume);
  if (found.ok() && found->has_value()) {
    in_place_ = LiesIn((*found)->path, options_.work_dir);
    known_ = (*found)->saved;
  }
  return found;
}

absl::StatusOr<std::unique_ptr<CheckpointKeeper>> RunFolder::Open(int keep_last) {
  // Versions before 0.1.0 wrote these files without that first line. In a folder with finetune's
  // checkpoints such files are renamed to *.bak; in another folder they belong to another program.
  const std::vector<ReplacedText> texts = ReplacedTexts(options_.work_dir);
  for (const ReplacedText& text : texts) {
    if (!in_place_) FT_RETURN_IF_ERROR(CheckOwnText(text.path, text.first_line));
  }
  const CheckpointKeeper::Earlier earlier =
      !options_.resume.empty() ? CheckpointKeeper::Earlier::kKeep
      : options_.overwrite     ? CheckpointKeeper::Earlier::kRemove
                               : CheckpointKeeper::Earlier::kRefuse;
  FT_ASSIGN_OR_RETURN(
      std::unique_ptr<CheckpointKeeper> keeper,
      CheckpointKeeper::Open(options_.work_dir, keep_last, earlier, known_, options_.trace));
  if (keeper->locked()) FT_RETURN_IF_ERROR(RemoveIncomplete(options_.work_dir, texts));
  // TensorBoard would draw the earlier run's curves together with this run's.
  if (options_.overwrite) FT_RETURN_IF_ERROR(RemoveEventFiles(options_.work_dir));
  for (const ReplacedText& text : texts) {
    FT_ASSIGN_OR_RETURN(const bool moved, SetAside(text.path, text.first_line));
    if (!moved) continue;
    warnings_.push_back(absl::StrCat(
        text.path, " does not say that finetune wrote it, and is kept ", "as ", text.path, ".bak"));
  }
  // A run that fails before its first iteration must not show the images of the earlier run.
  if (options_.overwrite) FT_RETURN_IF_ERROR(RemoveFirstBatch(options_.work_dir));
  return keeper;
}

absl::Status RunFolder::WriteConfig(const LoadedConfig& loaded) const {
  const ReplacedText text = ConfigText(options_.work_dir);
  return WriteOwnText(text.path, text.first_line, PrintConfig(loaded, /*with_origins=*/true));
}

}  // namespace finetune
