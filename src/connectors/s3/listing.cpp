// SPDX-License-Identifier: Apache-2.0
//
// See listing.hpp.
#include "connectors/s3/listing.hpp"

#include <algorithm>
#include <functional>
#include <iterator>
#include <unordered_set>

#include "base/text.hpp"
#include "connectors/s3/listing_page.hpp"

namespace waybill::s3 {
namespace {

constexpr size_t longest_key = 1024;
// Some stores may hold longer ones than S3, but an item in the queue is not to cost a megabyte.
constexpr size_t longest_listed_key = 4 * longest_key;
constexpr size_t longest_mark = 1024;  // an ETag, a version's id
// S3 itself holds 50 TiB in an object. What is beyond this is no size, and would not add up.
constexpr uint64_t most_object_bytes = uint64_t{1} << 50;
// Pages without anything new are allowed. A store that gives nothing else for so long does not end.
constexpr int most_empty_pages = 10'000;

// The longest beginning of `key` that a store can be asked about. Everything that is greater than `key` is greater than
// it too; what lies between is filtered here.
std::string askable(std::string key) {
  if (key.size() > longest_key) key.resize(longest_key);
  while (!internal::is_utf8(key)) key.pop_back();
  return key;
}

// https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html
constexpr std::string_view storage_classes[] = {"STANDARD",    "STANDARD_IA",         "ONEZONE_IA",        "GLACIER_IR",
                                                "GLACIER",     "INTELLIGENT_TIERING", "REDUCED_REDUNDANCY", "DEEP_ARCHIVE",
                                                "EXPRESS_ONEZONE"};
constexpr int several_classes = -1;

void note_class(Learnt& learnt, std::string_view name) {
  const auto* known = std::find(std::begin(storage_classes), std::end(storage_classes), name.empty() ? "STANDARD" : name);
  const int number = known == std::end(storage_classes) ? several_classes : static_cast<int>(known - storage_classes) + 1;
  int seen = 0;
  if (learnt.listed_class.compare_exchange_strong(seen, number) || seen == number) return;
  learnt.listed_class = several_classes;
}

// Where a listing has been, so that one which does not end is left: it goes on from a place where it was already, it
// shows a page again, or nothing new for long. Hashes, so that it costs no memory to speak of; 64 bits cannot meet by
// chance in a listing.
class Trail {
 public:
  /// Errors: server.
  void check(const Client& client, const PageAnswer& answer, size_t page) const {
    if (!answer.next) return;
    if (places_.contains(hash_of(*answer.next))) {
      throw broken_listing(client, "it goes round in a circle: a place to go on from came twice");
    }
    if (page != 0 && pages_.contains(page))
      throw broken_listing(client, "it goes round in a circle: a page came twice");
    if (empty_pages_ >= most_empty_pages) {
      throw broken_listing(client, std::to_string(most_empty_pages) + " pages in a row had nothing new");
    }
  }
  /// `page` is what check() was told; `is_empty`: nothing on it was new.
  void note(const PageAnswer& answer, size_t page, bool is_empty) {
    if (answer.next) places_.insert(hash_of(*answer.next));
    if (page != 0) pages_.insert(page);
    empty_pages_ = is_empty ? empty_pages_ + 1 : 0;
  }

 private:
  static size_t hash_of(const ListPosition& position) {
    return std::hash<std::string>{}(position.version.empty() ? position.text : position.text + '\0' + position.version);
  }

  std::unordered_set<size_t> places_;
  std::unordered_set<size_t> pages_;
  int empty_pages_ = 0;
};

// Of its objects in their order; 0 for none.
size_t hash_of(const std::vector<ListedObject>& objects) {
  size_t hash = 0;
  for (const ListedObject& object : objects) {
    hash = hash * 0x9E3779B97F4A7C15U + std::hash<std::string>{}(object.key + '\0' + object.version_id) + 1;
  }
  return hash;
}

class ObjectLister final : public Lister {
 public:
  ObjectLister(std::shared_ptr<Client> client, const ListRequest& request, bool of_versions)
      : client_(std::move(client)),
        after_(request.after),
        before_(request.before),
        of_versions_(of_versions),
        is_ordered_(listing_order(*client_) == Order::byte_key),
        whole_to_(of_versions && is_ordered_ ? request.resume : "") {
    if (!whole_to_.empty()) position_ = ListPosition{whole_to_, true};
  }

