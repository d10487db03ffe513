#ifndef FINETUNE_DATA_TOOLS_TEMPORARY_FOLDER_H_
#define FINETUNE_DATA_TOOLS_TEMPORARY_FOLDER_H_

#include <string>
#include <utility>
#include <vector>

#include "src/base/fd.h"
#include "src/base/status_macros.h"

namespace finetune {

// A folder beside a data set's place. The destructor removes it with its content. It is named and
// locked like the folders of DatasetBuilder, so that if this program is killed, a later
// DatasetBuilder removes it.
class TemporaryFolder {
 public:
  // Makes the folder. `output`: the data set's place. Errors: those of a system call.
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
  // The parent folders that had to be made, from the uppermost down.
  std::vector<std::string> made_;
  Fd lock_;
};

}  // namespace finetune

#endif  // FINETUNE_DATA_TOOLS_TEMPORARY_FOLDER_H_
