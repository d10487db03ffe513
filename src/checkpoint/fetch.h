#ifndef FINETUNE_CHECKPOINT_FETCH_H_
#define FINETUNE_CHECKPOINT_FETCH_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/statusor.h"

namespace finetune {

struct FetchOptions {
  // The folder for downloads. Empty: DefaultCheckpointCache().
  std::string cache_dir;
  // The config's field that names the checkpoint, for errors.
  std::string field = "model.backbone.pretrained.checkpoint";
  // Called several times a second during a download, with the number of bytes so far and in all (0:
  // the server does not say). If it returns false, the download ends with Cancelled, and the
  // partial file is kept for the next try.
  std::function<bool(uint64_t done, uint64_t total)> progress;
  // Called before a wait or another try, with a sentence that says why.
  std::function<void(const std::string& sentence)> notice;
  int connect_timeout_seconds = 30;
  // A connection ends when it brings less than 1 KB/s for this time.
  int stall_timeout_seconds = 60;
  // The most tries in a row that bring no bytes.
  int tries = 5;
  // The delay before the second try. It doubles before each further one.
  int retry_delay_milliseconds = 1000;
  uint64_t max_bytes = uint64_t{64} << 30;
};

// Returns the default folder for downloads: ${FINETUNE_CACHE}/checkpoints, or if that variable is
// not set ${XDG_CACHE_HOME}/finetune/checkpoints, or ~/.cache/finetune/checkpoints.
absl::StatusOr<std::string> DefaultCheckpointCache();

// Returns the path of a local file with this checkpoint. A local path (also "~/x") or file:// URL
// leads to the file itself. An http:// or https:// URL is downloaded to the cache, unless the cache
// already has it.
//
// An interrupted download continues where it ended, if the server says that the file is still the
// same. The file gets its name in the cache only when it is complete. If the URL's file name
// contains the start of the file's SHA-256, as OpenMMLab's and torchvision's do
// ("...-ea4938fc.pth"), the download must have that hash. Decimal digits alone
// ("ckpt-00012000.pth") are taken for a step or a date. If several processes ask for the same URL
// at once, one downloads and the others wait.
//
// Errors say what to change: NotFound for a path that does not exist and for a 404; DataLoss for a
// wrong hash, or a web page in place of a file; Unavailable when all tries failed; InvalidArgument
// for URLs of other schemes; ResourceExhausted for a full disk or too large a file; Cancelled. They
// do not show a URL's user, password and query.
absl::StatusOr<std::string> FetchToCache(const std::string& url_or_path,
                                         const FetchOptions& options = {});

}  // namespace finetune

#endif  // FINETUNE_CHECKPOINT_FETCH_H_
