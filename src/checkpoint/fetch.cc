#include "src/checkpoint/fetch.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cctype>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/base/sha256.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;

constexpr int kTries = 4;
constexpr curl_off_t kMaxBytes = curl_off_t{1} << 40;

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

// Held by the process that downloads a file.
class FileLock {
 public:
  explicit FileLock(const std::string& path)
      : fd_(open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0666)) {
    while (fd_ >= 0 && flock(fd_, LOCK_EX) != 0 && errno == EINTR) {
    }
  }
  ~FileLock() {
    if (fd_ >= 0) close(fd_);
  }
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  int fd_;
};

std::string CacheFolder() {
  const auto variable = [](const char* name) -> std::string {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
  };
  if (const std::string own = variable("FINETUNE_CACHE"); !own.empty()) return own + "/checkpoints";
  if (const std::string xdg = variable("XDG_CACHE_HOME"); !xdg.empty())
    return xdg + "/finetune/checkpoints";
  const std::string home = variable("HOME");
  return absl::StrCat(home.empty() ? "/tmp" : home, "/.cache/finetune/checkpoints");
}

// The hexadecimal digits behind the last '-' of "resnet50_8xb32_in1k_20210831-ea4938fc.pth"; ""
// where there are none.
std::string HashInName(const std::string& name) {
  const std::string stem = fs::path(name).stem().string();
  const size_t dash = stem.rfind('-');
  if (dash == std::string::npos) return "";
  const std::string digits = stem.substr(dash + 1);
  if (digits.size() < 8 || digits.size() > 64) return "";
  for (const char c : digits) {
    if (std::isxdigit(static_cast<unsigned char>(c)) == 0 ||
        std::isupper(static_cast<unsigned char>(c)) != 0)
      return "";
  }
  return digits;
}

struct Progress {
  std::string name;
  curl_off_t resumed_from = 0;
  std::chrono::steady_clock::time_point last = std::chrono::steady_clock::now();
};

int ShowProgress(void* data, curl_off_t total, curl_off_t now, curl_off_t, curl_off_t) {
  auto* progress = static_cast<Progress*>(data);
  const auto time = std::chrono::steady_clock::now();
  const bool terminal = isatty(STDERR_FILENO) != 0;
  if (time - progress->last <
      (terminal ? std::chrono::milliseconds(200) : std::chrono::milliseconds(5000)))
    return 0;
  progress->last = time;
  const double mebibyte = 1 << 20;
  std::fprintf(stderr, terminal ? "\r%s: %.1f of %.1f MiB\x1b[K" : "%s: %.1f of %.1f MiB\n",
               progress->name.c_str(), static_cast<double>(now + progress->resumed_from) / mebibyte,
               static_cast<double>(total + progress->resumed_from) / mebibyte);
  return 0;
}

