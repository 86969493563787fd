// SPDX-License-Identifier: Apache-2.0

#include "engine/value_probe.hpp"

#include <utility>

#include "base/uri.hpp"
#include "engine/at_once.hpp"
#include "engine/transfer.hpp"
#include "waybill/connectors.hpp"

namespace waybill::internal {
namespace {

constexpr size_t most_at_once = 8;
constexpr size_t most_origins = 16;
constexpr int most_tries = 3;
// Where so many have failed, it is no hiccup: another is not tried again.
constexpr int64_t hiccups = 8;

constexpr std::string_view anonymous = "anonymous";
constexpr std::string_view profile = "profile:";
constexpr std::string_view header = "header:";

bool is_form(std::string_view as) {
  if (as == anonymous) return true;
  if (as.starts_with(profile)) return as.size() > profile.size();
  return as.starts_with(header) && is_reference(as.substr(header.size()));
}

}  // namespace

ValueProbes::ValueProbes(std::string as, const Destination& destination, const RunScope& scope, RetryPolicy& retry)
    : as_(std::move(as)), destination_(destination.identity()), endpoint_(destination.endpoint()), scope_(scope), retry_(retry) {
  if (is_form(as_)) return;
  // What was given instead of the name of a variable may be the secret itself.
  throw Error(ErrorCode::invalid_argument, ErrorClass::configuration,
              "new values are asked for as \"anonymous\", \"profile:NAME\" or \"header:env:NAME\"; --probe-as is none of these");
}

void ValueProbes::ask(std::span<const Probe> probes) {
  each_at_once(probes.size(), most_at_once, [&](size_t i) {
    const std::string why = trouble_with(probes[i]);
    ++asked_;
    if (why.empty()) return;
    ++failed_;
    const std::scoped_lock lock(mutex_);
    if (example_.empty()) example_ = redact_url(probes[i].value) + ": " + why;
  });
}

std::string ValueProbes::trouble_with(const Probe& probe) {
  for (int tries = 1;; ++tries) {
    try {
      const std::optional<Item> there = look(probe);
      if (!there) return "nothing is there";
      if (probe.size && there->stamp.size && *probe.size != *there->stamp.size) {
        return std::to_string(*there->stamp.size) + " bytes are there, not " + std::to_string(*probe.size);
      }
      return {};
    } catch (...) {
      const Error error = current_error();
      if (error.error_class() == ErrorClass::cancelled) throw;
      if (!error.retryable() || tries == most_tries || failed_ >= hiccups) return error.message();
      if (!scope_.cancel.sleep(retry_.delay(tries, error))) {
        throw Error(ErrorCode::cancelled, ErrorClass::cancelled, "asking for new values was cancelled");
      }
    }
  }
}

std::optional<Item> ValueProbes::look(const Probe& probe) {
  const std::shared_ptr<Source> source = source_of(probe.value);
  const std::optional<ItemId> id = source->item_at(probe.value);
  if (!id) throw Error(ErrorCode::invalid_argument, ErrorClass::unsupported, "no store can tell what it points at");
  CallContext context(scope_);
  context.check();
  return source->stat(*id, context);
}

std::shared_ptr<Source> ValueProbes::source_of(const std::string& value) {
  const size_t authority = value.find("://");
  if (authority == std::string::npos) throw Error(ErrorCode::invalid_argument, ErrorClass::unsupported, "it is not a URL");
  const size_t path = value.find('/', authority + 3);
  const std::string origin = value.substr(0, path == std::string::npos ? std::string::npos : path + 1);
  const std::scoped_lock lock(mutex_);
  if (origins_.size() >= most_origins) origins_.clear();
  std::shared_ptr<Source>& source = origins_[origin];
  if (!source) {
    std::string whom;
    source = open_source(store_url(origin, whom));
    whom_.insert(std::move(whom));
  }
  return source;
}

// The origin as a store that is asked on behalf of whoever follows the value.
std::string ValueProbes::store_url(const std::string& origin, std::string& whom) const {
  whom = "without credentials";
  if (origin.starts_with("file://")) whom = "by this user, on this machine";
  const bool is_http = origin.starts_with("http://") || origin.starts_with("https://");
  if (is_http && as_.starts_with(header)) {
    whom = "with the header of " + as_.substr(header.size());
    return origin + "?header=" + as_.substr(header.size());
  }
  if (!origin.starts_with("s3://")) return origin;
  std::string url = origin + "?anonymous=true";
  if (as_.starts_with(profile)) {
    whom = "by the profile " + printable(as_.substr(profile.size()));
    url = origin + "?profile=" + encode_query(as_.substr(profile.size()));
  }
  // A bucket's name says nothing of where it is, but at AWS: there the destination's own rules hold.
  const bool is_there = (destination_ + "/").starts_with(origin) && endpoint_.find(".amazonaws.com") == std::string::npos;
  if (!is_there) return url;
  return url + "&endpoint=" + encode_query(endpoint_) + (endpoint_.starts_with("http:") ? "&allow_http=true" : "");
}

std::string ValueProbes::example() const {
  const std::scoped_lock lock(mutex_);
  return example_;
}

std::string ValueProbes::whom() const {
  const std::scoped_lock lock(mutex_);
  std::string text;
  for (const std::string& one : whom_) text += (text.empty() ? "" : ", or ") + one;
  return text;
}

}  // namespace waybill::internal
