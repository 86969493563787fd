// SPDX-License-Identifier: Apache-2.0
//
// Digests against published values, and both CRC implementations against each other and against the definition.
#include "base/hash.hpp"

#include <gtest/gtest.h>

#include "base/random.hpp"

namespace waybill::internal {
namespace {

std::vector<std::byte> random_bytes(size_t size, uint64_t seed) {
  Random random(seed);
  std::vector<std::byte> bytes(size);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random.next());
  return bytes;
}

// Bit by bit, as the parameters say.
Crc64 crc_by_definition(std::span<const std::byte> data) {
  uint64_t state = ~uint64_t{0};
  for (const std::byte byte : data) {
    state ^= static_cast<uint64_t>(byte);
    for (int i = 0; i < 8; ++i) state = (state >> 1) ^ ((state & 1) != 0 ? 0x9a6c9329ac4bc9b5u : 0);
  }
  return ~state;
}

TEST(Crc64Nvme, HasThePublishedCheckValue) {
  EXPECT_EQ(crc64nvme(as_bytes("123456789")), 0xae8b14860a799888u);
  EXPECT_EQ(crc64nvme({}), 0u);
}

TEST(Crc64Nvme, BothImplementationsFollowTheDefinition) {
  const auto bytes = random_bytes(4200, 1);
  for (size_t size = 0; size < 4200; size = size < 600 ? size + 1 : size + 127) {
    for (const size_t start : {size_t{0}, size_t{3}}) {
      if (start + size > bytes.size()) continue;
      const auto data = std::span(bytes).subspan(start, size);
      const Crc64 expected = crc_by_definition(data);
      ASSERT_EQ(crc64nvme_portable(data), expected) << size;
      if (crc64nvme_has_clmul()) {
        ASSERT_EQ(crc64nvme_clmul(data), expected) << size;
      }
    }
  }
}

TEST(Crc64Nvme, GoesOnFromAnEarlierResult) {
  const auto bytes = random_bytes(10'000, 2);
  const Crc64 whole = crc64nvme(bytes);
  for (const size_t cut : {0u, 1u, 15u, 16u, 127u, 128u, 5000u, 9999u, 10'000u}) {
    const auto data = std::span<const std::byte>(bytes);
    EXPECT_EQ(crc64nvme(data.subspan(cut), crc64nvme(data.first(cut))), whole) << cut;
  }
}

TEST(Crc64Nvme, CombinesParts) {
  const auto bytes = random_bytes(100'000, 3);
  const auto data = std::span<const std::byte>(bytes);
  const Crc64 whole = crc64nvme(data);
  for (const size_t cut : {0u, 1u, 63u, 64u, 65'536u, 99'999u, 100'000u}) {
    EXPECT_EQ(crc64nvme_combine(crc64nvme(data.first(cut)), crc64nvme(data.subspan(cut)), data.size() - cut), whole)
        << cut;
  }
  // Lengths that no test can hold: appending zeros twice is appending twice as many.
  const Crc64 once = crc64nvme_combine(whole, 0, uint64_t{1} << 40);
  EXPECT_EQ(crc64nvme_combine(once, 0, uint64_t{1} << 40), crc64nvme_combine(whole, 0, uint64_t{1} << 41));
}

TEST(Crc64Nvme, HasS3sTextForm) {
  EXPECT_EQ(crc64_to_base64(0xae8b14860a799888u), "rosUhgp5mIg=");
  EXPECT_EQ(crc64_from_base64("rosUhgp5mIg="), 0xae8b14860a799888u);
  for (const char* wrong : {"", "rosUhgp5mIg", "rosUhgp5mIg=-2", "AAAA", "rosUhgp5mI =", "AAAAAAAAAAAAAAAA"}) {
    EXPECT_FALSE(crc64_from_base64(wrong).has_value()) << wrong;
  }
}

TEST(Sha256, MatchesThePublishedValues) {
  EXPECT_EQ(hex_encode(sha256(as_bytes("abc"))), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hex_encode(sha256({})), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(Sha256, IsIncrementalAndReusable) {
  Sha256Hasher hasher;
  for (int i = 0; i < 2; ++i) {
    hasher.update(as_bytes("a"));
    hasher.update({});
    hasher.update(as_bytes("bc"));
    EXPECT_EQ(hasher.finish(), sha256(as_bytes("abc")));
  }
  Sha256Hasher moved = std::move(hasher);
  EXPECT_EQ(moved.finish(), sha256({}));
}

TEST(Md5, MatchesThePublishedValues) {
  EXPECT_EQ(hex_encode(md5({})), "d41d8cd98f00b204e9800998ecf8427e");
  EXPECT_EQ(hex_encode(md5(as_bytes("abc"))), "900150983cd24fb0d6963f7d28e17f72");
}

TEST(HmacSha256, MatchesRfc4231) {
  const std::vector<std::byte> key(20, std::byte{0x0b});
  EXPECT_EQ(hex_encode(hmac_sha256(key, as_bytes("Hi There"))),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(hex_encode(hmac_sha256(as_bytes("Jefe"), as_bytes("what do ya want for nothing?"))),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  const std::vector<std::byte> long_key(131, std::byte{0xaa});
  const HmacSha256 hmac(long_key);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(hex_encode(hmac.sign(as_bytes("Test Using Larger Than Block-Size Key - Hash Key First"))),
              "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
  }
}

TEST(Hex, RoundTripsAndRefuses) {
  const auto bytes = random_bytes(100, 4);
  EXPECT_EQ(hex_decode(hex_encode(bytes)), bytes);
  EXPECT_EQ(hex_encode(hex_decode("00fFA5").value()), "00ffa5");
  for (const char* wrong : {"0", "0g", "0x", " 0"}) EXPECT_FALSE(hex_decode(wrong).has_value()) << wrong;
}

TEST(Base64, MatchesRfc4648AndRefuses) {
  const std::pair<const char*, const char*> cases[] = {{"", ""},
                                                       {"f", "Zg=="},
                                                       {"fo", "Zm8="},
                                                       {"foo", "Zm9v"},
                                                       {"foob", "Zm9vYg=="},
                                                       {"fooba", "Zm9vYmE="},
                                                       {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, encoded] : cases) {
    EXPECT_EQ(base64_encode(as_bytes(plain)), encoded);
    const auto decoded = base64_decode(encoded);
    ASSERT_TRUE(decoded.has_value()) << encoded;
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(decoded->data()), decoded->size()), plain);
  }
  for (size_t size = 0; size < 50; ++size) {
    const auto bytes = random_bytes(size, size);
    EXPECT_EQ(base64_decode(base64_encode(bytes)), bytes);
  }
  for (const char* wrong : {"Z", "Zg", "Zg=", "Zh==", "Zm9=", "Z===", "====", "Zg==Zg==", "Zm9v\n", "-_-_"}) {
    EXPECT_FALSE(base64_decode(wrong).has_value()) << wrong;
  }
}

}  // namespace
}  // namespace waybill::internal
