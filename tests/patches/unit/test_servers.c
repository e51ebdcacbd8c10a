/*
 * spam_server: the elements of spamd_address, the choice among servers, and the
 * connection to one of them.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>

#include "exim_stubs.h"
#include "spam_rspamd.h"

#define NOON	(12 * 3600)

static spam_server s;

static BOOL
read_element(const char *element)
{
	memset(&s, 0xa5, sizeof(s));
	return spam_server_read(&s, US element, 120, NOON);
}

static void
invalid_address(const char *element)
{
	stub_reset();
	ck_assert_msg(!read_element(element), "%s", element);
	ck_assert_ptr_nonnull(strstr(stub_log(), "invalid spamd address"));
}

/* An option that is logged, and changes nothing. */
static void
invalid_option(const char *option)
{
	char element[512];

	stub_reset();
	snprintf(element, sizeof(element), "127.0.0.1 783 %s", option);
	ck_assert_msg(read_element(element), "%s", element);
	ck_assert_msg(strstr(stub_log(), "invalid spamd parameter") != NULL,
	    "%s", element);
	ck_assert_int_eq(s.priority, 1);
	ck_assert_int_eq(s.weight, 1);
	ck_assert_int_eq(s.timeout, 120);
	ck_assert_int_eq(s.retry, 0);
	ck_assert(!s.is_off && !s.is_rspamd);
}

START_TEST(host_and_port)
{
	ck_assert(read_element("127.0.0.1 783"));
	ck_assert_str_eq(CCS s.host, "127.0.0.1");
	ck_assert(!s.is_unix && !s.is_rspamd && !s.is_off);
	ck_assert_int_eq(s.port, 783);
	ck_assert_int_eq(s.port_last, 783);
	ck_assert_int_eq(s.priority, 1);
	ck_assert_int_eq(s.weight, 1);
	ck_assert_int_eq(s.timeout, 120);
	ck_assert_int_eq(s.retry, 0);
	ck_assert_str_eq(stub_log(), "");

	ck_assert(read_element(" \t scanner.example.com   783-790\n"));
	ck_assert_str_eq(CCS s.host, "scanner.example.com");
	ck_assert_int_eq(s.port, 783);
	ck_assert_int_eq(s.port_last, 790);
	ck_assert_str_eq(stub_log(), "");
}
END_TEST

START_TEST(unix_socket)
{
	ck_assert(read_element("/run/sock tmo=5s variant=rspamd"));
	ck_assert_str_eq(CCS s.host, "/run/sock");
	ck_assert(s.is_unix && s.is_rspamd);
	ck_assert_int_eq(s.timeout, 5);
	ck_assert_str_eq(stub_log(), "");
}
END_TEST

START_TEST(options_in_any_order)
{
	static const char *const option[] = { "variant=rspamd", "pri=7",
	    "weight=3", "tmo=2m", "retry=9s", "time=8-17.30.15" };
	char element[256] = "h 1";
	size_t i, k;

	for (k = 0; k < COUNT(option); k++) {
		element[3] = '\0';
		for (i = 0; i < COUNT(option); i++) {
			strcat(element, " ");
			strcat(element, option[(i + k) % COUNT(option)]);
		}
		ck_assert(read_element(element));
		ck_assert(s.is_rspamd && !s.is_off);
		ck_assert_int_eq(s.priority, 7);
		ck_assert_int_eq(s.weight, 3);
		ck_assert_int_eq(s.timeout, 120);
		ck_assert_int_eq(s.retry, 9);
		ck_assert_str_eq(stub_log(), "");
	}
}
END_TEST

START_TEST(own_separator)
{
	ck_assert(read_element("<,/a path with spaces, tmo=7s , pri=2"));
	ck_assert_str_eq(CCS s.host, "/a path with spaces");
	ck_assert_int_eq(s.timeout, 7);
	ck_assert_int_eq(s.priority, 2);
	ck_assert_str_eq(stub_log(), "");
}
END_TEST

START_TEST(addresses_that_are_none)
{
	char path[300];

	invalid_address("");
	invalid_address("   ");
	invalid_address("127.0.0.1");
	invalid_address("127.0.0.1 variant=rspamd");
	invalid_address("127.0.0.1 0");
	invalid_address("127.0.0.1 65536");
	invalid_address("127.0.0.1 99999999999999999999");
	invalid_address("127.0.0.1 790-783");
	invalid_address("127.0.0.1 783-");

	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	invalid_address(path);
	path[0] = '/';
	invalid_address(path);
	memcpy(path + sizeof(s.host), " 783", 5);
	path[0] = 'x';
	invalid_address(path);
	memcpy(path + sizeof(s.host) - 1, " 783", 5);
	ck_assert(read_element(path));
	ck_assert_uint_eq(strlen(CCS s.host), sizeof(s.host) - 1);
	path[0] = '/';
	path[sizeof(s.host) - 1] = 'x';
	/* sun_path and its zero */
	path[sizeof(((struct sockaddr_un *)0)->sun_path)] = '\0';
	invalid_address(path);
	path[sizeof(((struct sockaddr_un *)0)->sun_path) - 1] = '\0';
	ck_assert(read_element(path));
}
END_TEST

