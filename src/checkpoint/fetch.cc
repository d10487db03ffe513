#include "src/checkpoint/fetch.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "src/base/annotate.h"
#include "src/base/atomic_file.h"
#include "src/base/expand_home.h"
#include "src/base/fd.h"
#include "src/base/hide_secrets.h"
#include "src/base/sha256.h"
#include "src/base/status_macros.h"
#include "src/base/system_error.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;

// A download is given up after this many connections, even if each of them brought some bytes.
constexpr int kMaxTries = 1000;

const char* Environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0' ? value : nullptr;
}

// Returns the scheme of a URL in lower case, such as "https"; "" if the text is a path.
std::string Scheme(absl::string_view text) {
  const size_t end = text.find("://");
  if (end == absl::string_view::npos) return "";
  const absl::string_view scheme = text.substr(0, end);
  const auto in_scheme = [](char c) {
    return absl::ascii_isalnum(c) || c == '+' || c == '-' || c == '.';
  };
  return std::all_of(scheme.begin(), scheme.end(), in_scheme) ? absl::AsciiStrToLower(scheme) : "";
}

// Returns a URL for messages.
std::string Shown(absl::string_view url) { return HideSecretsOfUrl(url); }

// Returns the last part of a URL's path. Characters other than letters, digits, "-", "_" and "."
// are replaced by "_".
std::string FileName(absl::string_view url) {
  // A URL without a path ends in its user, password and host, which must not become a file's name.
  const std::string shown = Shown(url);
  url = absl::string_view(shown).substr(0, shown.find_first_of("?#"));
  std::string name(url.substr(url.rfind('/') + 1));
  for (char& c : name) {
    if (!absl::ascii_isalnum(c) && c != '-' && c != '_' && c != '.') c = '_';
  }
  return name.size() > 128 ? name.substr(name.size() - 128) : name;
}

// Returns the beginning of a SHA-256 with which a file's name ends, as in "resnet50-0676ba61.pth";
// "" if there is none. Decimal digits alone, as in "ckpt-00012000.pth", may be a step or a date and
// are not taken for a hash. So a hash of eight digits is not recognized if it has no letter, which
// is the case for one in 43.
std::string HashInName(absl::string_view name) {
  const absl::string_view stem = name.substr(0, name.rfind('.'));
  const size_t dash = stem.rfind('-');
  if (dash == absl::string_view::npos) return "";
  const absl::string_view digits = stem.substr(dash + 1);
  const auto is_letter = [](char c) { return c >= 'a' && c <= 'f'; };
  const auto is_digit = [&](char c) { return absl::ascii_isdigit(c) || is_letter(c); };
  const bool is_hash = digits.size() >= 8 && digits.size() <= 64 &&
                       std::all_of(digits.begin(), digits.end(), is_digit) &&
                       std::any_of(digits.begin(), digits.end(), is_letter);
  return is_hash ? std::string(digits) : "";
}

std::optional<std::string> PercentDecode(absl::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded += text[i];
      continue;
    }
    int byte = 0;
    if (i + 2 >= text.size() || !absl::ascii_isxdigit(text[i + 1]) ||
        !absl::SimpleHexAtoi(text.substr(i + 1, 2), &byte) || byte == 0) {
      return std::nullopt;
    }
    decoded += static_cast<char>(byte);
    i += 2;
  }
  return decoded;
}

absl::StatusOr<std::string> LocalFile(const std::string& given, std::string path,
                                      const FetchOptions& options) {
  absl::StatusOr<std::string> expanded = ExpandHome(path);
  FT_RETURN_IF_ERROR(Annotate(expanded.status(), options.field));
  path = *std::move(expanded);
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (fs::is_regular_file(status)) return path;
  const std::string where = fs::absolute(path, error).string();
  if (fs::is_directory(status)) {
    return absl::InvalidArgumentError(absl::StrCat(options.field, ": \"", given, "\" is a folder (",
                                                   where, "); name the checkpoint file in it"));
  }
  return absl::NotFoundError(absl::StrCat(options.field, ": there is no file \"", given,
                                          "\" (looked for ", where,
                                          "); give the path or the URL of a checkpoint"));
}

