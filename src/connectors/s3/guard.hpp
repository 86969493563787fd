// SPDX-License-Identifier: Apache-2.0
//
// The condition of a write: as a header where the store heeds it, and otherwise as a look just before the write.
//
// A store may refuse the header, and it may ignore it without a word, on one operation and not on the others (MinIO and
// versitygw heed If-None-Match on PUT and on completing an upload, and not on copies). So a write that can be repeated
// is repeated once in the same way: a sound store refuses that, one that ignores the header writes the same bytes again,
// and from then on there is a look before each write. Until it is known, whatever is not cheap to repeat is looked at
// first; of small bodies what is under way meanwhile is guarded by the listing alone.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "connectors/s3/client.hpp"
#include "waybill/destination.hpp"

namespace waybill::s3 {

/// Whether an answer may mean that a store does not know a header of ours.
bool refuses_header(const internal::HttpResponse& response);

/// Of one write. *Lifetime:* within that of what it is given.
class Guard {
 public:
  /// What to do where it is not known whether the store heeds the header.
  enum class Unproved { send, look };

  Guard(Client& client, const std::string& key, const Condition& condition, Learnt::Conditions& conditions);

  /// Calls `send(headers)` with the headers to add, at most twice. Where a look finds that the condition does not hold,
  /// the answer is a 412 without a body, as though the store had looked. Errors: of the look; what `send` throws.
  template <typename Send>
  internal::HttpResponse run(Unproved unproved, Send&& send, Context& context) const {
    const std::vector<internal::HttpHeader> headers = this->headers();
    const bool looks = headers.empty() || (unproved == Unproved::look && *heeded_ != Learnt::Heeded::yes);
    if (looks && !holds(context)) return refusal();
    internal::HttpResponse response = send(headers);
    if (headers.empty() || !refuses_header(response)) return response;
    if (!looks && !holds(context)) return refusal();
    response = send({});
    if (response.status < 300) *heeded_ = Learnt::Heeded::no;
    return response;
  }

  /// After a success of run() that left an object with `etag`: finds out whether the store heeds the header, unless that
  /// is known. The answer where it does not, and the object was written a second time.
  template <typename Send>
  std::optional<internal::HttpResponse> probe(const std::string& etag, Send&& send, Context& context) const {
    if (!begins_probe(etag)) return std::nullopt;
    try {
      internal::HttpResponse again = send(headers());
      const Learnt::Heeded found = meaning_of(again);
      *heeded_ = found;
      if (found != Learnt::Heeded::no) return std::nullopt;
      warn(context);
      return again;
    } catch (const Error& error) {
      *heeded_ = Learnt::Heeded::unknown;
      if (error.error_class() == ErrorClass::cancelled) throw;
      return std::nullopt;
    }
  }

  /// Whether the answer says that the condition does not hold.
  bool is_failed(const internal::HttpResponse& response) const;
  Error conflict() const;

 private:
  std::vector<internal::HttpHeader> headers() const;
  bool holds(Context& context) const;
  static internal::HttpResponse refusal();
  bool begins_probe(const std::string& etag) const;
  Learnt::Heeded meaning_of(const internal::HttpResponse& again) const;
  void warn(Context& context) const;

  Client& client_;
  const std::string& key_;
  const Condition& condition_;
  std::atomic<Learnt::Heeded>* heeded_ = nullptr;  // null where no header says the condition
  bool is_copy_;
};

}  // namespace waybill::s3
