// Downloads from https_server.py: certificates, redirects to other hosts and schemes, a proxy, and
// servers that cut, drip, compress or send parts. fetch_test.cc has the rest, over plain HTTP.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/atomic_file.h"
#include "src/base/sha256.h"
#include "src/base/test_folder.h"
#include "src/checkpoint/fetch.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class FetchHttpsTest : public testing::Test {
 protected:
  void SetUp() override {
    if (std::system("openssl version >/dev/null && python3 --version >/dev/null") != 0) {
      GTEST_SKIP() << "the server of this test needs the programs openssl and python3";
    }
    folder_ = EmptyTestFolder();
    for (int i = 0; i < 200'000; ++i) body_ += static_cast<char>(i * 31 + i / 256);
    std::ofstream(folder_ + "/file") << body_;
    ASSERT_NO_FATAL_FAILURE(StartServer());
    options_.cache_dir = folder_ + "/cache";
    options_.retry_delay_milliseconds = 0;
    options_.tries = 2;
    // The machine's own proxy must not get the requests.
    setenv("no_proxy", "127.0.0.1,localhost", 1);
    setenv("CURL_CA_BUNDLE", (folder_ + "/here.pem").c_str(), 1);
  }

  void TearDown() override {
    if (server_ <= 0) return;
    close(to_server_);
    kill(server_, SIGKILL);
    waitpid(server_, nullptr, 0);
  }

  std::string Here(const std::string& path) const {
    return absl::StrCat("https://127.0.0.1:", ports_.at(0), path);
  }
  std::string Elsewhere(const std::string& path) const {
    return absl::StrCat("https://127.0.0.1:", ports_.at(1), path);
  }
  std::string Plain(const std::string& path) const {
    return absl::StrCat("http://127.0.0.1:", ports_.at(2), path);
  }
  // Returns an address for https_proxy. `user`: "name:password@", or "".
  std::string ProxyOf(const std::string& user) const {
    return absl::StrCat("http://", user, "127.0.0.1:", ports_.at(3));
  }

  void ExpectFetches(const std::string& url) {
    const absl::StatusOr<std::string> path = FetchToCache(url, options_);
    ASSERT_TRUE(path.ok()) << path.status();
    EXPECT_TRUE(*ReadFile(*path) == body_) << "other bytes";
  }

  // Expects that nothing is kept under a final name in the cache. Returns the error.
  absl::Status ExpectRefuses(const std::string& url) {
    const absl::Status status = FetchToCache(url, options_).status();
    EXPECT_FALSE(status.ok());
    for (const auto& entry : fs::directory_iterator(options_.cache_dir)) {
      EXPECT_NE(entry.path().extension(), ".pth") << entry.path();
    }
    return status;
  }

  // Returns the requests that the servers have got: "SERVER PATH range=... authorization=...".
  std::vector<std::string> Requests() const {
    return absl::StrSplit(ReadFile(folder_ + "/log").value_or(""), '\n', absl::SkipEmpty());
  }

  std::string folder_, body_;
  FetchOptions options_;

 private:
  void StartServer() {
    int input[2], output[2];
    ASSERT_EQ(pipe(input), 0);
    ASSERT_EQ(pipe(output), 0);
    server_ = fork();
    if (server_ == 0) {
      dup2(input[0], STDIN_FILENO);
      dup2(output[1], STDOUT_FILENO);
      for (const int fd : {input[0], input[1], output[0], output[1]}) close(fd);
      execlp("python3", "python3", "src/checkpoint/https_server.py", folder_.c_str(), nullptr);
      _exit(127);
    }
    close(input[0]);
    close(output[1]);
    to_server_ = input[1];
    std::string line;
    char c = 0;
    while (read(output[0], &c, 1) == 1 && c != '\n') line += c;
    close(output[0]);
    ports_ = absl::StrSplit(line, ' ');
    ASSERT_EQ(ports_.size(), 4u) << "the server has not started";
  }

  pid_t server_ = -1;
  int to_server_ = -1;
  std::vector<std::string> ports_;
};

TEST_F(FetchHttpsTest, TakesAFileFromAServerWhoseCertificateIsKnown) {
  ExpectFetches(Here("/x.pth"));
}

TEST_F(FetchHttpsTest, RefusesACertificateThatNobodyKnowsAndNamesTheVariable) {
  unsetenv("CURL_CA_BUNDLE");
  const absl::Status status = ExpectRefuses(Here("/x.pth"));
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("/x.pth"), HasSubstr("certificate"), HasSubstr("CURL_CA_BUNDLE")));
  EXPECT_THAT(Requests(), IsEmpty());
}

TEST_F(FetchHttpsTest, RefusesTheCertificateOfAnotherHost) {
  setenv("CURL_CA_BUNDLE", (folder_ + "/elsewhere.pem").c_str(), 1);
  const absl::Status status = ExpectRefuses(Elsewhere("/x.pth"));
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("certificate"));
  EXPECT_THAT(Requests(), IsEmpty());
}

