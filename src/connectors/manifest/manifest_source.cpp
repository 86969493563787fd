// SPDX-License-Identifier: Apache-2.0
#include "connectors/manifest/manifest_source.hpp"

#include <sys/stat.h>

#include <cerrno>
#include <set>

#include "base/text.hpp"
#include "base/uri.hpp"
#include "connectors/links/links.hpp"
#include "connectors/manifest/inventory.hpp"
#include "connectors/manifest/rows.hpp"
#include "waybill/connectors.hpp"
#include "waybill/error.hpp"

namespace waybill::manifest {
namespace {

constexpr size_t most_items = 1000;
constexpr uint64_t most_page_bytes = uint64_t{4} << 20;
constexpr size_t longest_key = 65'535;
constexpr size_t longest_etag = 1024;

const std::string* find(const Row& row, const std::string& column) {
  const auto found = row.find(column);
  return found == row.end() ? nullptr : &found->second;
}

// Tells one state of a file from the next, so that a listing is not carried on within another one.
std::string revision_of(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) throw system_error(errno, "cannot read the manifest " + printable(path));
  return std::to_string(status.st_size) + "." + std::to_string(status.st_mtim.tv_sec) + "." +
         std::to_string(status.st_mtim.tv_nsec);
}

class ManifestLister final : public Lister {
 public:
  ManifestLister(const Config& config, std::shared_ptr<Source> base, const links::Contents& contents,
                 Inventory inventory)
      : config_(config), base_(std::move(base)), contents_(contents), inventory_(std::move(inventory)) {
    files_ = {config_.path};
    if (config_.format == Format::s3_inventory) {
      files_.clear();
      for (const InventoryPart& part : inventory_.parts) files_.push_back(part.path);
    }
  }

  // "part offset line revision" of where an earlier listing was; anything else begins at the front.
  void resume(const std::string& text) {
    std::vector<std::string> words;
    for (size_t at = 0; at < text.size();) {
      const size_t end = std::min(text.find(' ', at), text.size());
      words.push_back(text.substr(at, end - at));
      at = end + 1;
    }
    if (words.size() != 4) return;
    const auto part = internal::parse_uint(words[0]);
    const auto offset = internal::parse_uint(words[1]);
    const auto line = internal::parse_uint(words[2]);
    if (!part || !offset || !line || *part >= files_.size() || words[3] != revision_of(files_[*part])) return;
    part_ = *part;
    offset_ = *offset;
    line_ = *line;
  }

  Page next(Context& context) override {
    Page page;
    std::set<ItemId> seen;
    uint64_t bytes = 0;
    while (page.items.size() < most_items && bytes < most_page_bytes) {
      if (part_ == files_.size()) {
        page.is_last = true;
        return page;
      }
      if (rows_ == nullptr) open(context);
      uint64_t line = 0;
      std::optional<Row> row = rows_->next(line, context);
      if (!row) {
        rows_.reset();
        bytes_.reset();
        offset_ = 0;
        ++part_;
        continue;
      }
      std::optional<Item> item = item_of(*row, line);
      if (!item || !seen.insert(item->id).second) continue;
      bytes += item->id.key.size();
      page.items.push_back(*std::move(item));
    }
    page.resume = std::to_string(part_) + " " + std::to_string(bytes_->offset()) + " " +
                  std::to_string(bytes_->line()) + " " + revision_;
    return page;
  }

 private:
  void open(Context& context) {
    revision_ = revision_of(files_[part_]);
    bytes_ = std::make_unique<Bytes>(files_[part_]);
    switch (config_.format) {
      case Format::csv:
        rows_ = csv_rows(*bytes_, {}, context);
        break;
      case Format::jsonl:
        rows_ = json_rows(*bytes_);
        break;
      case Format::s3_inventory:
        rows_ = csv_rows(*bytes_, inventory_.columns, context);
        break;
    }
    if (offset_ > 0) bytes_->go_to(offset_, line_);
    offset_ = 0;
  }

