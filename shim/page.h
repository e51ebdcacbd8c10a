/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * page: the HTTP of the page for those who watch: one request in, one
 * response out, and the connection is closed.
 *
 *	/metrics	counters, for Prometheus
 *	/health		200 when mail can be scanned, else 503; text, or JSON
 *			where the Accept: header names application/json
 *	/health.json	the same, always JSON
 */
#ifndef PAGE_H_
#define PAGE_H_

#include <stdbool.h>
#include <stddef.h>

#include "counters.h"
#include "text.h"

/* Bytes of a request's head; more are answered with an error. */
#define PAGE_HEAD_MAX	8192

enum page_target {
	PAGE_ERROR,		/* see the status */
	PAGE_METRICS,
	PAGE_HEALTH
};

struct page_request {
	enum page_target target;
	bool	 head;		/* HEAD: the same response without a body */
	bool	 json;
	int	 status;	/* of PAGE_ERROR */
};

/*
 * Reads the LEN bytes at P, all that have come.  Returns whether they are a
 * whole request, right or wrong, and fills R then.
 */
bool	page_parse(struct page_request *r, const char *p, size_t len);

/*
 * Appends the response to R: what S is, by the program of this VERSION.
 * The caller sees by text_failed() whether there was memory for it.
 */
void	page_respond(struct text *t, const struct page_request *r,
	    const struct counters_snapshot *s, const char *version);

#endif
