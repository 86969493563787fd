// SPDX-License-Identifier: Apache-2.0
//
// Transform: changes the bytes of items on their way (compress, encrypt, transcode).
#pragma once

#include <memory>
#include <string>

#include "waybill/source.hpp"

namespace waybill {

/// Transform: wraps the stream of an item in another one.
///
/// The ledger keeps {size, stamp, digest} of the source beside {size, etag, digest} of what was stored, and verify
/// compares each side with its own. Transformed items are streamed; an object in parts starts again after a crash.
///
/// *Thread safety:* apply() may be called from many threads at once; the streams it gives out are used by one thread
/// each. *Lifetime:* outlives its streams.
class Transform {
 public:
  virtual ~Transform();
  /// A name and version, part of the migration's fingerprint, for example "gzip-6".
  virtual std::string identity() const = 0;
  /// The changed stream of `item`; takes over `input` and reads it to its end. Stream::size() of the result is the
  /// length after the change, if it is known. Errors thrown here or from the stream fail the item with class
  /// `transform`, unless they are Errors of the input, which pass through.
  virtual std::unique_ptr<Stream> apply(const Item& item, std::unique_ptr<Stream> input, Context& context) = 0;
  /// Attributes of the result, from those of the source: by default the same.
  virtual Attributes attributes(const Item& item, Attributes source) const;
};

}  // namespace waybill