  Page next(Context& context) override {
    if (!is_ordered_) warn_of_order(context);
    const std::string& prefix = client_->config().prefix;
    // A store without order would leave out what it lists before that key, wherever it is.
    const std::string after = after_.empty() || !is_ordered_ ? "" : askable(prefix + after_);
    PageAnswer answer = ask_page(*client_, {prefix, after, position_ ? &*position_ : nullptr, 0, of_versions_}, context);
    const size_t hash = is_ordered_ ? 0 : hash_of(answer.objects);  // in order, a page that comes again is disorder
    trail_.check(*client_, answer, hash);

    Page page;
    page.items.reserve(answer.objects.size());
    std::string last = last_;
    bool has_last = has_last_;
    bool is_past_end = false;
    bool is_empty = true;
    Markers markers = markers_;
    std::string whole_to = whole_to_;
    std::string last_version = last_version_;
    std::unordered_set<std::string> seen;  // on this page, without an order
    for (ListedObject& object : answer.objects) {
      if (object.is_delete_marker) {
        // In a place of their own in some stores' pages.
        markers.count += 1;
        markers.latest += object.is_latest ? 1 : 0;
        is_empty = false;
        continue;
      }
      std::string key = std::move(object.key);
      if (of_versions_ && has_last && key > last) whole_to = last;
      check_key(key, has_last ? &last : nullptr);
      if (object.etag.size() > longest_mark || object.version_id.size() > longest_mark) {
        throw broken_listing(*client_, "the ETag or the version of " + quoted(key) + " is longer than any");
      }
      // Listed twice, it is still one object; between pages some stores do that.
      const bool is_known = is_ordered_ ? has_last && key == last && object.version_id == last_version
                                        : !seen.insert(key + '\0' + object.version_id).second;
      if (is_known) continue;
      is_empty = false;
      if (is_ordered_) last = key;
      last_version = object.version_id;
      has_last = is_ordered_;
      key.erase(0, prefix.size());
      if (!after_.empty() && key <= after_) continue;
      if (!before_.empty() && key >= before_) {
        if (!is_ordered_) continue;
        is_past_end = true;
        break;
      }
      if (key.empty() && object.size == 0) continue;
      page.items.push_back(to_item(std::move(key), std::move(object)));
      if (!answer.is_url_encoded) refuse_if_spoilt(page.items.back());
    }
    // Only now, so that a page which could not be read can be asked for again.
    last_ = std::move(last);
    has_last_ = has_last;
    markers_ = markers;
    whole_to_ = std::move(whole_to);
    page.resume = whole_to_;
    last_version_ = std::move(last_version);
    trail_.note(answer, hash, is_empty);
    page.is_last = is_past_end || !answer.next;
    if (answer.next) position_ = std::move(answer.next);
    if (page.is_last && markers_.count > 0) tell_markers(context);
    return page;
  }

 private:
  struct Markers {
    uint64_t count = 0;
    uint64_t latest = 0;  // so many keys are deleted
  };

  void tell_markers(Context& context) {
    context.log(LogLevel::info, client_->config().shown() + ": " + std::to_string(markers_.count) +
                                    " delete markers, which are no content, are not moved; " + std::to_string(markers_.latest) +
                                    " keys are deleted there now: of them the versions before are moved");
  }

  void warn_of_order(Context& context) {
    if (client_->learnt().has_warned_of_order.exchange(true)) return;
    context.log(LogLevel::warning, client_->config().shown() +
                                       ": listed without order: by one lister, from its beginning after an "
                                       "interruption, and with a request for each key that may be there");
  }

  void check_key(const std::string& key, const std::string* last) const {
    if (!key.starts_with(client_->config().prefix)) {
      throw broken_listing(*client_, quoted(key) + " is not below the prefix");
    }
    if (key.size() > longest_listed_key) {
      throw broken_listing(*client_, quoted(key) + " has " + std::to_string(key.size()) +
                                         " bytes, and S3 keys have at most " + std::to_string(longest_key));
    }
    if (last == nullptr || key >= *last) return;
    const bool may_be_spoilt = client_->learnt().lists_plain_keys && has_replacement(*last);
    throw broken_listing(*client_,
                         quoted(key) + " comes after " + quoted(*last) + ", which is not ascending order; " +
                             (may_be_spoilt ? "it ignores encoding-type=url and has replaced control characters in keys"
                                            : "if this store lists without order, add ordered=false to the URL"));
  }

