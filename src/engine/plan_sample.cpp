// SPDX-License-Identifier: Apache-2.0

#include "engine/plan_sample.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <utility>

#include "base/text.hpp"
#include "base/thread.hpp"
#include "base/timebox.hpp"
#include "engine/retry.hpp"
#include "engine/transfer.hpp"

namespace waybill::internal {
namespace {

constexpr size_t most_hosts = 1000;
constexpr size_t most_hosts_shown = 100;
constexpr size_t most_sampled = 200;
constexpr size_t most_threads = 8;
constexpr int most_tries = 2;
constexpr std::chrono::seconds patience{5};
constexpr std::chrono::milliseconds between_tries{200};

/// What the source said of an item: that, that it is not there, or an error.
struct Answer {
  std::optional<Item> item;
  std::optional<Error> error;
};

Answer ask_once(Source& source, const ItemId& id, const RunScope& scope) {
  CallContext call(scope);
  Timebox time(call, patience);
  for (int tries = 1;; ++tries) {
    try {
      return {source.stat(id, time), std::nullopt};
    } catch (...) {
      Error error = current_error();
      if (error.retryable() && tries < most_tries && time.sleep(between_tries)) continue;
      return {std::nullopt, std::move(error)};
    }
  }
}

std::vector<Answer> ask_all(Source& source, const std::vector<ItemId>& ids, const RunScope& scope) {
  std::vector<Answer> answers(ids.size());
  std::atomic<size_t> next{0};
  std::vector<Thread> threads;
  while (threads.size() < std::min(most_threads, ids.size())) {
    threads.emplace_back("wb-sample", [&] {
      for (size_t i = next++; i < ids.size(); i = next++) answers[i] = ask_once(source, ids[i], scope);
    });
  }
  threads.clear();
  return answers;
}

// Without scheme and user; a port is part of it.
std::string host_in(std::string_view url) {
  const size_t scheme = url.find("://");
  if (scheme == std::string_view::npos) return "";
  std::string_view rest = url.substr(scheme + 3);
  rest = rest.substr(0, rest.find_first_of("/?#"));
  if (const size_t at = rest.rfind('@'); at != std::string_view::npos) rest.remove_prefix(at + 1);
  return to_lower(rest);
}

}  // namespace

PlanSample::PlanSample(Source& source) : source_(source), has_links_(source.capabilities().links), random_(std::random_device{}()) {
  other_hosts_.groups = 0;
}

std::string PlanSample::host_of(const ItemId& id) const {
  std::string host = host_in(id.key);
  return host.empty() ? host_in(source_.endpoint()) : host;
}

void PlanSample::count_host(const ItemId& id, const std::optional<uint64_t>& size) {
  std::string host = host_of(id);
  auto found = hosts_.find(host);
  if (found == hosts_.end() && hosts_.size() < most_hosts) {
    found = hosts_.emplace(host, Host{}).first;
    found->second.row.name = std::move(host);
    found->second.item = id;
  }
  Plan::Row& row = found != hosts_.end() ? found->second.row : other_hosts_;
  ++row.items;
  if (size) row.bytes += *size;
  else ++row.unknown_sizes;
}

void PlanSample::add(const ItemId& id, std::optional<uint64_t> size) {
  if (has_links_) count_host(id, size);
  if (size) return;
  ++n_unknown_;
  if (sample_.size() < most_sampled) {
    sample_.push_back(id);
  } else if (const uint64_t place = std::uniform_int_distribution<uint64_t>(0, static_cast<uint64_t>(n_unknown_) - 1)(random_);
             place < most_sampled) {
    sample_[place] = id;
  }
}

void PlanSample::ask(const RunScope& scope, Plan& plan) {
  ask_hosts(scope, plan);
  ask_sample(scope, plan);
}

void PlanSample::ask_hosts(const RunScope& scope, Plan& plan) {
  std::vector<Host> hosts;
  for (auto& [name, host] : std::exchange(hosts_, {})) hosts.push_back(std::move(host));
  std::stable_sort(hosts.begin(), hosts.end(), [](const Host& a, const Host& b) { return a.row.items > b.row.items; });
  std::vector<ItemId> ids;
  for (size_t i = 0; i < hosts.size(); ++i) {
    if (i < most_hosts_shown) {
      ids.push_back(hosts[i].item);
      plan.hosts.push_back(hosts[i].row);
      continue;
    }
    ++other_hosts_.groups;
    other_hosts_.items += hosts[i].row.items;
    other_hosts_.bytes += hosts[i].row.bytes;
    other_hosts_.unknown_sizes += hosts[i].row.unknown_sizes;
  }
  if (other_hosts_.items > 0) {
    other_hosts_.groups = std::max<int64_t>(other_hosts_.groups, 2);
    plan.hosts.push_back(other_hosts_);
  }
  const std::vector<Answer> answers = ask_all(source_, ids, scope);
  for (size_t i = 0; i < answers.size(); ++i) {
    const std::optional<Error>& error = answers[i].error;
    if (!error || !blames_endpoint(error->error_class())) continue;
    plan.unreachable.push_back({plan.hosts[i].name, plan.hosts[i].items, error->error_class(), error->message()});
  }
}

// Of a host that does not answer no more is asked: its items fail as the one did.
void PlanSample::ask_sample(const RunScope& scope, Plan& plan) {
  std::map<std::string, ErrorClass> unreachable;
  for (const Plan::Unreachable& one : plan.unreachable) unreachable[one.host] = one.error_class;
  std::vector<ItemId> ids;
  plan.sample.asked = static_cast<int64_t>(sample_.size());
  for (ItemId& id : std::exchange(sample_, {})) {
    const auto dead = has_links_ ? unreachable.find(host_of(id)) : unreachable.end();
    if (dead != unreachable.end()) ++plan.sample.failed_by_class[to_string(dead->second)];
    else ids.push_back(std::move(id));
  }
  double bytes = 0;
  int64_t n_sizes = 0;
  for (const Answer& answer : ask_all(source_, ids, scope)) {
    if (answer.error || !answer.item) {
      ++plan.sample.failed_by_class[to_string(answer.error ? answer.error->error_class() : ErrorClass::missing)];
      continue;
    }
    ++plan.sample.answered;
    if (!answer.item->stamp.size) continue;
    ++n_sizes;
    bytes += static_cast<double>(*answer.item->stamp.size);
  }
  if (n_sizes == 0) return;
  // Those that do not answer now would not move.
  const double share = static_cast<double>(plan.sample.answered) / static_cast<double>(plan.sample.asked);
  const double mean = bytes / static_cast<double>(n_sizes);
  plan.estimated_bytes = static_cast<uint64_t>(std::llround(mean * share * static_cast<double>(n_unknown_)));
}

}  // namespace waybill::internal
