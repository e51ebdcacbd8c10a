/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bench-handover: what it costs to give a message to a rspamd of the same host.
 *
 *	bench-handover [-c CONNECTIONS] [-m MIB] [-p MICROSECONDS] [-r ROUNDS]
 *	    [-s KIB,...] [-w WAY,...] [-x]
 *
 * Clients send messages over TCP to a hop, which gives each to a receiver in
 * one way after the other: it passes every piece on, or reads the whole message
 * and writes it, or reads it into a file in memory and sends only its name, in
 * the headers Shm or File.  A message has a connection of its own on both sides.
 * The receiver compares every byte of it with what is due, once, and the client
 * the reply with its own number: any difference ends the program with exit code
 * 1.  With -x the receiver copies what it is handed before it looks at it, as
 * rspamd does from 4.1.5 on; else it maps it, as older ones do.
 *
 * Each of ROUNDS measures all ways in turn, with MIB of messages for each.  The
 * table shows the CPU (user and system) of the hop, and of hop and receiver, for
 * each message, and the time from connect() to the reply, as medians over the
 * rounds, and their ratios to the first WAY, which are taken within a round.
 * With -p a client waits that long after every 64 KiB, as if its network were
 * slow, and the time counts from its last bytes on.
 *
 * One process for the hop, one for each client and for each connection of the
 * receiver; all of them are children that end with the measurement.
 */
#include "config.h"

#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX	64
#define SIZES_MAX	8
#define ROUNDS_MAX	99
#define SIZE_MAX_KIB	(64 * 1024)
#define MESSAGES_MIN	64		/* of a measurement */
#define MESSAGES_MAX	20000
#define HEAD_MAX	512
#define PIECE_MAX	262144		/* of one read */
#define PACED		65536		/* of one write of a client, with -p */
#define PAUSE_MAX	1000000		/* microseconds */
#define PATIENCE	120		/* seconds that a measurement may take */

/* Where the hop reads a message to. */
enum into {
	INTO_NOTHING,		/* a buffer of the process: nothing is kept */
	INTO_POOL,		/* memory that was used before */
	INTO_FRESH,		/* memory that the kernel gives and takes back */
	INTO_MAP,		/* a new file in memory, mapped */
	INTO_MAP_POPULATE,	/* and all its pages asked for at once */
	INTO_MAP_KEPT,		/* a file in memory that was used before */
	INTO_WRITE,		/* a new file, by way of a buffer, not mapped */
	INTO_SPLICE		/* a new file, by way of a pipe */
};

/* How the receiver gets it. */
enum give { GIVE_PIECES, GIVE_WHOLE, GIVE_SHM, GIVE_FILE, GIVE_MEMFD };

struct way {
	const char	*name;
	enum into	 into;
	enum give	 give;
	bool		 local;		/* the receiver's unix socket, not TCP */
};

static const struct way ways[] = {
	{ "store",		INTO_POOL,	GIVE_WHOLE,	false },
	{ "store-unix",		INTO_POOL,	GIVE_WHOLE,	true },
	{ "store-fresh",	INTO_FRESH,	GIVE_WHOLE,	false },
	{ "pass",		INTO_POOL,	GIVE_PIECES,	false },
	{ "pass-unix",		INTO_POOL,	GIVE_PIECES,	true },
	{ "relay",		INTO_NOTHING,	GIVE_PIECES,	false },
	{ "relay-unix",		INTO_NOTHING,	GIVE_PIECES,	true },
	{ "shm",		INTO_MAP,	GIVE_SHM,	true },
	{ "shm-populate",	INTO_MAP_POPULATE, GIVE_SHM,	true },
	{ "shm-write",		INTO_WRITE,	GIVE_SHM,	true },
	{ "shm-splice",		INTO_SPLICE,	GIVE_SHM,	true },
	{ "shm-kept",		INTO_MAP_KEPT,	GIVE_SHM,	true },
	{ "file",		INTO_MAP,	GIVE_FILE,	true },
	{ "memfd",		INTO_MAP,	GIVE_MEMFD,	true },
	{ "memfd-write",	INTO_WRITE,	GIVE_MEMFD,	true },
};
#define NWAYS	(sizeof(ways) / sizeof(ways[0]))

/* What one measurement found, for each message. */
struct result {
	double	hop, both, latency;	/* microseconds */
};

