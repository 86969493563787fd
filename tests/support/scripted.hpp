// SPDX-License-Identifier: Apache-2.0
//
// A Source and a Destination that pass everything on to another one, and call a hook before each operation: the hook may
// count, wait, or throw. This is how tests make stores fail, hang and change at chosen moments.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "waybill/destination.hpp"
#include "waybill/source.hpp"

namespace waybill::testing {

/// Called with the operation ("list", "read", "stat", "put", "begin_parts", "write_part", "complete", "flush", …), the
/// key ("" where there is none) and the context of the call. May be called from many threads at once.
using Hook = std::function<void(const std::string& operation, const Key& key, Context& context)>;

class ScriptedSource : public Source {
 public:
  ScriptedSource(std::shared_ptr<Source> inner, Hook hook) : inner_(std::move(inner)), hook_(std::move(hook)) {}

  Capabilities capabilities() const override { return inner_->capabilities(); }
  std::string identity() const override { return inner_->identity(); }
  std::string endpoint() const override { return inner_->endpoint(); }
  void check(Context& context) override {
    hook_("check", "", context);
    inner_->check(context);
  }
  std::unique_ptr<Lister> list(const ListRequest& request, Context& context) override {
    hook_("list", request.after, context);
    return inner_->list(request, context);
  }
  ReadResult read(const Item& item, uint64_t offset, std::span<std::byte> out, Context& context) override {
    hook_("read", item.key(), context);
    return inner_->read(item, offset, out, context);
  }
  std::unique_ptr<Stream> stream(const Item& item, Context& context) override {
    hook_("stream", item.key(), context);
    return inner_->stream(item, context);
  }
  std::optional<Item> stat(const ItemId& id, Context& context) override {
    hook_("stat", id.key, context);
    return inner_->stat(id, context);
  }
  Removal remove(const Item& item, Context& context) override {
    hook_("remove", item.key(), context);
    return inner_->remove(item, context);
  }

 private:
  std::shared_ptr<Source> inner_;
  Hook hook_;
};

class ScriptedUpload final : public PartUpload {
 public:
  ScriptedUpload(std::unique_ptr<PartUpload> inner, Key key, Hook& hook) : inner_(std::move(inner)), key_(std::move(key)), hook_(hook) {}

  std::string id() const override { return inner_->id(); }
  std::vector<PartInfo> existing(Context& context) override {
    hook_("existing", key_, context);
    return inner_->existing(context);
  }
  PartInfo write(uint32_t number, uint64_t offset, const Body& body, Context& context) override {
    hook_("write_part", key_, context);
    return inner_->write(number, offset, body, context);
  }
  Stored complete(std::span<const PartInfo> parts, Context& context) override {
    hook_("complete", key_, context);
    return inner_->complete(parts, context);
  }
  void abort(Context& context) override {
    hook_("abort", key_, context);
    inner_->abort(context);
  }

 private:
  std::unique_ptr<PartUpload> inner_;
  Key key_;
  Hook& hook_;
};

class ScriptedDestination : public Destination {
 public:
  ScriptedDestination(std::shared_ptr<Destination> inner, Hook hook) : inner_(std::move(inner)), hook_(std::move(hook)) {}

  Capabilities capabilities() const override {
    Capabilities can = inner_->capabilities();
    can.needs_flush = true;  // so that the order put, flush, commit can be watched
    return can;
  }
  std::string identity() const override { return inner_->identity(); }
  std::string endpoint() const override { return inner_->endpoint(); }
  void check(Context& context) override {
    hook_("check", "", context);
    inner_->check(context);
  }
  std::unique_ptr<Lister> list(const ListRequest& request, Context& context) override {
    hook_("list", request.after, context);
    return inner_->list(request, context);
  }
  std::optional<Item> stat(const Key& key, Context& context) override {
    hook_("stat", key, context);
    return inner_->stat(key, context);
  }
  Stored put(const Key& key, const Body& body, const WriteOptions& options, Context& context) override {
    hook_("put", key, context);
    Stored stored = inner_->put(key, body, options, context);
    hook_("put_done", key, context);
    return stored;
  }
  std::unique_ptr<PartUpload> begin_parts(const Key& key, const PartPlan& plan, const WriteOptions& options, Context& context) override {
    hook_(plan.upload_id.empty() ? "begin_parts" : "resume_parts", key, context);
    return std::make_unique<ScriptedUpload>(inner_->begin_parts(key, plan, options, context), key, hook_);
  }
  ReadResult read(const Item& item, uint64_t offset, std::span<std::byte> out, Context& context) override {
    hook_("read_back", item.key(), context);
    return inner_->read(item, offset, out, context);
  }
  void flush(Context& context) override {
    hook_("flush", "", context);
    inner_->flush(context);
  }
  void remove(const Key& key, Context& context) override { inner_->remove(key, context); }
  Removal remove_unchanged(const Item& item, Context& context) override {
    hook_("remove", item.key(), context);
    return inner_->remove_unchanged(item, context);
  }
  void sweep(std::span<const OpenUpload> known, Context& context) override { inner_->sweep(known, context); }

 private:
  std::shared_ptr<Destination> inner_;
  Hook hook_;
};

}  // namespace waybill::testing
