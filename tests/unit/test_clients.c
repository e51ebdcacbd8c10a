#include "config.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients.h"
#include "unit.h"

/* The socket address of ADDRESS ("unix" for a unix socket), with PORT. */
static struct sockaddr_storage
at(const char *address, in_port_t port)
{
	struct sockaddr_storage ss;
	struct sockaddr_in *in = (struct sockaddr_in *)&ss;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ss;

	memset(&ss, 0, sizeof(ss));
	if (strcmp(address, "unix") == 0)
		ss.ss_family = AF_UNIX;
	else if (inet_pton(AF_INET, address, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons(port);
	} else {
		ck_assert_int_eq(inet_pton(AF_INET6, address,
		    &in6->sin6_addr), 1);
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(port);
	}
	return ss;
}

static size_t
add(struct clients *c, const char *address, in_port_t port)
{
	struct sockaddr_storage ss = at(address, port);

	return clients_add(c, (struct sockaddr *)&ss);
}

static void
take_away(struct clients *c, const char *address, in_port_t port)
{
	struct sockaddr_storage ss = at(address, port);

	clients_remove(c, (struct sockaddr *)&ss);
}

START_TEST(each_address_by_itself)
{
	struct clients *c = clients_new();

	ck_assert_uint_eq(add(c, "192.0.2.1", 1), 1);
	ck_assert_uint_eq(add(c, "192.0.2.1", 2), 2);
	ck_assert_uint_eq(add(c, "192.0.2.2", 1), 1);
	ck_assert_uint_eq(add(c, "192.0.2.1", 3), 3);
	take_away(c, "192.0.2.1", 2);
	ck_assert_uint_eq(add(c, "192.0.2.1", 4), 3);
	take_away(c, "192.0.2.1", 1);
	take_away(c, "192.0.2.1", 3);
	take_away(c, "192.0.2.1", 4);
	ck_assert_uint_eq(add(c, "192.0.2.1", 1), 1);
	ck_assert_uint_eq(add(c, "192.0.2.2", 2), 2);
	clients_free(c);
	clients_free(NULL);
}
END_TEST

/* Addresses, and whether the second is the same client as the first. */
static const struct {
	const char *one, *other;
	bool same;
} pairs[] = {
	{ "2001:db8:0:1::1", "2001:db8:0:1::1", true },
	{ "2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff", true },
	{ "2001:db8:0:1::1", "2001:db8:0:2::1", false },
	{ "2001:db8:0:1::1", "2001:db9:0:1::1", false },
	{ "::1", "::1", true },
	{ "::1", "2001:db8::1", false },
	{ "::1", "127.0.0.1", false },
	{ "0.0.0.0", "0.0.0.1", false },
	{ "255.255.255.255", "255.255.255.254", false },
	/* an IPv4 client of a socket that serves both, as Linux names it */
	{ "::ffff:192.0.2.1", "::ffff:192.0.2.1", true },
	{ "::ffff:192.0.2.1", "::ffff:192.0.2.2", false },
	{ "::ffff:192.0.2.1", "192.0.2.1", true },
	{ "::ffff:192.0.2.1", "::1", false },
	/* NAT64: the network is the same, the clients are not known apart */
	{ "64:ff9b::192.0.2.1", "64:ff9b::192.0.2.2", true },
};

START_TEST(who_is_the_same_client)
{
	struct clients *c = clients_new();

	ck_assert_uint_eq(add(c, pairs[_i].one, 1), 1);
	ck_assert_uint_eq(add(c, pairs[_i].other, 2),
	    pairs[_i].same ? 2 : 1);
	take_away(c, pairs[_i].other, 2);
	ck_assert_uint_eq(add(c, pairs[_i].one, 3), 2);
	clients_free(c);
}
END_TEST

START_TEST(unix_sockets_are_not_counted)
{
	struct clients *c = clients_new();

	ck_assert_uint_eq(add(c, "unix", 0), 0);
	ck_assert_uint_eq(add(c, "unix", 0), 0);
	clients_free(c);
}
END_TEST

/* More of them than there are buckets, in and out in different orders. */
START_TEST(a_great_many)
{
	struct clients *c = clients_new();
	char address[32];
	unsigned int i, round;

	for (round = 1; round <= 2; round++)
		for (i = 0; i < 20000; i++) {
			(void)snprintf(address, sizeof(address), "10.%u.%u.%u",
			    i & 3, i >> 8 & 255, i & 255);
			ck_assert_uint_eq(add(c, address, 1), round);
		}
	for (i = 20000; i-- > 0;) {
		(void)snprintf(address, sizeof(address), "10.%u.%u.%u", i & 3,
		    i >> 8 & 255, i & 255);
		take_away(c, address, 1);
		ck_assert_uint_eq(add(c, address, 1), 2);
		take_away(c, address, 1);
		take_away(c, address, 1);
		ck_assert_uint_eq(add(c, address, 1), 1);
	}
	clients_free(c);
}
END_TEST

static const struct {
	const char *address;
	socklen_t len;
	const char *name;
} names[] = {
	{ "192.0.2.1", sizeof(struct sockaddr_in), "192.0.2.1:783" },
	{ "2001:db8::1", sizeof(struct sockaddr_in6), "[2001:db8::1]:783" },
	{ "unix", sizeof(struct sockaddr_un), "unix" },
};

START_TEST(names_for_people)
{
	struct sockaddr_storage ss = at(names[_i].address, 783);
	char name[100], cut[5];

	clients_name(name, sizeof(name), (struct sockaddr *)&ss,
	    names[_i].len);
	ck_assert_str_eq(name, names[_i].name);
	clients_name(cut, sizeof(cut), (struct sockaddr *)&ss, names[_i].len);
	ck_assert_uint_eq(strlen(cut), 4);
	unit_begins(name, cut);
}
END_TEST

Suite *
clients_suite(void)
{
	Suite *s = suite_create("clients");
	TCase *tc = unit_case(s, "clients");

	tcase_add_test(tc, each_address_by_itself);
	tcase_add_loop_test(tc, who_is_the_same_client, 0, COUNT(pairs));
	tcase_add_test(tc, unix_sockets_are_not_counted);
	tcase_add_test(tc, a_great_many);
	tcase_add_loop_test(tc, names_for_people, 0, COUNT(names));
	return s;
}
