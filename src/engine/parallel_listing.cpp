// SPDX-License-Identifier: Apache-2.0

#include "engine/parallel_listing.hpp"

#include <time.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "base/thread.hpp"
#include "engine/destination_key.hpp"
#include "engine/key_space.hpp"

namespace waybill::internal {
namespace {

using Clock = std::chrono::steady_clock;

// Each holds a page of the source and one of the destination: 1 to 2 MiB.
constexpr size_t most_listers = 16;
// Pages that wait to be decided about: so many that a lister can go on meanwhile.
constexpr size_t most_listed_pages = 4;
// A store of this many pages is listed with the requests of one lister.
constexpr uint64_t small_store_pages = 2;
// Less than this is not worth a request of somebody else.
constexpr double least_pages_to_cut = 3;
// Tries in vain that are always allowed, and as a share of the pages that came.
constexpr double vain_pages = 5;
constexpr double vain_share = 0.13;
// A try that gets empty pages without an end: the source does not start where it is told to.
constexpr int most_empty_pages = 3;
constexpr size_t learn_stride = 50;
constexpr std::chrono::milliseconds look_around{50};
// A store in the same machine answers without a wait that could be hidden.
constexpr double least_cost_seconds = 20e-6;
constexpr double weight_of_news = 0.2;

struct Range {
  Key start;               ///< its keys lie behind this one; its name in the ledger
  std::optional<Key> end;  ///< and not behind this one
  /// As `end`, of the destination: where a range turned out to have nothing behind its end, nobody else looks there.
  std::optional<Key> end_there = {};
  Key first;               ///< of the last page
  Key at;                  ///< what has been listed ends here
  std::string partition;
  uint64_t pages = 0;
  double pages_left = 0;  ///< estimated when the last page came
  int attempt = 0;
  bool is_over = false;
  bool is_tried = false;            ///< somebody is trying a key beyond `at`
  bool is_new = false;              ///< no record of it has been handed over
  std::shared_ptr<Range> cut_from;  ///< this one is only a try as yet
  int empty_pages = 0;
};

using RangePtr = std::shared_ptr<Range>;

// A page on its way to the sink. Those of one range stay in order.
struct Listed {
  RangePtr range;
  Page page;
  PageAtDestination there;
  ListingRecord record;
};

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

double thread_cpu_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

ListingRecord record_of(const Range& range) { return {range.start, "", range.partition, range.at, range.is_over}; }

class RangeListing {
 public:
  RangeListing(const ListingJob& job, const ListingSink& sink)
      : job_(job),
        sink_(sink),
        scope_{stop_calls_, job.scope.bodies, job.scope.migration, job.scope.epoch, job.scope.log, job.scope.count},
        // A ledger that has only seen this listing knows nothing of what comes after a range's last recorded key.
        may_be_known_(job.tracker != nullptr && job.has_earlier_runs),
        trouble_([this](const Error& error, int failures) {
          std::scoped_lock lock(trouble_mutex_);
          job_.trouble(error, failures);
        }),
        placed_walk_(job.destination, false, "", tail_, scope_, job.retries.of(Side::destination), trouble_) {
    const Destination::Capabilities there = job.destination.capabilities();
    // A folder of a filesystem is read whole by everybody who lists a part of it. A destination that is in order, but
    // cannot start in the middle, would be listed from its beginning for each range.
    may_cut_ = job.source.endpoint() != "file" && (there.order == Order::none || there.start_after);
    take_up_records();
  }

