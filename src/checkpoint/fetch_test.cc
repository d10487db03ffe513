#include "src/checkpoint/fetch.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/atomic_file.h"
#include "src/base/sha256.h"
#include "src/base/test_folder.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

// A response of the test's server. The connection is closed after it.
struct Answer {
  std::string status = "200 OK";
  std::vector<std::string> headers = {};
  std::string body = {};
  // The number of bytes of the body that are sent before the connection is closed. Unset: all.
  std::optional<size_t> cut = std::nullopt;
};

struct Request {
  std::string path;
  // range: the first byte that the Range header asks for. if_range: the value of the If-Range
  // header.
  std::optional<size_t> range;
  std::string if_range;
};

// An HTTP server on 127.0.0.1 that serves one connection at a time.
class Server {
 public:
  explicit Server(std::function<Answer(const Request&)> answer)
      : answer_(std::move(answer)), listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(listener_, 16), 0);
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { Serve(); });
  }
  ~Server() {
    shutdown(listener_, SHUT_RDWR);
    thread_.join();
    close(listener_);
  }

  std::string Url(const std::string& path) const {
    return absl::StrCat("http://127.0.0.1:", port_, path);
  }
  std::vector<Request> requests() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return requests_;
  }

 private:
  void Serve() {
    while (true) {
      const int connection = accept(listener_, nullptr, nullptr);
      if (connection < 0) return;
      std::string head;
      char chunk[4096];
      while (!absl::StrContains(head, "\r\n\r\n")) {
        const ssize_t n = read(connection, chunk, sizeof(chunk));
        if (n <= 0) break;
        head.append(chunk, n);
      }
      const Request request = Parse(head);
      {
        const std::lock_guard<std::mutex> lock(mutex_);
        requests_.push_back(request);
      }
      Send(connection, answer_(request));
      close(connection);
    }
  }

  static Request Parse(const std::string& head) {
    Request request;
    const std::vector<std::string> lines = absl::StrSplit(head, "\r\n");
    request.path = std::vector<std::string>(absl::StrSplit(lines[0], ' ')).at(1);
    for (absl::string_view line : lines) {
      if (absl::ConsumePrefix(&line, "Range: bytes=")) {
        size_t first = 0;
        EXPECT_TRUE(absl::SimpleAtoi(absl::StripSuffix(line, "-"), &first));
        request.range = first;
      }
      if (absl::ConsumePrefix(&line, "If-Range: ")) request.if_range = std::string(line);
    }
    return request;
  }

  static void Send(int connection, const Answer& answer) {
    std::string text = absl::StrCat("HTTP/1.1 ", answer.status, "\r\nConnection: close\r\n");
    for (const std::string& header : answer.headers) absl::StrAppend(&text, header, "\r\n");
    absl::StrAppend(&text, "Content-Length: ", answer.body.size(), "\r\n\r\n",
                    answer.body.substr(0, answer.cut.value_or(answer.body.size())));
    for (size_t sent = 0; sent < text.size();) {
      const ssize_t n = send(connection, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
      if (n <= 0) return;
      sent += n;
    }
  }

  const std::function<Answer(const Request&)> answer_;
  const int listener_;
  int port_ = 0;
  mutable std::mutex mutex_;
  std::vector<Request> requests_;
  std::thread thread_;
};

// Returns the response of a correct server that supports byte ranges. `body`, `etag`: the file's
// content and version.
Answer Serve(const std::string& body, const std::string& etag, const Request& request) {
  Answer answer{.headers = {"ETag: " + etag}, .body = body};
  if (request.range && (request.if_range.empty() || request.if_range == etag)) {
    if (*request.range >= body.size()) return {.status = "416 Range Not Satisfiable"};
    answer.status = "206 Partial Content";
    answer.headers.push_back(absl::StrCat("Content-Range: bytes ", *request.range, "-",
                                          body.size() - 1, "/", body.size()));
    answer.body = body.substr(*request.range);
  }
  return answer;
}

