#include "formats/remote/response_head.h"

#include <gtest/gtest.h>

#include <initializer_list>

namespace ckpt::formats::response_head_test {
namespace {

ResponseHead HeadOf(std::initializer_list<const char*> lines) {
  ResponseHead head;
  for (const char* line : lines) head.Take(std::string(line) + "\r\n");
  return head;
}

TEST(ResponseHead, TheLastByteOfARangeBelongsToIt) {
  const ResponseHead head =
      HeadOf({"HTTP/1.1 206 Partial Content", "content-RANGE: bytes 0-99/1234",
              "Content-Length: 100", "ETag: \"abc\""});
  EXPECT_EQ(head.status, 206);
  ASSERT_TRUE(head.range);
  EXPECT_EQ(head.range->begin, 0U);
  EXPECT_EQ(head.range->end, 100U);
  EXPECT_EQ(head.range->total, 1234U);
  EXPECT_EQ(head.length, 100U);
  EXPECT_TRUE(head.strong_tag);
}

TEST(ResponseHead, ImpossibleRangesAreNone) {
  for (const char* value :
       {"bytes 10-9/100", "bytes 0-99/50", "bytes 0-18446744073709551615/*", "bytes -5/10",
        "bytes 0-/10", "bytes 0-9/", "bytes 0-9", "bytes 0-9/x", "bytes +0-9/10", "items 0-9/10",
        "bytes 0-99999999999999999999/*", "bytes 0x0-9/10"}) {
    const ResponseHead head =
        HeadOf({"HTTP/2 206", (std::string("Content-Range: ") + value).c_str()});
    EXPECT_FALSE(head.range) << value;
  }
}

TEST(ResponseHead, AStatusLineBeginsANewHead) {
  const ResponseHead head =
      HeadOf({"HTTP/1.1 100 Continue", "Content-Length: 5", "HTTP/1.1 200 OK"});
  EXPECT_EQ(head.status, 200);
  EXPECT_FALSE(head.length);
}

TEST(ResponseHead, AWeakTagIsNoneForIfMatch) {
  EXPECT_FALSE(HeadOf({"HTTP/1.1 206 x", "ETag: W/\"abc\""}).strong_tag);
}

TEST(PublicAddress, LocalAndPrivateOnesAreNot) {
  for (const char* text : {"127.0.0.1",
                           "127.8.0.1",
                           "10.1.2.3",
                           "172.16.0.1",
                           "172.31.255.255",
                           "192.168.0.1",
                           "169.254.169.254",
                           "100.64.0.1",
                           "0.0.0.0",
                           "224.0.0.1",
                           "255.255.255.255",
                           "::1",
                           "::",
                           "fe80::1",
                           "fc00::1",
                           "fd12::1",
                           "ff02::1",
                           "::ffff:127.0.0.1",
                           "::ffff:10.0.0.1",
                           "64:ff9b::7f00:1",
                           "2002:7f00:1::",
                           "",
                           "host.org",
                           "1.2.3"}) {
    EXPECT_FALSE(IsPublicAddress(text)) << text;
  }
  for (const char* text : {"1.1.1.1", "172.32.0.1", "100.128.0.1", "198.51.100.7",
                           "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"}) {
    EXPECT_TRUE(IsPublicAddress(text)) << text;
  }
}

TEST(Redirects, StayInTheWebAndNeverLeaveHttps) {
  EXPECT_EQ(WhyNotFollow("https://a/x", "https://b/y?sig=1"), "");
  EXPECT_EQ(WhyNotFollow("http://127.0.0.1/x", "http://127.0.0.1/y"), "");
  EXPECT_EQ(WhyNotFollow("http://127.0.0.1/x", "https://b/y"), "");
  for (const char* to : {"http://b/y", "file:///etc/passwd", "ftp://b/y", "https://u:p@b/y"})
    EXPECT_NE(WhyNotFollow("https://a/x", to), "") << to;
}

}  // namespace
}  // namespace ckpt::formats::response_head_test
