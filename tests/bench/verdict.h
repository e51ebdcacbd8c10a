/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * verdict: what null-rspamd answers and bench-load expects, a format for the
 * text of more symbols (%s), the mail's length (PRIu64), and the Message-ID
 * (%.*s).
 */
#ifndef BENCH_VERDICT_H_
#define BENCH_VERDICT_H_

#include <inttypes.h>

static const char bench_verdict[] =
    "{\"is_skipped\":false,\"score\":2.3,\"required_score\":15.0,"
    "\"action\":\"no action\",\"thresholds\":{\"reject\":15.0,"
    "\"rewrite subject\":8.0,\"add header\":6.0,\"greylist\":4.0},"
    "\"symbols\":{%s"
    "\"ARC_NA\":{\"name\":\"ARC_NA\",\"score\":0.0,\"metric_score\":0.0,"
    "\"description\":\"No ARC signature was found\"},"
    "\"BENCH_LENGTH\":{\"name\":\"BENCH_LENGTH\",\"score\":0.0,"
    "\"metric_score\":0.0,\"options\":[\"%" PRIu64 "\"]},"
    "\"BENCH_WORDS\":{\"name\":\"BENCH_WORDS\",\"score\":0.0,"
    "\"metric_score\":0.0,\"description\":\"A symbol of the benchmark\"},"
    "\"BENCH_OPTION\":{\"name\":\"BENCH_OPTION\",\"score\":0.0,"
    "\"metric_score\":0.0,\"options\":[\"an option\"]},"
    "\"DMARC_NA\":{\"name\":\"DMARC_NA\",\"score\":0.0,\"metric_score\":0.0,"
    "\"description\":\"The domain has no DMARC policy\","
    "\"options\":[\"sender.example\"]},"
    "\"FROM_EQ_ENVFROM\":{\"name\":\"FROM_EQ_ENVFROM\",\"score\":0.0,"
    "\"metric_score\":0.0,\"description\":\"Both senders are the same\"},"
    "\"HFILTER_HELO_1\":{\"name\":\"HFILTER_HELO_1\",\"score\":0.5,"
    "\"metric_score\":0.5,\"description\":\"HELO checks, very low\"},"
    "\"MIME_TRACE\":{\"name\":\"MIME_TRACE\",\"score\":0.0,"
    "\"metric_score\":0.0,\"options\":[\"0:+\"]},"
    "\"MISSING_MIME_VERSION\":{\"name\":\"MISSING_MIME_VERSION\","
    "\"score\":2.0,\"metric_score\":2.0,"
    "\"description\":\"The header MIME-Version is not there\"},"
    "\"RCVD_COUNT_ONE\":{\"name\":\"RCVD_COUNT_ONE\",\"score\":0.0,"
    "\"metric_score\":0.0,\"description\":\"One Received header\","
    "\"options\":[\"1\"]},"
    "\"R_SPF_ALLOW\":{\"name\":\"R_SPF_ALLOW\",\"score\":-0.2,"
    "\"metric_score\":-0.2,\"description\":\"SPF allows this sender\","
    "\"options\":[\"+ip4:192.0.2.0/24\"]}},"
    "\"messages\":{},\"message-id\":\"%.*s\",\"time_real\":0.000213,"
    "\"milter\":{\"remove_headers\":{\"X-Spam\":0}}}";

#endif
