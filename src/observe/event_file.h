#ifndef FINETUNE_OBSERVE_EVENT_FILE_H_
#define FINETUNE_OBSERVE_EVENT_FILE_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "src/base/status_macros.h"
#include "src/observe/append_file.h"

namespace finetune {

// A curve's name and its value at one step.
using Scalar = std::pair<std::string, double>;

// An event file of scalars that TensorBoard shows: `tensorboard --logdir=WORK_DIR`.
//
// TensorBoard joins the files of a folder in the order of their names, so a resumed run writes a
// new file. A run that goes back to an older checkpoint repeats steps, and TensorBoard drops the
// points that it replaces in one of two ways. Its data server (a helper program) drops those of the
// same curve. Without the server it drops those of all curves where a file has an event
// SessionLog.START, if an earlier file of the folder has one, too.
class EventFile {
 public:
  // Makes FOLDER/events.out.tfevents.<seconds>.<host>.<pid>.
  static absl::StatusOr<EventFile> Create(const std::string& folder, const std::string& host);

  // Marks `step` as the start of the run or of its continuation: TensorBoard drops points of
  // earlier files at this step and later ones. Call it before the first Add().
  absl::Status Start(int64_t step);

  // Adds points at `step` with the time of the call.
  absl::Status Add(int64_t step, const std::vector<Scalar>& scalars);

  // As AppendFile has it.
  absl::Status Flush() { return file_.Flush(); }

  const std::string& path() const { return file_.path(); }

 private:
  explicit EventFile(AppendFile file) : file_(std::move(file)) {}

  AppendFile file_;
};

// Deletes the event files in `folder` whose first event names finetune as the writer. Errors: those
// of SystemError.
absl::Status RemoveEventFiles(const std::string& folder);

// CRC-32C (Castagnoli; RFC 3720, appendix B.4).
uint32_t Crc32c(absl::string_view bytes);

// Returns `data` as a record of TensorFlow's TFRecord format: the length, the length's masked
// CRC-32C, the data, the data's masked CRC-32C.
std::string TfRecord(absl::string_view data);

}  // namespace finetune

#endif  // FINETUNE_OBSERVE_EVENT_FILE_H_
