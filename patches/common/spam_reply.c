/*************************************************
*     Exim - an Internet mail transport agent    *
*************************************************/

/* Part of the exim-rspamd patches. License: GPL, version 2 or later. */

/* Reads the reply of spamd or of rspamd. Called from spam.c. The bytes come
from a network: nothing is taken for granted about them. */

#include "exim.h"
#ifdef WITH_CONTENT_SCAN
#include <float.h>
#include "spam_reply.h"

/* The part of the reply that has not been read yet, and in turn one line. */

typedef struct text {
  const uschar *p;
  const uschar *end;
} text;



/*************************************************
*              Take one line                     *
*************************************************/

/* A line that has no end was cut off and does not count.

Arguments:
  from       text to take it from; it moves on
  line       where to put the line, without its end

Returns:     FALSE if there is no whole line left
*/

static BOOL
next_line(text *from, text *line)
{
const uschar *p;

for (p = from->p; p < from->end && *p != '\n'; p++);
if (p == from->end) return FALSE;

line->p = from->p;
line->end = p;
while (line->end > line->p && line->end[-1] == '\r') line->end--;
from->p = p + 1;
return TRUE;
}



/*************************************************
*          Take parts of a line                  *
*************************************************/

static void
skip_space(text *line)
{
while (line->p < line->end && isspace(*line->p)) line->p++;
}


/* Skips white space, then a word of which the reply has to have every byte.

Returns:     FALSE if the line does not go on with the word
*/

static BOOL
skip_word(text *line, const char *word)
{
size_t n = strlen(word);

skip_space(line);
if ((size_t)(line->end - line->p) < n || memcmp(line->p, word, n) != 0)
  return FALSE;
line->p += n;
return TRUE;
}


/* Skips white space, then any word. The word ends at a semicolon too, since
rspamd writes none before it and spamd writes a space.

Returns:     FALSE if the line has no more words
*/

static BOOL
skip_any_word(text *line)
{
const uschar *start;

skip_space(line);
for (start = line->p; line->p < line->end; line->p++)
  if (isspace(*line->p) || *line->p == ';') break;
return line->p > start;
}


/* Takes a decimal number, which white space, a slash or the line's end has to
follow. strtod() also knows nan, inf and hexadecimal, and it may overflow: none
of these is a score.

Arguments:
  line       text to take it from, after white space
  number     where to put the number

Returns:     FALSE if there is no finite number
*/

static BOOL
take_number(text *line, double *number)
{
char copy[64];
char *end;
size_t n = 0;

skip_space(line);
for (; line->p < line->end && *line->p != '/' && !isspace(*line->p); line->p++)
  {
  if (*line->p == 0 || strchr("+-.0123456789eE", *line->p) == NULL ||
      n == sizeof(copy) - 1)
    return FALSE;
  copy[n++] = *line->p;
  }
copy[n] = 0;

*number = strtod(copy, &end);
return n > 0 && *end == 0 && *number >= -DBL_MAX && *number <= DBL_MAX;
}



/*************************************************
*              Read the heads                    *
*************************************************/

/* Status line: the protocol's name, its version, and success.

Returns:     NULL, or what is wrong
*/

static const uschar *
read_status(text *from, const char *name)
{
text line;

if (!next_line(from, &line)) return US"no whole status line";
if (!skip_word(&line, name) || !skip_word(&line, "/") || !skip_any_word(&line))
  return US"not a reply of this protocol";
if (!skip_word(&line, "0") || !skip_word(&line, "EX_OK"))
  return US"status is not 0 EX_OK";
return NULL;
}


/* Head of spamd's reply. The scores stand in the Spam: line, or, where there
is none, in the first line after the head: this is what spamd did before 2.50.

Returns:     NULL, or what is wrong
*/

static const uschar *
read_spamd_head(text *from, double *score, double *threshold)
{
text line;
BOOL has_scores = FALSE;
BOOL has_length = FALSE;
const uschar *error = read_status(from, "SPAMD");

if (error != NULL) return error;

for (;;)
  {
  if (!next_line(from, &line)) return US"the head was cut off";
  if (line.p == line.end) break;

  if (skip_word(&line, "Content-length:"))
    has_length = TRUE;
  else if (!has_scores && skip_word(&line, "Spam:"))
    {
    if (!skip_any_word(&line) || !skip_word(&line, ";") ||
        !take_number(&line, score) || !skip_word(&line, "/") ||
        !take_number(&line, threshold))
      return US"cannot read the Spam: line";
    has_scores = TRUE;
    }
  }

if (has_scores) return NULL;

if (!has_length) return US"no Spam: line";
if (!next_line(from, &line)) return US"the scores were cut off";
if (!take_number(&line, score) || !skip_word(&line, "/") ||
    !take_number(&line, threshold))
  return US"cannot read the scores";
return NULL;
}


