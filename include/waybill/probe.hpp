// SPDX-License-Identifier: Apache-2.0
//
// Looking at a store or a catalog before anything is moved: can it be reached, are the credentials good, and the rights there?
#pragma once

#include <vector>

#include "waybill/catalog.hpp"
#include "waybill/context.hpp"
#include "waybill/destination.hpp"
#include "waybill/diagnosis.hpp"
#include "waybill/source.hpp"

namespace waybill {

/// Asks the source: is it there, may it be listed (one page) and read (one byte of one item)? How far are the clocks
/// apart? What cannot be asked after a failure is left out. Throws nothing but cancelled. Any thread.
std::vector<Diagnosis> probe_source(Source& source, Context& context);

/// Asks the destination: is it there, may it be listed? With `may_write` also whether an object can be written, read
/// back and removed, and an upload in parts be begun and removed, at a new key of its own, ".waybill-probe-…", which is
/// not there afterwards unless its removal is what failed (it is named then). Nothing else is touched. As probe_source().
std::vector<Diagnosis> probe_destination(Destination& destination, bool may_write, Context& context);

/// Asks the catalog (Catalog::diagnose); lists a page of it; says how exactly it would replace values. Nothing is changed. As
/// probe_source().
std::vector<Diagnosis> probe_catalog(Catalog& catalog, Context& context);

}  // namespace waybill
