#ifndef FINETUNE_HOST_KERNEL_FILE_H_
#define FINETUNE_HOST_KERNEL_FILE_H_

#include <fstream>
#include <sstream>
#include <string>

namespace finetune {

// Returns the contents of a small file of /proc or /sys; "" if it cannot be read. Such files have
// no size before they are read.
inline std::string KernelFile(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace finetune

#endif  // FINETUNE_HOST_KERNEL_FILE_H_
