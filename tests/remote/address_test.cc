#include "formats/remote/address.h"

#include <gtest/gtest.h>

#include "formats/remote/fetch_target.h"
#include "formats/remote/fetched_file.h"

namespace ckpt::formats::address_test {
namespace {

FetchTarget TargetOfUrl(const std::string& url, const FetchCredentials& credentials = {}) {
  return TargetOf(*ParseRemote(url), credentials).value();
}

TEST(RemoteAddress, ShowsNoUserPasswordQueryOrFragment) {
  const auto address = ParseRemote("https://me:secret@host.org:8443/a%20b/m.pt?sig=abc#part");
  ASSERT_TRUE(address);
  EXPECT_EQ(ShownName(*address), "https://host.org:8443/a%20b/m.pt");
  EXPECT_EQ(address->user, "me:secret");
  EXPECT_EQ(address->query, "sig=abc");
}

TEST(RemoteAddress, AnAtSignInThePathBelongsToThePath) {
  EXPECT_EQ(ParseRemote("https://host.org/a@b/m.pt")->authority, "host.org");
}

TEST(RemoteAddress, OnlyTheSchemesThatAreReadAreUrls) {
  for (const char* url : {"https://h/x", "http://h/x", "s3://b/k", "gs://b/k", "hf://o/r/f"})
    EXPECT_TRUE(IsRemoteName(url)) << url;
  for (const char* path :
       {"model.h5", "./https://h/x", "file:///x", "https:/h/x", "HTTPS", "/s3://b"})
    EXPECT_FALSE(IsRemoteName(path)) << path;
}

TEST(RemoteAddress, IsFoundBehindTheNameOfAnOptionOrForm) {
  EXPECT_EQ(FindRemoteName("--since=https://h/x"), 8U);
  EXPECT_EQ(FindRemoteName("json:s3://b/k"), 5U);
  EXPECT_EQ(FindRemoteName("a/b/https://h/x"), std::nullopt);
}

TEST(RemoteAddress, WhatNamesNoFileIsRefusedWithoutItsSecrets) {
  for (const char* url : {"https://me:secret@host.org/", "https://me:secret@/x",
                          "https://me:secret@ho st/x", "https://me:secret@h/a\nb", "https://"}) {
    const auto address = ParseRemote(url);
    ASSERT_FALSE(address) << url;
    EXPECT_EQ(address.error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(ToString(address.error()).find("secret"), std::string::npos) << url;
  }
  EXPECT_FALSE(ParseRemote("hf://org/repo"));
  EXPECT_FALSE(ParseRemote("s3://bucket"));
}

TEST(RemoteAddress, ARevisionOfAHubMayBeAReference) {
  EXPECT_EQ(ParseRemote("hf://org/repo@refs/pr/3/sub/m.pt")->authority, "org/repo@refs/pr/3");
  EXPECT_EQ(ParseRemote("hf://org/repo@v1/sub/m.pt")->path, "/sub/m.pt");
  EXPECT_EQ(ParseRemote("hf://datasets/org/repo/m.pt")->authority, "datasets/org/repo");
}

TEST(FetchTarget, AKeyOfABucketIsEncodedAndAUrlIsNot) {
  EXPECT_EQ(TargetOfUrl("s3://bucket/runs a/50%.pt").url,
            "https://bucket.s3.us-east-1.amazonaws.com/runs%20a/50%25.pt");
  EXPECT_EQ(TargetOfUrl("https://h/runs%20a/m.pt?v=1").url, "https://h/runs%20a/m.pt?v=1");
}

TEST(FetchTarget, ABucketWithPointsStandsInThePath) {
  EXPECT_EQ(TargetOfUrl("s3://my.bucket/k").url, "https://s3.us-east-1.amazonaws.com/my.bucket/k");
}

TEST(FetchTarget, HubAndStoreUrlsFollowTheirEndpoints) {
  FetchCredentials credentials;
  credentials.hf_endpoint = "https://mirror.example/";
  credentials.gs_endpoint = "http://127.0.0.1:9000";
  EXPECT_EQ(TargetOfUrl("hf://org/repo/m.pt", credentials).url,
            "https://mirror.example/org/repo/resolve/main/m.pt");
  EXPECT_EQ(TargetOfUrl("gs://b/k", credentials).url, "http://127.0.0.1:9000/b/k");
}

TEST(FetchTarget, PlainHttpIsForThisMachine) {
  for (const char* url : {"http://127.0.0.1:80/x", "http://localhost/x", "http://[::1]:8/x"})
    EXPECT_TRUE(TargetOf(*ParseRemote(url), {})) << url;
  for (const char* url : {"http://host.org/x", "http://localhost.org/x", "http://10.0.0.1/x"})
    EXPECT_FALSE(TargetOf(*ParseRemote(url), {})) << url;
}

TEST(FetchTarget, TheOriginIsSchemeHostAndPort) {
  EXPECT_EQ(OriginOf("https://Host.org:443/a?b"), "https://host.org");
  EXPECT_NE(OriginOf("https://host.org"), OriginOf("https://host.org.evil.org"));
  EXPECT_NE(OriginOf("https://host.org"), OriginOf("https://host.org:8443"));
}

TEST(FetchNames, OnlyWhatLiesBelowANamedFolderIsFetched) {
  FetchNames names({});
  names.Add("https://h/runs/a.index.json", "https://u:p@h/runs/a.index.json?sig=1");
  EXPECT_EQ(names.Find("https://h/runs/a.index.json")->target.url,
            "https://h/runs/a.index.json?sig=1");
  const auto shard = names.Find("https://h/runs/sub/1 of 2.st");
  ASSERT_TRUE(shard);
  EXPECT_EQ(shard->target.url, "https://h/runs/sub/1%20of%202.st");
  EXPECT_EQ(shard->target.user, "u:p");
  for (const char* name :
       {"https://h/other/x", "https://h/x", "https://other/runs/x", "https://h/runs/../x",
        "https://h/runs/a/../../x", "https://h/runs//x", "https://h/runs/", "http://h/runs/x"}) {
    const auto found = names.Find(name);
    ASSERT_FALSE(found) << name;
    EXPECT_EQ(found.error().code, ErrorCode::kUnsafe);
  }
}

}  // namespace
}  // namespace ckpt::formats::address_test