  // Leads: decides about pages and hands them over, while others list.
  bool run() {
    std::unique_lock lock(mutex_);
    if (waiting_.empty()) return true;
    workers_.emplace_back("wb-list", [this] { work(); });
    while (!is_stopped_ && n_unfinished_ > 0) {
      if (!listed_.empty()) {
        Listed next = std::move(listed_.front());
        listed_.pop_front();
        room_.notify_one();
        lock.unlock();
        try {
          hand_over(std::move(next));
          lock.lock();
        } catch (...) {
          lock.lock();
          stop(std::current_exception());
        }
      } else {
        arrived_.wait_for(lock, look_around);
      }
      if (!job_.scope.cancel.fired()) continue;
      stop_calls_.fire();
      stop(std::make_exception_ptr(Error(ErrorCode::cancelled, ErrorClass::cancelled, "listing cancelled")));
    }
    const bool is_complete = !is_stopped_;
    lock.unlock();
    if (is_complete && job_.unmatched != nullptr && job_.keys != nullptr) placed_walk_.finish(std::nullopt, *job_.unmatched);
    lock.lock();
    stop(nullptr);
    lock.unlock();
    // What is still being asked for has no use any more.
    stop_calls_.fire();
    job_.scope.bodies.wake();
    workers_.clear();
    if (error_) std::rethrow_exception(error_);
    return is_complete && sink_({}, {}, true);
  }

 private:
  void take_up_records() {
    std::vector<ListingRecord> records = job_.recorded;
    std::sort(records.begin(), records.end(), [](const auto& a, const auto& b) { return a.scope < b.scope; });
    if (records.empty() || !records.front().scope.empty()) records.insert(records.begin(), ListingRecord{});
    for (size_t i = 0; i < records.size(); ++i) {
      if (records[i].is_listed) continue;
      auto range = std::make_shared<Range>();
      range->start = records[i].scope;
      range->at = range->first = std::max(records[i].last_key, records[i].scope);
      range->partition = records[i].partition;
      if (i + 1 < records.size()) range->end = range->end_there = records[i + 1].scope;
      waiting_.push_back(std::move(range));
    }
    std::reverse(waiting_.begin(), waiting_.end());  // taken from the back
    n_unfinished_ = waiting_.size();
  }

  void work() {
    std::unique_lock lock(mutex_);
    while (!is_stopped_ && n_unfinished_ > 0) {
      const RangePtr range = next_range();
      if (!range) {
        ++n_idle_;
        changed_.wait(lock);
        --n_idle_;
        continue;
      }
      ++n_busy_;
      lock.unlock();
      try {
        list(range);
        lock.lock();
      } catch (...) {
        lock.lock();
        stop(std::current_exception());
      }
      --n_busy_;
    }
  }

  // The first reason counts: what the others end with then is none. With mutex_ held.
  void stop(std::exception_ptr error) {
    if (!is_stopped_) error_ = std::move(error);
    is_stopped_ = true;
    changed_.notify_all();
    arrived_.notify_all();
    room_.notify_all();
  }

  // How many listers have something to wait for: more would queue for the processor, or for the ledger. With mutex_
  // held.
  size_t wanted() const {
    if (!may_cut_) return 1;
    const double busiest = std::max({sink_seconds_, cpu_seconds_ / cores_, least_cost_seconds});
    return std::clamp<size_t>(1 + static_cast<size_t>(wait_seconds_ / busiest), 1, most_listers);
  }

  // With mutex_ held.
  RangePtr best_to_cut() const {
    if (!may_cut_ || pages_ < small_store_pages || vain_ > vain_pages + vain_share * static_cast<double>(pages_))
      return nullptr;
    RangePtr best;
    for (const RangePtr& range : running_) {
      if (range->is_tried || range->is_over || range->pages_left < least_pages_to_cut) continue;
      if (!best || range->pages_left > best->pages_left) best = range;
    }
    return best;
  }

  // A range that waits, or a new one to try. With mutex_ held.
  RangePtr next_range() {
    if (n_busy_ >= wanted()) return nullptr;
    if (!waiting_.empty()) {
      RangePtr range = std::move(waiting_.back());
      waiting_.pop_back();
      running_.push_back(range);
      return range;
    }
    while (const RangePtr from = best_to_cut()) {
      const std::optional<Key> cut = space_.cut({from->first, from->at, from->end, from->attempt++});
      if (!cut) {
        from->pages_left = 0;  // until its next page
        continue;
      }
      from->is_tried = true;
      auto range = std::make_shared<Range>();
      range->start = range->first = range->at = *cut;
      range->end = from->end;
      range->attempt = from->attempt;
      range->cut_from = from;
      return range;
    }
    return nullptr;
  }

