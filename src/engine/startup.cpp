// SPDX-License-Identifier: Apache-2.0

#include "engine/startup.hpp"

#include <unistd.h>

#include <chrono>

#include "base/host.hpp"
#include "base/text.hpp"
#include "waybill/version.hpp"

namespace waybill::internal {

HeldLease::HeldLease(Tracker& tracker, const Options& options) : tracker_(tracker) {
  LeaseOptions lease;
  lease.lease = std::chrono::milliseconds(options.lease_ms);
  lease.take_over = options.take_over;
  epoch_ = tracker.acquire(lease);
}

RunRecord new_record(uint64_t run, Phase phase, const Options& options) {
  RunRecord record;
  record.run = run;
  record.phase = phase;
  record.started_at_ms = now_ms();
  record.options = to_json(options);
  record.engine_version = version();
  return record;
}

void open_record(Tracker& tracker, uint64_t epoch, RunRecord& record) {
  record.state = RunState::running;
  record.reason.clear();
  record.ended_at_ms.reset();
  record.host = host_name();
  record.pid = getpid();
  Batch batch;
  batch.run = record;
  batch.live = LiveState{};
  tracker.commit(epoch, batch);
}

}  // namespace waybill::internal
