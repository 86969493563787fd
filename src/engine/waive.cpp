// SPDX-License-Identifier: Apache-2.0

#include "engine/waive.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "waybill/redaction.hpp"

namespace waybill::internal {
namespace {

constexpr size_t page_rows = 1000;

class Waiving {
 public:
  Waiving(Tracker& tracker, uint64_t epoch, const Options& selected, const Waiver& waiver)
      : tracker_(tracker), epoch_(epoch), selected_(selected), waiver_(waiver) {}

  int64_t run() {
    if (!selected_.keys.empty()) {
      take_keys();
    } else if (selected_.partitions.empty()) {
      take_rows(std::nullopt);
    } else {
      for (const std::string& partition : selected_.partitions) take_rows(partition);
    }
    commit(true);
    return n_waived_;
  }

 private:
  void take_rows(std::optional<std::string> partition) {
    Query query;
    query.states = {ItemState::failed, ItemState::vanished};
    query.partition = std::move(partition);
    for (std::string resume;;) {
      ScanPage page = tracker_.scan(query, resume, page_rows);
      for (ScanRow& row : page.rows) take(std::move(row.record));
      commit(false);
      if (page.is_last) return;
      resume = page.resume;
    }
  }

  void take_keys() {
    const std::vector<std::string> nameless = {""};
    for (const std::string& partition : selected_.partitions.empty() ? nameless : selected_.partitions) {
      for (const std::string& key : selected_.keys) {
        const ItemId id{partition, key, ""};
        std::optional<ItemRecord> record = tracker_.lookup({&id, 1}).front();
        if (!record) {
          throw Error(ErrorCode::not_found, ErrorClass::missing, "the ledger has no item \"" + shown_key(key) + "\"; nothing was waived");
        }
        take(std::move(*record));
      }
    }
  }

  void take(ItemRecord record) {
    const bool is_open = record.state == ItemState::failed || record.state == ItemState::vanished;
    const std::vector<std::string>& classes = selected_.error_classes;
    const bool is_of_class = classes.empty() || std::find(classes.begin(), classes.end(), to_string(record.error_class)) != classes.end();
    if (!is_open || record.waived || record.left || !is_of_class) return;
    record.waived = true;
    ItemChange change;
    change.record = std::move(record);
    change.waiver = waiver_;
    batch_.items.push_back(std::move(change));
    ++n_waived_;
  }

  void commit(bool is_last) {
    if (is_last && n_waived_ > 0) {
      Event event;
      event.at_ms = waiver_.at_ms;
      event.run = tracker_.snapshot().run;
      event.kind = EventKind::audit;
      event.text = std::to_string(n_waived_) + (n_waived_ == 1 ? " item" : " items") + " waived by " + printable(waiver_.who) + ": " + printable(waiver_.why);
      batch_.events.push_back(std::move(event));
    }
    if (!batch_.empty()) tracker_.commit(epoch_, batch_);
    batch_ = Batch{};
  }

  Tracker& tracker_;
  const uint64_t epoch_;
  const Options& selected_;
  const Waiver& waiver_;
  Batch batch_;
  int64_t n_waived_ = 0;
};

}  // namespace

int64_t waive_items(Tracker& tracker, uint64_t epoch, const Options& selected, const Waiver& waiver) {
  return Waiving(tracker, epoch, selected, waiver).run();
}

}  // namespace waybill::internal