  const std::string* value(const Row& row, const std::string& name) const {
    const auto named = config_.columns.find(name);
    return find(row, named == config_.columns.end() ? name : named->second);
  }

  // Nothing for a row that stands for no item.
  std::optional<Item> item_of(const Row& row, uint64_t line) const {
    if (config_.format == Format::s3_inventory) return inventory_item(row, line);
    Item item;
    const std::string* key = base_ != nullptr ? value(row, "key") : value(row, "url");
    if (key == nullptr) key = value(row, base_ != nullptr ? "url" : "key");
    if (key == nullptr)
      throw broken(*bytes_, line, "has neither a key nor a url; key=COLUMN or url=COLUMN names the column that does");
    item.id.key = *key;
    if (const std::string* partition = value(row, "partition")) item.id.partition = *partition;
    if (const std::string* version = value(row, "version")) item.id.version = *version;
    fill_stamp(item, value(row, "size"), value(row, "etag"), value(row, "mtime"), line);
    refuse(item, line);
    return item;
  }

  std::optional<Item> inventory_item(const Row& row, uint64_t line) const {
    const std::string* is_latest = find(row, "islatest");
    const std::string* is_marker = find(row, "isdeletemarker");
    if ((is_latest != nullptr && *is_latest == "false") || (is_marker != nullptr && *is_marker == "true"))
      return std::nullopt;
    const std::string* text = find(row, "key");
    if (text == nullptr) throw broken(*bytes_, line, "has no key");
    bool is_sound = false;
    const std::string key = decode_inventory_key(*text, is_sound);
    if (!is_sound) throw broken(*bytes_, line, "a '%' in the key is not followed by two hexadecimal digits");
    // The base may be a part of the bucket: what lies outside of it is no item of this source.
    const auto id = base_->item_at("s3://" + inventory_.bucket + "/" + internal::encode_path(key));
    if (!id) return std::nullopt;
    Item item;
    item.id.key = id->key;
    fill_stamp(item, find(row, "size"), find(row, "etag"), find(row, "lastmodifieddate"), line);
    refuse(item, line);
    return item;
  }

  void fill_stamp(Item& item, const std::string* size, const std::string* etag, const std::string* mtime,
                  uint64_t line) const {
    if (size != nullptr) {
      item.stamp.size = internal::parse_uint(*size);
      if (!item.stamp.size)
        throw broken(*bytes_, line, "the size \"" + printable(size->substr(0, 40)) + "\" is no whole number of bytes");
    }
    if (etag != nullptr) {
      const bool is_quoted = etag->size() >= 2 && etag->front() == '"' && etag->back() == '"';
      item.stamp.etag = is_quoted ? etag->substr(1, etag->size() - 2) : *etag;
      if (item.stamp.etag.size() > longest_etag) throw broken(*bytes_, line, "the etag is longer than 1,024 bytes");
    }
    if (mtime == nullptr) return;
    const auto at = internal::parse_rfc3339_ns(*mtime);
    if (!at)
      throw broken(*bytes_, line,
                   "the time \"" + printable(mtime->substr(0, 40)) + "\" is not as 2026-11-20T18:43:53Z");
    item.modified_at_ms = *at / 1'000'000;
    // Stores that have an ETag tell times in many ways.
    if (item.stamp.etag.empty()) item.stamp.mtime_ns = *at;
  }

  void refuse(Item& item, uint64_t line) const {
    const auto why = [&](const std::string& reason) {
      item.refused = ErrorClass::unsupported;
      item.reason = printable(bytes_->path()) + ", line " + std::to_string(line) + ": " + reason;
    };
    if (item.id.key.size() > longest_key) {
      why("the key is longer than 65,535 bytes: " + links::shown(item.id.key));
      item.id.key.resize(longest_key);
      return;
    }
    if (base_ != nullptr) return;
    try {
      static_cast<void>(contents_.find(item.id.key));
    } catch (const Error& error) {
      if (error.error_class() != ErrorClass::unsupported) throw;
      why(error.message());
    }
  }

