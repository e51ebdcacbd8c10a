/*
 * exim.h: stands in for Exim's header where the shared files of the patches
 * are tested without Exim.  It declares what they use of Exim, and nothing
 * more; exim_stubs.c has the functions.
 */
#ifndef EXIM_STUB_H_
#define EXIM_STUB_H_

#include <sys/types.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define WITH_CONTENT_SCAN
#ifndef HAVE_IPV6
#define HAVE_IPV6	1
#endif

typedef unsigned char uschar;
typedef int BOOL;
#define TRUE	1
#define FALSE	0

#define CS	(char *)
#define CCS	(const char *)
#define US	(unsigned char *)

#define Ustrcmp(a, b)		strcmp(CCS (a), CCS (b))
#define Ustrncmp(a, b, n)	strncmp(CCS (a), CCS (b), (n))

#define LOG_MAIN	1
#define LOG_PANIC	2
#define DEBUG(x)	if (0)

#define HOST_FIND_QUALIFY_SINGLE	8
enum { HOST_FIND_FAILED, HOST_FIND_AGAIN, HOST_FOUND, HOST_FOUND_LOCAL };

typedef struct host_item {
	struct host_item *next;
	uschar	*name;
	uschar	*address;
} host_item;

typedef struct recipient_item {
	uschar	*address;
} recipient_item;

extern volatile BOOL sigalrm_seen;

extern void	 debug_printf(const char *, ...)
		    __attribute__((format(printf, 1, 2)));
extern int	 host_find_byname(host_item *, uschar *, int, uschar **, BOOL);
extern int	 ip_connect(int, int, uschar *, int, int);
extern int	 ip_socket(int, int);
extern void	 log_write(unsigned int, int, const char *, ...)
		    __attribute__((format(printf, 3, 4)));
extern int	 random_number(int);
extern int	 readconf_readtime(uschar *, int, BOOL);
extern void	*store_get(size_t);
extern int	 string_is_ip_address(uschar *, int *);

#endif