class FetchTest : public testing::Test {
 protected:
  FetchTest() {
    options_.cache_dir = EmptyTestFolder() + "/cache";
    options_.retry_delay_milliseconds = 0;
    options_.notice = [this](const std::string& sentence) { notices_.push_back(sentence); };
    // If the machine uses a proxy, requests to 127.0.0.1 must not go there.
    setenv("no_proxy", "127.0.0.1", 1);
    for (int i = 0; i < 200'000; ++i) body_ += static_cast<char>(i * 31 + i / 256);
    Sha256 sha;
    sha.Update(body_);
    name_ = absl::StrCat("/resnet18-", sha.HexDigest().substr(0, 8), ".pth");
  }

  std::string Fetch(const std::string& url) {
    const absl::StatusOr<std::string> path = FetchToCache(url, options_);
    EXPECT_TRUE(path.ok()) << path.status();
    return path.ok() ? *path : "";
  }

  // Fetches the body from a server that closes its first connection too early. Each response has
  // the whole file and `header`. Returns the second request.
  Request RequestAfterACut(const std::string& header) {
    std::atomic<int> answers = 0;
    Server server([&](const Request&) {
      Answer answer{.headers = {header}, .body = body_};
      if (++answers == 1) answer.cut = 100'000;
      return answer;
    });
    EXPECT_EQ(*ReadFile(Fetch(server.Url(name_))), body_);
    return server.requests().at(1);
  }

  // Returns the names of the files in the cache, except the locks.
  std::vector<std::string> Cached() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(options_.cache_dir)) {
      if (entry.path().extension() != ".lock") names.push_back(entry.path().filename());
    }
    return names;
  }

  // Returns the path of the cache's only lock; "" if there is none.
  std::string LockPath() const {
    for (const auto& entry : fs::directory_iterator(options_.cache_dir)) {
      if (entry.path().extension() == ".lock") return entry.path();
    }
    return "";
  }

  FetchOptions options_;
  std::vector<std::string> notices_;
  std::string body_;
  // The path of a URL whose file name ends in the beginning of the body's SHA-256.
  std::string name_;
};

TEST_F(FetchTest, DownloadsAUrlOnce) {
  Server server([&](const Request& request) { return Serve(body_, "\"1\"", request); });
  uint64_t last_done = 0;
  uint64_t last_total = 0;
  options_.progress = [&](uint64_t done, uint64_t total) {
    last_done = done;
    last_total = total;
    return true;
  };
  const std::string path = Fetch(server.Url(name_));
  EXPECT_EQ(*ReadFile(path), body_);
  EXPECT_EQ(last_done, body_.size());
  EXPECT_EQ(last_total, body_.size());
  EXPECT_EQ(Fetch(server.Url(name_)), path);
  EXPECT_EQ(server.requests().size(), 1u);
  EXPECT_THAT(Cached(), ElementsAre(fs::path(path).filename().string()));
}

TEST_F(FetchTest, KeepsFilesOfOneNameFromTwoPlacesApart) {
  Server server([&](const Request& request) { return Serve(request.path, "\"1\"", request); });
  EXPECT_EQ(*ReadFile(Fetch(server.Url("/a/x.pth"))), "/a/x.pth");
  EXPECT_EQ(*ReadFile(Fetch(server.Url("/b/x.pth"))), "/b/x.pth");
}