  const Config& config_;  // of the source, which outlives its listers
  const std::shared_ptr<Source> base_;
  const links::Contents& contents_;
  const Inventory inventory_;
  std::vector<std::string> files_;
  size_t part_ = 0;
  uint64_t offset_ = 0;  // where the part is gone on with
  uint64_t line_ = 1;
  std::string revision_;
  std::unique_ptr<Bytes> bytes_;
  std::unique_ptr<Rows> rows_;
};

class ManifestSource final : public Source {
 public:
  explicit ManifestSource(Config config)
      : config_(std::move(config)), contents_(std::vector<std::shared_ptr<Source>>{}) {}

  Capabilities capabilities() const override {
    Capabilities capabilities;
    const std::shared_ptr<Source> base = base_now();
    if (base != nullptr) capabilities.positioned = base->capabilities().positioned;
    capabilities.order = Order::none;
    capabilities.lists_stamps = false;
    capabilities.links = !has_base() || (base != nullptr && base->capabilities().links);
    return capabilities;
  }
  std::string identity() const override { return "manifest://" + internal::encode_path(config_.path); }
  std::string endpoint() const override {
    const std::shared_ptr<Source> base = base_now();
    return base != nullptr ? base->endpoint() : "manifest";
  }
  void check(Context& context) override {
    revision_of(config_.path);
    if (const auto base = open_base()) base->check(context);
  }
  std::unique_ptr<Lister> list(const ListRequest& request, Context& context) override {
    context.check();
    Inventory inventory;
    if (config_.format == Format::s3_inventory) inventory = read_inventory(config_.path, config_.parts);
    auto lister = std::make_unique<ManifestLister>(config_, open_base(), contents_, std::move(inventory));
    lister->resume(request.resume);
    return lister;
  }
  ReadResult read(const Item& item, uint64_t offset, std::span<std::byte> out, Context& context) override {
    const std::shared_ptr<Source> base = open_base();
    return base != nullptr ? base->read(at_base(item), offset, out, context)
                           : contents_.read(item.id.key, item, offset, out, context);
  }
  std::unique_ptr<Stream> stream(const Item& item, Context& context) override {
    const std::shared_ptr<Source> base = open_base();
    return base != nullptr ? base->stream(at_base(item), context) : contents_.stream(item.id.key, item, context);
  }
  std::optional<Item> stat(const ItemId& id, Context& context) override {
    const std::shared_ptr<Source> base = open_base();
    if (base == nullptr) return contents_.stat(id.key, id, context);
    std::optional<Item> item = base->stat({"", id.key, id.version}, context);
    if (item) item->id = id;
    return item;
  }
  std::optional<ItemId> item_at(std::string_view url) const override {
    if (const auto base = open_base()) return base->item_at(url);
    if (url.empty() || url.size() > longest_key) return std::nullopt;
    return ItemId{"", Key(url), ""};
  }

 private:
  static Item at_base(const Item& item) {
    Item there = item;
    there.id.partition.clear();
    return there;
  }
  bool has_base() const { return config_.base != nullptr || config_.format == Format::s3_inventory; }
  // An S3 Inventory names its bucket; it is read when that is first needed.
  std::shared_ptr<Source> open_base() const {
    if (config_.base != nullptr || !has_base()) return config_.base;
    const std::lock_guard lock(mutex_);
    if (inventoried_ == nullptr) {
      const Inventory inventory = read_inventory(config_.path, config_.parts);
      inventoried_ = open_source("s3://" + inventory.bucket);
    }
    return inventoried_;
  }
  std::shared_ptr<Source> base_now() const {
    if (config_.base != nullptr || !has_base()) return config_.base;
    const std::lock_guard lock(mutex_);
    return inventoried_;
  }

  const Config config_;
  const links::Contents contents_;
  mutable std::mutex mutex_;
  mutable std::shared_ptr<Source> inventoried_;  // guarded by mutex_
};

}  // namespace

std::shared_ptr<Source> make_manifest_source(Config config) {
  return std::make_shared<ManifestSource>(std::move(config));
}

}  // namespace waybill::manifest
