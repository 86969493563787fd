// SPDX-License-Identifier: Apache-2.0
//
// The XML of S3's answers, good and bad.
#include "connectors/s3/xml.hpp"

#include <gtest/gtest.h>

#include "base/hash.hpp"
#include "waybill/error.hpp"

namespace waybill::s3 {
namespace {

ListedPage list(std::string text) { return parse_list(text); }

template <typename Call>
std::optional<Error> error_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error;
  }
  return std::nullopt;
}

TEST(S3Xml, ReadsAListing) {
  const ListedPage page = list(R"(<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><EncodingType>url</EncodingType>
<IsTruncated>true</IsTruncated><NextContinuationToken>a&amp;b==</NextContinuationToken>
<Contents><Key>a%20b</Key><Size>18446744073709551615</Size><ETag>&quot;abc-2&quot;</ETag><StorageClass>GLACIER</StorageClass></Contents>
<Contents><Key>c</Key><Size>0</Size></Contents></ListBucketResult>)");
  ASSERT_EQ(page.objects.size(), 2U);
  EXPECT_EQ(page.objects[0].key, "a%20b");
  EXPECT_EQ(page.objects[0].size, UINT64_MAX);
  EXPECT_EQ(page.objects[0].etag, "abc-2");
  EXPECT_EQ(page.objects[0].storage_class, "GLACIER");
  EXPECT_EQ(page.objects[1].etag, "");
  EXPECT_TRUE(page.is_truncated);
  EXPECT_TRUE(page.is_url_encoded);
  EXPECT_EQ(page.next_token, "a&b==");
}

TEST(S3Xml, KeepsTheWhiteSpaceOfKeysThatAreNotEncoded) {
  const ListedPage page = list(
      "<s3:ListBucketResult xmlns:s3='x'><s3:IsTruncated>false</s3:IsTruncated><s3:Contents><s3:Key> </s3:Key>"
      "<s3:Size>1</s3:Size></s3:Contents><s3:Contents><s3:Key>a\r\n<![CDATA[<&]]>&#x62;</s3:Key><s3:Size>1</s3:Size>"
      "</s3:Contents></s3:ListBucketResult>");
  ASSERT_EQ(page.objects.size(), 2U);
  EXPECT_EQ(page.objects[0].key, " ");
  EXPECT_EQ(page.objects[1].key, "a\r\n<&b");
  EXPECT_FALSE(page.is_url_encoded);
}

TEST(S3Xml, AListingThatIsNotWholeIsAnError) {
  const std::string good =
      "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>k</Key><Size>1</Size></Contents></"
      "ListBucketResult>";
  EXPECT_EQ(list(good).objects.size(), 1U);
  for (size_t length = 0; length < good.size(); ++length) {
    const auto error = error_of([&] { list(good.substr(0, length)); });
    ASSERT_TRUE(error) << "cut at " << length;
    EXPECT_EQ(error->code(), ErrorCode::data_loss);
    EXPECT_EQ(error->error_class(), ErrorClass::server);
  }
  for (const char* bad : {
           "<ListBucketResult></ListBucketResult>",
           "<ListBucketResult><IsTruncated>maybe</IsTruncated></ListBucketResult>",
           "<Other><IsTruncated>false</IsTruncated></Other>",
           "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Size>1</Size></Contents></ListBucketResult>",
           "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>k</Key></Contents></ListBucketResult>",
           "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>k</Key><Size>-1</Size></Contents></"
           "ListBucketResult>",
           "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>k</Key><Size>99999999999999999999</Size></"
           "Contents></ListBucketResult>",
           "not xml at all",
       }) {
    EXPECT_TRUE(error_of([&] { list(bad); })) << bad;
  }
}

TEST(S3Xml, EntitiesOfADocumentTypeMeanNothing) {
  const ListedPage page = list(
      "<!DOCTYPE x [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b "
      "\"&a;&a;&a;&a;\">]><ListBucketResult><IsTruncated>false</IsTruncated>"
      "<Contents><Key>&b;</Key><Size>1</Size></Contents></ListBucketResult>");
  ASSERT_EQ(page.objects.size(), 1U);
  EXPECT_EQ(page.objects[0].key, "&b;");
}

