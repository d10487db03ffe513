#ifndef FINETUNE_BASE_SHA256_H_
#define FINETUNE_BASE_SHA256_H_

#include <openssl/evp.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace finetune {

// Computes SHA-256 of bytes that arrive in pieces.
class Sha256 {
 public:
  Sha256();
  void Update(absl::string_view bytes);
  // Ends the computation and returns the digest as 64 hexadecimal digits. No other call may follow.
  std::string HexDigest();

 private:
  struct Free {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  std::unique_ptr<EVP_MD_CTX, Free> context_;
};

// Returns the SHA-256 of a file as 64 hexadecimal digits. Reads the file in pieces, so it may be
// larger than memory. Errors name the path.
absl::StatusOr<std::string> Sha256OfFile(const std::string& path);

}  // namespace finetune

#endif  // FINETUNE_BASE_SHA256_H_
