// SPDX-License-Identifier: Apache-2.0
//
// See listing.hpp.
#include "connectors/s3/listing.hpp"

#include <algorithm>
#include <functional>
#include <unordered_set>

#include "base/text.hpp"
#include "base/uri.hpp"

namespace waybill::s3 {
namespace {

constexpr size_t longest_key = 1024;
// U+FFFD, which stores write into XML for a character that XML cannot say.
constexpr std::string_view replacement = "\xEF\xBF\xBD";

void learn_encoding(Client& client, const ListedPage& listed) {
  if (!listed.is_url_encoded) client.learnt().lists_plain_keys = true;
}

// The longest beginning of `key` that a store can be asked about. Everything that is greater than `key` is greater than
// it too; what lies between is filtered here.
std::string askable(std::string key) {
  if (key.size() > longest_key) key.resize(longest_key);
  while (!internal::is_utf8(key)) key.pop_back();
  return key;
}

class ObjectLister final : public Lister {
 public:
  ObjectLister(std::shared_ptr<Client> client, const ListRequest& request)
      : client_(std::move(client)), after_(request.after), before_(request.before) {}

  Page next(Context& context) override {
    std::vector<Client::Parameter> parameters = {{"encoding-type", "url"}, {"list-type", "2"}};
    const std::string& prefix = client_->config().prefix;
    if (!prefix.empty()) parameters.emplace_back("prefix", prefix);
    if (!token_.empty())
      parameters.emplace_back("continuation-token", token_);
    else if (!after_.empty())
      parameters.emplace_back("start-after", askable(prefix + after_));
    Client::Request request{.method = "GET", .query = aws::canonical_query(parameters)};
    internal::HttpResponse response = client_->call(request, context);
    ListedPage listed = parse(response.text);
    const std::optional<std::string> token = next_token(listed);
    learn_encoding(*client_, listed);
    learn_spaces(listed);

    Page page;
    page.items.reserve(listed.objects.size());
    std::string last = last_;
    bool has_last = has_last_;
    bool is_past_end = false;
    for (ListedObject& object : listed.objects) {
      std::string key = decode(listed, std::move(object.key));
      check_key(key, has_last ? &last : nullptr);
      last = key;
      has_last = true;
      key.erase(0, prefix.size());
      if (!after_.empty() && key <= after_) continue;
      if (!before_.empty() && key >= before_) {
        is_past_end = true;
        break;
      }
      if (key.empty() && object.size == 0) continue;
      page.items.push_back(to_item(std::move(key), std::move(object)));
      if (is_spoilt(listed, page.items.back().id.key)) refuse_spoilt(page.items.back());
    }
    // Only now, so that a page which could not be read can be asked for again.
    last_ = std::move(last);
    has_last_ = has_last;
    page.is_last = is_past_end || !token;
    if (token) {
      token_ = *token;
      seen_tokens_.insert(std::hash<std::string>{}(token_));
    }
    return page;
  }

 private:
  Error broken(const std::string& why) const {
    return Error(ErrorCode::data_loss, ErrorClass::server,
                 client_->config().identity() + ": the store's listing cannot be trusted: " + why);
  }

  ListedPage parse(std::string& text) const {
    try {
      return parse_list(text);
    } catch (Error& error) {
      error.prepend(client_->config().identity());
      throw;
    }
  }

  std::optional<std::string> next_token(const ListedPage& listed) const {
    if (!listed.is_truncated) return std::nullopt;
    if (listed.next_token.empty()) throw broken("a page says that there are more, but not how to ask for them");
    if (seen_tokens_.contains(std::hash<std::string>{}(listed.next_token))) {
      throw broken("it goes round in a circle: a continuation token came twice");
    }
    return listed.next_token;
  }

  // A '+' is a space, as in forms, unless the store writes spaces as %20.
  void learn_spaces(const ListedPage& listed) {
    const auto has_percent_space = [](const ListedObject& each) { return each.key.find("%20") != std::string::npos; };
    if (!writes_space_as_percent_) {
      writes_space_as_percent_ = std::any_of(listed.objects.begin(), listed.objects.end(), has_percent_space);
    }
  }