TEST_F(FetchHttpsTest, FollowsARedirectToAnotherHostWithoutThePassword) {
  std::string url = Here("/to-https.pth");
  url.insert(url.find("127"), "me:word@");
  ExpectFetches(url);
  ASSERT_EQ(Requests().size(), 2u);
  EXPECT_THAT(Requests()[0], AllOf(HasSubstr("/to-https.pth"), HasSubstr("authorization=Basic")));
  EXPECT_THAT(Requests()[1], AllOf(HasSubstr("/there.pth"), HasSubstr("authorization=None")));
}

TEST_F(FetchHttpsTest, FollowsARedirectFromHttpToHttpsButNotBack) {
  const absl::Status status = ExpectRefuses(Here("/to-http.pth"));
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("redirects"), HasSubstr("expected https,")));
  EXPECT_THAT(Requests().back(), HasSubstr("https /to-http.pth"));
  ExpectFetches(Plain("/to-https.pth"));
}

TEST_F(FetchHttpsTest, FollowsARedirectToNoOtherSchemeAndNotForEver) {
  for (const char* path : {"/to-ftp.pth", "/to-file.pth"}) {
    for (const std::string& url : {Here(path), Plain(path)}) {
      EXPECT_THAT(std::string(ExpectRefuses(url).message()),
                  AllOf(HasSubstr(path), HasSubstr("redirects to a URL of another scheme")));
    }
  }
  EXPECT_THAT(std::string(ExpectRefuses(Here("/round.pth")).message()), HasSubstr("/round.pth"));
}

TEST_F(FetchHttpsTest, FetchesPartByPartFromAServerThatSendsOnlySoMuchAtOnce) {
  ExpectFetches(Here("/parts.pth"));
  const std::vector<std::string> requests = Requests();
  ASSERT_EQ(requests.size(), 4u);
  EXPECT_THAT(requests[1], HasSubstr("range=bytes=60000-"));
  EXPECT_THAT(requests[3], HasSubstr("range=bytes=180000-"));
}

TEST_F(FetchHttpsTest, RefusesACutFileByItsHashWhereTheServerSaysNoLength) {
  Sha256 sha;
  sha.Update(body_);
  const absl::Status status =
      ExpectRefuses(Here(absl::StrCat("/cut-", sha.HexDigest().substr(0, 8), ".pth")));
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
}

TEST_F(FetchHttpsTest, RefusesAFileShorterThanTheServerSays) {
  const absl::Status status = ExpectRefuses(Here("/too-long.pth"));
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
}

TEST_F(FetchHttpsTest, GivesUpAConnectionThatOnlyDrips) {
  options_.stall_timeout_seconds = 1;
  options_.tries = 1;
  const absl::Status status = ExpectRefuses(Here("/drip.pth"));
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("too slow"));
}

TEST_F(FetchHttpsTest, UnpacksABodyThatTheServerCompresses) {
  ExpectFetches(Here("/zipped.pth"));
  ExpectFetches(Here("/zipped-and-cut.pth"));
  // A position in the compressed body is not one in the file, so the cut one starts over.
  EXPECT_THAT(Requests().back(), AllOf(HasSubstr("/zipped-and-cut.pth"), HasSubstr("range=None")));
}

TEST_F(FetchHttpsTest, RefusesABodyThatIsNotCompressedAsTheServerSays) {
  EXPECT_EQ(ExpectRefuses(Here("/not-zipped.pth")).code(), absl::StatusCode::kUnavailable);
}

TEST_F(FetchHttpsTest, GoesThroughTheProxyThatTheEnvironmentNames) {
  unsetenv("no_proxy");
  setenv("https_proxy", ProxyOf("me:word@").c_str(), 1);
  ExpectFetches(Here("/x.pth"));
  EXPECT_THAT(Requests().front(), AllOf(HasSubstr("proxy "), HasSubstr("authorization=Basic")));
  setenv("no_proxy", "127.0.0.1", 1);
  ExpectFetches(Here("/y.pth"));
  EXPECT_THAT(Requests().back(), HasSubstr("https /y.pth"));
  EXPECT_EQ(Requests().size(), 3u);
}

TEST_F(FetchHttpsTest, KeepsTheProxysPasswordOutOfMessages) {
  unsetenv("no_proxy");
  // The first is refused for its missing password, the others are not understood.
  for (const std::string& proxy : {ProxyOf(""), std::string("http://me:secret@127.0.0.1:port"),
                                   std::string("me:secret@127.0.0.1:port")}) {
    setenv("https_proxy", proxy.c_str(), 1);
    const std::string message(FetchToCache(Here("/x.pth"), options_).status().message());
    EXPECT_THAT(message, AllOf(HasSubstr("/x.pth"), Not(HasSubstr("secret"))));
    if (absl::StrContains(proxy, "secret")) {
      EXPECT_THAT(message, HasSubstr("https_proxy"));
    }
  }
  unsetenv("https_proxy");
}

}  // namespace
}  // namespace finetune
