// SPDX-License-Identifier: Apache-2.0
//
// waybill: the whole public C++ API.
#pragma once

#include "waybill/catalog.hpp"
#include "waybill/connectors.hpp"
#include "waybill/context.hpp"
#include "waybill/cutover.hpp"
#include "waybill/destination.hpp"
#include "waybill/diagnosis.hpp"
#include "waybill/error.hpp"
#include "waybill/item.hpp"
#include "waybill/maintenance.hpp"
#include "waybill/migration.hpp"
#include "waybill/options.hpp"
#include "waybill/probe.hpp"
#include "waybill/progress.hpp"
#include "waybill/redaction.hpp"
#include "waybill/source.hpp"
#include "waybill/trace.hpp"
#include "waybill/track.hpp"
#include "waybill/tracker.hpp"
#include "waybill/transform.hpp"
#include "waybill/version.hpp"
