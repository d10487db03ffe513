#include "src/base/sha256.h"

#include <array>
#include <cerrno>
#include <cstdio>
#include <vector>

#include "absl/strings/escaping.h"
#include "src/base/system_error.h"

namespace finetune {

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr);
}

void Sha256::Update(absl::string_view bytes) {
  EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size());
}

std::string Sha256::HexDigest() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int size = 0;
  EVP_DigestFinal_ex(context_.get(), digest.data(), &size);
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest.data()), size));
}

absl::StatusOr<std::string> Sha256OfFile(const std::string& path) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"),
                                                             &std::fclose);
  if (file == nullptr) return SystemError("cannot open", path, errno);
  Sha256 sum;
  std::vector<char> chunk(size_t{1} << 20);
  while (const size_t n = std::fread(chunk.data(), 1, chunk.size(), file.get())) {
    sum.Update(absl::string_view(chunk.data(), n));
  }
  if (std::ferror(file.get()) != 0) return SystemError("cannot read", path, errno);
  return sum.HexDigest();
}

}  // namespace finetune
