// SPDX-License-Identifier: Apache-2.0

#include "engine/adoption.hpp"

#include "base/json.hpp"
#include "base/text.hpp"
#include "engine/decide.hpp"
#include "waybill/redaction.hpp"

namespace waybill::internal {
namespace {

constexpr size_t items_an_event = 100;
constexpr size_t events_page = 1000;

bool is_same(const ItemRecord& known, const ItemRecord& now) {
  return known.state == now.state && known.stamp.size == now.stamp.size && known.stored == now.stored &&
         known.error_class == now.error_class && known.destination_key == now.destination_key;
}

}  // namespace

Adoption::Adoption(Destination& destination, Tracker& tracker, uint64_t epoch, const ImportOrigin& origin, bool has_template,
                   std::string catalog)
    : destination_(destination),
      tracker_(tracker),
      epoch_(epoch),
      origin_(origin),
      has_template_(has_template),
      catalog_(std::move(catalog)),
      bodies_(Options{}.body_budget_bytes),
      scope_{cancel_, bodies_, "", epoch, [](LogLevel, std::string_view) {}, [](std::string_view, uint64_t) {}},
      retry_(Options{}) {
  if (destination_.capabilities().order == Order::byte_key && !has_template) {
    there_.emplace([&destination](Context& context) { return destination.list({}, context); }, Order::byte_key, destination.identity(),
                   scope_, retry_, [](const Error& error, int failures) {
                     if (failures >= Options{}.max_attempts) throw Error(error);
                   });
  }
  find_earlier();
}

// What earlier imports of the same file have left.
void Adoption::find_earlier() {
  const std::string ours = "\"import\":\"" + origin_.sha256 + "\"";
  for (uint64_t after = 0;;) {
    const std::vector<Event> events = tracker_.events(after, events_page);
    for (const Event& event : events) {
      if (event.data.find(ours) == std::string::npos) continue;
      if (is_end_of_same(event)) report_.is_repeated = true;
      if (event.data.find("\"action\":\"import-note\"") != std::string::npos) ++notes_before_;
    }
    if (events.size() < events_page) return;
    after = events.back().seq;
  }
}

// An import without a catalog has left what was switched for one with it.
bool Adoption::is_end_of_same(const Event& event) const {
  if (event.data.find("\"action\":\"import-end\"") == std::string::npos) return false;
  const std::string named = json_object({{"catalog", catalog_}});
  return catalog_.empty() || event.data.find(named.substr(1, named.size() - 2)) != std::string::npos;
}

void Adoption::check_order(const ImportedItem& item) {
  const ItemId id{item.partition, item.key, ""};
  const bool is_known_state = item.state == ItemState::copied || item.state == ItemState::failed || item.state == ItemState::pending;
  if (item.key.empty() || !is_known_state || (last_ && id <= *last_)) {
    throw Error(ErrorCode::invalid_argument, ErrorClass::configuration,
                "imported items ascend by partition and key, and are copied, failed or pending: \"" + shown_key(item.key) + "\", " +
                    to_string(item.state) + (last_ ? ", after \"" + shown_key(last_->key) + "\"" : ""));
  }
  if (!item.destination_key.empty() && !has_template_) {
    throw Error(ErrorCode::invalid_argument, ErrorClass::configuration,
                "\"" + shown_key(item.key) + "\" has a destination key of its own: that takes a migration with a key template");
  }
  last_ = id;
}

std::optional<Item> Adoption::at_destination(const ImportedItem& item) {
  // A walk goes through all keys once, and partitions begin anew.
  if (!there_ || !item.partition.empty()) {
    CallContext context(scope_);
    return destination_.stat(item.destination_key.empty() ? item.key : item.destination_key, context);
  }
  const Key& key = item.key;
  const Item* found = there_->peek();
  while (found != nullptr && found->key() < key) {
    there_->pop();
    found = there_->peek();
  }
  return found != nullptr && found->key() == key ? std::optional(*found) : std::nullopt;
}

// The row of an item, and the number that it counts into; nothing where the row stays as it is.
std::optional<ItemChange> Adoption::take(const ImportedItem& item, const std::optional<ItemRecord>& known) {
  if (known && known->run != 0) {
    ++report_.known;
    return std::nullopt;
  }
  ItemChange change;
  ItemRecord& record = change.record;
  record.id = {item.partition, item.key, ""};
  record.stamp.size = item.size;
  record.state = item.state;
  int64_t* counted = item.state == ItemState::failed ? &report_.failed : &report_.pending;
  if (item.state == ItemState::copied) {
    const std::optional<Item> there = item.size ? at_destination(item) : std::nullopt;
    const bool is_shown = there && there->refused == ErrorClass::none && there->stamp.size == item.size;
    record.state = is_shown ? ItemState::copied : ItemState::pending;
    counted = is_shown ? &report_.confirmed : &report_.refuted;
    if (is_shown) {
      record.basis = Basis::matched_weak;
      record.change = Change::unchanged;
      record.stored = stored_from(*there);
      record.copied_at_ms = item.copied_at_ms;
      // Where it is, it stays; what is not there yet goes where the template says.
      if (has_template_) record.destination_key = item.destination_key.empty() ? item.key : item.destination_key;
    }
  } else if (item.state == ItemState::failed) {
    record.error_class = item.error_class;
    change.failure = refusal(item.error_class, item.error);
    change.failure->code = ErrorCode::unknown;
    change.failure->provider_code = item.error_word;
    change.failure->at_ms = item.failed_at_ms;
  }
  if (known && is_same(*known, record)) {
    ++report_.unchanged;
    return std::nullopt;
  }
  ++*counted;
  return change;
}

void Adoption::add(std::span<const ImportedItem> items) {
  for (; !items.empty(); items = items.subspan(std::min(items.size(), items_an_event))) {
    const std::span<const ImportedItem> some = items.first(std::min(items.size(), items_an_event));
    std::vector<ItemId> ids;
    for (const ImportedItem& item : some) {
      check_order(item);
      ids.push_back({item.partition, item.key, ""});
    }
    const std::vector<std::optional<ItemRecord>> known = tracker_.lookup(ids);
    Batch batch;
    std::string rows;
    Key first;
    for (size_t i = 0; i < some.size(); ++i) {
      ++report_.items;
      std::optional<ItemChange> change = take(some[i], known[i]);
      if (!change) continue;
      if (batch.items.empty()) first = some[i].key;
      batch.items.push_back(std::move(*change));
      if (!some[i].origin.empty()) rows += (rows.empty() ? "" : ",") + some[i].origin;
    }
    if (batch.items.empty()) continue;
    const size_t count = batch.items.size();
    const Key& last = batch.items.back().record.id.key;
    std::string text = std::to_string(count) + " items imported from " + printable(origin_.file) + " by " + printable(origin_.who) +
                       ": " + shown_key(first) + (count > 1 ? " to " + shown_key(last) : "");
    const std::string head = json_object({{"action", "import"}, {"import", origin_.sha256}, {"who", origin_.who}});
    add_event(batch, EventKind::audit, LogLevel::info, std::move(text), head.substr(0, head.size() - 1) + ",\"rows\":[" + rows + "]}");
    commit(std::move(batch));
  }
}

void Adoption::note(std::span<const ImportedNote> notes) {
  Batch batch;
  for (const ImportedNote& note : notes) {
    if (++notes_seen_ <= notes_before_) continue;
    const std::string head = json_object({{"action", "import-note"}, {"import", origin_.sha256}});
    add_event(batch, note.is_log ? EventKind::log : EventKind::audit, note.level, printable(note.text),
              head.substr(0, head.size() - 1) + ",\"origin\":" + (note.origin.empty() ? "null" : note.origin) + "}");
    ++report_.notes;
  }
  if (!batch.empty()) commit(std::move(batch));
}

ImportReport Adoption::finish(const ImportReport& switched) {
  if (report_.is_repeated) return report_;
  report_.references = switched.references;
  report_.references_confirmed = switched.references_confirmed;
  report_.references_refuted = switched.references_refuted;
  report_.references_known = switched.references_known;
  Batch batch;
  std::string text = "import of " + printable(origin_.file) + " (" + origin_.format + ", SHA-256 " + origin_.sha256 + ") by " +
                     printable(origin_.who) + " has come to its end: " + std::to_string(report_.items) + " items, " +
                     std::to_string(report_.confirmed) + " confirmed by the destination, " + std::to_string(report_.refuted) +
                     " not";
  if (report_.references > 0) {
    text += "; " + std::to_string(report_.references) + " references, " + std::to_string(report_.references_confirmed) +
            " confirmed by the catalog, " + std::to_string(report_.references_refuted) + " not";
  }
  add_event(batch, EventKind::audit, LogLevel::info, std::move(text),
            json_object({{"action", "import-end"},
                         {"import", origin_.sha256},
                         {"file", origin_.file},
                         {"format", origin_.format},
                         {"catalog", catalog_},
                         {"who", origin_.who}}));
  commit(std::move(batch));
  return report_;
}

void Adoption::add_event(Batch& batch, EventKind kind, LogLevel level, std::string text, std::string data) const {
  Event event;
  event.at_ms = now_ms();
  event.kind = kind;
  event.level = level;
  event.text = std::move(text);
  event.data = std::move(data);
  batch.events.push_back(std::move(event));
}

void Adoption::commit(Batch batch) {
  batch.live = LiveState{};  // the heartbeat
  tracker_.commit(epoch_, batch);
}

}  // namespace waybill::internal
