/*************************************************
*     Exim - an Internet mail transport agent    *
*************************************************/

/* Part of the exim-rspamd patches. License: GPL, version 2 or later. */

/* The servers in spamd_address with their options, and the request to rspamd.
Called from spam.c. */

#include "exim.h"
#ifdef WITH_CONTENT_SCAN
#include "spam_rspamd.h"

#define SECONDS_PER_DAY 86400

/* Bound of pri= and weight=: all weights together fit in a long. */

#define NUMBER_MAX 1000000

/* Seconds for one connect(). */

#define CONNECT_TIMEOUT 5

static const char *loglabel = "spam acl condition:";



/*************************************************
*         Take an element of spamd_address apart *
*************************************************/

/* Takes the next item of an element.

Arguments:
  from       pointer to the text, moves on
  sep        the separator, or 0 for white space
  item       where to put the item
  size       its size

Returns:     1 if there is one, 0 at the end, -1 if it is too long
*/

static int
next_item(const uschar **from, int sep, uschar *item, int size)
{
const uschar *s = *from;
const uschar *start;
int n;

while (*s != 0 && (isspace(*s) || *s == sep)) s++;
for (start = s; *s != 0; s++)
  if ((sep == 0)? isspace(*s) : *s == sep) break;
*from = s;

n = s - start;
while (n > 0 && isspace(start[n-1])) n--;
if (n == 0) return 0;
if (n >= size) return -1;
memcpy(item, start, n);
item[n] = 0;
return 1;
}


/* Takes a number of decimal digits from 0 to max.

Returns:     FALSE if there is none
*/

static BOOL
take_number(const uschar **from, int max, int *number)
{
char *end;
unsigned long n;

if (!isdigit(**from)) return FALSE;
n = strtoul(CCS *from, &end, 10);
*from = US end;
if (n > (unsigned long)max) return FALSE;
*number = (int)n;
return TRUE;
}


/* Takes a time of day: hours, hours.minutes or hours.minutes.seconds.

Returns:     FALSE if there is none
*/

static BOOL
take_time(const uschar **from, int *seconds)
{
int h;
int m = 0;
int s = 0;

if (!take_number(from, 24, &h)) return FALSE;
if (**from == '.')
  {
  (*from)++;
  if (!take_number(from, 59, &m)) return FALSE;
  if (**from == '.')
    {
    (*from)++;
    if (!take_number(from, 59, &s)) return FALSE;
    }
  }
*seconds = (h * 60 + m) * 60 + s;
return *seconds <= SECONDS_PER_DAY;
}


/* The value of an option that is nothing but a number. */

static BOOL
option_number(const uschar *value, int *number)
{
int n;

if (!take_number(&value, NUMBER_MAX, &n) || *value != 0) return FALSE;
*number = n;
return TRUE;
}


/* The value of an option that is an Exim time interval of a second or more. */

static BOOL
option_interval(uschar *value, int *seconds)
{
int n = readconf_readtime(value, 0, FALSE);

if (n <= 0) return FALSE;
*seconds = n;
return TRUE;
}


/* The value of time=. A start later than the end is a time around midnight. */

static BOOL
option_time(const uschar *value, int now, BOOL *is_off)
{
int start, end;

if (!take_time(&value, &start) || *value++ != '-' ||
    !take_time(&value, &end) || *value != 0)
  return FALSE;

if ((start <= end)? now < start || now >= end : now < start && now >= end)
  *is_off = TRUE;
return TRUE;
}


/* One option.

Returns:     FALSE if there is no such option or its value is wrong
*/

