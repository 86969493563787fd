// SPDX-License-Identifier: Apache-2.0
#include "support/fault_server/s3_settings.hpp"

#include <algorithm>
#include <functional>
#include <initializer_list>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace waybill::testing::fault {

namespace {

using nlohmann::json;

template <class Settings>
using Setters = std::map<std::string, std::function<void(Settings&, const json&)>>;

template <class Settings>
void merge_into(Settings& settings, const Setters<Settings>& setters, const json& object) {
  if (!object.is_object()) throw std::invalid_argument("settings are an object");
  for (const auto& [name, value] : object.items()) {
    const auto found = setters.find(name);
    if (found == setters.end()) throw std::invalid_argument("there is no setting " + name);
    try {
      found->second(settings, value);
    } catch (const json::exception& error) {
      throw std::invalid_argument("setting " + name + ": " + error.what());
    }
  }
}

template <class Settings, class Value>
auto field(Value Settings::*member) {
  return [member](Settings& settings, const json& value) { settings.*member = value.get<Value>(); };
}

auto choice(std::string BucketSettings::*member, std::initializer_list<const char*> allowed) {
  return [member, words = std::vector<std::string>(allowed.begin(), allowed.end())](BucketSettings& settings,
                                                                                    const json& value) {
    const auto word = value.get<std::string>();
    if (std::find(words.begin(), words.end(), word) == words.end())
      throw std::invalid_argument("no such choice: " + word);
    settings.*member = word;
  };
}

AccessKey access_key(const json& object) {
  AccessKey key;
  key.id = object.at("id");
  key.secret = object.value("secret", "");
  key.session_token = object.value("session_token", "");
  key.is_expired = object.value("is_expired", false);
  return key;
}

}  // namespace

void BucketSettings::merge(const json& object) {
  using S = BucketSettings;
  static const Setters<S> setters = {
      {"region", field(&S::region)},
      {"wrong_region", choice(&S::wrong_region, {"redirect", "malformed"})},
      {"redirect_to", field(&S::redirect_to)},
      {"versioning", choice(&S::versioning, {"off", "enabled", "suspended"})},
      {"digest_only", field(&S::digest_only)},
      {"requester_pays", field(&S::requester_pays)},
      {"denied", field(&S::denied)},
      {"only_below", field(&S::only_below)},
      {"owner", field(&S::owner)},
      {"demands_encryption", field(&S::demands_encryption)},
      {"unlisted", field(&S::unlisted)},
      {"is_public", field(&S::is_public)},
      {"page_size", field(&S::page_size)},
      {"ignores_encoding_type", field(&S::ignores_encoding_type)},
      {"plus_for_space", field(&S::plus_for_space)},
      {"unordered", field(&S::unordered)},
      {"repeats_token_after", field(&S::repeats_token_after)},
      {"empty_page_every", field(&S::empty_page_every)},
      {"list_v2", choice(&S::list_v2, {"yes", "not_implemented", "as_v1"})},
      {"conditional_writes", choice(&S::conditional_writes, {"yes", "ignored", "not_implemented"})},
      {"unconditional", field(&S::unconditional)},
      {"checksums", choice(&S::checksums, {"yes", "ignored", "refused"})},
      {"etag", choice(&S::etag, {"md5", "opaque"})},
      {"copy", field(&S::copy)},
      {"part_copy", field(&S::part_copy)},
      {"copies_lose", field(&S::copies_lose)},
      {"website", field(&S::website)},
      {"min_part_bytes", field(&S::min_part_bytes)},
      {"longest_key", field(&S::longest_key)},
  };
  merge_into(*this, setters, object);
}

void ServerSettings::merge(const json& object) {
  using S = ServerSettings;
  static const Setters<S> setters = {
      {"region", field(&S::region)},
      {"clock_offset_s", field(&S::clock_offset_s)},
      {"checks_signatures", field(&S::checks_signatures)},
      {"domain", field(&S::domain)},
      {"creates_buckets", field(&S::creates_buckets)},
      {"name", field(&S::name)},
      {"id_2", field(&S::id_2)},
      {"keys",
       [](S& settings, const json& value) {
         settings.keys.clear();
         for (const json& one : value) settings.keys.push_back(access_key(one));
       }},
  };
  merge_into(*this, setters, object);
}

}  // namespace waybill::testing::fault