TEST_F(FetchTest, ResumesACutConnection) {
  Server server([&](const Request& request) {
    Answer answer = Serve(body_, "\"1\"", request);
    if (answer.body.size() > 60'000) answer.cut = 60'000;
    return answer;
  });
  EXPECT_EQ(*ReadFile(Fetch(server.Url(name_))), body_);
  ASSERT_EQ(server.requests().size(), 4u);
  EXPECT_EQ(server.requests()[3].range, 180'000u);
  EXPECT_EQ(server.requests()[3].if_range, "\"1\"");
  ASSERT_EQ(notices_.size(), 3u);
  EXPECT_THAT(notices_[0], AllOf(HasSubstr(name_), HasSubstr("trying again")));
}

TEST_F(FetchTest, ResumesADownloadOfADeadProcess) {
  std::atomic<int> answers = 0;
  Server server([&](const Request& request) {
    Answer answer = Serve(body_, "\"1\"", request);
    if (++answers == 1) answer.cut = 60'000;
    return answer;
  });
  options_.tries = 1;
  EXPECT_EQ(FetchToCache(server.Url(name_), options_).status().code(),
            absl::StatusCode::kUnavailable);
  EXPECT_EQ(*ReadFile(Fetch(server.Url(name_))), body_);
  EXPECT_EQ(server.requests().at(1).range, 60'000u);
}

// A crash of the machine may leave zeros in the partial file, which is not synced.
TEST_F(FetchTest, StartsOverAfterACrashOfTheMachine) {
  std::atomic<int> answers = 0;
  Server server([&](const Request& request) {
    Answer answer = Serve(body_, "\"1\"", request);
    if (++answers == 1) answer.cut = 60'000;
    return answer;
  });
  options_.tries = 1;
  EXPECT_FALSE(FetchToCache(server.Url(name_), options_).ok());
  for (const auto& entry : fs::directory_iterator(options_.cache_dir)) {
    if (entry.path().extension() != ".validator") continue;
    std::string text = *ReadFile(entry.path());
    ASSERT_TRUE(absl::EndsWith(text, "\n\"1\"")) << text;
    text[0] = text[0] == 'a' ? 'b' : 'a';  // the id of another start
    ASSERT_TRUE(WriteFileAtomically(entry.path(), text).ok());
  }
  EXPECT_EQ(*ReadFile(Fetch(server.Url(name_))), body_);
  EXPECT_FALSE(server.requests().at(1).range.has_value());
}

TEST_F(FetchTest, StopsWhenTheCallerAsks) {
  Server server([&](const Request& request) { return Serve(body_, "\"1\"", request); });
  options_.progress = [](uint64_t, uint64_t) { return false; };
  EXPECT_EQ(FetchToCache(server.Url(name_), options_).status().code(),
            absl::StatusCode::kCancelled);
}

TEST_F(FetchTest, StartsOverWhereThePartIsLongerThanTheFile) {
  std::atomic<int> answers = 0;
  Server server([&](const Request& request) {
    if (++answers > 1) return Serve(body_, "\"1\"", request);
    Answer answer = Serve(body_ + "tail", "\"1\"", request);
    answer.cut = body_.size();
    return answer;
  });
  EXPECT_EQ(*ReadFile(Fetch(server.Url(name_))), body_);
  EXPECT_EQ(server.requests().size(), 3u);
}

TEST_F(FetchTest, StartsOverWhereTheFileChanged) {
  std::atomic<int> answers = 0;
  Server server([&](const Request& request) {
    if (++answers > 1) return Serve(body_, "\"2\"", request);
    Answer answer = Serve(std::string(200'000, 'x'), "\"1\"", request);
    answer.cut = 100'000;
    return answer;
  });
  EXPECT_EQ(*ReadFile(Fetch(server.Url(name_))), body_);
  EXPECT_EQ(server.requests()[1].if_range, "\"1\"");
}

TEST_F(FetchTest, StartsOverWhereTheServerHasNoRanges) {
  const Request again = RequestAfterACut("Last-Modified: Wed, 21 Oct 2015 07:28:00 GMT");
  EXPECT_EQ(again.if_range, "Wed, 21 Oct 2015 07:28:00 GMT");
}

TEST_F(FetchTest, StartsOverWhereTheServerNamesNoVersion) {
  EXPECT_FALSE(RequestAfterACut("ETag: W/\"weak\"").range.has_value());
}

TEST_F(FetchTest, RefusesAWrongHashAndKeepsNothing) {
  Server server([&](const Request& request) { return Serve(body_, "\"1\"", request); });
  const absl::Status status =
      FetchToCache(server.Url("/resnet50_8xb32_in1k_20210831-ea4938fc.pth"), options_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("ea4938fc"), HasSubstr("SHA-256")));
  EXPECT_TRUE(Cached().empty());
}

TEST_F(FetchTest, DoesNotTakeDatesAndStepNumbersForAHash) {
  Server server([&](const Request& request) { return Serve(body_, "\"1\"", request); });
  for (const char* name : {"/resnet50-20210831.pth", "/ckpt-00012000.pth"}) {
    EXPECT_EQ(*ReadFile(Fetch(server.Url(name))), body_) << name;
  }
}

TEST_F(FetchTest, TriesAMissingFileOnce) {
  Server server(
      [](const Request&) { return Answer{.status = "404 Not Found", .body = "<html>no</html>"}; });
  const absl::Status status = FetchToCache(server.Url("/x.pth"), options_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("/x.pth"), HasSubstr("404"),
                    HasSubstr("model.backbone.pretrained.checkpoint")));
  EXPECT_EQ(server.requests().size(), 1u);
}

TEST_F(FetchTest, TriesAServerInTroubleAgain) {
  std::atomic<int> answers = 0;
  Server server([&](const Request& request) {
    return ++answers < 3 ? Answer{.status = "503 Service Unavailable"}
                         : Serve(body_, "\"1\"", request);
  });
  EXPECT_EQ(*ReadFile(Fetch(server.Url(name_))), body_);

  answers = -100;
  options_.tries = 3;
  const absl::Status status = FetchToCache(server.Url("/other.pth"), options_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(answers, -97);
}

TEST_F(FetchTest, ReportsAnUnreachableServerAsUnavailable) {
  options_.tries = 2;
  std::string url;
  {
    Server server([](const Request&) { return Answer{}; });
    url = server.Url("/x.pth");
  }
  const absl::Status status = FetchToCache(url, options_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("/x.pth"), HasSubstr("without a network")));
}

TEST_F(FetchTest, FollowsRedirectsToTheWebOnly) {
  Server server([&](const Request& request) {
    if (request.path == "/away.pth") {
      return Answer{.status = "302 Found", .headers = {"Location: /there.pth"}};
    }
    if (request.path == "/there.pth") return Serve(body_, "\"1\"", request);
    return Answer{.status = "302 Found", .headers = {"Location: file:///etc/passwd"}};
  });
  EXPECT_EQ(*ReadFile(Fetch(server.Url("/away.pth"))), body_);
  EXPECT_FALSE(FetchToCache(server.Url("/inside.pth"), options_).ok());
}

TEST_F(FetchTest, RefusesAWebPage) {
  Server server(
      [](const Request&) { return Answer{.body = "<!DOCTYPE html><html>Log in</html>"}; });
  const absl::Status status = FetchToCache(server.Url("/x.pth"), options_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("web page"));
  EXPECT_TRUE(Cached().empty());
}

TEST_F(FetchTest, RefusesEmptyAndOversizedFiles) {
  Server server([&](const Request& request) {
    return Serve(request.path == "/empty.pth" ? "" : body_, "\"1\"", request);
  });
  EXPECT_EQ(FetchToCache(server.Url("/empty.pth"), options_).status().code(),
            absl::StatusCode::kDataLoss);
  options_.max_bytes = body_.size() - 1;
  EXPECT_EQ(FetchToCache(server.Url("/large.pth"), options_).status().code(),
            absl::StatusCode::kResourceExhausted);
  options_.max_bytes = body_.size();
  EXPECT_TRUE(FetchToCache(server.Url("/large.pth"), options_).ok());
}

TEST_F(FetchTest, KeepsSecretsOfAUrlOutOfMessagesAndFileNames) {
  Server server([&](const Request& request) {
    return absl::StrContains(request.path, "x.pth") ? Answer{.status = "403 Forbidden"}
                                                    : Serve(body_, "\"1\"", request);
  });
  std::string url = server.Url("/x.pth?token=secret1");
  url.insert(url.find("127"), "user:secret2@");
  const absl::Status status = FetchToCache(url, options_).status();
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("/x.pth"), Not(HasSubstr("secret"))));
  url = server.Url("");
  url.insert(url.find("127"), "user:secret@");
  EXPECT_THAT(Fetch(url), Not(HasSubstr("secret")));
  url = server.Url("/?secret");
  EXPECT_THAT(Fetch(url), Not(HasSubstr("secret")));
}

TEST_F(FetchTest, RefusesAUrlWhoseSecretsAConfigHides) {
  options_.field = "the_field";
  for (const char* url : {"https://***@host/x.pth", "http://host/x.pth?***"}) {
    const absl::Status status = FetchToCache(url, options_).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()),
                HasSubstr("give the whole URL: --set=the_field=URL"));
  }
  EXPECT_THAT(std::string(FetchToCache("https:/me:secret@host/x.pth", options_).status().message()),
              AllOf(HasSubstr("https:/***@host/x.pth"), HasSubstr("expected \"//\"")));
}

