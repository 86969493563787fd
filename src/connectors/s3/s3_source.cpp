// SPDX-License-Identifier: Apache-2.0
//
// See s3_source.hpp.
#include "connectors/s3/s3_source.hpp"

#include "connectors/s3/listing.hpp"
#include "connectors/s3/object_url.hpp"
#include "connectors/s3/reading.hpp"
#include "connectors/s3/removal.hpp"
#include "connectors/s3/website.hpp"

namespace waybill::s3 {

Source::Capabilities S3Source::capabilities() const {
  Capabilities capabilities;
  capabilities.versions = client_->config().versions;
  // Versions of a key come newest first, by ids in no order.
  if (!capabilities.versions) capabilities.order = listing_order(*client_);
  capabilities.start_after = capabilities.order == Order::byte_key;
  return capabilities;
}

void S3Source::check(Context& context) { check_bucket(*client_, context, client_->config().versions); }

std::unique_ptr<Lister> S3Source::list(const ListRequest& request, Context&) {
  if (!request.after.empty()) forget_class_if_unlisted(*client_);
  return list_objects(client_, request, client_->config().versions);
}

ReadResult S3Source::read(const Item& item, uint64_t offset, std::span<std::byte> out, Context& context) {
  if (out.empty() && item.stamp.size != uint64_t{0}) ask_for_website(*client_, context);
  return read_object(*client_, {client_->config().prefix + item.id.key, item.id.version, item.stamp, true}, offset, out, context);
}

std::optional<Item> S3Source::stat(const ItemId& id, Context& context) {
  const std::optional<ObjectHead> head = head_object(*client_, client_->config().prefix + id.key, context, id.version);
  if (!head) {
    // An item is gone only if its bucket is still there: a HEAD cannot tell the two apart.
    check_bucket(*client_, context, client_->config().versions);
    return std::nullopt;
  }
  Item item;
  item.id = id;
  item.stamp.size = head->size;
  item.stamp.etag = head->etag;
  item.digest.crc64nvme = head->crc64nvme;
  return item;
}

Removal S3Source::remove(const Item& item, Context& context) {
  return remove_object(*client_, client_->config().prefix + item.id.key, item.stamp, item.id.version, context);
}

std::optional<ItemId> S3Source::item_at(std::string_view url) const { return item_of_url(client_->config(), url); }

std::optional<Locator> S3Source::locator(const Item& item) {
  if (client_->learnt().has_weak_etags) return std::nullopt;  // nothing says that what is copied is what was listed
  // A copy by the store would not have the time at which the version was written; and the key that a customer gave for
  // reading is not handed on.
  if (!item.id.version.empty() || !client_->config().sse_c.empty()) return std::nullopt;
  const Config& config = client_->config();
  Locator locator;
  locator.scheme = "s3";
  locator.endpoint = endpoint();
  locator.bucket = config.bucket;
  locator.key = config.prefix + item.id.key;
  locator.etag = item.stamp.etag;
  locator.size = item.stamp.size;
  if (!may_redirect(*client_)) locator.storage_class = listed_class(*client_);
  locator.has_tags = config.tags;
  locator.expected_bucket_owner = config.expected_bucket_owner;
  locator.requester_pays = config.requester_pays;
  return locator;
}

}  // namespace waybill::s3
