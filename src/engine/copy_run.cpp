// SPDX-License-Identifier: Apache-2.0

#include "engine/copy_run.hpp"

#include "base/options.hpp"
#include "base/text.hpp"
#include "engine/collisions.hpp"
#include "engine/listing.hpp"
#include "engine/switched_references.hpp"
#include "waybill/redaction.hpp"

namespace waybill::internal {
namespace {

constexpr std::chrono::milliseconds tune_interval{500};
constexpr size_t most_in_flight_shown = 32;
constexpr std::chrono::milliseconds tidy_patience{1500};

}  // namespace

CopyRun::CopyRun(RunSetup setup)
    : RunBase(std::move(setup)),
      concurrency_(setup_.options),
      queue_(concurrency_, [this] { ledger_->want_claim(); }),
      transfer_(Transfer::Parts{*setup_.source, *setup_.destination, setup_.transform.get(), *setup_.tracker, *ledger_, queue_, retries_,
                                concurrency_, scope_, setup_.options, [this](std::exception_ptr error) { give_up(std::move(error)); }}),
      are_keys_settled_(setup_.keys == nullptr || setup_.keys->is_unique() || setup_.record.listing_complete),
      tuned_at_(Clock::now()) {}

void CopyRun::start_work() {
  lister_ = Thread("wb-list", [this] { prepare(); });
}

// Temporary things of dead processes go; uploads that the ledger knows are gone on with. Then the listing, or what is left
// of it.
void CopyRun::prepare() {
  try {
    const std::vector<UploadRecord> uploads = setup_.tracker->uploads();
    std::vector<OpenUpload> known;
    for (const UploadRecord& upload : uploads) known.push_back({key_of(upload.id), upload.upload_id});
    CallContext context(scope_);
    setup_.destination->sweep(known, context);
    for (const UploadRecord& upload : uploads) {
      if (upload.upload_id.empty()) ledger_->upload_ended(upload.id);
    }
  } catch (...) {
    if (is_stopping()) return;
    const Error error = current_error();
    if (error.error_class() != ErrorClass::permission) return fail(std::current_exception());
    // Tidying has rights of its own (S3: to list and to abort uploads); whoever has none can copy all the same.
    ledger_->event(EventKind::log, LogLevel::warning, "what an earlier process left unfinished may stay there: " + error.message());
  }
  is_swept_ = true;
  ledger_->want_claim();
  if (!setup_.record.listing_complete) list();
}

void CopyRun::list() {
  const auto trouble = [this](const Error& error, int) {
    ledger_->event(EventKind::log, LogLevel::warning, "listing is tried again: " + error.message());
  };
  const bool is_selected = selects_items(setup_.options);
  if (is_selected) remark("of selected items only; the source was not listed");
  const ListingSink sink = [this](std::vector<ItemChange> changes, std::vector<ListingRecord> records, bool wait) {
    return !is_stopping() && ledger_->list(std::move(changes), std::move(records), wait);
  };
  while (!is_stopping()) {
    try {
      const ListingJob job{*setup_.source,       *setup_.destination,     setup_.tracker.get(), setup_.options,
                           scope_,               retries_,                setup_.transform != nullptr, setup_.record.run,
                           setup_.has_earlier_runs, setup_.tracker->listings(), trouble, true, moved_before(), setup_.keys.get(),
                           new_place_of(*setup_.source, setup_.tracker.get())};
      const ListingEnd end = is_selected ? select_items(job, sink) : list_everything(job, sink);
      if (end == ListingEnd::complete && !is_selected) expect_partitions();
      if (end != ListingEnd::stopped && !settle_keys()) return;
      if (end == ListingEnd::complete) ledger_->set_listing_complete();
      if (end == ListingEnd::limited) {
        const uint64_t limit = setup_.options.limit;
        remark("limit of " + std::to_string(limit) + (limit == 1 ? " item" : " items") + " reached; the source was not listed to its end");
        ledger_->set_listing_ended();
      }
      if (end == ListingEnd::trial) {
        remark("a run with a limit does not ask about what was copied before; one without a limit does");
        ledger_->set_listing_ended();
      }
      return allow_claims();
    } catch (const Error& error) {
      if (error.error_class() != ErrorClass::cancelled) return fail(std::current_exception());
      // The lease was late, and what was in flight had to stop: goes on from what is recorded once the heart beats.
      while (!is_stopping() && cancel_.fired()) std::this_thread::sleep_for(std::chrono::milliseconds(50));
      ledger_->list({}, {}, true);
    } catch (...) {
      return fail(std::current_exception());
    }
  }
}

// A name that is written wrong would look like a partition that is done.
void CopyRun::expect_partitions() {
  const std::vector<std::string>& names = setup_.options.partitions;
  if (names.empty()) return;
  ledger_->list({}, {}, true);
  if (is_stopping() || setup_.tracker->snapshot().items.discovered > 0) return;
  throw Error(ErrorCode::not_found, ErrorClass::configuration,
              "the source has no item of partition \"" + printable(names.front()) + "\"" + (names.size() > 1 ? " or the others" : "") +
                  "; waybill partitions lists those that the ledger knows");
}

// Two items of one destination key: found once all are listed, before anything is written. False if the run stops.
bool CopyRun::settle_keys() {
  if (are_keys_settled_) return true;
  ledger_->list({}, {}, true);
  Collisions found;
  const ListingSink sink = [this](std::vector<ItemChange> changes, std::vector<ListingRecord>, bool wait) {
    return !is_stopping() && ledger_->list(std::move(changes), {}, wait);
  };
  if (!settle_collisions(*setup_.tracker, has_folders(*setup_.destination), sink, found)) return false;
  if (found.keys > 0) {
    ledger_->event(EventKind::log, LogLevel::warning,
                   std::to_string(found.keys) + " destination keys were wanted by more than one item: " + std::to_string(found.items) +
                       " items got a suffix from their own id, " + std::to_string(found.failed) + " failed with class collision");
  }
  return true;
}

// Where items have waited for their keys: once it is on disk that all are listed, nobody who carries on finds another one.
void CopyRun::allow_claims() {
  if (are_keys_settled_) return;
  ledger_->list({}, {}, true);
  are_keys_settled_ = true;
  ledger_->want_claim();
}

Key CopyRun::key_of(const ItemId& id) const {
  return setup_.keys == nullptr ? own_key(id) : destination_key(*setup_.tracker, id);
}

// How many items of Options::limit an interrupted run has taken up.
uint64_t CopyRun::moved_before() const {
  if (setup_.options.limit == 0) return 0;
  const ItemAccounts items = setup_.tracker->snapshot().items;
  return static_cast<uint64_t>(items.eligible - items.unchanged);
}

void CopyRun::grow_threads() {
  const size_t wanted = std::min<size_t>(static_cast<size_t>(concurrency_.limit()), static_cast<size_t>(queue_.running()) + queue_.backlog() + 1);
  while (workers_.size() < wanted) {
    try {
      workers_.emplace_back("wb-transfer", [this] { work(); });
    } catch (const Error&) {
      if (workers_.empty()) throw;
      return;  // fewer do as well
    }
  }
}

void CopyRun::work() {
  while (const std::optional<Work> next = queue_.next()) {
    transfer_.run(*next);
    queue_.done();
  }
}

void CopyRun::tick(Clock::time_point now) {
  queue_.tick();
  if (now - tuned_at_ >= tune_interval) {
    tuned_at_ = now;
    concurrency_.tick(queue_.is_busy(), now);
  }
  grow_threads();
}

// Not only the run's leader stops the work: until it does, more would be begun.
void CopyRun::give_up(std::exception_ptr error) {
  fail(std::move(error));
  queue_.stop();
}

bool CopyRun::is_work_done() {
  if (ledger_->is_exhausted() && queue_.is_idle()) transfer_.settle_refused();
  return ledger_->is_exhausted() && queue_.is_idle() && ledger_->is_drained() && ledger_->is_exhausted();
}

void CopyRun::join_work() {
  workers_.clear();
  transfer_.settle_refused();
  lister_.join();
}

// A run that is over for good leaves no upload of its own behind. What cannot be aborted in time stays in the ledger for
// the next run.
void CopyRun::tidy() {
  const std::vector<UploadRecord> uploads = setup_.tracker->uploads();
  if (uploads.empty()) return;
  CancelSource patience;
  const RunScope scope{patience, bodies_, scope_.migration, scope_.epoch, scope_.log, scope_.count};
  std::atomic<bool> is_over{false};
  Thread timer("wb-timer", [&] {
    const auto until = Clock::now() + tidy_patience;
    while (!is_over && Clock::now() < until) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    patience.fire();
  });
  for (const UploadRecord& upload : uploads) {
    if (patience.fired()) break;
    CallContext context(scope);
    const Key key = key_of(upload.id);
    try {
      if (upload.upload_id.empty()) {
        const OpenUpload announced{key, ""};
        setup_.destination->sweep({&announced, 1}, context);
      } else {
        setup_.destination
            ->begin_parts(key, PartPlan{upload.stamp.size, upload.part_size, upload.upload_id}, WriteOptions{}, context)
            ->abort(context);
      }
    } catch (...) {
      const Error error = current_error();
      if (error.error_class() != ErrorClass::missing) {
        ledger_->event(EventKind::log, LogLevel::warning, "an upload of " + shown_key(key) + " stays open: " + error.message());
        continue;
      }
    }
    ledger_->upload_ended(upload.id);
  }
  is_over = true;
}

void CopyRun::fill_live(LiveState& live) const {
  live.in_progress = queue_.in_progress();
  live.in_flight = queue_.in_flight(most_in_flight_shown);
  live.concurrency = concurrency_.limit();
}

}  // namespace waybill::internal