TEST_F(FetchTest, NamesTheVariableForACacheThatCannotBeMade) {
  options_.cache_dir = "/proc/cache";
  EXPECT_THAT(std::string(FetchToCache("http://host/x.pth", options_).status().message()),
              AllOf(HasSubstr("/proc/cache"), HasSubstr("FINETUNE_CACHE")));
}

TEST_F(FetchTest, TakesTheLockOfAProcessThatWasKilled) {
  int asked[2];
  ASSERT_EQ(pipe(asked), 0);
  std::atomic<int> answers = 0;
  Server server([&](const Request& request) {
    Answer answer = Serve(body_, "\"1\"", request);
    if (++answers > 1) return answer;
    EXPECT_EQ(write(asked[1], "a", 1), 1);
    answer.cut = 60'000;
    return answer;
  });
  const std::string url = server.Url(name_);
  const pid_t child = fork();
  if (child == 0) {
    options_.retry_delay_milliseconds = 60'000;  // it holds the lock while it waits
    (void)FetchToCache(url, options_);
    _exit(1);
  }
  char byte = 0;
  ASSERT_EQ(read(asked[0], &byte, 1), 1);
  kill(child, SIGKILL);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_TRUE(fs::exists(LockPath())) << "the dead process left its lock";
  EXPECT_EQ(*ReadFile(Fetch(url)), body_);
  EXPECT_TRUE(notices_.empty()) << notices_[0];
  close(asked[0]);
  close(asked[1]);
}

