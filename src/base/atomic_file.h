#ifndef FINETUNE_BASE_ATOMIC_FILE_H_
#define FINETUNE_BASE_ATOMIC_FILE_H_

#include <cstdlib>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/base/fd.h"

namespace finetune {

// A file that appears whole or not at all. It is written under a temporary name in the same folder,
// synced to disk, and renamed by Commit(). An AtomicFile that is destroyed without Commit() leaves
// nothing behind.
//
//   FT_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create("run/epoch_1.pth"));
//   FT_RETURN_IF_ERROR(file.Write(bytes));
//   FT_RETURN_IF_ERROR(file.Commit());
class AtomicFile {
 public:
  // Errors: InvalidArgument where `path` is a folder, a device, a pipe or a socket; those of
  // SystemError.
  static absl::StatusOr<AtomicFile> Create(const std::string& path);

  // Create() for a large file that is not read soon. Writes bypass the page cache (O_DIRECT) where
  // the file system allows it, which saves the processors a copy of every byte.
  static absl::StatusOr<AtomicFile> CreateLarge(const std::string& path);

  AtomicFile(AtomicFile&&) noexcept = default;
  AtomicFile& operator=(AtomicFile&&) = delete;
  ~AtomicFile();

  // Appends all of `bytes`. Errors: those of SystemError (ResourceExhausted for a full disk).
  absl::Status Write(absl::string_view bytes);

  // Calls fsync on the file, renames it to the path given to Create(), and calls fsync on the
  // folder. Write() must not be called after Commit().
  absl::Status Commit();

  // Commit() without the two calls of fsync, which may wait for a disk. A reader finds the old
  // bytes or the new ones; after a crash of the whole machine the file may be empty. For small
  // files that are replaced every few seconds.
  absl::Status CommitUnsynced();

  // Returns the path that holds the bytes until Commit(), for libraries that open a path
  // themselves.
  const std::string& temporary_path() const { return temporary_path_; }

 private:
  AtomicFile(std::string path, std::string temporary_path, Fd fd)
      : path_(std::move(path)), temporary_path_(std::move(temporary_path)), fd_(std::move(fd)) {}

  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };

  absl::Status WriteThrough(absl::string_view bytes);
  // Writes the end of a CreateLarge() file.
  absl::Status WriteBuffer();
  // Closes the file and gives it its final name.
  absl::Status Rename();
  // Returns false where the file system does not have O_DIRECT.
  bool SetDirect(bool direct);

  std::string path_;
  std::string temporary_path_;
  Fd fd_;
  // Holds the first `buffered_` bytes of a CreateLarge() file that are not written yet. The memory
  // is aligned as O_DIRECT demands. Null for a file of Create().
  std::unique_ptr<char, Free> buffer_;
  size_t buffered_ = 0;
};

// Returns NAME for NAME.XXXXXX.tmp, the name of an incomplete file, where XXXXXX are letters or
// digits. Returns "" for other names.
absl::string_view FinalNameOf(absl::string_view name);

// Calls fsync on the folder that holds `path`, so that a rename of `path` outlives a crash of the
// machine. A file system that cannot sync folders is left as it is. Errors: those of SystemError.
absl::Status SyncFolderOf(const std::string& path);

// Writes `bytes` as the whole of a small file. The file appears with all of them or not at all.
absl::Status WriteFileAtomically(const std::string& path, absl::string_view bytes);

// Returns the contents of a file. Errors name the path; a file larger than `max_bytes` is
// OutOfRange.
absl::StatusOr<std::string> ReadFile(const std::string& path, size_t max_bytes = size_t{1} << 30);

// ReadFile() of a path that a program expects to be a file, because it wrote one there. Does not
// wait for a pipe. Errors: also InvalidArgument where `path` is something else, such as a folder.
absl::StatusOr<std::string> ReadRegularFile(const std::string& path,
                                            size_t max_bytes = size_t{1} << 30);

// Opens a path to read it, as ReadRegularFile() does. Errors: those of ReadRegularFile().
absl::StatusOr<Fd> OpenRegularFile(const std::string& path);

}  // namespace finetune

#endif  // FINETUNE_BASE_ATOMIC_FILE_H_
