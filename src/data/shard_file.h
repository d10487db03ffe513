#ifndef FINETUNE_DATA_SHARD_FILE_H_
#define FINETUNE_DATA_SHARD_FILE_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <utility>

#include "src/base/fd.h"
#include "src/base/status_macros.h"

namespace finetune {

// The file of a shard. Any number of threads may read at any offset. After Close() the file is
// opened again for each read, because a process may have fewer files open than a data set has
// shards.
class ShardFile {
 public:
  // Opens the file. Errors: those of a system call, with what to do; DataLoss for something that is
  // not a file.
  static absl::StatusOr<ShardFile> Open(std::string path);

  const std::string& path() const { return path_; }
  // Returns the file's size in bytes at the time when it was opened.
  int64_t size() const { return size_; }

  // Closes the file. Each later Read() opens the file for itself.
  void Close() { fd_ = Fd(); }

  // Reads bytes [at, at + size). Errors: DataLoss that names the file and the byte, or that says
  // that the path now leads to another file.
  absl::Status Read(int64_t at, int64_t size, uint8_t* bytes) const;

 private:
  ShardFile(std::string path, Fd fd) : path_(std::move(path)), fd_(std::move(fd)) {}
  absl::StatusOr<Fd> OpenAgain() const;

  std::string path_;
  Fd fd_;
  int64_t size_ = 0;
  // Identify the file that Open() opened.
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

// Waits until the file's bytes are on disk. Errors: those of a system call.
absl::Status SyncFile(const std::string& path);

}  // namespace finetune

#endif  // FINETUNE_DATA_SHARD_FILE_H_