// The headers of one HTTP response that matter here.
struct Response {
  int code = 0;
  // Both identify the version of the server's file. `etag` is set only if it is a strong one, and
  // is then preferred.
  std::string etag;
  std::string last_modified;
  // The position in the file of the first byte of a partial response, and the size of the file.
  std::optional<uint64_t> range_start;
  std::optional<uint64_t> file_size;
  // Whether the server compresses the body. Positions in the file then mean nothing.
  bool compressed = false;
};

// Returns a text that differs after each start of this machine; "" if the system tells none. The
// partial file is not synced, so after a crash of the machine some of its bytes may be zeros: it is
// continued only after the same start.
std::string BootId() {
  const std::string id = ReadFile("/proc/sys/kernel/random/boot_id", 256).value_or("");
  return std::string(absl::StripAsciiWhitespace(id));
}

// Downloads one file to a partial file, over as many connections as needed.
class Download {
 public:
  Download(std::string url, std::string partial, const FetchOptions& options)
      : url_(std::move(url)),
        partial_(std::move(partial)),
        validator_path_(partial_ + ".validator"),
        options_(options) {}

  // Downloads until the partial file is complete.
  absl::Status Run() {
    curl_.reset(curl_easy_init());
    if (curl_ == nullptr) return absl::InternalError("cannot start libcurl");
    FT_RETURN_IF_ERROR(OpenPartial());
    int failures = 0;
    // The most bytes that any try so far has reached. A server that begins anew each time, and is
    // cut each time, brings nothing.
    uint64_t most = done_;
    for (int tries = 1;; ++tries) {
      absl::Status status = Try();
      if (!absl::IsUnavailable(status)) return status;
      failures = done_ > most ? 1 : failures + 1;
      most = std::max(most, done_);
      if (failures >= options_.tries || tries >= kMaxTries) return status;
      FT_RETURN_IF_ERROR(WaitBeforeRetry(status, failures));
    }
  }

  // Deletes the partial file and the file with its version, so that a later download starts from
  // the first byte.
  void Forget() const {
    unlink(partial_.c_str());
    unlink(validator_path_.c_str());
  }

  // Syncs the complete partial file to disk and renames it to `path`.
  absl::Status MoveTo(const std::string& path) const {
    if (fsync(file_.get()) != 0) return SystemError("cannot sync", partial_, errno);
    if (rename(partial_.c_str(), path.c_str()) != 0) {
      return SystemError("cannot rename to", path, errno);
    }
    unlink(validator_path_.c_str());
    return absl::OkStatus();
  }

 private:
  struct FreeCurl {
    void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
  };
  struct FreeList {
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
  };

  absl::Status OpenPartial() {
    file_ = Fd(open(partial_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666));
    if (!file_.ok()) return SystemError("cannot create", partial_, errno);
    const std::string saved = ReadFile(validator_path_, 4096).value_or("");
    absl::string_view validator = saved;
    struct stat info = {};
    if (absl::ConsumePrefix(&validator, absl::StrCat(BootId(), "\n")) &&
        fstat(file_.get(), &info) == 0) {
      validator_ = std::string(validator);
      done_ = info.st_size;
    }
    return absl::OkStatus();
  }

  absl::Status StartOver() {
    done_ = 0;
    validator_.clear();
    unlink(validator_path_.c_str());
    if (ftruncate(file_.get(), 0) != 0) return SystemError("cannot write", partial_, errno);
    return absl::OkStatus();
  }

  absl::Status WaitBeforeRetry(const absl::Status& status, int failures) const {
    int64_t left = int64_t{options_.retry_delay_milliseconds} << std::min(failures - 1, 6);
    if (options_.notice) {
      options_.notice(absl::StrCat(status.message(), "; trying again in ",
                                   static_cast<double>(left) / 1000, " s"));
    }
    while (left > 0) {
      const int64_t step = std::min<int64_t>(left, 100);
      std::this_thread::sleep_for(std::chrono::milliseconds(step));
      left -= step;
      if (options_.progress && !options_.progress(done_, 0)) return Cancelled();
    }
    return absl::OkStatus();
  }

  absl::Status Cancelled() const {
    return absl::CancelledError(absl::StrCat("the download of ", Shown(url_), " was stopped"));
  }