/* What all processes of a measurement see; never freed. */
struct board {
	_Atomic uint64_t hop, receiver;		/* nanoseconds of CPU */
	uint64_t	 latency[MESSAGES_MAX];	/* nanoseconds */
};

/* The measurement that runs: set before the processes start, then constant. */
static struct {
	const struct way *way;
	size_t		 size, messages, connections;
	bool		 copies;	/* the receiver: -x */
	size_t		 pause;		/* the clients, in microseconds: -p */
	int		 clients, tcp, local;	/* listening sockets */
	struct sockaddr_in hop, receiver;
	struct sockaddr_un receiver_local;
	socklen_t	 nlocal;	/* length of the latter */
	char		*message;	/* the SIZE bytes that are due, and more */
} run;
static struct board *board;

/* Of this process: what it had used at its start, and where it counts. */
static uint64_t cpu_before;
static _Atomic uint64_t *cpu_account;

static uint64_t
nanoseconds(clockid_t clock)
{
	struct timespec ts;

	(void)clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* The end of a hop or a receiver. */
static void
on_sigterm(int sig)
{
	(void)sig;
	atomic_fetch_add(cpu_account,
	    nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - cpu_before);
	_exit(0);
}

/* From here on this process's CPU counts for ACCOUNT. */
static void
begin_account(_Atomic uint64_t *account)
{
	struct sigaction sa = { .sa_handler = on_sigterm };
	sigset_t term;

	cpu_account = account;
	if (sigaction(SIGTERM, &sa, NULL) == -1)
		err(EX_OSERR, "sigaction");
	(void)sigemptyset(&term);
	(void)sigaddset(&term, SIGTERM);
	cpu_before = nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
	(void)sigprocmask(SIG_UNBLOCK, &term, NULL);
}

/* N bytes of memory, with their pages; never freed. */
static char *
memory(size_t n)
{
	char *p = mmap(NULL, n, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (p == MAP_FAILED)
		err(EX_OSERR, "mmap");
	return p;
}

static void
send_whole(int fd, const char *p, size_t n)
{
	ssize_t sent;

	for (; n > 0; p += sent, n -= (size_t)sent)
		if ((sent = send(fd, p, n, MSG_NOSIGNAL)) == -1)
			err(EX_IOERR, "send");
}

/* The name of a connection's file in memory, as Shm names it. */
static void
segment_name(char *name, size_t room, size_t slot, pid_t hop)
{
	(void)snprintf(name, room, "/bench-handover.%ld.%zu", (long)hop, slot);
}

/* --- the receiver ------------------------------------------------------- */

/* Is P the message that is due?  Its number goes to NUMBER. */
static bool
is_due(const char *p, size_t n, char *number)
{
	memcpy(number, p, 8);
	number[8] = '\0';
	return n == run.size && memcmp(p + 8, run.message + 8, n - 8) == 0;
}

/* Looks at the message in FD, by way of BUFFER with -x. */
static bool
is_due_in(int fd, size_t n, char *buffer, char *number)
{
	struct stat st;
	bool right;
	char *p;

	if (fd == -1 || fstat(fd, &st) == -1 || (size_t)st.st_size < n)
		err(EX_IOERR, "what was handed over");
	if (run.copies) {
		if (pread(fd, buffer, n, 0) != (ssize_t)n)
			err(EX_IOERR, "pread");
		return is_due(buffer, n, number);
	}
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		err(EX_OSERR, "mmap");
	right = is_due(p, n, number);
	(void)munmap(p, (size_t)st.st_size);
	return right;
}

/* Receives one request from FD and answers it. */
static void
receive(int fd, char *buffer)
{
	size_t got = 0, head = 0, length = 0;
	char name[128], number[16] = "", reply[64];
	bool shm = false, named = false, right;
	ssize_t n;
	char *end;
	int file;

	while (head == 0 || got < head + (named ? 0 : length)) {
		n = recv(fd, buffer + got, HEAD_MAX + run.size - got, 0);
		if (n <= 0)
			err(EX_IOERR, "the request is not whole");
		got += (size_t)n;
		end = memmem(buffer, got, "\r\n\r\n", 4);
		if (head != 0 || end == NULL)
			continue;
		*end = '\0';
		head = (size_t)(end - buffer) + 4;
		shm = sscanf(buffer, "GET / HTTP/1.1\r\nShm: %127s\r\n"
		    "Shm-Length: %zu", name, &length) == 2;
		named = shm || sscanf(buffer, "GET / HTTP/1.1\r\nFile: %127s"
		    "\r\nShm-Length: %zu", name, &length) == 2;
		if (!named && sscanf(buffer, "POST / HTTP/1.1\r\n"
		    "Content-Length: %zu", &length) != 1)
			errx(EX_PROTOCOL, "what a head");
	}
	if (named) {
		file = shm ? shm_open(name, O_RDONLY, 0) :
		    open(name, O_RDONLY | O_CLOEXEC);
		right = is_due_in(file, length, buffer, number);
		(void)close(file);
	} else
		right = is_due(buffer + head, got - head, number);
	n = snprintf(reply, sizeof(reply), "HTTP/1.1 200 OK\r\n\r\n%s %s\r\n",
	    right ? "right" : "wrong", number);
	send_whole(fd, reply, (size_t)n);
	(void)close(fd);
}

/* A process of the receiver: one connection after the other. */
static _Noreturn void
receiver(void)
{
	char *buffer = memory(HEAD_MAX + run.size);
	int fd;

	begin_account(&board->receiver);
	for (;;) {
		fd = accept(run.way->local ? run.local : run.tcp, NULL, NULL);
		if (fd == -1)
			err(EX_OSERR, "accept");
		receive(fd, buffer);
	}
}

/* --- the hop ------------------------------------------------------------ */

struct link;

/* One side of a link, for epoll. */
struct end {
	struct link	*link;
	int		 fd;		/* -1: none */
	uint32_t	 events;
};

/* A client and its way to the receiver; its memory is used again. */
struct link {
	size_t		 slot;
	struct end	 client, backend;
	size_t		 size, got, sent;	/* of the message */
	char		 head[HEAD_MAX];	/* for the receiver */
	size_t		 nhead, head_sent;
	char		*pool;		/* INTO_POOL, INTO_NOTHING: kept */
	char		*at;		/* where the message is, or NULL */
	int		 file;		/* it is in there, or -1 */
	int		 pipe[2];	/* INTO_SPLICE: kept */
	char		 name[64];	/* of the file */
};

static struct {
	int		 epoll;
	struct link	*links;
	char		*piece;		/* PIECE_MAX bytes */
} hop;

static void
watch(struct end *e, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = e };

	if (e->events == events)
		return;
	e->events = events;
	if (epoll_ctl(hop.epoll, EPOLL_CTL_MOD, e->fd, &ev) == -1)
		err(EX_OSERR, "epoll_ctl");
}

static void
begin_watch(struct end *e, int fd, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = e };

	e->fd = fd;
	e->events = events;
	if (epoll_ctl(hop.epoll, EPOLL_CTL_ADD, fd, &ev) == -1)
		err(EX_OSERR, "epoll_ctl");
}

