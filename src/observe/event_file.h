#ifndef FINETUNE_OBSERVE_EVENT_FILE_H_
#define FINETUNE_OBSERVE_EVENT_FILE_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "src/base/status_macros.h"
#include "src/observe/append_file.h"
#include "src/observe/contact_sheet.h"

namespace finetune {

// A curve's name and its value at one step.
using Scalar = std::pair<std::string, double>;

// Writes scalars and images to an event file. `tensorboard --logdir=WORK_DIR` shows scalars as
// curves.
//
// TensorBoard joins the event files of a folder in the order of their names, so a resumed run
// writes a new file. A run that is resumed from an older checkpoint repeats some steps. TensorBoard
// then drops the old points of these steps, in one of two ways. With its data server (a helper
// program) it drops the points of each curve that the new file has. Without it, it drops the points
// of all curves from the step of a SessionLog.START event on, but only if an earlier file of the
// folder has such an event too.
class EventFile {
 public:
  // Creates the file FOLDER/events.out.tfevents.<seconds since 1970>.<host>.<process id>. Errors:
  // those of SystemError().
  static absl::StatusOr<EventFile> Create(const std::string& folder, const std::string& host);

  // Writes SessionLog.START: `step` is the first step of the run, or the first after it was
  // resumed. TensorBoard drops points of earlier files from this step on. Call it before the first
  // Add().
  absl::Status Start(int64_t step);

  // Adds a point at `step` to each named curve.
  absl::Status Add(int64_t step, const std::vector<Scalar>& scalars);

  // Adds an image at `step`.
  absl::Status AddImage(int64_t step, const std::string& tag, const ImageFile& image);

  // See AppendFile::Flush().
  absl::Status Flush() { return file_.Flush(); }

  const std::string& path() const { return file_.path(); }

 private:
  explicit EventFile(AppendFile file) : file_(std::move(file)) {}

  AppendFile file_;
};

// Deletes the event files in `folder` whose first event names finetune as the writer; those of
// other programs stay. Errors: those of SystemError().
absl::Status RemoveEventFiles(const std::string& folder);

// Returns the CRC-32C of `bytes` (Castagnoli; RFC 3720, appendix B.4).
uint32_t Crc32c(absl::string_view bytes);

// Returns `data` as a record in TensorFlow's TFRecord format: the length (8 bytes), the masked
// CRC-32C of the length, the data, the masked CRC-32C of the data. Numbers are little-endian.
std::string TfRecord(absl::string_view data);

}  // namespace finetune

#endif  // FINETUNE_OBSERVE_EVENT_FILE_H_
