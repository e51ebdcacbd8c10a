/*
 * spam_request: the head of a request to rspamd, and sending through a socket
 * that takes little at a time.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>

#include "exim_stubs.h"
#include "spam_rspamd.h"

static void
expect_head(const spam_request *q, const char *expected)
{
	size_t size;
	uschar *head = spam_request_head(q, &size);

	ck_assert_str_eq(CCS head, expected);
	ck_assert_uint_eq(size, strlen(expected));
	free(head);
}

START_TEST(all_known)
{
	recipient_item rcpt[] = { { US "u1@x" }, { US "u2@x" } };
	spam_request q = { 352, US "1xVA4m-0004UG-OO", US "s@client.example",
	    rcpt, 2, US "h", US "c", US "127.0.0.9", US "alice" };

	expect_head(&q, "CHECK RSPAMC/1.3\r\nContent-length: 352\r\n"
	    "Queue-Id: 1xVA4m-0004UG-OO\r\nFrom: <s@client.example>\r\n"
	    "Recipient-Number: 2\r\nRcpt: <u1@x>\r\nRcpt: <u2@x>\r\n"
	    "Helo: h\r\nHostname: c\r\nIP: 127.0.0.9\r\nUser: alice\r\n\r\n");
}
END_TEST

START_TEST(little_known)
{
	recipient_item rcpt[] = { { US "u1@x" } };
	spam_request q = { 4294967295, NULL, US "", rcpt, 1, NULL, US "", NULL,
	    US "" };
	const char *expected = "CHECK RSPAMC/1.3\r\n"
	    "Content-length: 4294967295\r\nFrom: <>\r\n"
	    "Recipient-Number: 1\r\nRcpt: <u1@x>\r\n\r\n";

	expect_head(&q, expected);
	q.sender = NULL;
	expect_head(&q, expected);
}
END_TEST

START_TEST(control_characters)
{
	recipient_item rcpt[] = { { US "\"a\r\nIP: 1.2.3.4\r\n\r\n\"@x" } };
	spam_request q = { 1, US "id", US "\"\t\177\n\"@\303\251", rcpt, 1,
	    US "a\rb", US "c\nd", US "1.1.1.1", US "\001" };

	expect_head(&q, "CHECK RSPAMC/1.3\r\nContent-length: 1\r\n"
	    "Queue-Id: id\r\nFrom: <\"   \"@\303\251>\r\n"
	    "Recipient-Number: 1\r\nRcpt: <\"a  IP: 1.2.3.4    \"@x>\r\n"
	    "Helo: a b\r\nHostname: c d\r\nIP: 1.1.1.1\r\nUser:  \r\n\r\n");
}
END_TEST

START_TEST(many_recipients)
{
	enum { MANY = 100000 };
	const char *line = "Rcpt: <somebody-with-a-name@host.example>\r\n";
	recipient_item *rcpt = calloc(MANY, sizeof(*rcpt));
	spam_request q = { .sender = US "s@x", .recipients = rcpt,
	    .recipients_count = MANY };
	size_t size, n = 0;
	uschar *head, *p;
	int i;

	ck_assert_ptr_nonnull(rcpt);
	for (i = 0; i < MANY; i++)
		rcpt[i].address = US "somebody-with-a-name@host.example";
	head = spam_request_head(&q, &size);
	ck_assert_uint_eq(size, strlen(CCS head));
	for (p = head; *p != '\0'; p++)
		if (*p == '\n' && strncmp(CCS p + 1, line, strlen(line)) == 0)
			n++;
	ck_assert_uint_eq(n, MANY);
	free(head);
	free(rcpt);
}
END_TEST

struct reader {
	int fd;
	size_t got;
	bool ordered;
};

/* Reads to the end, little by little, and looks at the order. */
static void *
read_all(void *arg)
{
	struct reader *r = arg;
	uschar b[777];
	ssize_t n, i;

	while ((n = read(r->fd, b, sizeof(b))) > 0)
		for (i = 0; i < n; i++, r->got++)
			if (b[i] != (uschar)(r->got % 251))
				r->ordered = false;
	return NULL;
}

static void
socket_pair(int fd[2])
{
	int small = 4096;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	ck_assert_int_eq(fcntl(fd[0], F_SETFL, O_NONBLOCK), 0);
}

START_TEST(sent_whole)
{
	enum { SIZE = 3000000 };
	uschar *data = malloc(SIZE);
	struct reader r = { .ordered = true };
	pthread_t thread;
	int fd[2];
	size_t i;

	ck_assert_ptr_nonnull(data);
	for (i = 0; i < SIZE; i++)
		data[i] = (uschar)(i % 251);
	socket_pair(fd);
	r.fd = fd[1];
	ck_assert_int_eq(pthread_create(&thread, NULL, read_all, &r), 0);
	ck_assert(spam_send(fd[0], data, SIZE, time(NULL) + 200));
	close(fd[0]);
	pthread_join(thread, NULL);
	ck_assert_uint_eq(r.got, SIZE);
	ck_assert(r.ordered);
	free(data);
}
END_TEST

START_TEST(nobody_reads)
{
	enum { SIZE = 3000000 };
	uschar *data = calloc(1, SIZE);
	int fd[2];

	ck_assert_ptr_nonnull(data);
	socket_pair(fd);
	errno = 0;
	ck_assert(!spam_send(fd[0], data, SIZE, time(NULL) + 1));
	ck_assert_int_eq(errno, ETIMEDOUT);
	/* with nothing to send the deadline does not matter */
	ck_assert(spam_send(fd[0], data, 0, 0));
	free(data);
}
END_TEST

START_TEST(reader_gone)
{
	int fd[2];

	socket_pair(fd);
	close(fd[1]);
	signal(SIGPIPE, SIG_IGN);
	errno = 0;
	ck_assert(!spam_send(fd[0], US "x", 1, time(NULL) + 200));
	ck_assert_int_eq(errno, EPIPE);
}
END_TEST

Suite *
request_suite(void)
{
	Suite *s = suite_create("spam_request");
	TCase *tc = patches_case(s, "head");

	tcase_add_test(tc, all_known);
	tcase_add_test(tc, little_known);
	tcase_add_test(tc, control_characters);
	tcase_add_test(tc, many_recipients);

	tc = patches_case(s, "send");
	tcase_add_test(tc, sent_whole);
	tcase_add_test(tc, nobody_reads);
	tcase_add_test(tc, reader_gone);
	return s;
}