/* Head of rspamd's reply. The action line belongs to the report as well, so
that is where the text goes on.

Returns:     NULL, or what is wrong
*/

static const uschar *
read_rspamd_head(text *from, double *score, double *threshold, uschar *action)
{
text line, rest;
double reject_score;
int n = 0;
const uschar *error = read_status(from, "RSPAMD");

if (error != NULL) return error;

if (!next_line(from, &line)) return US"the Metric: line was cut off";
if (!skip_word(&line, "Metric:") || !skip_word(&line, "default") ||
    !skip_word(&line, ";") || !skip_any_word(&line) || !skip_word(&line, ";") ||
    !take_number(&line, score) || !skip_word(&line, "/") ||
    !take_number(&line, threshold) || !skip_word(&line, "/") ||
    !take_number(&line, &reject_score))
  return US"cannot read the Metric: line";

rest = *from;
if (!next_line(&rest, &line)) return US"the Action: line was cut off";
if (!skip_word(&line, "Action:")) return US"no Action: line";
skip_space(&line);
while (line.end > line.p && isspace(line.end[-1])) line.end--;
if (line.p == line.end) return US"the action is empty";

for (; line.p < line.end && n < SPAM_REPLY_ACTION_SIZE - 1; line.p++)
  action[n++] = iscntrl(*line.p)? ' ' : *line.p;
action[n] = 0;
return NULL;
}



/*************************************************
*             Make the variables                 *
*************************************************/

/* Copies the report. It is going to be used in header lines: each of its lines
is continued by a space, and CR is dropped. What does not fit is cut off, line
by line.

Arguments:
  to         where to put it, SPAM_REPLY_REPORT_SIZE bytes
  from       the rest of the reply

Returns:     nothing
*/

static void
copy_report(uschar *to, const text *from)
{
const uschar *p;
int n = 0;
int whole_lines = 0;

for (p = from->p; p < from->end && *p != 0; p++)
  {
  if (*p == '\r') continue;
  if (n + ((*p == '\n')? 2 : 1) >= SPAM_REPLY_REPORT_SIZE)
    {
    if (whole_lines > 0) n = whole_lines;
    break;
    }
  to[n++] = *p;
  if (*p == '\n')
    {
    to[n++] = ' ';
    whole_lines = n;
    }
  }

while (n > 0 && to[n-1] <= ' ') n--;
to[n] = 0;
}


/* Sets score, bar and their like. The epsilon lets a score that is a little
closer to zero than a tenth count as this tenth; it has the score's sign, so that
-6.2 becomes -62. */

static void
set_numbers(spam_reply *reply, double score)
{
int i, bar;

if (score > SPAM_REPLY_SCORE_LIMIT) score = SPAM_REPLY_SCORE_LIMIT;
if (score < -SPAM_REPLY_SCORE_LIMIT) score = -SPAM_REPLY_SCORE_LIMIT;

sprintf(CS reply->score, "%.1f", score);
sprintf(CS reply->score_int, "%d",
  (int)((score + ((score < 0)? -0.001 : 0.001)) * 10));

bar = abs((int)score);
if (bar > SPAM_REPLY_BAR_SIZE - 1) bar = SPAM_REPLY_BAR_SIZE - 1;
for (i = 0; i < bar; i++) reply->bar[i] = (score > 0)? '+' : '-';
if (bar == 0) reply->bar[i++] = '/';
reply->bar[i] = 0;
}



/*************************************************
*               Read a reply                     *
*************************************************/

/* See spam_reply.h. */

const uschar *
spam_reply_read(spam_reply *reply, int dialect, const uschar *data, int size)
{
text from;
double score, threshold;
const uschar *error;

from.p = data;
from.end = data + size;

if (dialect == SPAM_REPLY_RSPAMD)
  error = read_rspamd_head(&from, &score, &threshold, reply->action);
else
  {
  error = read_spamd_head(&from, &score, &threshold);
  if (error == NULL)
    strcpy(CS reply->action, (score >= threshold)? "reject" : "no action");
  }
if (error != NULL) return error;

reply->is_spam = score >= threshold;
set_numbers(reply, score);
copy_report(reply->report, &from);
return NULL;
}

#endif

/* End of spam_reply.c */
