// SPDX-License-Identifier: Apache-2.0
//
// What every Destination keeps that writes objects in parts (PartUpload in include/waybill/destination.hpp).
#include <algorithm>
#include <thread>

#include "conformance/conformance.hpp"
#include "conformance/destination_support.hpp"

namespace waybill::conformance {

namespace {

/// An object of two whole parts and a short last one.
class Parts {
 public:
  explicit Parts(Destination& destination, uint64_t seed = 1)
      : part_size_(std::max<uint64_t>(destination.capabilities().min_part_bytes, 70'001)),
        content_(sample_content(2 * part_size_ + 1'234, seed)) {}

  const std::string& content() const { return content_; }
  PartPlan plan() const {
    PartPlan plan;
    plan.size = content_.size();
    plan.part_size = part_size_;
    return plan;
  }
  PartPlan plan_of(const std::string& upload_id) const {
    PartPlan again = plan();
    again.upload_id = upload_id;
    return again;
  }
  std::string_view bytes(uint32_t number) const {
    return std::string_view(content_).substr((number - 1) * part_size_, part_size_);
  }
  PartInfo write(PartUpload& upload, uint32_t number, Context& context) const { return write(upload, number, bytes(number), context); }
  PartInfo write(PartUpload& upload, uint32_t number, std::string_view bytes, Context& context) const {
    return upload.write(number, (number - 1) * part_size_, Body(std::as_bytes(std::span(bytes)), digest_of(bytes)), context);
  }

 private:
  uint64_t part_size_;
  std::string content_;
};

std::vector<uint32_t> numbers_of(const std::vector<PartInfo>& parts) {
  std::vector<uint32_t> numbers;
  for (const PartInfo& part : parts) numbers.push_back(part.number);
  return numbers;
}

void expect_nothing_left(DestinationFixture& fixture) {
  for (const std::string& name : fixture.leftovers()) ADD_FAILURE() << "left behind: " << printable(name);
}

bool listed(Destination& destination, const Key& key, Context& context) {
  const std::vector<Key> keys = keys_of(list_all(destination, {}, context));
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

}  // namespace

#define SKIP_WITHOUT_PARTS() \
  if (!fixture().destination().capabilities().parts) GTEST_SKIP() << "no objects in parts"

TEST_P(DestinationConformance, WithoutPartsBeginningThemIsUnimplemented) {
  Destination& destination = fixture().destination();
  if (destination.capabilities().parts) GTEST_SKIP() << "it has parts";
  const auto error = error_of([&] { destination.begin_parts("data", {10, 5, ""}, {}, context()); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), ErrorCode::unimplemented);
}

TEST_P(DestinationConformance, PartsOutOfOrderAndAtOnceMakeTheObject) {
  SKIP_WITHOUT_PARTS();
  Destination& destination = fixture().destination();
  const Parts data(destination);
  const std::unique_ptr<PartUpload> upload = destination.begin_parts("folder/big", data.plan(), {}, context());
  EXPECT_FALSE(upload->id().empty());
  EXPECT_EQ(upload->id(), upload->id());
  std::vector<PartInfo> parts(3);
  std::vector<std::thread> threads;
  for (const uint32_t number : {3U, 1U, 2U}) {
    threads.emplace_back([&, number] { parts[number - 1] = data.write(*upload, number, context()); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(numbers_of(parts), (std::vector<uint32_t>{1, 2, 3}));
  for (const PartInfo& part : parts) EXPECT_EQ(part.size, data.bytes(part.number).size());
  EXPECT_FALSE(destination.stat("folder/big", context())) << "it shows before it is complete";
  EXPECT_FALSE(listed(destination, "folder/big", context()));

  const Stored stored = upload->complete(parts, context());
  EXPECT_EQ(stored.size, data.content().size());
  if (stored.digest.crc64nvme) {
    EXPECT_EQ(*stored.digest.crc64nvme, digest_of(data.content()).crc64nvme);
  }
  const std::optional<Item> item = destination.stat("folder/big", context());
  ASSERT_TRUE(item);
  EXPECT_EQ(item->stamp.size, data.content().size());
  EXPECT_EQ(item->stamp.etag, stored.etag);
  EXPECT_TRUE(same(fixture().content("folder/big"), data.content()));
  EXPECT_TRUE(read_back(destination, *item, context()).value_or(data.content()) == data.content());
  expect_nothing_left(fixture());
}

TEST_P(DestinationConformance, CompletingAgainGivesTheSame) {
  SKIP_WITHOUT_PARTS();
  Destination& destination = fixture().destination();
  const Parts data(destination);
  const std::unique_ptr<PartUpload> upload = destination.begin_parts("big", data.plan(), {}, context());
  std::vector<PartInfo> parts;
  for (const uint32_t number : {1U, 2U, 3U}) parts.push_back(data.write(*upload, number, context()));
  const Stored first = upload->complete(parts, context());
  const Stored again = upload->complete(parts, context());  // the first answer was lost
  EXPECT_EQ(again.size, first.size);
  EXPECT_EQ(again.etag, first.etag);
  EXPECT_TRUE(same(fixture().content("big"), data.content()));
  expect_nothing_left(fixture());
}

TEST_P(DestinationConformance, AnUploadGoesOnInALaterProcess) {
  SKIP_WITHOUT_PARTS();
  Destination& destination = fixture().destination();
  const Parts data(destination);
  std::string id;
  PartInfo second;
  {
    const std::unique_ptr<PartUpload> upload = destination.begin_parts("big", data.plan(), {}, context());
    id = upload->id();
    EXPECT_TRUE(upload->existing(context()).empty());
    second = data.write(*upload, 2, context());
  }  // the process died here
  const std::unique_ptr<PartUpload> upload = destination.begin_parts("big", data.plan_of(id), {}, context());
  EXPECT_EQ(upload->id(), id);
  const std::vector<PartInfo> existing = upload->existing(context());
  if (destination.capabilities().lists_parts) {
    ASSERT_EQ(numbers_of(existing), std::vector<uint32_t>{2});
    EXPECT_EQ(existing[0].size, second.size);
    EXPECT_EQ(existing[0].etag, second.etag);
  } else {
    EXPECT_TRUE(existing.empty()) << "lists_parts is not promised";
  }
  const PartInfo third = data.write(*upload, 3, context());
  const PartInfo first = data.write(*upload, 1, context());
  upload->complete(std::vector{first, second, third}, context());
  EXPECT_TRUE(same(fixture().content("big"), data.content()));
  expect_nothing_left(fixture());
}

TEST_P(DestinationConformance, ACompletedUploadMayBeCompletedByALaterProcess) {
  SKIP_WITHOUT_PARTS();
  Destination& destination = fixture().destination();
  const Parts data(destination);
  std::string id;
  std::vector<PartInfo> parts;
  {
    const std::unique_ptr<PartUpload> upload = destination.begin_parts("big", data.plan(), {}, context());
    id = upload->id();
    for (const uint32_t number : {1U, 2U, 3U}) parts.push_back(data.write(*upload, number, context()));
    upload->complete(parts, context());
  }  // the process died before it could write that down
  const auto error = error_of([&] { destination.begin_parts("big", data.plan_of(id), {}, context())->complete(parts, context()); });
  if (error) {
    EXPECT_EQ(error->error_class(), ErrorClass::missing) << error->message();
  }
  EXPECT_TRUE(same(fixture().content("big"), data.content()));
  expect_nothing_left(fixture());
}

TEST_P(DestinationConformance, APartWrittenAgainReplacesTheFirst) {
  SKIP_WITHOUT_PARTS();
  Destination& destination = fixture().destination();
  const Parts data(destination);
  const std::string other = sample_content(data.bytes(2).size(), 77);
  const std::unique_ptr<PartUpload> upload = destination.begin_parts("big", data.plan(), {}, context());
  std::vector<PartInfo> parts(3);
  parts[0] = data.write(*upload, 1, context());
  data.write(*upload, 2, other, context());
  parts[2] = data.write(*upload, 3, context());
  parts[1] = data.write(*upload, 2, context());
  if (destination.capabilities().lists_parts) {
    EXPECT_EQ(numbers_of(upload->existing(context())), (std::vector<uint32_t>{1, 2, 3}));
  }
  upload->complete(parts, context());
  EXPECT_TRUE(same(fixture().content("big"), data.content()));
}

TEST_P(DestinationConformance, APartWithOtherBytesThanAnnouncedIsRefused) {
  SKIP_WITHOUT_PARTS();
  Destination& destination = fixture().destination();
  const Parts data(destination);
  const std::unique_ptr<PartUpload> upload = destination.begin_parts("big", data.plan(), {}, context());
  std::string bytes(data.bytes(1));
  const Digest digest = digest_of(bytes);
  bytes[100] = static_cast<char>(bytes[100] ^ 1);
  const auto error = error_of([&] { upload->write(1, 0, Body(std::as_bytes(std::span(bytes)), digest), context()); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->error_class(), ErrorClass::checksum) << error->message();
  upload->abort(context());
  expect_nothing_left(fixture());
}

TEST_P(DestinationConformance, AnAbortedUploadIsGoneAndTheOldObjectStays) {
  SKIP_WITHOUT_PARTS();
  Destination& destination = fixture().destination();
  put(destination, "big", "old", {}, context());
  const Parts data(destination);
  const std::unique_ptr<PartUpload> upload = destination.begin_parts("big", data.plan(), {}, context());
  const std::string id = upload->id();
  const PartInfo first = data.write(*upload, 1, context());
  EXPECT_TRUE(same(fixture().content("big"), "old"));
  upload->abort(context());
  upload->abort(context());
  EXPECT_TRUE(same(fixture().content("big"), "old"));
  expect_nothing_left(fixture());

  const auto write = error_of([&] { data.write(*upload, 2, context()); });
  ASSERT_TRUE(write);
  EXPECT_EQ(write->error_class(), ErrorClass::missing) << write->message();
  const auto existing = error_of([&] { upload->existing(context()); });
  ASSERT_TRUE(existing);
  EXPECT_EQ(existing->error_class(), ErrorClass::missing) << existing->message();
  const auto complete = error_of([&] { upload->complete(std::vector{first}, context()); });
  ASSERT_TRUE(complete) << "an upload that is gone was completed";
  const auto again = error_of([&] {
    const auto resumed = destination.begin_parts("big", data.plan_of(id), {}, context());
    resumed->existing(context());
  });
  ASSERT_TRUE(again);
  EXPECT_EQ(again->error_class(), ErrorClass::missing) << again->message();
  EXPECT_TRUE(same(fixture().content("big"), "old"));
  expect_nothing_left(fixture());
}

TEST_P(DestinationConformance, PartsKeepAttributesAndReplaceTheOldObject) {
  SKIP_WITHOUT_PARTS();
  Destination& destination = fixture().destination();
  const AttributesKept kept = fixture().attributes_kept();
  put(destination, "big", "old", {}, context());
  Attributes want;
  if (kept.content_headers) want.content_type = "text/x-test";
  if (kept.metadata) want.metadata = {{"colour", "blue"}};
  if (kept.mode) want.mode = 0600;
  if (kept.mtime) want.mtime_ns = 1'234'567'890'123'456'789;
  const Parts data(destination);
  const std::unique_ptr<PartUpload> upload = destination.begin_parts("big", data.plan(), {want, {}}, context());
  std::vector<PartInfo> parts;
  for (const uint32_t number : {1U, 2U, 3U}) parts.push_back(data.write(*upload, number, context()));
  upload->complete(parts, context());
  EXPECT_TRUE(same(fixture().content("big"), data.content()));
  const std::optional<Item> item = destination.stat("big", context());
  ASSERT_TRUE(item);
  Attributes got;
  const auto error = error_of([&] { got = destination.read(*item, 0, {}, context()).attributes; });
  if (error) GTEST_SKIP() << "the destination cannot read back";
  if (kept.content_headers) {
    EXPECT_EQ(got.content_type, want.content_type);
  }
  if (kept.metadata) {
    EXPECT_EQ(got.metadata, want.metadata);
  }
  if (kept.mode) {
    EXPECT_EQ(got.mode, want.mode);
  }
  if (kept.mtime) {
    EXPECT_EQ(got.mtime_ns, want.mtime_ns);
  }
}

TEST_P(DestinationConformance, PartsObeyTheirConditionWhenTheyAreCompleted) {
  SKIP_WITHOUT_PARTS();
  Destination& destination = fixture().destination();
  if (!destination.capabilities().conditional) GTEST_SKIP() << "not conditional";
  const Parts data(destination);
  WriteOptions options;
  options.condition.kind = Condition::Kind::absent;
  const std::unique_ptr<PartUpload> upload = destination.begin_parts("big", data.plan(), options, context());
  std::vector<PartInfo> parts;
  for (const uint32_t number : {1U, 2U, 3U}) parts.push_back(data.write(*upload, number, context()));
  put(destination, "big", "somebody else was quicker", {}, context());
  const auto error = error_of([&] { upload->complete(parts, context()); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->error_class(), ErrorClass::conflict) << error->message();
  EXPECT_TRUE(same(fixture().content("big"), "somebody else was quicker"));
  upload->abort(context());
  expect_nothing_left(fixture());
}

TEST_P(DestinationConformance, PartsOfAnUnknownLengthMayBeCompletedAtAnyPart) {
  SKIP_WITHOUT_PARTS();
  Destination& destination = fixture().destination();
  const Parts data(destination);
  PartPlan plan = data.plan();
  plan.size.reset();
  const std::unique_ptr<PartUpload> upload = destination.begin_parts("big", plan, {}, context());
  const std::vector<PartInfo> parts = {data.write(*upload, 1, context()), data.write(*upload, 2, data.bytes(3), context())};
  EXPECT_EQ(upload->complete(parts, context()).size, data.bytes(1).size() + data.bytes(3).size());
  EXPECT_TRUE(same(fixture().content("big"), std::string(data.bytes(1)) + std::string(data.bytes(3))));
}

TEST_P(DestinationConformance, SweepRemovesWhatThisMigrationLeftAndNothingElse) {
  SKIP_WITHOUT_PARTS();
  Destination& destination = fixture().destination();
  const Parts data(destination);
  testing::TestContext other;
  other.set_migration("00000000feedbeef");
  put(destination, "stays", "x", {}, context());
  std::string dropped;
  std::string kept;
  std::string foreign;
  {
    const auto first = destination.begin_parts("dropped", data.plan(), {}, context());
    dropped = first->id();
    data.write(*first, 1, context());
    const auto second = destination.begin_parts("kept", data.plan(), {}, context());
    kept = second->id();
    data.write(*second, 1, context());
    const auto third = destination.begin_parts("foreign", data.plan(), {}, other);
    foreign = third->id();
    data.write(*third, 1, other);
  }
  destination.sweep(std::vector<OpenUpload>{{"kept", kept}, {"dropped", dropped}}, context());
  const size_t one = destination.capabilities().lists_parts ? 1 : 0;
  EXPECT_EQ(destination.begin_parts("dropped", data.plan_of(dropped), {}, context())->existing(context()).size(), one);
  destination.sweep(std::vector<OpenUpload>{{"kept", kept}, {"dropped", ""}}, context());
  const auto gone = error_of([&] { destination.begin_parts("dropped", data.plan_of(dropped), {}, context())->existing(context()); });
  if (gone) {
    EXPECT_EQ(gone->error_class(), ErrorClass::missing) << gone->message();
  } else {
    note("the store cannot tell whose an unfinished upload is, and sweeps none");
  }
  EXPECT_EQ(destination.begin_parts("kept", data.plan_of(kept), {}, context())->existing(context()).size(), one);
  EXPECT_EQ(destination.begin_parts("foreign", data.plan_of(foreign), {}, other)->existing(other).size(), one)
      << "another migration's upload was swept away";
  EXPECT_TRUE(same(fixture().content("stays"), "x"));
}

}  // namespace waybill::conformance
