#ifndef FINETUNE_CHECKPOINT_OWN_METADATA_H_
#define FINETUNE_CHECKPOINT_OWN_METADATA_H_

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "src/checkpoint/value.h"

namespace finetune {

// In place of the dict "meta" of a .pth, a safetensors file has the entries of __metadata__, whose
// values are texts. These functions convert between the two for files that finetune writes, so that
// the readers of "meta" need not know the format of the file.
//
// | entry | in "meta" | text |
// | writer, config | writer, cfg | as it is |
// | format_version | format_version | JSON: an integer |
// | class_names, mean, std | CLASSES, data.mean, data.std | JSON: a list |
// | train_data, val_data | data.train, data.val | JSON: an object |

// The entries of a file's __metadata__, in the file's order.
using TextEntries = std::vector<std::pair<std::string, std::string>>;

// Returns the entries for a checkpoint's `meta`. Leaves out what the table above does not have.
// Bytes of a string that are not UTF-8 become U+FFFD.
TextEntries MetaToEntries(const Value& meta);

// Returns the "meta" dict of a file with these entries, in whose order "writer" is first. Returns
// nothing if "writer" does not say that finetune wrote the file; other programs give entries of the
// same names other meanings. Errors: InvalidArgument, with the entry's name, for a text that is not
// what the table says, and for entries of more than 16 MiB together.
absl::StatusOr<std::optional<Value>> EntriesToMeta(const TextEntries& entries);

}  // namespace finetune

#endif  // FINETUNE_CHECKPOINT_OWN_METADATA_H_