/* A new file in memory for L's message. */
static void
create_file(struct link *l)
{
	if (run.way->give == GIVE_MEMFD) {
		l->file = memfd_create("message",
		    MFD_CLOEXEC | MFD_ALLOW_SEALING);
		(void)snprintf(l->name, sizeof(l->name), "/proc/%ld/fd/%d",
		    (long)getpid(), l->file);
	} else {
		segment_name(l->name, sizeof(l->name), l->slot, getpid());
		l->file = shm_open(l->name, O_RDWR | O_CREAT | O_EXCL, 0600);
	}
	if (l->file == -1 || ftruncate(l->file, (off_t)l->size) == -1)
		err(EX_OSERR, "a file in memory");
}

static char *
map_file(const struct link *l, int flags)
{
	char *p = mmap(NULL, l->size, PROT_READ | PROT_WRITE,
	    MAP_SHARED | flags, l->file, 0);

	if (p == MAP_FAILED)
		err(EX_OSERR, "mmap");
	return p;
}

/* L's message is about to come. */
static void
open_store(struct link *l)
{
	switch (run.way->into) {
	case INTO_NOTHING:
	case INTO_MAP_KEPT:
		break;
	case INTO_POOL:
		l->at = l->pool;
		break;
	case INTO_FRESH:
		l->at = mmap(NULL, l->size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (l->at == MAP_FAILED)
			err(EX_OSERR, "mmap");
		break;
	case INTO_MAP:
	case INTO_MAP_POPULATE:
		create_file(l);
		l->at = map_file(l, run.way->into == INTO_MAP ? 0 :
		    MAP_POPULATE);
		break;
	case INTO_WRITE:
	case INTO_SPLICE:
		create_file(l);
	}
}

/* The message is whole: nobody changes it any more. */
static void
seal_store(struct link *l)
{
	if (run.way->into == INTO_MAP || run.way->into == INTO_MAP_POPULATE) {
		(void)munmap(l->at, l->size);
		l->at = NULL;
	}
	if (run.way->give == GIVE_MEMFD && fcntl(l->file, F_ADD_SEALS,
	    F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == -1)
		err(EX_OSERR, "F_ADD_SEALS");
}

/* The receiver has answered. */
static void
close_store(struct link *l)
{
	if (run.way->into == INTO_FRESH)
		(void)munmap(l->at, l->size);
	if (run.way->into == INTO_MAP_KEPT)
		return;
	if (l->file != -1) {
		(void)close(l->file);
		if (run.way->give != GIVE_MEMFD)
			(void)shm_unlink(l->name);
	}
	l->file = -1;
	l->at = NULL;
}

/* The N bytes at P came behind the client's head. */
static void
store_first(struct link *l, const char *p, size_t n)
{
	if (run.way->into == INTO_NOTHING)
		memcpy(l->pool, p, n);
	else if (l->at != NULL)
		memcpy(l->at, p, n);
	else if (pwrite(l->file, p, n, 0) != (ssize_t)n)
		err(EX_IOERR, "pwrite");
	l->got = n;
}

/* Moves what a client sent through a pipe; -1 where nothing came. */
static ssize_t
splice_more(struct link *l, size_t most)
{
	ssize_t n = splice(l->client.fd, NULL, l->pipe[1], NULL, most,
	    SPLICE_F_MOVE | SPLICE_F_NONBLOCK), moved;
	off_t at = (off_t)l->got;
	size_t left;

	for (left = n > 0 ? (size_t)n : 0; left > 0; left -= (size_t)moved) {
		moved = splice(l->pipe[0], NULL, l->file, &at, left,
		    SPLICE_F_MOVE);
		if (moved <= 0)
			err(EX_IOERR, "splice");
	}
	return n;
}

/* Reads more of the message.  Returns how much, 0 where nothing came. */
static size_t
store_more(struct link *l)
{
	size_t most = l->size - l->got;
	char *to = l->at != NULL ? l->at + l->got : hop.piece;
	ssize_t n;

	if (most > PIECE_MAX)
		most = PIECE_MAX;
	if (run.way->into == INTO_SPLICE)
		n = splice_more(l, most);
	else
		n = recv(l->client.fd, to, most, 0);
	if (n == -1 && errno == EAGAIN)
		return 0;
	if (n <= 0)
		err(EX_IOERR, "a client is gone");
	if (run.way->into == INTO_WRITE &&
	    pwrite(l->file, to, (size_t)n, (off_t)l->got) != n)
		err(EX_IOERR, "pwrite");
	l->got += (size_t)n;
	return (size_t)n;
}

static void
connect_receiver(struct link *l)
{
	const struct sockaddr *sa = run.way->local ?
	    (const struct sockaddr *)&run.receiver_local :
	    (const struct sockaddr *)&run.receiver;
	socklen_t len = run.way->local ? run.nlocal : sizeof(run.receiver);
	int fd = socket(sa->sa_family,
	    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd == -1 || (connect(fd, sa, len) == -1 && errno != EINPROGRESS))
		err(EX_OSERR, "connect to the receiver");
	begin_watch(&l->backend, fd, EPOLLIN);
}

/* What the receiver is told of L's message. */
static void
write_head(struct link *l)
{
	int n;

	if (run.way->give == GIVE_PIECES || run.way->give == GIVE_WHOLE)
		n = snprintf(l->head, sizeof(l->head), "POST / HTTP/1.1\r\n"
		    "Content-Length: %zu\r\n\r\n", l->size);
	else
		n = snprintf(l->head, sizeof(l->head), "GET / HTTP/1.1\r\n"
		    "%s: %s%s\r\nShm-Length: %zu\r\n\r\n",
		    run.way->give == GIVE_SHM ? "Shm" : "File",
		    run.way->give == GIVE_FILE ? "/dev/shm" : "",
		    l->name, l->size);
	l->nhead = (size_t)n;
	l->head_sent = 0;
}

/* How many of N bytes the receiver takes now. */
static size_t
give(const struct link *l, const char *p, size_t n, int flags)
{
	ssize_t sent = send(l->backend.fd, p, n, MSG_NOSIGNAL | flags);

	if (sent == -1 && errno != EAGAIN && errno != ENOTCONN)
		err(EX_IOERR, "send to the receiver");
	return sent == -1 ? 0 : (size_t)sent;
}

/* Sends the head and as much of the message as is here. */
static void
push(struct link *l)
{
	bool whole = run.way->give <= GIVE_WHOLE;

	if (l->head_sent < l->nhead)
		l->head_sent += give(l, l->head + l->head_sent,
		    l->nhead - l->head_sent, whole ? MSG_MORE : 0);
	if (whole && l->head_sent == l->nhead && l->sent < l->got)
		l->sent += give(l, l->at + l->sent, l->got - l->sent, 0);
	watch(&l->backend, l->head_sent < l->nhead ||
	    (whole && l->sent < l->got) ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

/*
 * INTO_NOTHING: passes on what stands at P, N bytes; what does not go is kept in
 * the link, and no more is read meanwhile.
 */
static void
push_piece(struct link *l, const char *p, size_t n)
{
	size_t sent = 0;

	if (l->head_sent < l->nhead)
		l->head_sent += give(l, l->head + l->head_sent,
		    l->nhead - l->head_sent, MSG_MORE);
	if (l->head_sent == l->nhead)
		sent = give(l, p, n, 0);
	l->sent += sent;
	if (sent < n && p != l->pool + sent)
		memmove(l->pool, p + sent, n - sent);
	watch(&l->backend, sent < n ? EPOLLIN | EPOLLOUT : EPOLLIN);
	watch(&l->client, sent < n || l->got == l->size ? 0 : EPOLLIN);
}

/* All of the message has been read. */
static void
on_whole(struct link *l)
{
	watch(&l->client, 0);
	seal_store(l);
	if (run.way->give == GIVE_PIECES)
		return;
	write_head(l);
	connect_receiver(l);
	push(l);
}

/* The client's first bytes: "LENGTH\r\n\r\n", and some of the message. */
static void
read_head(struct link *l)
{
	char first[4096];
	ssize_t n = recv(l->client.fd, first, sizeof(first) - 1, 0);
	char *end;

	if (n == -1 && errno == EAGAIN)
		return;
	first[n > 0 ? n : 0] = '\0';
	if ((end = strstr(first, "\r\n\r\n")) == NULL ||
	    (l->size = strtoul(first, NULL, 10)) != run.size)
		errx(EX_PROTOCOL, "what a client");
	open_store(l);
	store_first(l, end + 4, (size_t)(n - (end + 4 - first)));
	if (run.way->give != GIVE_PIECES)
		return;
	write_head(l);
	connect_receiver(l);
	if (run.way->into == INTO_NOTHING)
		push_piece(l, l->pool, l->got);
	else
		push(l);
}

static void
on_client(struct link *l)
{
	size_t n;

	if (l->size == 0) {
		read_head(l);
		return;
	}
	if (l->got == l->size || (n = store_more(l)) == 0)
		return;
	if (run.way->into == INTO_NOTHING)
		push_piece(l, hop.piece, n);
	else if (run.way->give == GIVE_PIECES)
		push(l);
	if (l->got == l->size)
		on_whole(l);
}

/* Passes the reply on, and ends L. */
static void
on_reply(struct link *l)
{
	char reply[256];
	ssize_t n = recv(l->backend.fd, reply, sizeof(reply), 0);

	if (n == -1 && errno == EAGAIN)
		return;
	if (n == -1)
		err(EX_IOERR, "the receiver");
	if (n > 0) {
		send_whole(l->client.fd, reply, (size_t)n);
		return;
	}
	(void)close(l->backend.fd);
	close_store(l);
	(void)close(l->client.fd);
	l->backend.fd = l->client.fd = -1;
}

static void
on_backend(struct link *l, uint32_t events)
{
	if ((events & EPOLLOUT) != 0 && run.way->into == INTO_NOTHING)
		push_piece(l, l->pool, l->got - l->sent);
	else if ((events & EPOLLOUT) != 0)
		push(l);
	if ((events & (EPOLLIN | EPOLLHUP)) != 0)
		on_reply(l);
}

static void
on_connection(void)
{
	int fd = accept4(run.clients, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct link *l = hop.links;

	if (fd == -1)
		return;
	while (l->client.fd != -1)
		l++;		/* there are as many as clients */
	l->size = l->got = l->sent = 0;
	begin_watch(&l->client, fd, EPOLLIN);
}

/* What a link keeps from one message to the next. */
static void
prepare_link(struct link *l, size_t slot)
{
	l->slot = slot;
	l->client.link = l->backend.link = l;
	l->client.fd = l->backend.fd = l->file = -1;
	if (run.way->into == INTO_NOTHING)
		l->pool = memory(PIECE_MAX);
	if (run.way->into == INTO_POOL)
		l->pool = memory(run.size);
	if (run.way->into == INTO_SPLICE && (pipe2(l->pipe, O_CLOEXEC) == -1 ||
	    fcntl(l->pipe[1], F_SETPIPE_SZ, 4 * PIECE_MAX) == -1))
		err(EX_OSERR, "pipe");
	if (run.way->into == INTO_MAP_KEPT) {
		l->size = run.size;
		create_file(l);
		l->at = map_file(l, MAP_POPULATE);
	}
}

/* The process of the hop. */
static _Noreturn void
hop_process(void)
{
	struct epoll_event ev = { .events = EPOLLIN }, events[128];
	struct end *e;
	size_t s;
	int n, i;

	hop.links = calloc(run.connections, sizeof(*hop.links));
	hop.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (hop.links == NULL || hop.epoll == -1 ||
	    epoll_ctl(hop.epoll, EPOLL_CTL_ADD, run.clients, &ev) == -1)
		err(EX_OSERR, "epoll");
	hop.piece = memory(PIECE_MAX);
	for (s = 0; s < run.connections; s++)
		prepare_link(&hop.links[s], s);
	begin_account(&board->hop);
	for (;;) {
		n = epoll_wait(hop.epoll, events, 128, -1);
		for (i = 0; i < n; i++) {
			e = events[i].data.ptr;
			if (e == NULL)
				on_connection();
			else if (e->fd != -1 && e == &e->link->client)
				on_client(e->link);
			else if (e->fd != -1)
				on_backend(e->link, events[i].events);
		}
	}
}

/* --- the clients -------------------------------------------------------- */

/* Sends the request, as fast as -p says.  Returns when its end was begun. */
static uint64_t
send_request(int fd, const char *p, size_t n)
{
	struct timespec pause = { .tv_sec = (time_t)(run.pause / 1000000),
	    .tv_nsec = (long)(run.pause % 1000000) * 1000 };
	uint64_t begun;

	for (; run.pause > 0 && n > PACED; p += PACED, n -= PACED) {
		send_whole(fd, p, PACED);
		(void)nanosleep(&pause, NULL);
	}
	begun = nanoseconds(CLOCK_MONOTONIC);
	send_whole(fd, p, n);
	return begun;
}

/* Sends message number I and waits for its reply. */
static void
send_message(size_t i, char *request, size_t n)
{
	char number[24], due[64], reply[64];
	uint64_t begun = nanoseconds(CLOCK_MONOTONIC), end;
	size_t got = 0;
	ssize_t r;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(number, sizeof(number), "%08zu", i);
	memcpy(request + n - run.size, number, 8);
	(void)snprintf(due, sizeof(due), "HTTP/1.1 200 OK\r\n\r\nright %s\r\n",
	    number);
	if (fd == -1 || connect(fd, (const struct sockaddr *)&run.hop,
	    sizeof(run.hop)) == -1)
		err(EX_OSERR, "connect to the hop");
	end = send_request(fd, request, n);
	while ((r = recv(fd, reply + got, sizeof(reply) - 1 - got, 0)) > 0)
		got += (size_t)r;
	reply[got] = '\0';
	if (strcmp(reply, due) != 0)
		errx(1, "message %zu of %zu bytes, %s: wrong reply: %s", i,
		    run.size, run.way->name, reply);
	(void)close(fd);
	board->latency[i] = nanoseconds(CLOCK_MONOTONIC) -
	    (run.pause > 0 ? end : begun);
}

/* Client number C: its share of the messages. */
static _Noreturn void
client(size_t c)
{
	char *request = memory(HEAD_MAX + run.size);
	size_t i, n;

	n = (size_t)snprintf(request, HEAD_MAX, "%zu\r\n\r\n", run.size);
	memcpy(request + n, run.message, run.size);
	for (i = c; i < run.messages; i += run.connections)
		send_message(i, request, n + run.size);
	_exit(0);
}

/* --- measuring ---------------------------------------------------------- */

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double
median(double *values, size_t n)
{
	qsort(values, n, sizeof(*values), by_value);
	return n % 2 == 1 ? values[n / 2] :
	    (values[n / 2 - 1] + values[n / 2]) / 2;
}

/* Starts a process of role R, which is the number of a client, or below 0. */
static pid_t
start(int r)
{
	pid_t pid = fork();

	if (pid == -1)
		err(EX_OSERR, "fork");
	if (pid != 0)
		return pid;
	(void)alarm(PATIENCE);
	if (r == -1)
		hop_process();
	if (r == -2)
		receiver();
	client((size_t)r);
}

/* Waits for PID, after SIG unless it is 0; did it end well? */
static bool
end_process(pid_t pid, int sig)
{
	int status;

	if (sig != 0)
		(void)kill(pid, sig);
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
	    WEXITSTATUS(status) == 0;
}

/* One way once. */
static struct result
measure(void)
{
	static double latency[MESSAGES_MAX];
	pid_t hop_pid, receivers[CONNECTIONS_MAX], clients[CONNECTIONS_MAX];
	char name[64];
	struct result r;
	bool well = true;
	size_t i;

	board->hop = board->receiver = 0;
	hop_pid = start(-1);
	for (i = 0; i < run.connections; i++)
		receivers[i] = start(-2);
	for (i = 0; i < run.connections; i++)
		clients[i] = start((int)i);
	for (i = 0; i < run.connections; i++)
		well &= end_process(clients[i], 0);
	well &= end_process(hop_pid, SIGTERM);
	for (i = 0; i < run.connections; i++) {
		well &= end_process(receivers[i], SIGTERM);
		segment_name(name, sizeof(name), i, hop_pid);
		(void)shm_unlink(name);
	}
	if (!well)
		errx(1, "%s: something went wrong", run.way->name);
	for (i = 0; i < run.messages; i++)
		latency[i] = (double)board->latency[i] / 1e3;
	r.hop = (double)board->hop / 1e3 / (double)run.messages;
	r.both = r.hop + (double)board->receiver / 1e3 / (double)run.messages;
	r.latency = median(latency, run.messages);
	return r;
}

/* The median over N rounds of the value at OFFSET of R, or of its ratio to BASE's. */
static double
middle(const struct result *r, const struct result *base, size_t n,
    size_t offset)
{
	double values[ROUNDS_MAX];
	size_t i;

	for (i = 0; i < n; i++) {
		values[i] = *(const double *)((const char *)&r[i] + offset);
		if (base != NULL)
			values[i] /= *(const double *)((const char *)&base[i] +
			    offset);
	}
	return median(values, n);
}

static void
print_table(const struct way **chosen, size_t nchosen,
    const struct result (*r)[ROUNDS_MAX], size_t rounds)
{
	static const size_t offsets[] = { offsetof(struct result, hop),
	    offsetof(struct result, both), offsetof(struct result, latency) };
	size_t w, k;

	printf("\n%zu KiB, %zu connection%s; ratios to %s\n\n", run.size / 1024,
	    run.connections, run.connections == 1 ? "" : "s", chosen[0]->name);
	printf("| way | hop | ratio | hop and receiver | ratio | latency | ratio |\n"
	    "|---|--:|--:|--:|--:|--:|--:|\n");
	for (w = 0; w < nchosen; w++) {
		printf("| %s |", chosen[w]->name);
		for (k = 0; k < sizeof(offsets) / sizeof(offsets[0]); k++)
			printf(" %.0f µs | %.2f |",
			    middle(r[w], NULL, rounds, offsets[k]),
			    middle(r[w], r[0], rounds, offsets[k]));
		printf("\n");
	}
	(void)fflush(stdout);
}

/* All chosen ways, in turn, with messages of KIB. */
static void
compare(size_t kib, size_t mib, const struct way **chosen, size_t nchosen,
    size_t rounds)
{
	static struct result results[NWAYS][ROUNDS_MAX];
	size_t round, k, w;

	run.size = kib * 1024;
	run.messages = mib * 1024 / kib;
	if (run.messages < MESSAGES_MIN)
		run.messages = MESSAGES_MIN;
	if (run.messages > MESSAGES_MAX)
		run.messages = MESSAGES_MAX;
	for (round = 0; round < rounds; round++)
		for (k = 0; k < nchosen; k++) {
			w = (k + round) % nchosen;
			run.way = chosen[w];
			results[w][round] = measure();
		}
	print_table(chosen, nchosen,
	    (const struct result (*)[ROUNDS_MAX])results, rounds);
}

/*
 * Listens at a free port of 127.0.0.1, or at a free abstract name; SIZE is that
 * of SA, and then of the address.
 */
static int
listen_at(int family, struct sockaddr *sa, socklen_t *size)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = family == AF_INET ? *size : sizeof(sa_family_t);

	sa->sa_family = (sa_family_t)family;
	if (fd == -1 || bind(fd, sa, len) == -1 || listen(fd, 128) == -1 ||
	    getsockname(fd, sa, size) == -1)
		err(EX_OSERR, "listen");
	return fd;
}

static void
prepare(size_t largest)
{
	socklen_t len = sizeof(run.hop);
	size_t i;

	run.hop.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	run.receiver.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	run.nlocal = sizeof(run.receiver_local);
	run.clients = listen_at(AF_INET, (struct sockaddr *)&run.hop, &len);
	run.tcp = listen_at(AF_INET, (struct sockaddr *)&run.receiver, &len);
	run.local = listen_at(AF_UNIX, (struct sockaddr *)&run.receiver_local,
	    &run.nlocal);
	run.message = memory(largest);
	for (i = 0; i < largest; i++)
		run.message[i] = (char)((i * 2654435761u) >> 13);
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (board == MAP_FAILED || fcntl(run.clients, F_SETFL, O_NONBLOCK) == -1)
		err(EX_OSERR, "prepare");
}

static _Noreturn void
usage(void)
{
	size_t i;

	fputs("usage: bench-handover [-c CONNECTIONS] [-m MIB] "
	    "[-p MICROSECONDS]\n    [-r ROUNDS] [-s KIB,...] [-w WAY,...] [-x]\n"
	    "ways:", stderr);
	for (i = 0; i < NWAYS; i++)
		fprintf(stderr, " %s", ways[i].name);
	fputs("\n", stderr);
	exit(EX_USAGE);
}

/* A number from 1 to MOST. */
static size_t
number(const char *s, size_t most)
{
	char *end;
	unsigned long n = strtoul(s, &end, 10);

	if (*s < '0' || *s > '9' || *end != '\0' || n < 1 || n > most)
		usage();
	return n;
}

/* Reads the list S into the ways CHOSEN, of which there are up to NWAYS. */
static size_t
choose(char *s, const struct way **chosen)
{
	size_t n = 0, i;
	char *p;

	for (p = strtok(s, ","); p != NULL; p = strtok(NULL, ",")) {
		for (i = 0; i < NWAYS && strcmp(p, ways[i].name) != 0; i++)
			;
		if (i == NWAYS || n == NWAYS)
			usage();
		chosen[n++] = &ways[i];
	}
	return n;
}

int
main(int argc, char **argv)
{
	const struct way *chosen[NWAYS];
	size_t sizes[SIZES_MAX] = { 64, 256, 1024, 4096 }, nsizes = 4, i;
	size_t nchosen = NWAYS, mib = 64, rounds = 9, largest = 0;
	sigset_t term;
	char *p;
	int c;

	for (i = 0; i < NWAYS; i++)
		chosen[i] = &ways[i];
	run.connections = 1;
	while ((c = getopt(argc, argv, "c:m:p:r:s:w:x")) != -1) {
		if (c == 'c')
			run.connections = number(optarg, CONNECTIONS_MAX);
		else if (c == 'm')
			mib = number(optarg, 65536);
		else if (c == 'p')
			run.pause = number(optarg, PAUSE_MAX);
		else if (c == 'r')
			rounds = number(optarg, ROUNDS_MAX);
		else if (c == 's') {
			nsizes = 0;
			for (p = strtok(optarg, ","); p != NULL &&
			    nsizes < SIZES_MAX; p = strtok(NULL, ","))
				sizes[nsizes++] = number(p, SIZE_MAX_KIB);
		} else if (c == 'w')
			nchosen = choose(optarg, chosen);
		else if (c == 'x')
			run.copies = true;
		else
			usage();
	}
	if (optind != argc || nsizes == 0 || nchosen == 0)
		usage();
	for (i = 0; i < nsizes; i++)
		if (sizes[i] > largest)
			largest = sizes[i];
	/* the children take it up where they can be ended */
	(void)sigemptyset(&term);
	(void)sigaddset(&term, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &term, NULL);
	prepare(largest * 1024);
	for (i = 0; i < nsizes; i++)
		compare(sizes[i], mib, chosen, nchosen, rounds);
	return EX_OK;
}
