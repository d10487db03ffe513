#include "src/base/hide_secrets.h"

#include "gtest/gtest.h"

namespace finetune {
namespace {

TEST(HideSecretsTest, LeavesUrlsWithoutSecretsAndPathsAsTheyAre) {
  for (const char* text :
       {"", "x.pth", "/a/b?c@d.pth", "https://host/x.pth", "http://host:80/@scope/x.pth",
        "https://[::1]:443/x.pth", "https://host/x.pth?download=true", "https://host/x?dl=1&raw=0",
        "file:///a/me:word@b?c#d", "C:/x?y", "https"}) {
    EXPECT_EQ(HideSecretsOfUrl(text), text);
    EXPECT_EQ(HideSecrets(text), text);
  }
}

TEST(HideSecretsTest, HidesUserPasswordQueryAndFragment) {
  const struct {
    const char* url;
    const char* hidden;
  } cases[] = {
      {"https://me:word@host/x.pth?token=1#a", "https://***@host/x.pth?***"},
      {"https://token@host/x.pth", "https://***@host/x.pth"},
      {"https://me:w@rd@host:8443/x.pth", "https://***@host:8443/x.pth"},
      {"https://host/x.pth?dl=1&token=word", "https://host/x.pth?***"},
      {"https://host/x.pth?word", "https://host/x.pth?***"},
      {"https://host/x.pth?1=word", "https://host/x.pth?***"},
      {"https://host/x.pth#word", "https://host/x.pth#***"},
      {"https://me:word@host", "https://***@host"},
      {"S3://key:word@bucket/x", "S3://***@bucket/x"},
      // A password that should have been escaped.
      {"https://me:wo/rd@host/x", "https://***@host/x"},
      {"https://me:wo?rd@host/x?word", "https://***@host/x?***"},
      {"https://me:wo#rd@host/x", "https://***@host/x"},
      // Slashes that are missing.
      {"https:/me:word@host/x", "https:/***@host/x"},
      {"http:me:word@host/x", "http:***@host/x"},
  };
  for (const auto& [url, hidden] : cases) {
    EXPECT_EQ(HideSecretsOfUrl(url), hidden);
    EXPECT_EQ(HideSecretsOfUrl(hidden), hidden) << "hidden twice";
  }
}

TEST(HideSecretsTest, HidesThoseOfEveryUrlInAText) {
  EXPECT_EQ(
      HideSecrets("--set=a.b=https://me:word@host/x?word: no \"http://me:word@b\", (http://c)"),
      "--set=a.b=https://***@host/x?*** no \"http://***@b\", (http://c)");
  EXPECT_EQ(HideSecrets("http://a\nhttp://me@b\thttp://c?d"),
            "http://a\nhttp://***@b\thttp://c?***");
}

}  // namespace
}  // namespace finetune
