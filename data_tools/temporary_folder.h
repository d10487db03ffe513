#ifndef FINETUNE_DATA_TOOLS_TEMPORARY_FOLDER_H_
#define FINETUNE_DATA_TOOLS_TEMPORARY_FOLDER_H_

#include <string>
#include <utility>
#include <vector>

#include "src/base/fd.h"
#include "src/base/status_macros.h"

namespace finetune {

// A temporary folder beside the folder of a data set that is to be written. The destructor removes
// it with its content. It is named and locked like the temporary folders of DatasetBuilder: if this
// program is killed, a later DatasetBuilder removes it.
class TemporaryFolder {
 public:
  // Creates the folder, and its missing parent folders. `output`: the path of the data set. Errors:
  // those of SystemError().
  static absl::StatusOr<TemporaryFolder> CreateBeside(const std::string& output);
  TemporaryFolder(TemporaryFolder&& other) noexcept
      : path_(std::exchange(other.path_, "")),
        made_(std::exchange(other.made_, {})),
        lock_(std::move(other.lock_)) {}
  TemporaryFolder& operator=(TemporaryFolder&&) = delete;
  ~TemporaryFolder();

  const std::string& path() const { return path_; }

 private:
  TemporaryFolder() = default;

  std::string path_;
  // The parent folders that were created, outermost first.
  std::vector<std::string> made_;
  Fd lock_;
};

}  // namespace finetune

#endif  // FINETUNE_DATA_TOOLS_TEMPORARY_FOLDER_H_