TEST_F(FetchTest, DownloadsOnceForTenProcesses) {
  // The server sends the file only when the nine other processes have reported that they wait for
  // the first one (or one has asked for the file too, which would be wrong).
  constexpr int kProcesses = 10;
  int waiting[2];
  ASSERT_EQ(pipe(waiting), 0);
  Server server([&](const Request& request) {
    for (int i = 1; i < kProcesses; ++i) {
      char byte;
      EXPECT_EQ(read(waiting[0], &byte, 1), 1);
    }
    return Serve(body_, "\"1\"", request);
  });
  const std::string url = server.Url(name_);
  options_.notice = [&](const std::string&) { EXPECT_EQ(write(waiting[1], "w", 1), 1); };
  pid_t children[kProcesses];
  for (pid_t& child : children) {
    child = fork();
    if (child == 0) {
      const absl::StatusOr<std::string> path = FetchToCache(url, options_);
      _exit(path.ok() && ReadFile(*path).value_or("") == body_ ? 0 : 1);
    }
  }
  for (const pid_t child : children) {
    int status = -1;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  EXPECT_EQ(server.requests().size(), 1u);
  close(waiting[0]);
  close(waiting[1]);
}

TEST_F(FetchTest, ReturnsLocalFilesAsTheyAre) {
  const std::string path = testing::TempDir() + "/with space.pth";
  std::ofstream(path) << "x";
  EXPECT_EQ(Fetch(path), path);
  EXPECT_EQ(Fetch("file://" + testing::TempDir() + "/with%20space.pth"), path);
  EXPECT_EQ(Fetch("FILE://localhost" + path), path);
  setenv("HOME", testing::TempDir().c_str(), 1);
  EXPECT_EQ(fs::canonical(Fetch("~/with space.pth")), fs::canonical(path));
}

TEST_F(FetchTest, NamesTheSettingForAPathThatCannotBeFetched) {
  options_.field = "the_field";
  const auto error = [&](const std::string& what) {
    return std::string(FetchToCache(what, options_).status().message());
  };
  EXPECT_THAT(error("no/such.pth"),
              AllOf(HasSubstr("the_field"), HasSubstr(fs::absolute("no/such.pth").string())));
  EXPECT_THAT(error("/tmp"), HasSubstr("is a folder"));
  EXPECT_THAT(error("torchvision://resnet50"),
              AllOf(HasSubstr("the_field"), HasSubstr("not from torchvision://")));
  EXPECT_THAT(error("file://host/x.pth"), HasSubstr("file:///folder/name.pth"));
  EXPECT_THAT(error("file:///x%0"), HasSubstr("not a file URL"));
}

TEST_F(FetchTest, PutsTheCacheWhereTheEnvironmentSays) {
  setenv("HOME", "/h", 1);
  unsetenv("XDG_CACHE_HOME");
  unsetenv("FINETUNE_CACHE");
  EXPECT_EQ(*DefaultCheckpointCache(), "/h/.cache/finetune/checkpoints");
  setenv("XDG_CACHE_HOME", "/x", 1);
  EXPECT_EQ(*DefaultCheckpointCache(), "/x/finetune/checkpoints");
  setenv("FINETUNE_CACHE", "/f", 1);
  EXPECT_EQ(*DefaultCheckpointCache(), "/f/checkpoints");
}

}  // namespace
}  // namespace finetune
