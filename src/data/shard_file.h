#ifndef FINETUNE_DATA_SHARD_FILE_H_
#define FINETUNE_DATA_SHARD_FILE_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <utility>

#include "src/base/fd.h"
#include "src/base/status_macros.h"

namespace finetune {

// The file of a shard, read at any place by any number of threads. One that is not kept open is
// opened for each read: a process may have fewer files open than a data set has shards.
class ShardFile {
 public:
  // Errors: those of a system call, with what to do; DataLoss for something that is not a file.
  static absl::StatusOr<ShardFile> Open(std::string path);

  const std::string& path() const { return path_; }
  // In bytes, when it was opened.
  int64_t size() const { return size_; }

  // Closes it until the next read.
  void Close() { fd_ = Fd(); }

  // Reads bytes [at, at + size). Errors: DataLoss that names the file and the byte, or says that
  // another file is there now.
  absl::Status Read(int64_t at, int64_t size, uint8_t* bytes) const;

 private:
  ShardFile(std::string path, Fd fd) : path_(std::move(path)), fd_(std::move(fd)) {}
  absl::StatusOr<Fd> OpenAgain() const;

  std::string path_;
  Fd fd_;
  int64_t size_ = 0;
  // The file that was opened.
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

// Waits until what was written to the file is on disk. Errors: those of a system call.
absl::Status SyncFile(const std::string& path);

}  // namespace finetune

#endif  // FINETUNE_DATA_SHARD_FILE_H_
