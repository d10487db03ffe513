#ifndef FINETUNE_CONFIG_ORIGINS_H_
#define FINETUNE_CONFIG_ORIGINS_H_

#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace finetune {

// Where a value was written.
struct Place {
  std::string file;  // as it was found, or "--set=..." as it was given
  int line = 0;      // from 1; 0 for --set
  int column = 0;    // from 1
  // The files that led to `file`, from the one the user named: empty for that one.
  std::vector<std::string> imported_by;

  // "configs/a.pbtxt:3:7", or the --set.
  std::string ToString() const;
};

// The place of each value of a config, by its path: "optimizer.sgd.lr", or
// "data.train.pipeline[0].random_crop.size". Messages and lists have one, too, also a list that was
// written as empty ("topk: []").
using Origins = std::map<std::string, Place>;

// Returns the path of field `name` in the message at `path`, which is "" for the config itself.
std::string JoinPath(const std::string& path, absl::string_view name);

// Returns whether `path` is `ancestor` or a part of it.
bool IsInside(absl::string_view path, absl::string_view ancestor);

// Removes the places of `path` and its parts.
void EraseOrigins(const std::string& path, Origins* origins);

// Copies the places of `path` and its parts over those in `to`.
void CopyOrigins(const std::string& path, const Origins& from, Origins* to);

// Returns the text for one line of a message or a comment: line ends and other control characters
// are escaped.
std::string OneLine(absl::string_view text);

}  // namespace finetune

#endif  // FINETUNE_CONFIG_ORIGINS_H_
