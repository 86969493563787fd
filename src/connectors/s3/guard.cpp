// SPDX-License-Identifier: Apache-2.0
//
// See guard.hpp.
#include "connectors/s3/guard.hpp"

#include "connectors/s3/reading.hpp"

namespace waybill::s3 {

using Heeded = Learnt::Heeded;

bool refuses_header(const internal::HttpResponse& response) {
  if (response.status == 501) return true;
  if (response.status != 400) return false;
  const std::string code = parse_error(response.text).code;
  return code.empty() || code == "NotImplemented" || code == "InvalidRequest" || code == "InvalidArgument";
}

Guard::Guard(Client& client, const std::string& key, const Condition& condition, Learnt::Conditions& conditions)
    : client_(client), key_(key), condition_(condition), is_copy_(&conditions == &client.learnt().copy_conditions) {
  if (condition.kind == Condition::Kind::absent) heeded_ = &conditions.if_none_match;
  const bool has_tag = !condition.etag.empty() && !client.learnt().has_weak_etags;
  if (condition.kind == Condition::Kind::unchanged && has_tag) heeded_ = &conditions.if_match;
}

std::vector<internal::HttpHeader> Guard::headers() const {
  if (heeded_ == nullptr || *heeded_ == Heeded::no) return {};
  if (condition_.kind == Condition::Kind::absent) return {{"If-None-Match", "*"}};
  return {{"If-Match", "\"" + condition_.etag + "\""}};
}

bool Guard::holds(Context& context) const {
  if (condition_.kind == Condition::Kind::none) return true;
  ++client_.learnt().looks;
  const std::optional<ObjectHead> head = head_object(client_, key_, context);
  if (condition_.kind == Condition::Kind::absent) return !head;
  return head && (condition_.etag.empty() || head->etag == condition_.etag) &&
         (!condition_.size || head->size == *condition_.size);
}

internal::HttpResponse Guard::refusal() {
  internal::HttpResponse response;
  response.status = 412;
  return response;
}

// Repeated under If-Match, a write that changed nothing of the ETag is refused by nobody.
bool Guard::begins_probe(const std::string& etag) const {
  if (heeded_ == nullptr) return false;
  if (condition_.kind == Condition::Kind::unchanged && etag == condition_.etag) return false;
  Heeded expected = Heeded::unknown;
  return heeded_->compare_exchange_strong(expected, Heeded::being_asked);
}

// A refusal means that nothing was replaced. Of copies only the one is taken that can be no other: a source that is gone
// or has changed is refused as well. A store that is busy says nothing.
Heeded Guard::meaning_of(const internal::HttpResponse& again) const {
  if (again.status < 300) return again.text.find("<Error") == std::string::npos ? Heeded::no : Heeded::unknown;
  if (is_copy_) {
    const bool is_of_source = again.text.find("copy-source") != std::string::npos;
    return again.status == 412 && !is_of_source ? Heeded::yes : Heeded::unknown;
  }
  const bool is_refused = again.status >= 400 && again.status < 500 && again.status != 409 && again.status != 429;
  return is_refused ? Heeded::yes : Heeded::unknown;
}

void Guard::warn(Context& context) const {
  const char* header = condition_.kind == Condition::Kind::absent ? "If-None-Match" : "If-Match";
  context.log(LogLevel::warning, client_.config().shown() + ": the store ignores " + header +
                                     (is_copy_ ? " of copies" : "") +
                                     "; what is there is looked at before each write instead, with a request more and "
                                     "without certainty if others write too");
}

bool Guard::is_failed(const internal::HttpResponse& response) const {
  if (response.status == 412) return true;
  // If-Match on an object that is gone.
  return response.status == 404 && condition_.kind == Condition::Kind::unchanged &&
         parse_error(response.text).code == "NoSuchKey";
}

Error Guard::conflict() const {
  const char* why = condition_.kind == Condition::Kind::absent ? ": there is an object now, and there was to be none"
                                                               : ": the object is not the one that was to be replaced";
  return Error(ErrorCode::failed_precondition, ErrorClass::conflict, client_.name(key_) + why);
}

}  // namespace waybill::s3
