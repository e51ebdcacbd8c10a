/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * conf: what the configuration file, the command line and the defaults say,
 * checked; the command line beats the file, the file beats the defaults.
 */
#ifndef CONF_H_
#define CONF_H_

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "access.h"
#include "outcome.h"
#include "rewrite.h"

struct password_guard;
struct ssl_ctx_st;

#define CONF_DEFAULT_LISTEN	"127.0.0.1:783"
#define CONF_DEFAULT_BACKEND	"http://127.0.0.1:11333"

enum conf_envelope {
	CONF_ENVELOPE_EXIM,		/* all of Exim's own lines */
	CONF_ENVELOPE_ADDRESSES,	/* not its Received: */
	CONF_ENVELOPE_NONE
};

/* What SPAMC's User: header is. */
enum conf_user {
	CONF_USER_IGNORE,
	CONF_USER_AUTHENTICATED,	/* the SMTP-authenticated name */
	CONF_USER_DELIVER_TO,		/* the mailbox it is for */
	CONF_USER_SETTINGS_ID		/* which of rspamd's settings apply */
};

/* One address to listen on, and how its clients are treated. */
struct conf_listen {
	char		*address;	/* as written: HOST:PORT, unix:/path */
	mode_t		 mode;		/* of a unix socket */
	char		*owner, *group;	/* of a unix socket; NULL: as started */
	char		**allow_text;	/* the clients let in, as written */
	struct access_net *allow;	/* and as networks */
	size_t		 nallow;
	char		*certificate, *key;	/* TLS; NULL: plain */
	char		*client_ca;	/* TLS: who signs clients'; NULL: none ask */
	struct ssl_ctx_st *tls;		/* made of these */
	bool		 spamc, rspamc;	/* the dialects that are spoken */
	enum conf_envelope envelope;
	enum conf_user	 spamc_user;
	char		*unnamed_user;	/* User: for an authenticated client whose
					   name is not known; NULL: none */
	char		*mta_name;	/* of the mail server; NULL: as Exim says */
	enum rewrite_headers rewrite_headers;	/* PROCESS, HEADERS: what is added */
	bool		 rewrite_report;	/* and X-Spam-Report to spam */
	bool		 tell;		/* may clients train rspamd? */
	struct outcome_policy policy;
};

/* One rspamd. */
struct conf_backend {
	char		*url;		/* as written */
	char		*host;		/* of http and https */
	char		*port;
	char		*path;		/* of a unix socket; else NULL */
	bool		 tls;
	unsigned int	 weight;	/* its share among its equals */
	unsigned int	 priority;	/* asked where no lower one can be */
	size_t		 max_requests;	/* at a time, by a worker; 0: any */
	bool		 keep_alive;	/* connections, if it does too */
	bool		 verify;	/* TLS: the certificate */
	char		*ca_file;	/* TLS: NULL for the system's */
	struct ssl_ctx_st *ctx;		/* TLS: made of these */
	char		*password_file;	/* of a controller; NULL: none */
	char		*password;	/* what it says */
	struct password_guard *guard;	/* of a controller; workers share it */
};

/* Deadlines, in seconds. */
struct conf_timeouts {
	double	idle;		/* for the client's first byte */
	double	client;		/* for the client to deliver its request */
	double	connect;	/* to resolve, connect, and agree on TLS */
	double	send;		/* to send the message to rspamd */
	double	wait;		/* for the first byte of the verdict */
	double	receive;	/* for the rest of it */
	double	reply;		/* for the client to take the reply */
	double	request;	/* for all of it */
	double	stop;		/* for running requests at SIGTERM */
	double	queue;		/* for a rspamd to be up and have room */
	double	worker;		/* for a worker's event loop to come round */
};

struct conf {
	char		*file;		/* NULL: none is read */
	struct conf_listen *listen;
	size_t		 nlisten;
	struct conf_listen *status;	/* where the page is: address and access */
	size_t		 nstatus;
	struct conf_backend *backend;
	size_t		 nbackend;
	struct conf_backend *controller;	/* for learning */
	size_t		 ncontroller;
	int		 fuzzy_flag;		/* 0: no fuzzy storage */
	int		 fuzzy_weight;
	int		 workers;
	uint64_t	 max_connections;	/* in all */
	uint64_t	 max_per_client;	/* connections to a worker; 0: any */
	uint64_t	 max_message_size;	/* bytes */
	uint64_t	 max_memory;	/* bytes of messages, in a worker */
	size_t		 max_queue;		/* messages that wait for a rspamd */
	double		 health_interval;	/* seconds between signs of life */
	unsigned int	 breaker_failures;	/* in a row: then it is down */
	double		 slow_start;		/* seconds, of one that was down */
	double		 task_timeout;	/* rspamd's, in seconds; 0: unknown */
	bool		 shutdown_workaround;
	struct conf_timeouts timeout;
	char		*user, *group;		/* of workers; NULL: as started */
	char		*chroot;		/* of workers; NULL: none */
	bool		 syslog;
	bool		 daemon;
	char		*pid_file;
};

/* What the command line says; strings are not owned.  NULL and 0: nothing. */
struct conf_args {
	const char	 *file;
	const char	**listen;
	size_t		  nlisten;
	const char	**backend;
	size_t		  nbackend;
	const char	**controller;
	size_t		  ncontroller;
	const char	 *password_file;
	const char	 *pid_file;
	bool		  daemon;
};

/*
 * Reads the configuration that ARGS ask for.  Returns it, owned by the
 * caller, or NULL after each fault was told to SAY as one line of text
 * ("FILE:LINE: what is
 * wrong", without these for what the command line says).
 */
struct conf *conf_load(const struct conf_args *args,
	    void (*say)(const char *line));

/* Frees C; NULL is allowed. */
void	conf_free(struct conf *c);

/* Writes C to F as a configuration file that gives C again. */
void	conf_dump(const struct conf *c, FILE *f);

/* Does the string S name a unix socket?  Returns its path, or NULL. */
const char *conf_unix_path(const char *s);

#endif
