#ifndef FINETUNE_CHECKPOINT_FETCH_H_
#define FINETUNE_CHECKPOINT_FETCH_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/statusor.h"

namespace finetune {

struct FetchOptions {
  // The folder to which files are downloaded and where they are kept. Empty:
  // DefaultCheckpointCache().
  std::string cache_dir;
  // The config field that names the checkpoint. Errors tell the user to change it.
  std::string field = "model.backbone.pretrained.checkpoint";
  // Called several times a second during a download and while waiting. `done`: the bytes downloaded
  // so far. `total`: the size of the file, 0 if unknown. If it returns false, the fetch ends with
  // Cancelled, and the partial file is kept for the next fetch. May be unset.
  std::function<bool(uint64_t done, uint64_t total)> progress;
  // Called before a wait (for a retry or for another process) with a sentence that says why. May be
  // unset.
  std::function<void(const std::string& sentence)> notice;
  int connect_timeout_seconds = 30;
  // A connection is given up if it has brought less than 1 KiB/s for this time.
  int stall_timeout_seconds = 60;
  // The download fails after this many tries in a row that brought no bytes.
  int tries = 5;
  // The delay before the second try. It doubles with each further try in a row that brings no
  // bytes, up to 64 times.
  int retry_delay_milliseconds = 1000;
  uint64_t max_bytes = uint64_t{64} << 30;
};

// Returns the default folder for downloads: $FINETUNE_CACHE/checkpoints. If that variable is not
// set, $XDG_CACHE_HOME/finetune/checkpoints; if neither is set, $HOME/.cache/finetune/checkpoints.
// Errors: FailedPrecondition if none of the three is set.
absl::StatusOr<std::string> DefaultCheckpointCache();

// Returns the path of a local file with the checkpoint that a path or URL names. For a local path
// (also "~/x") or a file:// URL it is the file itself. The file of an http:// or https:// URL is
// downloaded to the cache, unless the cache already has it.
//
// An interrupted download is continued where it ended, if the server says that its file has not
// changed. The file gets its final name in the cache only when it is complete. If the file name in
// the URL ends in the beginning of a SHA-256, as OpenMMLab's and torchvision's do
// ("...-ea4938fc.pth"), the downloaded file must have that SHA-256. (Eight or more decimal digits
// without a letter, as in "ckpt-00012000.pth", are taken for a step or a date instead.) If several
// processes fetch the same URL at once, one downloads and the others wait. Redirects lead to http
// and https, and from https to https only.
//
// Errors: NotFound for a path that does not exist and for the HTTP status 404; DataLoss for a wrong
// hash, or if the server sent a web page; Unavailable if all tries failed; InvalidArgument for URLs
// of other schemes, and for a URL in which HideSecretsOfUrl() has hidden something;
// FailedPrecondition for a certificate that is not known; ResourceExhausted for a full disk or a
// file above max_bytes; Cancelled. Their texts say what to change, and hide the user, password and
// query of a URL.
absl::StatusOr<std::string> FetchToCache(const std::string& url_or_path,
                                         const FetchOptions& options = {});

}  // namespace finetune

#endif  // FINETUNE_CHECKPOINT_FETCH_H_
