#ifndef FINETUNE_CHECKPOINT_FETCH_H_
#define FINETUNE_CHECKPOINT_FETCH_H_

#include <string>

#include "src/base/status_macros.h"

namespace finetune {

// Where a checkpoint's file is on this host: a local path or file:// URL as it is; an http(s)://
// URL downloaded into the cache ($FINETUNE_CACHE, or $XDG_CACHE_HOME/finetune, or
// ~/.cache/finetune) unless it is there already.
//
// A download goes on where an earlier one broke off, is tried again when the network fails, and
// appears only when whole. Where the file's name ends in a hash (`-ea4938fc.pth`) it must be the
// start of its SHA-256. Processes of one host that want the same file wait for the first. Progress
// goes to stderr.
//
// Errors: NotFound for a local path that is not there; Unavailable when the network fails, naming
// the URL and where to put the file by hand; DataLoss for a wrong hash.
absl::StatusOr<std::string> FetchToCache(const std::string& source);

}  // namespace finetune

#endif  // FINETUNE_CHECKPOINT_FETCH_H_