static BOOL
read_option(spam_server *server, uschar *option, int now)
{
if (Ustrncmp(option, "pri=", 4) == 0)
  return option_number(option + 4, &server->priority);

if (Ustrncmp(option, "weight=", 7) == 0)
  {
  if (!option_number(option + 7, &server->weight)) return FALSE;
  if (server->weight == 0) server->is_off = TRUE;
  return TRUE;
  }

if (Ustrncmp(option, "time=", 5) == 0)
  return option_time(option + 5, now, &server->is_off);

if (Ustrncmp(option, "tmo=", 4) == 0)
  return option_interval(option + 4, &server->timeout);

if (Ustrncmp(option, "retry=", 6) == 0)
  return option_interval(option + 6, &server->retry);

if (Ustrcmp(option, "variant=rspamd") != 0) return FALSE;
server->is_rspamd = TRUE;
return TRUE;
}


/* A port, or a range of them. What follows the digits was never an error, and
is none now; it is logged like an option that is not known.

Returns:     FALSE if there is no port
*/

static BOOL
read_port(spam_server *server, const uschar *port)
{
if (!take_number(&port, 65535, &server->port) || server->port == 0)
  return FALSE;
server->port_last = server->port;

if (*port == '-')
  {
  port++;
  if (!take_number(&port, 65535, &server->port_last) ||
      server->port_last < server->port)
    return FALSE;
  }
if (*port != 0)
  log_write(0, LOG_MAIN, "%s warning - invalid spamd parameter: '%s'",
    loglabel, port);
return TRUE;
}


/* The address: a path, or host and port.

Returns:     FALSE if it cannot be used
*/

static BOOL
read_address(spam_server *server, const uschar **element, int sep)
{
struct sockaddr_un address;
uschar port[32];

if (next_item(element, sep, server->host, sizeof(server->host)) != 1)
  return FALSE;
if (server->host[0] == '/')
  {
  server->is_unix = TRUE;
  return strlen(CCS server->host) < sizeof(address.sun_path);
  }
return next_item(element, sep, port, sizeof(port)) == 1 &&
  read_port(server, port);
}


/* See spam_rspamd.h. */

BOOL
spam_server_read(spam_server *server, const uschar *element, int timeout,
  int now)
{
const uschar *s = element;
uschar option[64];
int sep = 0;
int rc;

memset(server, 0, sizeof(*server));
server->priority = 1;
server->weight = 1;
server->timeout = timeout;

while (isspace(*s)) s++;
if (*s == '<' && ispunct(s[1]))
  {
  sep = s[1];
  s += 2;
  }

if (!read_address(server, &s, sep))
  {
  log_write(0, LOG_MAIN, "%s warning - invalid spamd address: '%s'", loglabel,
    element);
  return FALSE;
  }

while ((rc = next_item(&s, sep, option, sizeof(option))) != 0)
  if (rc < 0 || !read_option(server, option, now))
    log_write(0, LOG_MAIN, "%s warning - invalid spamd parameter: '%s'",
      loglabel, (rc < 0)? element : option);
return TRUE;
}


/* See spam_rspamd.h. */

int
spam_server_time_of_day(void)
{
time_t now = time(NULL);
struct tm *tm = localtime(&now);

return (tm->tm_hour * 60 + tm->tm_min) * 60 + tm->tm_sec;
}



/*************************************************
*          Choose a server and connect           *
*************************************************/

/* See spam_rspamd.h. */

int
spam_server_choose(const spam_server *servers, int count)
{
int i;
int priority = -1;
long weights = 0;
long r;

for (i = 0; i < count; i++)
  if (!servers[i].is_off && servers[i].priority > priority)
    priority = servers[i].priority;

for (i = 0; i < count; i++)
  if (!servers[i].is_off && servers[i].priority == priority)
    weights += servers[i].weight;
if (weights <= 0) return -1;

/* random_number() has 16 bits. */

r = ((long)random_number(32768) << 15 | random_number(32768)) % weights;
for (i = 0; i < count; i++)
  if (!servers[i].is_off && servers[i].priority == priority)
    if ((r -= servers[i].weight) < 0) break;
return i;
}


/* Connects to a unix socket.

Returns:     the socket, or -1 with errno set
*/