START_TEST(options_that_are_none)
{
	static const char *const bad[] = { "junk", "variant=spamassassin",
	    "pri=", "pri=x", "pri=-1", "pri=9999999", "pri=1x", "weight=",
	    "weight=-1", "tmo=", "tmo=5", "tmo=0s", "tmo=-5s", "retry=x",
	    "retry=0s", "time=", "time=8", "time=25-26", "time=8.60-9",
	    "time=8.0.60-9", "time=8x9", "time=24.0.1-24.0.2", "time=8-9x", "time=-9" };
	char longest[200], element[256];
	size_t i;

	for (i = 0; i < COUNT(bad); i++)
		invalid_option(bad[i]);
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	invalid_option(longest);

	/* nor is the option before it read again */
	stub_reset();
	snprintf(element, sizeof(element), "h 1 pri=3 %s", longest);
	ck_assert(read_element(element));
	ck_assert_ptr_nonnull(strstr(stub_log(), "invalid spamd parameter"));
}
END_TEST

START_TEST(words_after_the_port)
{
	ck_assert(read_element("127.0.0.1 783, pri=3"));
	ck_assert_int_eq(s.port, 783);
	ck_assert_int_eq(s.priority, 3);
	ck_assert_ptr_nonnull(strstr(stub_log(), "parameter: ','"));
}
END_TEST

START_TEST(times_of_day)
{
	static const struct {
		const char *time;
		int now;
		BOOL off;
	} t[] = {
		{ "8-17", 8 * 3600 - 1, TRUE },
		{ "8-17", 8 * 3600, FALSE },
		{ "8-17", 17 * 3600 - 1, FALSE },
		{ "8-17", 17 * 3600, TRUE },
		{ "8.30-8.30.10", 8 * 3600 + 1800, FALSE },
		{ "8.30-8.30.10", 8 * 3600 + 1810, TRUE },
		{ "0-24", 0, FALSE },
		{ "0-24", 86399, FALSE },
		{ "22-6", 22 * 3600 - 1, TRUE },
		{ "22-6", 22 * 3600, FALSE },
		{ "22-6", 0, FALSE },
		{ "22-6", 6 * 3600, TRUE },
		{ "9-9", 9 * 3600, TRUE },
	};
	char element[64];
	size_t i;

	for (i = 0; i < COUNT(t); i++) {
		snprintf(element, sizeof(element), "h 1 time=%s", t[i].time);
		ck_assert(spam_server_read(&s, US element, 120, t[i].now));
		ck_assert_msg(s.is_off == t[i].off, "%s at %d", t[i].time,
		    t[i].now);
	}
	ck_assert_str_eq(stub_log(), "");
}
END_TEST

START_TEST(time_of_day_now)
{
	int now = spam_server_time_of_day();

	ck_assert_int_ge(now, 0);
	ck_assert_int_lt(now, 86401);
}
END_TEST

START_TEST(choose_nobody)
{
	spam_server v[2] = { { .port = 0 } };

	ck_assert_int_eq(spam_server_choose(v, 0), -1);
	ck_assert(spam_server_read(v, US "h 1 weight=0", 120, NOON));
	ck_assert(spam_server_read(v + 1, US "h 1 time=1-2", 120, NOON));
	ck_assert_int_eq(spam_server_choose(v, 2), -1);
}
END_TEST

START_TEST(choose_by_priority)
{
	spam_server v[4];

	ck_assert(spam_server_read(v, US "h 1 pri=0", 120, NOON));
	ck_assert(spam_server_read(v + 1, US "h 1 pri=2 weight=0", 120, NOON));
	ck_assert(spam_server_read(v + 2, US "h 1", 120, NOON));
	ck_assert(spam_server_read(v + 3, US "h 1 pri=9 time=1-2", 120, NOON));
	ck_assert_int_eq(spam_server_choose(v, 4), 2);
	v[2].is_off = TRUE;
	ck_assert_int_eq(spam_server_choose(v, 4), 0);
	v[0].is_off = TRUE;
	ck_assert_int_eq(spam_server_choose(v, 4), -1);
}
END_TEST

