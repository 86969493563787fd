// SPDX-License-Identifier: Apache-2.0
//
// See website.hpp.
#include "connectors/s3/website.hpp"

namespace waybill::s3 {
namespace {

using State = Learnt::Website;

// A store that does not know the question has no websites; one that ignores it answers with a listing.
State meaning_of(const Client& client, const Client::Request& request, const internal::HttpResponse& response) {
  if (response.status >= 200 && response.status <= 299) {
    return response.text.find("<WebsiteConfiguration") == std::string::npos ? State::none : State::maybe;
  }
  const Error error = client.error(request, response);
  if (error.error_class() == ErrorClass::permission && response.status == 403) return State::maybe;
  return error.retryable() ? State::unknown : State::none;
}

}  // namespace

void ask_for_website(Client& client, Context& context) {
  Learnt& learnt = client.learnt();
  State expected = State::unknown;
  if (!learnt.website.compare_exchange_strong(expected, State::being_asked)) return;
  const Client::Parameter parameters[] = {{"website", ""}};
  const Client::Request request{.method = "GET", .query = aws::canonical_query(parameters)};
  State found = State::unknown;
  try {
    const internal::HttpResponse response = client.send(request, context);
    found = meaning_of(client, request, response);
    if (response.status == 403) {
      context.log(LogLevel::info, client.config().shown() +
                                      ": s3:GetBucketWebsite is lacking, so that each object is asked for its website "
                                      "redirect before it is copied; the right saves these requests");
    }
  } catch (const Error&) {
    learnt.website = State::unknown;
    throw;
  }
  learnt.website = found;
}

bool may_redirect(const Client& client) noexcept { return client.learnt().website != State::none; }

}  // namespace waybill::s3
