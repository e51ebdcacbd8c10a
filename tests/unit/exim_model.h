/*
 * exim_model: a reply as Exim takes it, and the rules that keep it safe
 * there.  For the unit tests and the fuzz targets alike.
 *
 * The model has Exim's formats and the sizes of its buffers, and stops where
 * Exim would write beyond one.
 */
#ifndef EXIM_MODEL_H_
#define EXIM_MODEL_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "report.h"
#include "text.h"

#define EXIM_REPLY_MAX	32599	/* bytes that Exim reads */
#define EXIM_REPORT_MAX	32599	/* bytes that its report's buffer holds */

struct exim_seen {
	char	version[8];
	char	flag[8];	/* variant=rspamd: with its semicolon */
	double	score, threshold;
	char	action[32];	/* variant=rspamd */
	char	report[EXIM_REPORT_MAX + 1];
	size_t	report_at;	/* where it starts in the reply */
};

/* The report as $spam_report shows it; false where Exim would be harmed. */
static inline bool
exim_report(struct exim_seen *seen, const char *p)
{
	size_t n = 0;

	for (; *p != '\0'; p++) {
		if (*p == '\r')
			continue;
		if (n + 2 > EXIM_REPORT_MAX)
			return false;
		seen->report[n++] = *p;
		if (*p == '\n')
			seen->report[n++] = ' ';
	}
	while (n > 0 && (unsigned char)seen->report[n - 1] <= ' ')
		n--;
	seen->report[n] = '\0';
	return n > 0;	/* it looks for the end of a blank one below it */
}

/*
 * Reads REPLY, a string, as Exim does with variant=rspamd (RSPAMD) or plain.
 * Returns NULL, or what is wrong: then the condition would defer, or worse.
 */
static inline const char *
exim_read(const char *reply, bool rspamd, struct exim_seen *seen)
{
	static const char action[] = "Action: ";
	double third;
	int at = -1, n;
	size_t len;

	memset(seen, 0, sizeof(*seen));
	if (strlen(reply) > EXIM_REPLY_MAX)
		return "longer than Exim's buffer";
	if (rspamd) {
		n = sscanf(reply, "RSPAMD/%7s 0 EX_OK\r\n"
		    "Metric: default; %7s %lf / %lf / %lf\r\n%n", seen->version,
		    seen->flag, &seen->score, &seen->threshold, &third, &at);
		if (n != 5 || at < 0)
			return "not what variant=rspamd parses";
		/* the blank at the end of a format skips blank lines: none */
		if (reply[at] == '\0')
			return "nothing after the Metric line";
		if (strncmp(reply + at, action, sizeof(action) - 1) != 0)
			return "no action after the Metric line";
		len = strcspn(reply + at + sizeof(action) - 1, "\r");
		if (len >= sizeof(seen->action))
			len = sizeof(seen->action) - 1;
		memcpy(seen->action, reply + at + sizeof(action) - 1, len);
	} else {
		if (sscanf(reply, "SPAMD/%7s 0 EX_OK\r\nContent-length: %*u\r\n"
		    "\r\n%lf/%lf\r\n%n", seen->version, &seen->score,
		    &seen->threshold, &at) == 3)
			return "taken for the reply of an ancient spamd";
		n = sscanf(reply, "SPAMD/%7s 0 EX_OK\r\n"
		    "Spam: %*s ; %lf / %lf\r\n\r\n%n", seen->version,
		    &seen->score, &seen->threshold, &at);
		if (n != 3 || at < 0)
			return "not what Exim parses";
	}
	seen->report_at = (size_t)at;
	return exim_report(seen, reply + at) ? NULL :
	    "a report that Exim cannot take";
}

/* One line of a report, LEN bytes without its CRLF: what is wrong with it? */
static inline const char *
report_line_fault(const char *p, size_t len)
{
	size_t i, n;
	bool blank = true;

	if (len > REPORT_LINE_MAX)
		return "a line is too long";
	for (i = 0; i < len; i += n) {
		if ((n = text_utf8(p + i, len - i)) == 0)
			return "not UTF-8";
		if (n == 1 && ((unsigned char)p[i] < ' ' || p[i] == 0x7f))
			return "a control byte";
		if (n == 2 && (unsigned char)p[i] == 0xc2 &&
		    (unsigned char)p[i + 1] < 0xa0)
			return "a C1 control character";
		if (p[i] != ' ')
			blank = false;
	}
	return blank ? "a blank line" : NULL;
}

/* The LEN bytes at P are to be a whole report: NULL, or what is wrong. */
static inline const char *
report_fault(const char *p, size_t len)
{
	static const char first[] = "Action: ";
	const char *cr, *end = p + len, *why;
	bool ended = false;

	if (len > REPORT_MAX)
		return "the report is too long";
	if (len < sizeof(first) || memcmp(p, first, sizeof(first) - 1) != 0)
		return "the first line is not the action";
	while (p < end) {
		if (ended)
			return "a line after the end line";
		cr = memchr(p, '\r', (size_t)(end - p));
		if (cr == NULL || cr + 1 == end || cr[1] != '\n')
			return "a line that does not end with CRLF";
		if ((why = report_line_fault(p, (size_t)(cr - p))) != NULL)
			return why;
		ended = strncmp(p, REPORT_END, strlen(REPORT_END)) == 0;
		p = cr + 2;
	}
	return ended ? NULL : "the end line is not the last one";
}

#endif