/* Every number that chance can bring: each server as often as it weighs. */
START_TEST(choose_by_weight)
{
	static const int weight[] = { 1, 5, 0, 2 };
	int count[4] = { 0, 0, 0, 0 };
	spam_server v[4];
	char element[64];
	int numbers[2];
	int i, r;

	for (i = 0; i < 4; i++) {
		snprintf(element, sizeof(element), "h 1 weight=%d", weight[i]);
		ck_assert(spam_server_read(v + i, US element, 120, NOON));
	}
	numbers[0] = 0;
	for (r = 0; r < 8; r++) {
		numbers[1] = r;
		stub_random(numbers, 2);
		i = spam_server_choose(v, 4);
		ck_assert(i >= 0 && i < 4);
		count[i]++;
	}
	ck_assert_mem_eq(count, weight, sizeof(count));

	/* one that is off does not count, whatever it weighs */
	v[0].is_off = v[1].is_off = TRUE;
	stub_reset();
	ck_assert_int_eq(spam_server_choose(v, 4), 3);
	ck_assert(stub_random_limits_ok());
}
END_TEST

START_TEST(choose_by_great_weights)
{
	static const int first[] = { 0, 0 }, last[] = { 30517, 18943 };
	spam_server v[SPAM_SERVERS_MAX];
	int i;

	for (i = 0; i < SPAM_SERVERS_MAX; i++)
		ck_assert(spam_server_read(v + i, US "h 1 weight=1000000", 120,
		    NOON));
	stub_random(first, 2);
	ck_assert_int_eq(spam_server_choose(v, SPAM_SERVERS_MAX), 0);
	/* 30517 * 32768 + 18943 = 31 * 32000000 + 7999999 + ... */
	stub_random(last, 2);
	i = spam_server_choose(v, SPAM_SERVERS_MAX);
	ck_assert(i > 0 && i < SPAM_SERVERS_MAX);
	ck_assert(stub_random_limits_ok());
}
END_TEST

/* A listening socket on loopback; its port, if there is one. */
static int
listen_tcp(int family, int *port)
{
	struct sockaddr_in in4 = { .sin_family = AF_INET };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	struct sockaddr *a = family == AF_INET ? (struct sockaddr *)&in4 :
	    (struct sockaddr *)&in6;
	socklen_t len = family == AF_INET ? sizeof(in4) : sizeof(in6);
	int fd = socket(family, SOCK_STREAM, 0);

	in4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	in4.sin_port = in6.sin6_port = htons((uint16_t)*port);
	in6.sin6_addr = in6addr_loopback;
	if (fd < 0 || bind(fd, a, len) != 0 || listen(fd, 5) != 0)
		return -1;
	ck_assert_int_eq(getsockname(fd, a, &len), 0);
	*port = ntohs(family == AF_INET ? in4.sin_port : in6.sin6_port);
	return fd;
}

/* A port on which nobody listens (held by a bound socket, until the end). */
static int
dead_port(void)
{
	struct sockaddr_in in4 = { .sin_family = AF_INET };
	socklen_t len = sizeof(in4);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	in4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&in4, len), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&in4, &len), 0);
	return ntohs(in4.sin_port);
}

/* Connects to the server of an element; a socket, or -1. */
static int
connect_element(const char *element)
{
	int sock = -1;

	ck_assert(read_element(element));
	return spam_server_connect(&s, 1, &sock) < 0 ? -1 : sock;
}

/* The same, where the port is known only now. */
static int
connect_to(const char *host, int port, const char *rest)
{
	char element[256];

	snprintf(element, sizeof(element), "%s %d%s", host, port, rest);
	return connect_element(element);
}

START_TEST(connect_by_address)
{
	int port = 0;

	ck_assert_int_ge(listen_tcp(AF_INET, &port), 0);
	ck_assert_int_ge(connect_to("127.0.0.1", port, ""), 0);
	ck_assert_int_ge(connect_to("[127.0.0.1]", port, ""), 0);
	ck_assert_str_eq(stub_log(), "");
}
END_TEST

START_TEST(connect_by_name)
{
	int port = 0;

	ck_assert_int_ge(listen_tcp(AF_INET, &port), 0);
	/* the first of its addresses refuses */
	ck_assert_int_ge(connect_to("two.example", port, ""), 0);
	ck_assert_int_lt(connect_to("none.example", port, ""), 0);
	ck_assert_ptr_nonnull(strstr(stub_log(), "no IP address found"));
}
END_TEST

START_TEST(connect_by_ipv6)
{
	int port = 0;

	if (listen_tcp(AF_INET6, &port) < 0) {
		printf("skipped: connect_by_ipv6: no ::1 on this machine\n");
		return;
	}
	ck_assert_int_ge(connect_to("::1", port, ""), 0);
	ck_assert_int_ge(connect_to("[::1]", port, ""), 0);
}
END_TEST

