// SPDX-License-Identifier: Apache-2.0
#include "connectors/salesforce/files_source.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "base/text.hpp"
#include "connectors/salesforce/files_stream.hpp"
#include "connectors/salesforce/record_reader.hpp"
#include "connectors/salesforce/soql.hpp"
#include "waybill/error.hpp"
#include "waybill/redaction.hpp"

namespace waybill::salesforce {
namespace {

constexpr std::string_view link_object = "ContentDocumentLink";
constexpr size_t documents_a_query = 200;  // of their links; the API wants their ids in the query
constexpr uint64_t most_links = 50;        // that an item keeps

/// What a document is linked to.
struct Links {
  std::string text;
  uint64_t count = 0;

  void add(const Record& link) {
    const auto text_of = [&](std::string_view path) {
      const auto found = link.find(path);
      return found == link.end() ? std::string() : found->second.value_or(std::string());
    };
    if (++count > most_links) return;
    text += (text.empty() ? "" : ",") + text_of("LinkedEntityId") + ":" + text_of("ShareType");
  }
};

class FilesLister final : public Lister {
 public:
  FilesLister(Client& client, const FilesObject& object, std::unique_ptr<RecordReader> records, bool has_links)
      : client_(client), object_(object), records_(std::move(records)), has_links_(has_links) {}

  // What was read before an error stays, for the call that comes next.
  Page next(Context& context) override {
    if (!page_) {
      RecordPage records = records_->next(context);
      page_.emplace();
      page_->resume = std::move(records.resume);
      page_->is_last = records.is_last;
      page_->items.reserve(records.records.size());
      for (const Record& record : records.records) page_->items.push_back(object_.item_of(record));
      n_linked_ = 0;
    }
    try {
      while (has_links_ && n_linked_ < page_->items.size()) add_links(context);
    } catch (const Error& error) {
      if (error.error_class() != ErrorClass::configuration && error.error_class() != ErrorClass::permission) throw;
      has_links_ = false;
      context.log(LogLevel::warning, "what files are linked to is left out: " + error.message());
    }
    Page page = *std::move(page_);
    page_.reset();
    return page;
  }

 private:
  /// To the next items.
  void add_links(Context& context) {
    const size_t end = std::min(n_linked_ + documents_a_query, page_->items.size());
    std::map<std::string, Links> links;
    for (size_t i = n_linked_; i < end; ++i) {
      const auto& names = page_->items[i].names;
      if (const auto found = names.find("document_id"); found != names.end()) links.try_emplace(found->second);
    }
    read_links(links, context);
    for (size_t i = n_linked_; i < end; ++i) {
      auto& names = page_->items[i].names;
      const auto document = names.find("document_id");
      if (document == names.end()) continue;
      const Links& found = links.at(document->second);
      if (found.count > 0) names["linked"] = found.text;
      if (found.count > most_links) names["links_left_out"] = std::to_string(found.count - most_links);
    }
    n_linked_ = end;
  }

  void read_links(std::map<std::string, Links>& links, Context& context) {
    if (links.empty()) return;
    std::string ids;
    for (const auto& [id, ignored] : links) ids += (ids.empty() ? "" : ",") + soql_text(id);
    const Selection selection{std::string(link_object),
                              {"Id", "ContentDocumentId", "LinkedEntityId", "ShareType"},
                              "ContentDocumentId IN (" + ids + ")"};
    const auto reader = read_by_rest(client_, selection, "");
    for (bool is_last = false; !is_last;) {
      const RecordPage page = reader->next(context);
      is_last = page.is_last;
      for (const Record& link : page.records) {
        const auto document = link.find("ContentDocumentId");
        if (document == link.end() || !document->second) continue;
        if (const auto found = links.find(*document->second); found != links.end()) found->second.add(link);
      }
    }
  }