static int
connect_unix(const spam_server *server, int timeout)
{
struct sockaddr_un address;
int rc, save_errno;
int sock = socket(AF_UNIX, SOCK_STREAM, 0);

if (sock < 0) return -1;

memset(&address, 0, sizeof(address));
address.sun_family = AF_UNIX;
strcpy(address.sun_path, CCS server->host);     /* the length was checked */

/* connect() waits as long as the server's queue is full. */

sigalrm_seen = FALSE;
alarm(timeout);
rc = connect(sock, (struct sockaddr *)&address, sizeof(address));
save_errno = errno;
alarm(0);
if (rc == 0) return sock;

(void)close(sock);
errno = (save_errno == EINTR && sigalrm_seen)? ETIMEDOUT : save_errno;
return -1;
}


/* Connects to one port of one IP address. A socket whose connect() has failed
is not used again: the systems differ in what they allow then.

Returns:     the socket, or -1 with errno set
*/

static int
connect_port(uschar *address, int port, int timeout)
{
int save_errno, sock;
int af = (strchr(CCS address, ':') != NULL)? AF_INET6 : AF_INET;

#if !HAVE_IPV6
if (af == AF_INET6)
  {
  errno = EAFNOSUPPORT;
  return -1;
  }
#endif

if ((sock = ip_socket(SOCK_STREAM, af)) < 0) return -1;
if (ip_connect(sock, af, address, port, timeout) >= 0) return sock;

save_errno = errno;
(void)close(sock);
errno = save_errno;
return -1;
}


/* Finds the addresses of a server's host.

Arguments:
  name       name or address, with or without brackets; is changed
  host       where to put the addresses

Returns:     FALSE if there is none
*/

static BOOL
find_host(uschar *name, host_item *host)
{
size_t n = strlen(CCS name);

memset(host, 0, sizeof(*host));
if (n > 2 && name[0] == '[' && name[n-1] == ']')
  {
  name[n-1] = 0;
  name++;
  }
host->name = name;
if (string_is_ip_address(name, NULL) != 0)
  {
  host->address = name;
  return TRUE;
  }
switch (host_find_byname(host, NULL, HOST_FIND_QUALIFY_SINGLE, NULL, FALSE))
  {
  case HOST_FOUND:
  case HOST_FOUND_LOCAL: return TRUE;
  default:               return FALSE;
  }
}


/* Connects to a server, at the first address and port that can be reached.

Arguments:
  server     the server
  error      where to put what went wrong

Returns:     the socket, or -1
*/

static int
connect_once(const spam_server *server, const uschar **error)
{
int sock = -1;
int port;
int timeout =
  (server->timeout < CONNECT_TIMEOUT)? server->timeout : CONNECT_TIMEOUT;
uschar name[sizeof(server->host)];
host_item host;
host_item *h;

if (server->is_unix)
  sock = connect_unix(server, timeout);
else
  {
  memcpy(name, server->host, sizeof(name));
  if (!find_host(name, &host))
    {
    *error = US"no IP address found";
    return -1;
    }
  for (h = &host; sock < 0 && h != NULL; h = h->next)
    for (port = server->port; sock < 0 && port <= server->port_last; port++)
      sock = connect_port(h->address, port, timeout);
  }

if (sock < 0) *error = US strerror(errno);
return sock;
}


/* See spam_rspamd.h. */

int
spam_server_connect(spam_server *servers, int count, int *sock)
{
int i;
const uschar *error;

while ((i = spam_server_choose(servers, count)) >= 0)
  {
  spam_server *server = servers + i;
  unsigned int left;

  DEBUG(D_acl) debug_printf("trying server %s, port %d\n", server->host,
    server->port);
  if ((*sock = connect_once(server, &error)) >= 0) return i;

  if (server->retry > 0)
    {
    DEBUG(D_acl) debug_printf("%s, again in %ds\n", error, server->retry);
    for (left = server->retry; left > 0; left = sleep(left));
    if ((*sock = connect_once(server, &error)) >= 0) return i;
    }

  if (server->is_unix)
    log_write(0, LOG_MAIN|LOG_PANIC,
      "%s warning - spamd connection to %s failed: %s", loglabel,
      server->host, error);
  else
    log_write(0, LOG_MAIN|LOG_PANIC,
      "%s warning - spamd connection to %s, port %d failed: %s", loglabel,
      server->host, server->port, error);
  server->is_off = TRUE;
  }

log_write(0, LOG_MAIN|LOG_PANIC, "%s all spamd servers failed", loglabel);
return -1;
}



