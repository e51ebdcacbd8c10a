/*************************************************
*     Exim - an Internet mail transport agent    *
*************************************************/

/* Part of the exim-rspamd patches. License: GPL, version 2 or later. */

/* The servers in spamd_address with their options, and the request to rspamd.
The file is the same in all releases. Include exim.h before it. What it uses of
Exim: log_write(), DEBUG(), store_get(), random_number(), readconf_readtime(),
string_is_ip_address(), host_find_byname(), ip_socket(), ip_connect(),
sigalrm_seen, host_item, recipient_item. */

#ifdef WITH_CONTENT_SCAN

/* At most this many servers are used. */

#define SPAM_SERVERS_MAX 32

/* One server of spamd_address. */

typedef struct spam_server {
  uschar host[256];        /* name, IP address, or path of a unix socket */
  BOOL   is_unix;
  BOOL   is_rspamd;        /* variant=rspamd */
  BOOL   is_off;           /* failed, weight=0, or outside its time= */
  int    port;             /* first port and */
  int    port_last;        /* last one, if there is a range */
  int    priority;         /* pri=, higher ones first, default 1 */
  int    weight;           /* weight=, default 1 */
  int    timeout;          /* tmo=, seconds for all communication */
  int    retry;            /* retry=, seconds before the second connect, or 0 */
} spam_server;

/* Reads one element of spamd_address: "host port [option...]" or
"/path [option...]", separated by white space, or by the character that follows
a leading "<". An option that is not understood is logged and ignored.

Arguments:
  server    where to put it
  element   the text
  timeout   default for tmo=, seconds
  now       time of day for time=, seconds since midnight, local

Returns:    TRUE, or FALSE if there is no address that can be used (logged)
*/

extern BOOL spam_server_read(spam_server *server, const uschar *element,
  int timeout, int now);

/* Returns the local time of day in seconds since midnight. */

extern int spam_server_time_of_day(void);

/* Chooses among the servers that are not off: of those with the highest
priority one at random, by weight.

Returns:    its index, or -1 if there is none left
*/

extern int spam_server_choose(const spam_server *servers, int count);

/* Connects to one server after the other, as spam_server_choose() tells, each
again once if it asks for it; one that fails is logged and switched off.

Arguments:
  servers   the servers
  count     how many
  sock      where to put the socket

Returns:    index of the server, or -1 if none could be had (logged)
*/

extern int spam_server_connect(spam_server *servers, int count, int *sock);

/* What rspamd hears of a message. NULL or empty: not known. */

typedef struct spam_request {
  unsigned long size;               /* of the message that follows, bytes */
  const uschar *queue_id;
  const uschar *sender;             /* empty for bounces */
  const recipient_item *recipients;
  int           recipients_count;
  const uschar *helo;
  const uschar *host_name;
  const uschar *host_address;
  const uschar *user;               /* authenticated as */
} spam_request;

/* Makes the head of a request, in time proportional to its length. Control characters in values become spaces.

Arguments:
  request   what to tell
  size      where to put its length

Returns:    the bytes, zero-terminated, from store_get()
*/

extern uschar *spam_request_head(const spam_request *request, size_t *size);

/* Sends all bytes through a non-blocking socket.

Arguments:
  sock      the socket
  data      the bytes
  size      how many
  deadline  when to give up

Returns:    TRUE, or FALSE with errno set (ETIMEDOUT after the deadline)
*/

extern BOOL spam_send(int sock, const uschar *data, size_t size,
  time_t deadline);

#endif

/* End of spam_rspamd.h */
