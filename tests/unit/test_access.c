#include "config.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <stdlib.h>
#include <string.h>

#include "access.h"
#include "unit.h"

static const char *const good[] = {
	"192.0.2.7", "0.0.0.0", "255.255.255.255", "2001:db8::1", "::", "::1",
	"192.0.2.0/24", "192.0.2.7/32", "0.0.0.0/0", "128.0.0.0/1",
	"192.0.2.128/25", "192.0.2.6/31", "2001:db8::/32", "::/0", "8000::/1",
	"2001:db8::1/128", "2001:db8::fffe/127", "::ffff:192.0.2.7",
	"::ffff:192.0.2.0/120",
};

START_TEST(addresses_and_networks)
{
	struct access_net net;

	ck_assert_int_eq(access_parse(&net, good[_i]), 0);
	ck_assert_uint_le(net.bits, 128);
}
END_TEST

static const char *const bad[] = {
	"", "/", "/24", "x", "localhost", "192.0.2", "192.0.2.256",
	"192.0.2.7.1", " 192.0.2.7", "192.0.2.7 ", "192.0.2.7:783", "[::1]",
	"::1%lo", ":::", "2001:db8:::1", "12345::",
	/* a prefix that is none, or not of this address */
	"192.0.2.0/", "192.0.2.0/33", "192.0.2.0/-1", "192.0.2.0/+24",
	"192.0.2.0/ 24", "192.0.2.0/24 ", "192.0.2.0/24x", "192.0.2.0/x",
	"192.0.2.0/24/24", "192.0.2.0/255.255.255.0", "::/129", "::/-1",
	"192.0.2.0/99999999999999999999", "::/4294967297",
	"192.0.2.0/18446744073709551640",
	/* bits behind the prefix: most likely a mistake */
	"192.0.2.7/24", "192.0.2.0/22", "128.0.0.0/0", "192.0.2.1/31",
	"2001:db8::1/32", "::1/0", "::1/127", "4000::/1",
	/* longer than any address */
	"0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0001",
};

START_TEST(no_addresses)
{
	struct access_net net;

	ck_assert_int_eq(access_parse(&net, bad[_i]), -1);
}
END_TEST

/* Is ADDR let in where the one network NET is? */
static bool
in(const char *net, const char *addr)
{
	struct sockaddr_in s4 = { .sin_family = AF_INET };
	struct sockaddr_in6 s6 = { .sin6_family = AF_INET6 };
	struct access_net n;

	ck_assert_msg(access_parse(&n, net) == 0, "%s", net);
	if (inet_pton(AF_INET, addr, &s4.sin_addr) == 1)
		return access_allows(&n, 1, (struct sockaddr *)&s4);
	ck_assert_int_eq(inet_pton(AF_INET6, addr, &s6.sin6_addr), 1);
	return access_allows(&n, 1, (struct sockaddr *)&s6);
}

/* Of each network: the ends that are in it, and their neighbours. */
static const struct {
	const char *net, *in[3], *out[3];
} nets[] = {
	{ "192.0.2.7", { "192.0.2.7" }, { "192.0.2.6", "192.0.2.8", "::1" } },
	{ "192.0.2.0/24", { "192.0.2.0", "192.0.2.255" },
	    { "192.0.1.255", "192.0.3.0" } },
	{ "192.0.2.128/25", { "192.0.2.128", "192.0.2.255" },
	    { "192.0.2.127", "192.0.3.0" } },
	{ "192.0.2.64/27", { "192.0.2.64", "192.0.2.95" },
	    { "192.0.2.63", "192.0.2.96" } },
	{ "192.0.2.6/31", { "192.0.2.6", "192.0.2.7" },
	    { "192.0.2.5", "192.0.2.8" } },
	{ "128.0.0.0/1", { "128.0.0.0", "255.255.255.255" },
	    { "127.255.255.255", "0.0.0.0", "8000::" } },
	{ "0.0.0.0/0", { "0.0.0.0", "255.255.255.255" }, { "::1", "::" } },
	{ "2001:db8::/32", { "2001:db8::",
	    "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff" },
	    { "2001:db7:ffff::", "2001:db9::", "32.1.13.184" } },
	{ "2001:db8::/33", { "2001:db8:7fff::" }, { "2001:db8:8000::" } },
	{ "::/0", { "::", "ffff::", "192.0.2.7" }, { NULL } },
	{ "::1", { "::1" }, { "::", "::2", "127.0.0.1" } },
	/* a client of a socket for both families: the same client */
	{ "192.0.2.0/24", { "::ffff:192.0.2.7" }, { "::192.0.2.7",
	    "::ffff:192.0.3.7", "1::ffff:192.0.2.7" } },
	{ "::ffff:192.0.2.0/120", { "192.0.2.7", "::ffff:192.0.2.7" },
	    { "192.0.3.7" } },
};

START_TEST(edges)
{
	size_t i;

	for (i = 0; i < COUNT(nets[_i].in) && nets[_i].in[i] != NULL; i++)
		ck_assert_msg(in(nets[_i].net, nets[_i].in[i]), "%s not in %s",
		    nets[_i].in[i], nets[_i].net);
	for (i = 0; i < COUNT(nets[_i].out) && nets[_i].out[i] != NULL; i++)
		ck_assert_msg(!in(nets[_i].net, nets[_i].out[i]), "%s in %s",
		    nets[_i].out[i], nets[_i].net);
}
END_TEST

START_TEST(any_of_several)
{
	struct sockaddr_in s = { .sin_family = AF_INET };
	struct access_net n[3];

	ck_assert_int_eq(access_parse(&n[0], "::1"), 0);
	ck_assert_int_eq(access_parse(&n[1], "192.0.2.0/24"), 0);
	ck_assert_int_eq(access_parse(&n[2], "198.51.100.1"), 0);
	s.sin_addr.s_addr = inet_addr("198.51.100.1");
	ck_assert(access_allows(n, 3, (struct sockaddr *)&s));
	ck_assert(!access_allows(n, 2, (struct sockaddr *)&s));
	/* a list without an entry lets nobody in */
	ck_assert(!access_allows(NULL, 0, (struct sockaddr *)&s));
}
END_TEST

START_TEST(other_families)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct sockaddr other = { .sa_family = AF_UNSPEC };
	struct access_net all;

	ck_assert(access_allows(NULL, 0, (struct sockaddr *)&un));
	ck_assert_int_eq(access_parse(&all, "::/0"), 0);
	ck_assert(!access_allows(&all, 1, &other));
}
END_TEST

Suite *
access_suite(void)
{
	Suite *s = suite_create("access");
	TCase *tc = unit_case(s, "parse");

	tcase_add_loop_test(tc, addresses_and_networks, 0, COUNT(good));
	tcase_add_loop_test(tc, no_addresses, 0, COUNT(bad));
	tc = unit_case(s, "allows");
	tcase_add_loop_test(tc, edges, 0, COUNT(nets));
	tcase_add_test(tc, any_of_several);
	tcase_add_test(tc, other_families);
	return s;
}