  Client& client_;
  const FilesObject& object_;
  const std::unique_ptr<RecordReader> records_;
  bool has_links_;
  std::optional<Page> page_;
  size_t n_linked_ = 0;  // items of page_ that have their links
};

// What an organization's own URLs have behind the part of their hosts that is its name.
constexpr std::array<std::string_view, 3> own_hosts = {".my.salesforce.com", ".lightning.force.com", ".file.force.com"};

/// The part of a URL behind this organization's host; nothing where it is another's.
std::optional<std::string_view> own_target(const Organization& organization, std::string_view url) {
  if (url.starts_with('/') && !url.starts_with("//")) return url;
  if (url.starts_with(organization.endpoint + "/")) return url.substr(organization.endpoint.size());
  const size_t begin = url.find("://");
  if (begin == std::string_view::npos) return std::nullopt;
  const std::string scheme = internal::to_lower(url.substr(0, begin));
  if (scheme != "https" && scheme != "http") return std::nullopt;
  const std::string_view rest = url.substr(begin + 3);
  const size_t slash = std::min(rest.find('/'), rest.size());
  const std::string host = internal::to_lower(rest.substr(0, slash));
  const auto is_own = [&](std::string_view suffix) {
    const std::string_view own = organization.host;
    if (!own.ends_with(own_hosts.front())) return false;
    return host == std::string(own.substr(0, own.size() - own_hosts.front().size())) + std::string(suffix);
  };
  if (host != organization.host && std::none_of(own_hosts.begin(), own_hosts.end(), is_own)) return std::nullopt;
  return rest.substr(slash);
}

}  // namespace

FilesSource::FilesSource(FilesConfig config)
    : config_(std::move(config)), object_(config_), client_(config_.organization) {}

Source::Capabilities FilesSource::capabilities() const {
  Capabilities capabilities;
  capabilities.positioned = false;
  // The order of ids is that of their bytes.
  capabilities.order = Order::byte_key;
  return capabilities;
}

void FilesSource::check(Context& context) {
  const Object described = describe(client_, config_.object, context);
  if (!described.is_queryable) {
    throw Error(ErrorCode::permission_denied, ErrorClass::permission,
                "this user may not query " + described.name + "; grant it the right to read the object");
  }
  std::vector<std::string> paths = object_.paths(described);
  const std::scoped_lock lock(mutex_);
  paths_ = std::move(paths);
}

std::vector<std::string> FilesSource::paths(Context& context) {
  {
    const std::scoped_lock lock(mutex_);
    if (!paths_.empty()) return paths_;
  }
  check(context);
  const std::scoped_lock lock(mutex_);
  return paths_;
}

std::unique_ptr<Lister> FilesSource::list(const ListRequest& request, Context& context) {
  const Selection selection{config_.object, paths(context), object_.where(), object_.key_field()};
  // A call lists 2,000 files, and each of them costs one anyway: jobs are for those who ask for them.
  const Reads reads = config_.reads == Reads::bulk ? Reads::bulk : Reads::rest;
  auto records = read_records(client_, selection, reads, request.resume);
  return std::make_unique<FilesLister>(client_, object_, std::move(records), object_.has_links());
}

std::optional<Item> FilesSource::stat(const ItemId& id, Context& context) {
  if (!object_.is_key(id.key)) return std::nullopt;
  const auto reader = read_by_rest(client_, {config_.object, paths(context), object_.where(id.key)}, "");
  const RecordPage page = reader->next(context);
  if (page.records.empty()) return std::nullopt;
  Item item = object_.item_of(page.records.back());
  item.id = id;
  item.names.clear();  // what it is linked to is not asked for: a listing alone tells names
  return item;
}

std::unique_ptr<Stream> FilesSource::stream(const Item& item, Context& context) {
  context.check();
  const auto gone = [&] { return Error(ErrorCode::not_found, ErrorClass::missing, shown_key(item.key()) + " is not there"); };
  if (!object_.is_key(item.key())) throw gone();
  if (const auto path = object_.body_of(item)) return std::make_unique<FilesStream>(*this, client_, item, *path, context);
  // A ledger that another program's was imported into knows of no version.
  const std::optional<Item> now = stat(item.id, context);
  const auto path = now ? object_.body_of(*now) : std::nullopt;
  if (!path) throw gone();
  return std::make_unique<FilesStream>(*this, client_, *now, *path, context);
}

std::optional<ItemId> FilesSource::item_at(std::string_view url) const {
  const auto target = own_target(config_.organization, url);
  const auto key = target ? object_.key_in(*target) : std::nullopt;
  return key ? std::optional(ItemId{"", *key, ""}) : std::nullopt;
}

std::shared_ptr<Source> open_files(const Url& url) { return std::make_shared<FilesSource>(FilesConfig::parse(url)); }

}  // namespace waybill::salesforce