// One try: appends to `partial` what it lacks. `retry` says whether another try may help.
absl::Status Download(const std::string& url, const std::string& partial, bool* retry) {
  *retry = false;
  const std::unique_ptr<CURL, void (*)(CURL*)> curl(curl_easy_init(), &curl_easy_cleanup);
  File file(std::fopen(partial.c_str(), "ab"));
  if (file == nullptr)
    return absl::PermissionDeniedError(
        absl::StrCat("cannot write ", partial, ": ", std::strerror(errno)));
  Progress progress;
  progress.name = fs::path(url).filename().string();
  progress.resumed_from = static_cast<curl_off_t>(std::ftell(file.get()));
  char reason[CURL_ERROR_SIZE] = "";
  curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_FOLLOWLOCATION, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_MAXREDIRS, 10L);
  curl_easy_setopt(curl.get(), CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl.get(), CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl.get(), CURLOPT_FAILONERROR, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_CONNECTTIMEOUT, 30L);
  curl_easy_setopt(curl.get(), CURLOPT_LOW_SPEED_LIMIT, 1024L);
  curl_easy_setopt(curl.get(), CURLOPT_LOW_SPEED_TIME, 60L);
  curl_easy_setopt(curl.get(), CURLOPT_MAXFILESIZE_LARGE, kMaxBytes);
  curl_easy_setopt(curl.get(), CURLOPT_RESUME_FROM_LARGE, progress.resumed_from);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, file.get());
  curl_easy_setopt(curl.get(), CURLOPT_ERRORBUFFER, reason);
  curl_easy_setopt(curl.get(), CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl.get(), CURLOPT_XFERINFOFUNCTION, &ShowProgress);
  curl_easy_setopt(curl.get(), CURLOPT_XFERINFODATA, &progress);
  const CURLcode code = curl_easy_perform(curl.get());
  if (isatty(STDERR_FILENO) != 0) std::fputs("\r\x1b[K", stderr);
  if (code == CURLE_OK) {
    if (std::fflush(file.get()) == 0 && fsync(fileno(file.get())) == 0) return absl::OkStatus();
    return absl::ResourceExhaustedError(
        absl::StrCat("cannot write ", partial, ": ", std::strerror(errno)));
  }
  long response = 0;
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &response);
  if (response == 416 || code == CURLE_RANGE_ERROR) {
    // The server cannot go on from there: from the start, then.
    file.reset();
    std::error_code error;
    fs::remove(partial, error);
    *retry = progress.resumed_from > 0;
  } else {
    *retry = response == 0 || response == 408 || response == 429 || response >= 500 ||
             code == CURLE_PARTIAL_FILE;
  }
  return absl::UnavailableError(absl::StrCat(
      "cannot download ", url, ": ", reason[0] != '\0' ? reason : curl_easy_strerror(code)));
}

}  // namespace

absl::StatusOr<std::string> FetchToCache(const std::string& source) {
  absl::string_view local = source;
  const bool is_file_url = absl::ConsumePrefix(&local, "file://");
  if (!is_file_url &&
      (absl::StartsWith(source, "http://") || absl::StartsWith(source, "https://"))) {
    const std::string folder = CacheFolder();
    std::error_code error;
    fs::create_directories(folder, error);
    std::string name = fs::path(source.substr(0, source.find_first_of("?#"))).filename().string();
    if (name.empty()) name = "checkpoint.pth";
    // Equal names of different servers must not meet.
    Sha256 sum;
    sum.Update(source);
    const std::string path = absl::StrCat(folder, "/", sum.HexDigest().substr(0, 8), "-", name);
    if (fs::exists(path, error)) return path;
    const FileLock lock(path + ".lock");
    if (fs::exists(path, error)) return path;
    const std::string partial = path + ".partial";
    absl::Status status;
    bool retry = true;
    for (int i = 0; i < kTries && retry; ++i) {
      status = Download(source, partial, &retry);
      if (status.ok()) break;
    }
    if (!status.ok()) {
      return absl::Status(
          status.code(),
          absl::StrCat(status.message(), ". Where this host has no network, put the file at ", path,
                       ", or set model.backbone.pretrained.checkpoint to a local path"));
    }
    const std::string expected = HashInName(name);
    FT_ASSIGN_OR_RETURN(std::string actual, Sha256OfFile(partial));
    if (!expected.empty() && !absl::StartsWith(actual, expected)) {
      fs::remove(partial, error);
      return absl::DataLossError(
          absl::StrCat(source, ": its SHA-256 starts with ", actual.substr(0, expected.size()),
                       " and its name says ", expected, "; the download was thrown away"));
    }
    fs::rename(partial, path, error);
    if (error)
      return absl::InternalError(absl::StrCat("cannot rename ", partial, ": ", error.message()));
    return path;
  }
  std::error_code error;
  if (!fs::is_regular_file(std::string(local), error)) {
    return absl::NotFoundError(absl::StrCat(
        "no checkpoint ", local, "; set model.backbone.pretrained.checkpoint to a file or URL"));
  }
  return std::string(local);
}

}  // namespace finetune
