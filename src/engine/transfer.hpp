// SPDX-License-Identifier: Apache-2.0
//
// Moves one item: read, transform, write, check, outcome. Runs on the transfer threads; every way out of here is an
// outcome in the ledger, a retry in the work queue, or an item that stays pending because the run stops.
//
//   item ── folder, small ─► read whole ─► put ──────────────────────────► outcome
//        ├─ both sides one store ─► copied by the store ───────────────► outcome
//        ├─ large ─► begin parts ─► (part works) read ─► write ─► … last: complete ─► outcome
//        └─ transformed, or a source that cannot position ─► stream ─► put, or parts in order ─► outcome
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "engine/concurrency.hpp"
#include "engine/large_object.hpp"
#include "engine/ledger.hpp"
#include "engine/retry.hpp"
#include "engine/work_queue.hpp"
#include "waybill/destination.hpp"
#include "waybill/source.hpp"
#include "waybill/transform.hpp"

namespace waybill::internal {

/// *Thread safety:* run() from any number of threads.
class Transfer {
 public:
  struct Parts {
    Source& source;
    Destination& destination;
    Transform* transform;  ///< or null
    Tracker& tracker;
    Ledger& ledger;
    WorkQueue& queue;
    EndpointRetries& retries;
    ConcurrencyController& concurrency;
    const RunScope& scope;
    const Options& options;
    /// The run cannot go on: its credentials are refused, no item may be moved, or a defect left a work without an end.
    std::function<void(std::exception_ptr)> broken;
  };

  explicit Transfer(const Parts& parts);

  /// Does one work. Never throws: what connectors throw becomes an outcome or a retry.
  void run(const Work& work);

  /// Items that are kept back as refused get their outcome; where the queue has stopped, they stay pending.
  void settle_refused();

 private:
  using Task = std::shared_ptr<ItemTask>;
  using Object = std::shared_ptr<LargeObject>;

  // transfer.cpp: whole items
  void run_work(const Work& work);
  void move_item(const Task& task, Side& side);
  bool look_closer(const Task& task, CallContext& context, Side& side);
  bool settle_unchanged(const Task& task, CallContext& context, Side& side);
  bool settle_excluded(const Task& task, std::optional<uint64_t> size);
  void move_by_size(const Task& task, CallContext& context, Side& side);
  Crc64 crc_of_source(const Task& task, CallContext& context);
  void move_small(const Task& task, CallContext& context, Side& side);
  void put(const Task& task, const Body& body, const Digest& source_digest, const Attributes& attributes, CallContext& context,
           Side& side);
  void put_large_body(const Task& task, CallContext& context, Side& side);
  bool settle_conflict(const Task& task, uint64_t size, std::optional<Crc64> crc, const Digest& source_digest, CallContext& context,
                       Side& side);
  Condition condition(const ItemTask& task) const;
  void copied(const Task& task, Basis basis, const Digest& digest, Stored stored);

  // copies.cpp: items that the store copies by itself
  std::optional<Locator> locate(const ItemRecord& record) const;
  struct EndTurn {
    void operator()(std::atomic<bool>* turn) const noexcept { *turn = false; }
  };
  std::unique_ptr<std::atomic<bool>, EndTurn> await_first_copy(CallContext& context);
  bool settle_lost_copy(const Task& task, CallContext& context, Side& side);
  bool copy_inside(const Task& task, CallContext& context, Side& side);

  // transfer.cpp: failures
  void failed(Work work, const Error& error, Side side);
  bool counts_against_item(const Work& work, const Error& error, Side side);
  std::optional<std::chrono::milliseconds> next_try(Work& work, const Error& error, Side side);
  bool ends_run(const Error& error);
  bool keep_back(const Task& task, const Error& error);
  void end_trial();
  void put_back(Work work);
  void refresh(Work work, const Error& error);
  bool is_of_another_item(const ItemRecord& record);
  void settle_failed(const Task& task, const Error& error);
  void take_up_what_was_left(const Task& task, ItemRecord& record);
  bool is_dead_link(const Error& error, Side side) const;
  void settle_vanished(const Task& task, const Error* why = nullptr);

