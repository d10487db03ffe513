#include "data_tools/temporary_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "src/base/system_error.h"

namespace finetune {

namespace fs = std::filesystem;

absl::StatusOr<TemporaryFolder> TemporaryFolder::CreateBeside(const std::string& output) {
  std::string beside = output;
  while (beside.size() > 1 && beside.back() == '/') beside.pop_back();
  const auto failed = [&](int error) {
    return SystemError("cannot create a folder beside", beside, error);
  };
  TemporaryFolder folder;
  std::vector<fs::path> missing;
  std::error_code error;
  for (fs::path p = fs::path(beside).parent_path(); !p.empty() && !fs::exists(p, error);
       p = p.parent_path()) {
    missing.push_back(p);
  }
  for (auto p = missing.rbegin(); p != missing.rend(); ++p) {
    if (fs::create_directory(*p, error)) folder.made_.push_back(p->string());
    if (error) return failed(error.value());
  }
  std::string path = absl::StrCat(beside, ".partial-XXXXXX");
  if (mkdtemp(path.data()) == nullptr) return failed(errno);
  folder.path_ = std::move(path);
  folder.lock_ = Fd(open(folder.path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.lock_.ok()) flock(folder.lock_.get(), LOCK_EX | LOCK_NB);
  return folder;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code error;
  if (!path_.empty()) fs::remove_all(path_, error);
  // rmdir() does not remove a folder that is not empty.
  for (auto p = made_.rbegin(); p != made_.rend(); ++p) rmdir(p->c_str());
}

}  // namespace finetune