  Item to_item(std::string key, ListedObject object) const {
    Item item;
    item.stamp.size = object.size;
    item.stamp.etag = std::move(object.etag);
    item.modified_at_ms = object.modified_at_ms;
    note_class(client_->learnt(), object.storage_class);
    if (of_versions_) {
      item.id.version = object.version_id.empty() ? "null" : std::move(object.version_id);
    }
    if (key.empty()) {
      item.refused = ErrorClass::unsupported;
      item.reason = "the object has the prefix itself as its key, and content: it has no name below the prefix";
    } else if (object.size > most_object_bytes) {
      item.stamp.size.reset();
      item.refused = ErrorClass::unsupported;
      item.reason = "listed with " + std::to_string(object.size) + " bytes, which is more than a store can hold";
    } else if (const char* why = why_archived(object, client_->config().is_aws)) {
      item.refused = ErrorClass::archived;
      item.reason = "in storage class " + object.storage_class + ": " + why;
    }
    item.id.key = std::move(key);
    return item;
  }

  // A key in which the store may have replaced a character names no object that could be read.
  static void refuse_if_spoilt(Item& item) {
    if (!has_replacement(item.id.key)) return;
    item.refused = ErrorClass::unsupported;
    item.reason = "the store's listing has replaced a character of this key: it ignores encoding-type=url";
  }

  std::shared_ptr<Client> client_;
  std::string after_;
  std::string before_;
  bool of_versions_;
  bool is_ordered_;
  std::string whole_to_;  // the full key up to which every version has been listed
  Markers markers_;
  std::optional<ListPosition> position_;
  std::string last_;
  std::string last_version_;  // of that key
  bool has_last_ = false;
  Trail trail_;
};

}  // namespace

std::unique_ptr<Lister> list_objects(std::shared_ptr<Client> client, const ListRequest& request, bool of_versions) {
  return std::make_unique<ObjectLister>(std::move(client), request, of_versions);
}

Order listing_order(const Client& client) noexcept {
  return client.config().ordered && !client.learnt().is_unordered ? Order::byte_key : Order::none;
}

const char* why_archived(const ListedObject& object, bool is_told) noexcept {
  if (object.storage_class != "GLACIER" && object.storage_class != "DEEP_ARCHIVE") return nullptr;
  if (object.is_restoring) return "its restore is under way";
  return is_told && !object.is_restored ? "restore it first" : nullptr;
}

std::optional<std::string> listed_class(const Client& client) {
  const int number = client.learnt().listed_class;
  if (number <= 0) return std::nullopt;
  return std::string(storage_classes[static_cast<size_t>(number) - 1]);
}

void forget_class_if_unlisted(Client& client) {
  int expected = 0;
  client.learnt().listed_class.compare_exchange_strong(expected, several_classes);
}

bool is_listed(Client& client, const std::string& full, Context& context) {
  const bool is_ordered = listing_order(client) == Order::byte_key;
  std::optional<ListPosition> position;
  Trail trail;
  do {
    // In order, the key itself is the first one that begins with it. Not a page of one: MinIO answers that by opening
    // the object, and names it as it was asked for.
    PageAnswer answer = ask_page(client, {full, "", position ? &*position : nullptr, is_ordered ? 2U : 0U}, context);
    for (const ListedObject& object : answer.objects) {
      if (object.key == full) return true;
    }
    if (is_ordered && !answer.objects.empty()) return false;
    const size_t hash = hash_of(answer.objects);
    trail.check(client, answer, hash);
    trail.note(answer, hash, answer.objects.empty());
    position = std::move(answer.next);
  } while (position);
  return false;
}

void check_bucket(Client& client, Context& context, bool of_versions) {
  try {
    const PageAnswer first = ask_page(client, {client.config().prefix, "", nullptr, 0, of_versions}, context);
    for (size_t n = 1; n < first.objects.size(); ++n) {
      if (first.objects[n].is_delete_marker != first.objects[n - 1].is_delete_marker) continue;
      const bool may_be_spoilt = !first.is_url_encoded && has_replacement(first.objects[n - 1].key);
      if (first.objects[n].key < first.objects[n - 1].key && !may_be_spoilt) client.learnt().is_unordered = true;
    }
  } catch (const Error& error) {
    if (error.error_class() == ErrorClass::network || error.error_class() == ErrorClass::timeout) {
      throw Error(error).prepend("cannot reach " + client.name(std::nullopt) + " at " + client.config().endpoint() +
                                 ", check the endpoint and the network");
    }
    throw;
  }
}

}  // namespace waybill::s3