/*************************************************
*             Make the request                   *
*************************************************/

/* Text that grows. Without memory it only counts. */

typedef struct growing {
  uschar *memory;
  size_t size;
} growing;


static void
add(growing *text, const char *s)
{
size_t n = strlen(s);

if (text->memory != NULL) memcpy(text->memory + text->size, s, n);
text->size += n;
}


/* Adds a header line whose value is clean: a control character, which a quoted
local part may hold, would end the line for rspamd. */

static void
add_line(growing *text, const char *name, const uschar *value, const char *end)
{
add(text, name);
for (; *value != 0; value++)
  {
  if (text->memory != NULL)
    text->memory[text->size] = iscntrl(*value)? ' ' : *value;
  text->size++;
  }
add(text, end);
}


static void
add_known(growing *text, const char *name, const uschar *value)
{
if (value != NULL && *value != 0) add_line(text, name, value, "\r\n");
}


static void
add_request(growing *text, const spam_request *request)
{
int i;
char number[32];

add(text, "CHECK RSPAMC/1.3\r\n");
sprintf(number, "%lu", request->size);
add_line(text, "Content-length: ", US number, "\r\n");
add_known(text, "Queue-Id: ", request->queue_id);
add_line(text, "From: <", (request->sender == NULL)? US"" : request->sender,
  ">\r\n");
sprintf(number, "%d", request->recipients_count);
add_line(text, "Recipient-Number: ", US number, "\r\n");
for (i = 0; i < request->recipients_count; i++)
  add_line(text, "Rcpt: <", request->recipients[i].address, ">\r\n");
add_known(text, "Helo: ", request->helo);
add_known(text, "Hostname: ", request->host_name);
add_known(text, "IP: ", request->host_address);
add_known(text, "User: ", request->user);
add(text, "\r\n");
}


/* See spam_rspamd.h. It is made twice: first only to learn its length. */

uschar *
spam_request_head(const spam_request *request, size_t *size)
{
growing text;

text.memory = NULL;
text.size = 0;
add_request(&text, request);

text.memory = store_get(text.size + 1);
text.size = 0;
add_request(&text, request);
text.memory[text.size] = 0;

*size = text.size;
return text.memory;
}



/*************************************************
*                   Send                         *
*************************************************/

/* Waits until the socket takes data, at most a second.

Returns:     as poll() and select() do
*/

static int
wait_writable(int sock)
{
#ifndef NO_POLL_H
struct pollfd p;

p.fd = sock;
p.events = POLLOUT;
return poll(&p, 1, 1000);
#else
struct timeval tv;
fd_set fds;

tv.tv_sec = 1;
tv.tv_usec = 0;
FD_ZERO(&fds);
FD_SET(sock, &fds);
return select(sock + 1, NULL, &fds, NULL, &tv);
#endif
}


/* See spam_rspamd.h. */

BOOL
spam_send(int sock, const uschar *data, size_t size, time_t deadline)
{
while (size > 0)
  {
  int n = 0;
  int rc;

  if (time(NULL) >= deadline)
    {
    errno = ETIMEDOUT;
    return FALSE;
    }

  rc = wait_writable(sock);
  if (rc > 0) n = send(sock, data, size, 0);
  if ((rc < 0 || n < 0) &&
      errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK)
    return FALSE;

  if (n > 0)
    {
    data += n;
    size -= n;
    }
  }
return TRUE;
}

#endif

/* End of spam_rspamd.c */
