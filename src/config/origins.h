#ifndef FINETUNE_CONFIG_ORIGINS_H_
#define FINETUNE_CONFIG_ORIGINS_H_

#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace finetune {

// The place where a value was written.
struct Place {
  std::string file;  // the file's path, or the text "--set=..."
  int line = 0;      // from 1; 0 for --set
  int column = 0;    // from 1
  // The chain of files that import `file`, starting with the file that the user named. Empty for
  // that file itself.
  std::vector<std::string> imported_by;

  // Returns "configs/a.pbtxt:3:7", or the text of the --set.
  std::string ToString() const;
};

// The place of each value of a config, by the value's path: "optimizer.sgd.lr", or
// "data.train.pipeline[0].random_crop.size". Messages and lists have a place too, including a list
// that was written as empty ("topk: []").
using Origins = std::map<std::string, Place>;

// Returns the path of field `name` in the message at `path`, which is "" for the config itself.
std::string JoinPath(const std::string& path, absl::string_view name);

// Returns whether `path` equals `ancestor` or is inside it.
bool IsInside(absl::string_view path, absl::string_view ancestor);

// Removes the places of `path` and of everything inside it.
void EraseOrigins(const std::string& path, Origins* origins);

// Copies the places of `path` and of everything inside it to `to`, where they replace those with
// the same path.
void CopyOrigins(const std::string& path, const Origins& from, Origins* to);

// Returns `text` in a form that fits on one line of an error message or a comment: line ends and
// other control characters are escaped.
std::string OneLine(absl::string_view text);

}  // namespace finetune

#endif  // FINETUNE_CONFIG_ORIGINS_H_