  std::string decode(const ListedPage& listed, std::string key) const {
    if (!listed.is_url_encoded) return key;
    if (!writes_space_as_percent_) std::replace(key.begin(), key.end(), '+', ' ');
    std::optional<std::string> decoded = internal::percent_decode(key);
    if (!decoded) throw broken("'" + printable(key) + "' is not the encoded form of a key");
    return std::move(*decoded);
  }

  void check_key(const std::string& key, const std::string* last) const {
    if (!key.starts_with(client_->config().prefix)) throw broken("'" + printable(key) + "' is not below the prefix");
    if (last != nullptr && key <= *last) {
      const bool may_be_spoilt = client_->learnt().lists_plain_keys && last->find(replacement) != std::string::npos;
      throw broken("'" + printable(key) + "' comes after '" + printable(*last) + "', which is not ascending order" +
                   (may_be_spoilt ? "; it ignores encoding-type=url and has replaced control characters in keys" : ""));
    }
  }

  static Item to_item(std::string key, ListedObject object) {
    Item item;
    item.stamp.size = object.size;
    item.stamp.etag = std::move(object.etag);
    if (key.empty()) {
      item.refused = ErrorClass::unsupported;
      item.reason = "the object has the prefix itself as its key, and content: it has no name below the prefix";
    } else if (object.storage_class == "GLACIER" || object.storage_class == "DEEP_ARCHIVE") {
      item.refused = ErrorClass::archived;
      item.reason = "in storage class " + object.storage_class + ": restore it first";
    }
    item.id.key = std::move(key);
    return item;
  }

  // A key in which the store may have replaced a character names no object that could be read.
  static bool is_spoilt(const ListedPage& listed, const std::string& key) {
    return !listed.is_url_encoded && key.find(replacement) != std::string::npos;
  }

  static void refuse_spoilt(Item& item) {
    item.refused = ErrorClass::unsupported;
    item.reason = "the store's listing has replaced a character of this key: it ignores encoding-type=url";
  }

  std::shared_ptr<Client> client_;
  std::string after_;
  std::string before_;
  std::string token_;
  std::string last_;
  bool has_last_ = false;
  bool writes_space_as_percent_ = false;
  // Hashes, so that a store which never ends costs no memory to speak of; 64 bits cannot meet by chance in a listing.
  std::unordered_set<size_t> seen_tokens_;
};

}  // namespace

std::unique_ptr<Lister> list_objects(std::shared_ptr<Client> client, const ListRequest& request) {
  return std::make_unique<ObjectLister>(std::move(client), request);
}

bool is_listed(Client& client, const std::string& full, Context& context) {
  const Client::Parameter parameters[] = {
      {"encoding-type", "url"}, {"list-type", "2"}, {"max-keys", "1"}, {"prefix", full}};
  const Client::Request request{.method = "GET", .query = aws::canonical_query(parameters)};
  internal::HttpResponse response = client.call(request, context);
  const ListedPage listed = parse_list(response.text);
  learn_encoding(client, listed);
  if (listed.objects.empty()) return false;
  std::string key = listed.objects.front().key;
  if (!listed.is_url_encoded) return key == full;
  if (internal::percent_decode(key) == full) return true;
  std::replace(key.begin(), key.end(), '+', ' ');
  return internal::percent_decode(key) == full;
}

void check_bucket(Client& client, Context& context) {
  std::vector<Client::Parameter> parameters = {{"encoding-type", "url"}, {"list-type", "2"}, {"max-keys", "1"}};
  if (!client.config().prefix.empty()) parameters.emplace_back("prefix", client.config().prefix);
  const Client::Request request{.method = "GET", .query = aws::canonical_query(parameters)};
  try {
    internal::HttpResponse response = client.call(request, context);
    learn_encoding(client, parse_list(response.text));
  } catch (const Error& error) {
    if (error.error_class() == ErrorClass::network || error.error_class() == ErrorClass::timeout) {
      throw Error(error).prepend("cannot reach " + client.name(std::nullopt) + " at " + client.config().endpoint() +
                                 ", check the endpoint and the network");
    }
    throw;
  }
}

}  // namespace waybill::s3