  // Downloads over one connection. The error Unavailable means that another connection may succeed.
  absl::Status Try() {
    response_ = Response();
    body_status_ = absl::OkStatus();
    if (validator_.empty() || done_ == 0) FT_RETURN_IF_ERROR(StartOver());
    CURL* curl = curl_.get();
    curl_easy_reset(curl);
    char message[CURL_ERROR_SIZE] = "";
    std::unique_ptr<curl_slist, FreeList> headers;
    std::string range;
    if (done_ > 0) {
      range = absl::StrCat(done_, "-");
      headers.reset(curl_slist_append(nullptr, absl::StrCat("If-Range: ", validator_).c_str()));
      if (headers == nullptr) return absl::ResourceExhaustedError("no memory for a header");
      curl_easy_setopt(curl, CURLOPT_RANGE, range.c_str());
      curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.get());
    }
    curl_easy_setopt(curl, CURLOPT_URL, url_.c_str());
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "finetune");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(curl, CURLOPT_MAXREDIRS, 10L);
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    // A redirect from https to http would bring bytes that nobody has vouched for.
    curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, IsHttps() ? "https" : "http,https");
#else
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS, CURLPROTO_HTTP | CURLPROTO_HTTPS);
    curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS,
                     IsHttps() ? CURLPROTO_HTTPS : CURLPROTO_HTTP | CURLPROTO_HTTPS);
