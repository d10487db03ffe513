#include "src/train/checkpoint_keeper.h"

#include <sys/resource.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/annotate.h"
#include "src/checkpoint/reader.h"

namespace finetune {

absl::StatusOr<std::unique_ptr<CheckpointKeeper>> CheckpointKeeper::Open(
    const std::string& work_dir, int keep_last, Earlier earlier,
    const std::vector<SavedCheckpoint>& known, Trace* trace) {
  FT_ASSIGN_OR_RETURN(CheckpointStore store, CheckpointStore::Open(work_dir, keep_last, known));
  FT_ASSIGN_OR_RETURN(const bool found, CheckpointStore::HasCheckpoints(work_dir));
  if (found && earlier == Earlier::kRefuse) {
    return absl::AlreadyExistsError(absl::StrCat(
        work_dir,
        " holds the checkpoints of an earlier run. Go on with it: --resume=auto. Begin again in "
        "its place: --overwrite. Or choose another --work_dir"));
  }
  if (earlier == Earlier::kRemove) FT_RETURN_IF_ERROR(store.RemoveAll());
  return std::unique_ptr<CheckpointKeeper>(new CheckpointKeeper(
      std::move(store), trace == nullptr ? nullptr : trace->AddTrack("checkpoint writer", "")));
}

absl::StatusOr<bool> CheckpointKeeper::WillFind(const std::string& work_dir,
                                                const std::string& resume) {
  if (resume.empty()) return false;
  if (resume != "auto") return true;
  return CheckpointStore::HasCheckpoints(work_dir);
}

absl::StatusOr<std::optional<FoundCheckpoint>> CheckpointKeeper::Find(const std::string& work_dir,
                                                                      const std::string& resume) {
  if (resume.empty()) return std::nullopt;
  if (resume != "auto") {
    absl::StatusOr<Value> root = ReadTorchFile(resume);
    FT_RETURN_IF_ERROR(Annotate(root.status(), "--resume"));
    return FoundCheckpoint{resume, *std::move(root), /*skipped=*/{}, /*saved=*/{}};
  }
  FT_ASSIGN_OR_RETURN(const bool found, CheckpointStore::HasCheckpoints(work_dir));
  if (!found) return std::nullopt;
  return FindLatestCheckpoint(work_dir);
}

absl::Status CheckpointKeeper::Save(const std::string& name, const Value& root,
                                    std::vector<int64_t> best, std::function<void()> saved) {
  FT_RETURN_IF_ERROR(Finish());
  saving_ = std::async(std::launch::async,
                       [this, copy = snapshotter_.Take(root), name, best = std::move(best),
                        saved = std::move(saved)]() -> absl::Status {
                         const TraceSpan span(track_, "write a checkpoint");
                         // On Linux this lowers the priority of only this thread, so that the
                         // threads of the next steps keep their cores. If the training thread waits
                         // in Finish(), its core is free for this thread.
                         setpriority(PRIO_PROCESS, 0, 19);
                         FT_RETURN_IF_ERROR(store_.Save(name, copy, best));
                         saved();
                         return absl::OkStatus();
                       });
  return absl::OkStatus();
}

absl::Status CheckpointKeeper::Finish() {
  if (!saving_.valid()) return absl::OkStatus();
  return Annotate(saving_.get(), "cannot write a checkpoint");
}

}  // namespace finetune