START_TEST(connect_to_a_range)
{
	int dead = dead_port(), port = dead + 1;

	if (dead > 65534 || listen_tcp(AF_INET, &port) < 0) {
		printf("skipped: connect_to_a_range: no two free ports\n");
		return;
	}
	ck_assert_int_ge(connect_to("127.0.0.1", dead, "-65535"), 0);
}
END_TEST

START_TEST(connect_to_a_path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	char dir[] = "/tmp/patches-unit-XXXXXX";
	char element[256];
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), sock;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(a.sun_path, sizeof(a.sun_path), "%s/s", dir);
	snprintf(element, sizeof(element), "%s tmo=5s", a.sun_path);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);

	ck_assert_int_lt(connect_element(element), 0);	/* nobody listens */
	ck_assert_ptr_nonnull(strstr(stub_log(), a.sun_path));
	ck_assert_int_eq(listen(fd, 1), 0);
	ck_assert_int_ge(sock = connect_element(element), 0);

	unlink(a.sun_path);
	rmdir(dir);
}
END_TEST

START_TEST(connect_to_the_next)
{
	spam_server v[3];
	char element[64];
	int port = 0, sock;

	ck_assert_int_ge(listen_tcp(AF_INET, &port), 0);
	snprintf(element, sizeof(element), "127.0.0.1 %d pri=2", dead_port());
	ck_assert(spam_server_read(v, US element, 120, NOON));
	ck_assert(spam_server_read(v + 1, US "/nonexistent pri=3", 120, NOON));
	snprintf(element, sizeof(element), "127.0.0.1 %d", port);
	ck_assert(spam_server_read(v + 2, US element, 120, NOON));

	ck_assert_int_eq(spam_server_connect(v, 3, &sock), 2);
	ck_assert_int_ge(sock, 0);
	ck_assert(v[0].is_off && v[1].is_off && !v[2].is_off);
	ck_assert_ptr_null(strstr(stub_log(), "all spamd servers failed"));

	v[2].is_off = TRUE;
	ck_assert_int_eq(spam_server_connect(v, 3, &sock), -1);
	ck_assert_ptr_nonnull(strstr(stub_log(), "all spamd servers failed"));
}
END_TEST

static int late_port, slept;

static unsigned int
start_late(unsigned int seconds)
{
	slept++;
	/* as if a signal had come after one of the seconds */
	if (seconds > 1)
		return 1;
	ck_assert_int_ge(listen_tcp(AF_INET, &late_port), 0);
	return 0;
}

static unsigned int
count_sleep(unsigned int seconds)
{
	(void)seconds;
	slept++;
	return 0;
}

START_TEST(retry)
{
	int fd;

	/* a free port; nothing else in this process takes it meanwhile */
	late_port = 0;
	fd = listen_tcp(AF_INET, &late_port);
	ck_assert_int_ge(fd, 0);
	close(fd);

	stub_sleep(count_sleep);
	ck_assert_int_lt(connect_to("127.0.0.1", late_port, ""), 0);
	ck_assert_int_eq(slept, 0);
	ck_assert_int_lt(connect_to("127.0.0.1", late_port, " retry=7s"), 0);
	ck_assert_int_eq(slept, 1);

	slept = 0;
	stub_sleep(start_late);
	ck_assert_int_ge(connect_to("127.0.0.1", late_port, " retry=7s"), 0);
	ck_assert_int_eq(slept, 2);
}
END_TEST

Suite *
servers_suite(void)
{
	Suite *suite = suite_create("spam_server");
	TCase *tc = patches_case(suite, "read");

	tcase_add_test(tc, host_and_port);
	tcase_add_test(tc, unix_socket);
	tcase_add_test(tc, options_in_any_order);
	tcase_add_test(tc, own_separator);
	tcase_add_test(tc, addresses_that_are_none);
	tcase_add_test(tc, options_that_are_none);
	tcase_add_test(tc, words_after_the_port);
	tcase_add_test(tc, times_of_day);
	tcase_add_test(tc, time_of_day_now);

	tc = patches_case(suite, "choose");
	tcase_add_test(tc, choose_nobody);
	tcase_add_test(tc, choose_by_priority);
	tcase_add_test(tc, choose_by_weight);
	tcase_add_test(tc, choose_by_great_weights);

	tc = patches_case(suite, "connect");
	tcase_add_test(tc, connect_by_address);
	tcase_add_test(tc, connect_by_name);
	tcase_add_test(tc, connect_by_ipv6);
	tcase_add_test(tc, connect_to_a_range);
	tcase_add_test(tc, connect_to_a_path);
	tcase_add_test(tc, connect_to_the_next);
	tcase_add_test(tc, retry);
	return suite;
}
