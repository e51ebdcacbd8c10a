/*************************************************
*     Exim - an Internet mail transport agent    *
*************************************************/

/* Part of the exim-rspamd patches. License: GPL, version 2 or later. */

/* The reply of spamd or of rspamd, as what the spam condition and Exim's
variables make of it. Nothing here knows sockets, the log or Exim's globals; the
file is the same in all releases. Include exim.h before it. */

#ifdef WITH_CONTENT_SCAN

/* Sizes of the texts, with the terminating zero. */

#define SPAM_REPLY_ACTION_SIZE 32
#define SPAM_REPLY_NUMBER_SIZE 16
#define SPAM_REPLY_BAR_SIZE    51
#define SPAM_REPLY_REPORT_SIZE 32600

/* Scores are shown within these bounds: the text then fits, and ten times the
score fits in an int. */

#define SPAM_REPLY_SCORE_LIMIT 1e8

/* The dialects. */

enum { SPAM_REPLY_SPAMD, SPAM_REPLY_RSPAMD };

/* What a reply says. The texts are zero-terminated and fit for $spam_action,
$spam_score, $spam_score_int, $spam_bar and $spam_report. The action is
rspamd's; for spamd it is "reject" or "no action", by score and threshold. */

typedef struct spam_reply {
  BOOL   is_spam;                                /* score >= threshold */
  uschar action[SPAM_REPLY_ACTION_SIZE];
  uschar score[SPAM_REPLY_NUMBER_SIZE];          /* "%.1f" */
  uschar score_int[SPAM_REPLY_NUMBER_SIZE];      /* ten times, truncated */
  uschar bar[SPAM_REPLY_BAR_SIZE];               /* at most 50 of + or - */
  uschar report[SPAM_REPLY_REPORT_SIZE];         /* lines continued by a space */
} spam_reply;

/* Reads a reply. It is valid only if the line or lines that hold the verdict
came whole: for spamd the Spam: line and the empty line that ends the head (or,
in the form of 2.50 and before, the line of the scores), for rspamd the Metric:
and the Action: line. A report may be missing, empty, or cut.

Arguments:
  reply     where to put what it says; undefined if the reply is not valid
  dialect   SPAM_REPLY_SPAMD or SPAM_REPLY_RSPAMD
  data      the bytes, any
  size      how many

Returns:    NULL if the reply is valid, else what is wrong with it (static)
*/

extern const uschar *spam_reply_read(spam_reply *reply, int dialect,
  const uschar *data, int size);

#endif

/* End of spam_reply.h */
