#ifndef FINETUNE_CHECKPOINT_FETCH_H_
#define FINETUNE_CHECKPOINT_FETCH_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/statusor.h"

namespace finetune {

struct FetchOptions {
  // Where downloads are kept. Empty: DefaultCheckpointCache().
  std::string cache_dir;
  // The config's field that names the checkpoint, for errors.
  std::string field = "model.backbone.pretrained.checkpoint";
  // Called several times a second while a download runs, with the bytes so far and in all (0 where
  // the server does not say). False ends it, with Cancelled; what is there stays for the next try.
  std::function<bool(uint64_t done, uint64_t total)> progress;
  // Called with a sentence when something is waited for or tried again.
  std::function<void(const std::string& sentence)> notice;
  int connect_timeout_seconds = 30;
  // A connection is given up that brings less than 1 KB/s for so long.
  int stall_timeout_seconds = 60;
  // Tries in a row that bring not a byte more.
  int tries = 5;
  // Before the second try; twice as long before each further one.
  int retry_delay_milliseconds = 1000;
  uint64_t max_bytes = uint64_t{64} << 30;
};

// ${FINETUNE_CACHE}/checkpoints, else ${XDG_CACHE_HOME}/finetune/checkpoints, else
// ~/.cache/finetune/checkpoints.
absl::StatusOr<std::string> DefaultCheckpointCache();

// The path of a local file with this checkpoint: a local path ("~/x" too) or file:// URL as it is,
// an http:// or https:// URL downloaded to the cache, once.
//
// A download that was cut off goes on where it ended, if the server says that the file is still the
// same. It gets its name in the cache only when it is whole and, where the URL's file name carries
// the start of its SHA-256 as OpenMMLab's and torchvision's do ("...-ea4938fc.pth"), has that hash.
// Decimal digits alone ("ckpt-00012000.pth") are a step or a date and not a hash.
// Several processes may ask for the same URL at once: one downloads, the others wait for it.
//
// Errors say what to change: NotFound for a path that is not there and for a 404; DataLoss for a
// wrong hash, or a web page in place of a file; Unavailable when all tries failed; InvalidArgument
// for other kinds of URL; ResourceExhausted for a full disk or too large a file; Cancelled. A URL's
// user, password and query are left out of them.
absl::StatusOr<std::string> FetchToCache(const std::string& url_or_path,
                                         const FetchOptions& options = {});

}  // namespace finetune

#endif  // FINETUNE_CHECKPOINT_FETCH_H_