  // With mutex_ held.
  void call_help() {
    if (n_idle_ > 0) {
      changed_.notify_all();
    } else if (workers_.size() < wanted() && (!waiting_.empty() || best_to_cut())) {
      try {
        workers_.emplace_back("wb-list", [this] { work(); });
      } catch (const Error&) {
        // Fewer do as well.
      }
    }
  }

  void list(const RangePtr& range) {
    ListRequest request;
    {
      std::scoped_lock lock(mutex_);
      request.after = range->at;
      if (range->end) request.before = *range->end + '\0';
    }
    Source& source = job_.source;
    ItemCursor cursor([&source, request](Context& context) { return source.list(request, context); }, Order::byte_key,
                      source.identity(), scope_, job_.retries.of(Side::source), trouble_);
    std::optional<DestinationWalk> walk;
    for (bool is_over = false; !is_over;) {
      const auto began = Clock::now();
      const double cpu_began = thread_cpu_seconds();
      std::optional<Page> page = cursor.next_page();
      if (!page) page = Page{{}, "", true};
      Listed listed{range, {}, {}, {}};
      Key before;
      {
        std::scoped_lock lock(mutex_);
        if (is_stopped_) return;
        if (range->cut_from) {
          const Verdict verdict = judge_try(range, *page);
          if (verdict == Verdict::ask_again) continue;
          if (verdict == Verdict::in_vain) return;
        }
        before = range->at;
        take(range, *page);
        listed.record = record_of(*range);
        call_help();
      }
      is_over = listed.record.is_listed;
      if (!walk)
        walk.emplace(job_.destination, true, before, tail_, scope_, job_.retries.of(Side::destination), trouble_);
      listed.there = match_page(job_, *page, *walk);
      if (is_over && job_.unmatched != nullptr && job_.keys == nullptr) finish(*range, *walk);
      listed.page = std::move(*page);
      std::unique_lock lock(mutex_);
      learn_average(wait_seconds_, seconds_since(began) - (thread_cpu_seconds() - cpu_began));
      learn_average(cpu_seconds_, thread_cpu_seconds() - cpu_began);
      room_.wait(lock, [this] { return is_stopped_ || listed_.size() < most_listed_pages; });
      if (is_stopped_) return;
      listed_.push_back(std::move(listed));
      arrived_.notify_one();
    }
  }

  void finish(const Range& range, DestinationWalk& walk) {
    std::unique_lock lock(mutex_);
    const std::optional<Key> end = range.end_there;
    lock.unlock();
    walk.finish(end, *job_.unmatched);
  }

  enum class Verdict { found, ask_again, in_vain };

  // The first page of a try: what becomes of it and of the range that it was cut from. With mutex_ held.
  Verdict judge_try(const RangePtr& range, Page& page) {
    Range& from = *range->cut_from;
    const bool is_empty = page.items.empty();
    if (is_empty && !page.is_last && !from.is_over) {
      vain_ += 1;
      if (++range->empty_pages < most_empty_pages) return Verdict::ask_again;
      may_cut_ = false;
    }
    const RangePtr kept = std::exchange(range->cut_from, nullptr);
    from.is_tried = false;
    // Overtaken: the page is one that is being asked for again.
    const bool is_late = from.is_over || from.at > range->start;
    if (is_late || is_empty) {
      vain_ += 1;
      if (!is_late && page.is_last) shrink(from, range->start);
      return Verdict::in_vain;
    }
    shrink(from, range->start);
    range->end_there = std::exchange(from.end_there, range->start);
    range->is_new = true;
    new_.push_back(range);
    running_.push_back(range);
    ++n_unfinished_;
    return Verdict::found;
  }

  // With mutex_ held.
  void shrink(Range& range, const Key& end) {
    range.end = end;
    estimate(range);
  }

  // With mutex_ held.
  void estimate(Range& range) { range.pages_left = space_.pages_left({range.first, range.at, range.end}); }