  // parts.cpp: large objects
  void begin_object(const Task& task, CallContext& context, Side& side);
  std::unique_ptr<PartUpload> resume_upload(const Task& task, uint64_t part_size, const WriteOptions& options,
                                            std::vector<PartInfo>& done, CallContext& context);
  void drop_announced(const ItemTask& task, CallContext& context);
  std::unique_ptr<PartUpload> begin_upload(const Task& task, const PartPlan& plan, const WriteOptions& options, CallContext& context);
  void run_part(const Work& work);
  bool part_failed(Work work, Error problem, Side side, LargeObject::Next& next);
  std::optional<PartInfo> copy_part(LargeObject& object, uint32_t part, CallContext& context, Side& side);
  PartInfo move_part(LargeObject& object, uint32_t part, BodyBuffer& buffer, CallContext& context, Side& side);
  PartInfo move_windowed_part(LargeObject& object, uint32_t part, CallContext& context, Side& side);
  std::function<size_t(uint64_t, std::span<std::byte>)> pulling(const Task& task, const SourceStamp& stamp, uint64_t base,
                                                                uint64_t length, Crc64& crc, uint64_t& hashed, CallContext& context,
                                                                Side& side);
  void complete_object(const Work& work);
  bool complete_conflicted(const Object& object, const Digest& digest, CallContext& context, Side& side);
  void close_object(const Object& object);

  // streamed.cpp: transformed items, and sources that cannot position
  class StreamedItem;
  void move_streamed(const Task& task, CallContext& context, Side& side);
  void stream_parts(const Task& task, StreamedItem& streamed, std::span<std::byte> buffer, CallContext& context, Side& side);

  void check_stamp(const ItemTask& task, const SourceStamp& stamp) const;
  static void check_same(const SourceStamp& expected, const SourceStamp& stamp);

  Source& source_;
  Destination& destination_;
  Transform* const transform_;
  Tracker& tracker_;
  Ledger& ledger_;
  WorkQueue& queue_;
  EndpointRetries& retries_;
  ConcurrencyController& concurrency_;
  const RunScope& scope_;
  const Options& options_;
  const Source::Capabilities source_can_;
  const Destination::Capabilities destination_can_;
  const bool is_one_store_;  ///< the destination may copy items of the source by itself
  const std::function<void(std::exception_ptr)> broken_;

  // Until the first item has another end than being forbidden.
  std::mutex trial_mutex_;
  std::atomic<bool> is_on_trial_{true};           // changed with trial_mutex_ held
  std::vector<std::pair<Task, Error>> refused_;   // guarded by trial_mutex_

  std::atomic<bool> is_copying_first_{false};
  std::atomic<bool> has_copied_{false};  ///< the store has copied an item by itself

  std::mutex probe_mutex_;
  struct Probe {
    std::chrono::steady_clock::time_point at{};
    bool is_answered = false;
  };
  Probe source_probe_;       // guarded by probe_mutex_
  Probe destination_probe_;  // guarded by probe_mutex_
};

/// Whether the item stands for a folder: a key that ends in a slash, without content.
bool is_folder(const ItemRecord& record);

/// The item that a row describes, as connectors take it.
Item item_of(const ItemRecord& record);

/// Whether the store has said that it did nothing.
bool is_refusal(const Error& error);

/// Whether what is at the destination has this size and CRC: by the digest that the store tells, else by reading.
bool has_content(Destination& destination, const Item& there, uint64_t size, Crc64 crc, Context& context);

/// Reads everything in small windows. Errors: of the read; data_loss where it ends early.
Crc64 crc_by_reading(const std::function<ReadResult(uint64_t, std::span<std::byte>)>& read, uint64_t size);
/// The same in windows of `buffer`, which is not empty unless `size` is 0.
Crc64 crc_by_reading(const std::function<ReadResult(uint64_t, std::span<std::byte>)>& read, uint64_t size,
                     std::span<std::byte> buffer);

/// The exception being handled as an Error, whatever a connector threw.
Error current_error();

}  // namespace waybill::internal
