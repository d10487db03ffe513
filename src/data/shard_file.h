#ifndef FINETUNE_DATA_SHARD_FILE_H_
#define FINETUNE_DATA_SHARD_FILE_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <utility>

#include "src/base/fd.h"
#include "src/base/status_macros.h"

namespace finetune {

// A shard's file, open for reading. Several threads may read at once. A data set can have more
// shards than a process may have open files. For this case the file can be closed: after Close()
// each read opens it for itself.
class ShardFile {
 public:
  // Opens `path`. Errors: those of open(), with advice on what to do; DataLoss if `path` is not a
  // regular file.
  static absl::StatusOr<ShardFile> Open(std::string path);

  const std::string& path() const { return path_; }
  // Returns the file's size in bytes at the time when it was opened.
  int64_t size() const { return size_; }

  // Closes the file. Each later Read() opens it and closes it again.
  void Close() { fd_ = Fd(); }

  // Reads the file's bytes [at, at + size) into `bytes`. Errors: DataLoss that names the file and
  // the byte that cannot be read, or that says that another file has taken the place of this one.
  absl::Status Read(int64_t at, int64_t size, uint8_t* bytes) const;

 private:
  ShardFile(std::string path, Fd fd) : path_(std::move(path)), fd_(std::move(fd)) {}
  absl::StatusOr<Fd> OpenAgain() const;

  std::string path_;
  Fd fd_;
  int64_t size_ = 0;
  // The device and inode of the file that Open() opened, by which Read() recognizes that another
  // file has taken its place.
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

// Writes the file's bytes to disk (fsync) and waits for that. Errors: those of open() and fsync().
absl::Status SyncFile(const std::string& path);

}  // namespace finetune

#endif  // FINETUNE_DATA_SHARD_FILE_H_