#endif
    // Asks for the file's own bytes. With this option libcurl also unpacks the body of a server
    // that compresses it all the same.
    curl_easy_setopt(curl, CURLOPT_ACCEPT_ENCODING, "identity");
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, long{options_.connect_timeout_seconds});
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1024L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, long{options_.stall_timeout_seconds});
    // CURL_CA_BUNDLE is read by the program curl but not by libcurl.
    if (const char* ca = Environment("CURL_CA_BUNDLE")) curl_easy_setopt(curl, CURLOPT_CAINFO, ca);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, message);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, &Download::OnHeader);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, this);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &Download::OnBody);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, this);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, &Download::OnProgress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, this);

    body_started_ = false;
    const CURLcode code = curl_easy_perform(curl);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, nullptr);
    if (code == CURLE_OK && !body_started_) {
      return absl::DataLossError(absl::StrCat(Shown(url_), " is empty"));
    }
    FT_RETURN_IF_ERROR(Judge(code, message));
    if (!response_.file_size.has_value() || done_ == *response_.file_size) return absl::OkStatus();
    // Some servers send only so many bytes of a range at once; the next connection goes on from
    // there.
    const std::string found =
        absl::StrCat("cannot download ", Shown(url_), ": found ", done_,
                     " bytes, but the server says that the file has ", *response_.file_size);
    if (done_ > *response_.file_size) FT_RETURN_IF_ERROR(StartOver());
    return absl::UnavailableError(found);
  }

  bool IsHttps() const { return Scheme(url_) == "https"; }

  absl::Status Judge(CURLcode code, const char* message) {
    const std::string what = absl::StrCat("cannot download ", Shown(url_), ": ");
    switch (code) {
      case CURLE_OK:
        return absl::OkStatus();
      case CURLE_WRITE_ERROR:
        if (!body_status_.ok()) return body_status_;
        break;
      case CURLE_ABORTED_BY_CALLBACK:
        return Cancelled();
      case CURLE_HTTP_RETURNED_ERROR: {
        const std::string status = absl::StrCat(what, "the server answers ", response_.code);
        if (response_.code == 416) {
          // HTTP 416: the partial file is at least as long as the server's file. Either that file
          // has changed or the partial file is complete already. Download it again.
          FT_RETURN_IF_ERROR(StartOver());
          return absl::UnavailableError(status);
        }
        if (response_.code == 408 || response_.code == 429 || response_.code >= 500) {
          return absl::UnavailableError(status);
        }
        if (response_.code == 404 || response_.code == 410) {
          return absl::NotFoundError(
              absl::StrCat(status, " (there is no such file); correct ", options_.field));
        }
        return absl::PermissionDeniedError(absl::StrCat(status, Advice()));
      }
      case CURLE_COULDNT_RESOLVE_PROXY:
        // libcurl's text may hold the proxy's password.
        return absl::UnavailableError(
            absl::StrCat(what,
                         "the proxy that the environment names (http_proxy, https_proxy or "
                         "all_proxy) is not found; correct that variable, or name the server in "
                         "no_proxy",
                         Advice()));
      case CURLE_UNSUPPORTED_PROTOCOL:
        return absl::FailedPreconditionError(absl::StrCat(
            what, "the server redirects to a URL of another scheme; expected ",
            IsHttps() ? "https" : "http or https", ", give the URL of the file itself"));
      case CURLE_PEER_FAILED_VERIFICATION:
      case CURLE_SSL_CACERT_BADFILE:
        return absl::FailedPreconditionError(absl::StrCat(
            what, Text(code, message),
            "; if this network has a certificate authority of its own, set CURL_CA_BUNDLE to the "
            "file with its certificate",
            Advice()));
      case CURLE_BAD_CONTENT_ENCODING: {
        const absl::Status status =
            absl::UnavailableError(absl::StrCat(what, Text(code, message), Advice()));
        FT_RETURN_IF_ERROR(StartOver());
        return status;
      }
      case CURLE_COULDNT_RESOLVE_HOST:
      case CURLE_COULDNT_CONNECT:
      case CURLE_OPERATION_TIMEDOUT:
      case CURLE_PARTIAL_FILE:
      case CURLE_GOT_NOTHING:
      case CURLE_SEND_ERROR:
      case CURLE_RECV_ERROR:
      case CURLE_HTTP2:
      case CURLE_HTTP2_STREAM:
      case CURLE_SSL_CONNECT_ERROR:
        return absl::UnavailableError(absl::StrCat(what, Text(code, message), Advice()));
      default:
        break;
    }
    return absl::FailedPreconditionError(absl::StrCat(what, Text(code, message), Advice()));
  }

  static std::string Text(CURLcode code, const char* message) {
    return HideSecrets(*message != '\0' ? message : curl_easy_strerror(code));
  }

  std::string Advice() const {
    return absl::StrCat("; on a machine without a network, download it elsewhere and set ",
                        options_.field, " to its path");
  }

  static size_t OnHeader(char* data, size_t size, size_t n, void* self) {
    static_cast<Download*>(self)->Header({data, size * n});
    return size * n;
  }

  void Header(absl::string_view line) {
    line = absl::StripAsciiWhitespace(line);
    if (absl::StartsWith(line, "HTTP/")) {
      // A status line. After a redirect there is another one, with new headers.
      response_ = Response();
      const absl::string_view code = line.substr(std::min(line.find(' '), line.size()));
      (void)absl::SimpleAtoi(absl::StripLeadingAsciiWhitespace(code).substr(0, 3), &response_.code);
      return;
    }
    const size_t colon = line.find(':');
    if (colon == absl::string_view::npos) return;
    const absl::string_view name = line.substr(0, colon);
    const absl::string_view value = absl::StripLeadingAsciiWhitespace(line.substr(colon + 1));
    if (value.size() > 256) return;
    // A weak ETag (W/"...") is ignored: two files with the same one are equivalent, but need not
    // have equal bytes.
    if (absl::EqualsIgnoreCase(name, "etag") && absl::StartsWith(value, "\"")) {
      response_.etag = std::string(value);
    } else if (absl::EqualsIgnoreCase(name, "last-modified")) {
      response_.last_modified = std::string(value);
    } else if (absl::EqualsIgnoreCase(name, "content-range")) {
      absl::string_view range = value;
      uint64_t start = 0;
      uint64_t size = 0;
      if (absl::ConsumePrefix(&range, "bytes ") &&
          absl::SimpleAtoi(range.substr(0, range.find('-')), &start)) {
        response_.range_start = start;
        // "*" stands for a size that the server does not know.
        if (absl::SimpleAtoi(range.substr(range.find('/') + 1), &size)) response_.file_size = size;
      }
    } else if (absl::EqualsIgnoreCase(name, "content-encoding")) {
      response_.compressed = !absl::EqualsIgnoreCase(value, "identity");
    }
  }

  static size_t OnBody(char* data, size_t size, size_t n, void* self_pointer) {
    auto* self = static_cast<Download*>(self_pointer);
    self->body_status_ = self->Body({data, size * n});
    return self->body_status_.ok() ? size * n : 0;
  }

  absl::Status Body(absl::string_view bytes) {
    if (!body_started_) {
      body_started_ = true;
      FT_RETURN_IF_ERROR(StartBody());
    }
    if (bytes.size() > options_.max_bytes - std::min(done_, options_.max_bytes)) {
      return absl::ResourceExhaustedError(
          absl::StrCat(Shown(url_), " is larger than ", options_.max_bytes,
                       " bytes; is it the checkpoint that ", options_.field, " means?"));
    }
    while (!bytes.empty()) {
      const ssize_t n = pwrite(file_.get(), bytes.data(), bytes.size(), static_cast<off_t>(done_));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return SystemError("cannot write", partial_, errno);
      done_ += n;
      bytes.remove_prefix(n);
    }
    return absl::OkStatus();
  }

  // Prepares to write the body of a response, which is the rest of the file (status 206) or the
  // whole file (status 200).
  absl::Status StartBody() {
    resumed_from_ = 0;
    if (response_.code == 206) {
      if (done_ == 0 || response_.range_start != done_ || response_.compressed) {
        const bool asked = done_ > 0;
        const std::string what =
            absl::StrCat(Shown(url_), ": the server sends another part than asked for");
        FT_RETURN_IF_ERROR(StartOver());
        return asked ? absl::UnavailableError(what) : absl::FailedPreconditionError(what);
      }
      resumed_from_ = done_;
      return absl::OkStatus();
    }
    if (response_.code != 200) {
      return absl::FailedPreconditionError(
          absl::StrCat("cannot download ", Shown(url_), ": the server answers ", response_.code));
    }
    FT_RETURN_IF_ERROR(StartOver());
    // A cut body that was compressed is downloaded from the start again.
    if (response_.compressed) return absl::OkStatus();
    validator_ = !response_.etag.empty() ? response_.etag : response_.last_modified;
    return validator_.empty()
               ? absl::OkStatus()
               : WriteFileAtomically(validator_path_, absl::StrCat(BootId(), "\n", validator_));
  }

  static int OnProgress(void* self_pointer, curl_off_t total, curl_off_t, curl_off_t, curl_off_t) {
    const auto* self = static_cast<Download*>(self_pointer);
    if (!self->options_.progress) return 0;
    const uint64_t all = total > 0 ? total + self->resumed_from_ : 0;
    return self->options_.progress(self->done_, all) ? 0 : 1;
  }

  const std::string url_;
  const std::string partial_;
  const std::string validator_path_;
  const FetchOptions& options_;
  std::unique_ptr<CURL, FreeCurl> curl_;
  Fd file_;
  // done_: the number of bytes in the partial file. validator_: the ETag or Last-Modified time of
  // the server's file that they are from.
  uint64_t done_ = 0;
  std::string validator_;
  // The response of the current connection. resumed_from_: the position in the file at which its
  // body begins.
  Response response_;
  bool body_started_ = false;
  uint64_t resumed_from_ = 0;
  absl::Status body_status_;
};

