// SPDX-License-Identifier: Apache-2.0
#include "connectors/links/links.hpp"

#include <algorithm>

#include "waybill/connectors.hpp"
#include "waybill/error.hpp"

namespace waybill::links {
namespace {

constexpr size_t most_origins = 64;
constexpr size_t longest_shown = 200;

// "https://host:8443" or "s3://bucket" of a link, in lower case; nothing where no source opens by itself.
std::optional<std::string> origin_of(std::string_view link) {
  const size_t colon = link.find("://");
  if (colon == std::string_view::npos || colon > 5) return std::nullopt;
  std::string origin(link.substr(0, std::min(link.find_first_of("/?#", colon + 3), link.size())));
  std::transform(origin.begin(), origin.end(), origin.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  const std::string_view scheme = std::string_view(origin).substr(0, colon);
  const bool is_known = scheme == "http" || scheme == "https" || scheme == "s3";
  if (!is_known || origin.size() == colon + 3 || origin.find('@') != std::string::npos) return std::nullopt;
  return origin;
}

}  // namespace

std::string shown(std::string_view link) {
  std::string_view plain = link.substr(0, link.find_first_of("?#"));
  if (const size_t at = plain.rfind('@'); at != std::string_view::npos) plain.remove_prefix(at + 1);
  std::string text = printable(plain.substr(0, longest_shown));
  const bool is_cut = text.size() > longest_shown || plain.size() > longest_shown;
  if (!is_cut) return text;
  // Not in the middle of a character.
  size_t end = std::min(text.size(), longest_shown - 3);
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return text.substr(0, end) + "…";
}

std::shared_ptr<Source> Contents::origin(const std::string& url) const {
  const std::lock_guard lock(mutex_);
  const auto found =
      std::find_if(origins_.begin(), origins_.end(), [&](const auto& entry) { return entry.first == url; });
  if (found != origins_.end()) {
    origins_.splice(origins_.begin(), origins_, found);
  } else {
    origins_.emplace_front(url, open_source(url));
    if (origins_.size() > most_origins) origins_.pop_back();
  }
  return origins_.front().second;
}

Content Contents::find(const std::string& link) const {
  for (const std::shared_ptr<Source>& source : named_) {
    if (auto id = source->item_at(link)) return {source, *std::move(id)};
  }
  std::string why = "no source that was given knows it, and it is no http, https or s3 URL";
  if (const auto url = origin_of(link)) {
    try {
      std::shared_ptr<Source> source = origin(*url);
      if (auto id = source->item_at(link)) return {std::move(source), *std::move(id)};
    } catch (const Error& error) {
      if (error.error_class() != ErrorClass::configuration) throw;
      why = error.message();
    }
  }
  throw Error(ErrorCode::invalid_argument, ErrorClass::unsupported, "\"" + shown(link) + "\" cannot be read: " + why);
}

void Contents::check(Context& context) const {
  for (const std::shared_ptr<Source>& source : named_) source->check(context);
}

ReadResult Contents::read(const std::string& link, const Item& item, uint64_t offset, std::span<std::byte> out,
                          Context& context) const {
  Content content = find(link);
  if (!content.source->capabilities().positioned) {
    throw Error(ErrorCode::unimplemented, ErrorClass::unsupported, "\"" + shown(link) + "\" can only be read in order");
  }
  Item there = item;
  there.id = std::move(content.id);
  return content.source->read(there, offset, out, context);
}

namespace {

// The source stays while it is read, also when another origin takes its place among those that are kept.
class HeldStream final : public Stream {
 public:
  HeldStream(std::shared_ptr<Source> source, std::unique_ptr<Stream> inner)
      : source_(std::move(source)), inner_(std::move(inner)) {}
  size_t read(std::span<std::byte> out, Context& context) override { return inner_->read(out, context); }
  std::optional<uint64_t> size() const override { return inner_->size(); }
  SourceStamp stamp() const override { return inner_->stamp(); }
  Attributes attributes() const override { return inner_->attributes(); }

 private:
  std::shared_ptr<Source> source_;
  std::unique_ptr<Stream> inner_;
};

}  // namespace

std::unique_ptr<Stream> Contents::stream(const std::string& link, const Item& item, Context& context) const {
  Content content = find(link);
  Item there = item;
  there.id = std::move(content.id);
  std::unique_ptr<Stream> inner = content.source->stream(there, context);
  return std::make_unique<HeldStream>(std::move(content.source), std::move(inner));
}

std::optional<Item> Contents::stat(const std::string& link, const ItemId& id, Context& context) const {
  const Content content = find(link);
  std::optional<Item> item = content.source->stat(content.id, context);
  if (item) item->id = id;
  return item;
}

}  // namespace waybill::links
