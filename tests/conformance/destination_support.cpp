// SPDX-License-Identifier: Apache-2.0
//
// The digest here is computed bit by bit from the parameters of CRC-64/NVME, so that the suite judges a store by
// another implementation than the library's, and needs nothing but waybill's public headers.
#include "conformance/destination_support.hpp"

#include <array>

namespace waybill::conformance {

Digest digest_of(std::string_view content) {
  static const std::array<uint64_t, 256> table = [] {
    std::array<uint64_t, 256> built{};
    for (uint64_t byte = 0; byte < 256; ++byte) {
      uint64_t crc = byte;
      for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) != 0 ? (crc >> 1) ^ 0x9a6c9329ac4bc9b5ULL : crc >> 1;
      built[byte] = crc;
    }
    return built;
  }();
  uint64_t crc = ~uint64_t{0};
  for (const char byte : content) crc = table[(crc ^ static_cast<unsigned char>(byte)) & 0xff] ^ (crc >> 8);
  Digest digest;
  digest.crc64nvme = ~crc;
  return digest;
}

Stored put(Destination& destination, const Key& key, std::string_view content, const WriteOptions& options,
           Context& context) {
  return destination.put(key, Body(std::as_bytes(std::span(content)), digest_of(content)), options, context);
}

std::optional<std::string> read_back(Destination& destination, const Item& item, Context& context) {
  std::string content;
  std::vector<std::byte> buffer(1'000'000);
  for (;;) {
    size_t count = 0;
    const auto error = error_of([&] { count = destination.read(item, content.size(), buffer, context).count; });
    if (error && error->code() == ErrorCode::unimplemented) return std::nullopt;
    if (error) throw *error;
    content.append(reinterpret_cast<const char*>(buffer.data()), count);
    if (count < buffer.size()) return content;
  }
}

std::map<std::string, std::function<void(Context&)>> blocking_calls(Destination& destination, const Item& item) {
  Destination* const d = &destination;
  Locator from;
  from.scheme = "s3";
  from.bucket = "bucket";
  from.key = item.id.key;
  std::map<std::string, std::function<void(Context&)>> calls = {
      {"check", [d](Context& c) { d->check(c); }},
      {"list", [d](Context& c) { list_all(*d, {}, c); }},
      {"stat", [d, item](Context& c) { d->stat(item.id.key, c); }},
      {"put", [d](Context& c) { put(*d, "another", sample_content(2'000'000, 1), {}, c); }},
      {"copy", [d, from](Context& c) { d->copy("another", from, {}, c); }},
      {"read",
       [d, item](Context& c) {
         std::vector<std::byte> out(100'000);
         d->read(item, 0, out, c);
       }},
      {"flush", [d](Context& c) { d->flush(c); }},
      {"remove", [d](Context& c) { d->remove("another", c); }},
      {"sweep", [d](Context& c) { d->sweep({}, c); }},
  };
  if (!d->capabilities().parts) return calls;
  const uint64_t part_size = std::max<uint64_t>(d->capabilities().min_part_bytes, 1'000);
  PartPlan plan;
  plan.size = 2 * part_size;
  plan.part_size = part_size;
  calls["begin_parts"] = [d, plan](Context& c) { d->begin_parts("parts", plan, {}, c); };
  // The upload is begun while nothing hangs; each call has one of its own, which stays open as after a crash.
  testing::TestContext now;
  const auto upload = [&](const Key& key) { return std::shared_ptr<PartUpload>(d->begin_parts(key, plan, {}, now)); };
  const auto content = std::make_shared<std::string>(sample_content(part_size, 2));
  const auto body = [content] { return Body(std::as_bytes(std::span(*content)), digest_of(*content)); };
  calls["part write"] = [u = upload("parts/write"), body, content](Context& c) { u->write(1, 0, body(), c); };
  calls["part existing"] = [u = upload("parts/existing")](Context& c) { u->existing(c); };
  calls["part abort"] = [u = upload("parts/abort")](Context& c) { u->abort(c); };
  const auto whole = upload("parts/complete");
  const std::vector<PartInfo> parts = {whole->write(1, 0, body(), now), whole->write(2, part_size, body(), now)};
  calls["part complete"] = [whole, parts](Context& c) { whole->complete(parts, c); };
  return calls;
}

}  // namespace waybill::conformance
