/*
 * The unit tests of the files that the patches for Exim share, run by Check.
 */
#include "exim_stubs.h"

#define HANG_SECONDS	240

TCase *
patches_case(Suite *s, const char *name)
{
	TCase *tc = tcase_create(name);

	tcase_set_timeout(tc, HANG_SECONDS);
	tcase_add_checked_fixture(tc, stub_reset, NULL);
	suite_add_tcase(s, tc);
	return tc;
}

int
main(void)
{
	SRunner *r = srunner_create(reply_suite());
	int failed;

	srunner_add_suite(r, servers_suite());
	srunner_add_suite(r, request_suite());
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