TEST(S3Xml, DeepNestingIsNoCrash) {
  std::string text;
  for (int n = 0; n < 200'000; ++n) text += "<a>";
  EXPECT_TRUE(error_of([&] { parse_list(text); }));
  std::string closed;
  for (int n = 0; n < 200'000; ++n) closed += "<a>";
  for (int n = 0; n < 200'000; ++n) closed += "</a>";
  EXPECT_TRUE(error_of([&] { parse_list(closed); }));
}

TEST(S3Xml, ReadsErrors) {
  const ServiceError error = parse_error(
      "<?xml version='1.0'?><Error><Code>NoSuchKey</Code><Message>gone &lt;now&gt;</Message><RequestId>r1</RequestId>"
      "<Region>eu-west-1</Region></Error>");
  EXPECT_EQ(error.code, "NoSuchKey");
  EXPECT_EQ(error.message, "gone <now>");
  EXPECT_EQ(error.request_id, "r1");
  EXPECT_EQ(error.region, "eu-west-1");
  EXPECT_EQ(parse_error("<ErrorResponse><Error><Code>X</Code></Error></ErrorResponse>").code, "X");
  EXPECT_EQ(parse_error("<html><body>Bad Gateway</body></html>").code, "");
  EXPECT_EQ(parse_error("").code, "");
}

TEST(S3Xml, ReadsParts) {
  std::string text =
      "<ListPartsResult><IsTruncated>true</IsTruncated><NextPartNumberMarker>2</NextPartNumberMarker>"
      "<ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><Part><PartNumber>1</PartNumber><Size>5</Size>"
      "<ETag>\"e1\"</ETag><ChecksumCRC64NVME>rosUhgp5mIg=</ChecksumCRC64NVME></Part>"
      "<Part><PartNumber>2</PartNumber><Size>6</Size><ETag>e2</ETag></Part></ListPartsResult>";
  const ListedParts parts = parse_parts(text);
  ASSERT_EQ(parts.parts.size(), 2U);
  EXPECT_EQ(parts.parts[0].number, 1U);
  EXPECT_EQ(parts.parts[0].etag, "e1");
  EXPECT_EQ(parts.parts[0].digest.crc64nvme, 0xae8b14860a799888ULL);
  EXPECT_EQ(parts.parts[1].size, 6U);
  EXPECT_TRUE(parts.is_truncated);
  EXPECT_EQ(parts.next_marker, "2");
  EXPECT_EQ(parts.checksum_algorithm, "CRC64NVME");
  for (std::string bad : {"<ListPartsResult><IsTruncated>false</IsTruncated><Part><PartNumber>0</PartNumber><Size>1</"
                          "Size><ETag>e</ETag></Part></ListPartsResult>",
                          "<ListPartsResult><IsTruncated>false</IsTruncated><Part><PartNumber>1</PartNumber><Size>1</"
                          "Size></Part></ListPartsResult>",
                          "<ListPartsResult/>"}) {
    EXPECT_TRUE(error_of([&] { parse_parts(bad); }));
  }
}

TEST(S3Xml, ReadsTheBeginningAndTheEndOfAnUpload) {
  std::string begun =
      "<InitiateMultipartUploadResult><Bucket>b</Bucket><UploadId>id/+=</UploadId></InitiateMultipartUploadResult>";
  EXPECT_EQ(parse_initiate(begun), "id/+=");
  std::string nothing = "<InitiateMultipartUploadResult><UploadId></UploadId></InitiateMultipartUploadResult>";
  EXPECT_TRUE(error_of([&] { parse_initiate(nothing); }));

  std::string done =
      "  \n <?xml version=\"1.0\"?><CompleteMultipartUploadResult><ETag>&quot;x-2&quot;</ETag>"
      "<ChecksumCRC64NVME>rosUhgp5mIg=</ChecksumCRC64NVME></CompleteMultipartUploadResult>";
  const Completed completed = parse_complete(done);
  EXPECT_FALSE(completed.error);
  EXPECT_EQ(completed.etag, "x-2");
  EXPECT_EQ(completed.crc64nvme, 0xae8b14860a799888ULL);

  std::string failed = "\n\n<Error><Code>InternalError</Code><Message>again</Message></Error>";
  ASSERT_TRUE(parse_complete(failed).error);
  std::string empty = "<CompleteMultipartUploadResult/>";
  EXPECT_TRUE(error_of([&] { parse_complete(empty); }));
  std::string blank = "   ";
  EXPECT_TRUE(error_of([&] { parse_complete(blank); }));
}

TEST(S3Xml, WritesTheEndOfAnUpload) {
  PartInfo one{1, 5, "e&1", {}};
  one.digest.crc64nvme = 0xae8b14860a799888ULL;
  const PartInfo parts[] = {one, {2, 5, "e2", {}}};
  EXPECT_EQ(
      complete_body(parts, true),
      "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Part><PartNumber>1</PartNumber>"
      "<ETag>&quot;e&amp;1&quot;</ETag><ChecksumCRC64NVME>rosUhgp5mIg=</ChecksumCRC64NVME></Part><Part>"
      "<PartNumber>2</PartNumber><ETag>&quot;e2&quot;</ETag></Part></CompleteMultipartUpload>");
  EXPECT_EQ(complete_body(parts, false).find("Checksum"), std::string::npos);
}

TEST(S3Xml, UnquotesETags) {
  EXPECT_EQ(unquote_etag("\"a\""), "a");
  EXPECT_EQ(unquote_etag("W/\"a\""), "a");
  EXPECT_EQ(unquote_etag("a"), "a");
  EXPECT_EQ(unquote_etag("\""), "\"");
  EXPECT_EQ(unquote_etag(""), "");
}

}  // namespace
}  // namespace waybill::s3