// Returns the error for a file or folder of the cache that cannot be created.
absl::Status CacheError(const std::string& path, int error) {
  const absl::Status status = SystemError("cannot create", path, error);
  return absl::Status(status.code(), absl::StrCat(status.message(),
                                                  "; the cache of downloads must "
                                                  "be a folder that can be written: set "
                                                  "FINETUNE_CACHE to another one"));
}

// Takes a lock on the file `path`, which the system releases when this process ends. Waits while
// another process holds it. Returns an invalid Fd if the file system does not support locks.
absl::StatusOr<Fd> Lock(const std::string& path, const std::string& url,
                        const FetchOptions& options) {
  Fd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666));
  if (!fd.ok()) return CacheError(path, errno);
  for (bool told = false; flock(fd.get(), LOCK_EX | LOCK_NB) != 0;) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) return Fd();
    if (!told && options.notice) {
      options.notice(absl::StrCat("another process downloads ", Shown(url), "; waiting for it"));
    }
    told = true;
    if (options.progress && !options.progress(0, 0)) {
      return absl::CancelledError(absl::StrCat("waiting for ", Shown(url), " was stopped"));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  return fd;
}

// Checks a complete download: it must not be a web page, and must have the hash in its name.
absl::Status Verify(const std::string& path, const std::string& url, const FetchOptions& options) {
  const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  char head[16] = {};
  const ssize_t n = fd.ok() ? pread(fd.get(), head, sizeof(head), 0) : -1;
  if (n < 0) return SystemError("cannot read", path, errno);
  const absl::string_view start(head, n);
  if (absl::StartsWithIgnoreCase(start, "<!doctype") ||
      absl::StartsWithIgnoreCase(start, "<html")) {
    return absl::DataLossError(absl::StrCat(Shown(url), " is a web page and not a checkpoint; set ",
                                            options.field, " to the URL of the file itself"));
  }
  const std::string expected = HashInName(FileName(url));
  if (expected.empty()) return absl::OkStatus();
  FT_ASSIGN_OR_RETURN(const std::string hash, Sha256OfFile(path));
  if (!absl::StartsWith(hash, expected)) {
    return absl::DataLossError(absl::StrCat(
        "the download of ", Shown(url), " is damaged or another file: its SHA-256 starts with ",
        hash.substr(0, expected.size()), ", the file's name says ", expected,
        "; it was deleted, run again to download it anew"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> FetchUrl(const std::string& url, const FetchOptions& options) {
  std::string folder = options.cache_dir;
  if (folder.empty()) {
    FT_ASSIGN_OR_RETURN(folder, DefaultCheckpointCache());
  }
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) return CacheError(folder, error.value());
  // Two URLs may have the same file name, so the name in the cache contains a hash of the whole
  // URL.
  Sha256 url_hash;
  url_hash.Update(url);
  const std::string path =
      absl::StrCat(folder, "/", url_hash.HexDigest().substr(0, 12), "-", FileName(url));
  const auto is_there = [&] { return fs::is_regular_file(path, error); };
  if (is_there()) return path;
  FT_ASSIGN_OR_RETURN(const Fd lock, Lock(path + ".lock", url, options));
  if (is_there()) return path;

  // Without a lock other processes may download the same URL at the same time, so each has a
  // partial file of its own.
  const std::string partial =
      absl::StrCat(path, lock.ok() ? "" : absl::StrCat(".", getpid()), ".partial");
  Download download(url, partial, options);
  FT_RETURN_IF_ERROR(download.Run());
  const absl::Status verified = Verify(partial, url, options);
  if (!verified.ok()) {
    download.Forget();
    return verified;
  }
  FT_RETURN_IF_ERROR(download.MoveTo(path));
  return path;
}

}  // namespace

absl::StatusOr<std::string> DefaultCheckpointCache() {
  if (const char* cache = Environment("FINETUNE_CACHE")) return absl::StrCat(cache, "/checkpoints");
  if (const char* cache = Environment("XDG_CACHE_HOME")) {
    return absl::StrCat(cache, "/finetune/checkpoints");
  }
  if (const char* home = Environment("HOME")) {
    return absl::StrCat(home, "/.cache/finetune/checkpoints");
  }
  return absl::FailedPreconditionError(
      "no folder for downloads is known: set FINETUNE_CACHE to a folder (HOME is not set)");
}

absl::StatusOr<std::string> FetchToCache(const std::string& url_or_path,
                                         const FetchOptions& options) {
  const std::string scheme = Scheme(url_or_path);
  if (scheme.empty()) {
    if (absl::StartsWithIgnoreCase(url_or_path, "http:") ||
        absl::StartsWithIgnoreCase(url_or_path, "https:")) {
      return absl::InvalidArgumentError(absl::StrCat(
          options.field, ": found \"", Shown(url_or_path), "\"; expected \"//\" after the colon"));
    }
    return LocalFile(url_or_path, url_or_path, options);
  }
  if (scheme == "http" || scheme == "https") {
    if (!absl::StrContains(url_or_path, kHiddenSecret)) return FetchUrl(url_or_path, options);
    return absl::InvalidArgumentError(absl::StrCat(
        options.field, ": \"", url_or_path, "\" has ", kHiddenSecret,
        " where finetune hid a password, a token or a query when it wrote this config; give the "
        "whole URL: --set=",
        options.field, "=URL"));
  }
  if (scheme == "file") {
    absl::string_view path = absl::string_view(url_or_path).substr(7);
    absl::ConsumePrefix(&path, "localhost");
    const std::optional<std::string> decoded = PercentDecode(path);
    if (decoded && absl::StartsWith(*decoded, "/")) {
      return LocalFile(url_or_path, *decoded, options);
    }
    return absl::InvalidArgumentError(
        absl::StrCat(options.field, ": \"", url_or_path,
                     "\" is not a file URL; expected one like file:///folder/name.pth"));
  }
  return absl::InvalidArgumentError(absl::StrCat(options.field, ": \"", Shown(url_or_path),
                                                 "\": checkpoints come from a path, or a file://, "
                                                 "http:// or https:// URL, not from ",
                                                 scheme, "://"));
}

}  // namespace finetune