  // A page becomes the range's. With mutex_ held.
  void take(const RangePtr& range, Page& page) {
    std::vector<Item>& items = page.items;
    const size_t size = items.size();
    if (range->end) {
      while (!items.empty() && items.back().key() > *range->end) items.pop_back();
    }
    range->is_over =
        page.is_last || items.size() < size || (!items.empty() && range->end && items.back().key() == *range->end);
    ++pages_;
    full_page_ = std::max(full_page_, size);
    if (!items.empty()) {
      range->first = items.front().key();
      range->at = items.back().key();
      range->partition = items.back().id.partition;
      // A range of keys goes through all partitions.
      if (!range->partition.empty()) may_cut_ = false;
      for (size_t i = 0; i < items.size(); i += learn_stride) space_.learn(items[i].key());
      space_.learn(range->at);
    }
    if (!range->is_over) return estimate(*range);
    if (range->end) space_.learn_end({range->first, range->at, range->end});
    if (full_page_ > 0) vain_ += 1 - static_cast<double>(items.size()) / static_cast<double>(full_page_);
    std::erase(running_, range);
  }

  static void learn_average(double& average, double news) {
    average = average == 0 ? news : average + weight_of_news * (news - average);
  }

  // The page's rows and record, with the records of ranges that are new.
  void hand_over(Listed listed) {
    const auto began = Clock::now();
    std::vector<ItemChange> changes = decide_page(job_, listed.page, std::move(listed.there), may_be_known_, placed_walk_);
    listed.page = Page();
    const bool is_over = listed.record.is_listed;
    std::vector<ListingRecord> records = {std::move(listed.record)};
    {
      std::scoped_lock lock(mutex_);
      listed.range->is_new = false;
      for (const RangePtr& other : new_) {
        if (std::exchange(other->is_new, false)) records.push_back({other->start, "", "", other->start, false});
      }
      new_.clear();
    }
    const bool goes_on = sink_(std::move(changes), std::move(records), false);
    std::scoped_lock lock(mutex_);
    learn_average(sink_seconds_, seconds_since(began));
    if (!goes_on) stop(nullptr);
    if (is_over) --n_unfinished_;
  }

  const ListingJob& job_;
  const ListingSink& sink_;
  CancelSource stop_calls_;
  const RunScope scope_;  // of the calls of listers: ends with the job's, and with the first error
  const bool may_be_known_;
  const ListingTrouble trouble_;
  DestinationTail tail_;
  DestinationWalk placed_walk_;  // of the leader, for items with a key of a template
  const double cores_ = std::max(1U, std::thread::hardware_concurrency());
  std::vector<Thread> workers_;  // guarded by mutex_ until all have been told to stop

  std::mutex trouble_mutex_;
  std::mutex mutex_;                 // guards everything below, and all ranges
  std::condition_variable changed_;  // there may be a range to list
  std::condition_variable arrived_;  // there is a page to hand over
  std::condition_variable room_;     // there is room for another one
  std::deque<Listed> listed_;
  KeySpace space_;
  std::vector<RangePtr> waiting_;  // of an interrupted run, or the one range of a new one
  std::vector<RangePtr> running_;
  std::vector<RangePtr> new_;  // whose record has not been handed over
  size_t n_unfinished_ = 0;
  size_t n_busy_ = 0;
  size_t n_idle_ = 0;
  bool may_cut_ = true;
  bool is_stopped_ = false;
  std::exception_ptr error_;
  uint64_t pages_ = 0;
  size_t full_page_ = 0;
  double vain_ = 0;          // pages' worth of requests that brought nothing
  double wait_seconds_ = 0;  // of a page, on average: waiting for stores,
  double cpu_seconds_ = 0;   // reading,
  double sink_seconds_ = 0;  // being decided about and taken by the sink
};

}  // namespace

bool can_list_ranges(const ListingJob& job) {
  const Source::Capabilities can = job.source.capabilities();
  return can.start_after && keeps_order(can);
}

bool list_ranges(const ListingJob& job, const ListingSink& sink) { return RangeListing(job, sink).run(); }

}  // namespace waybill::internal
