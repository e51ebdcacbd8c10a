/*
 * The configuration file, of any bytes: it is refused, with the reason, or
 * what --dump-config writes of it means the same.
 *
 * libconfuse keeps what it has read so far when it finds a fault; that it
 * leaks is left out.
 */
#include "config.h"

#include <stdint.h>

#include "conf_check.h"

int	LLVMFuzzerInitialize(int *argc, char ***argv);
int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	conf_check_init();
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct conf_args args = { .file = conf_check_file(data, size) };
	size_t which = size, i;

	for (i = 0; i < size; i++)
		which += data[i];
	/* the dump of some: most inputs differ in nothing that it shows */
	conf_check(&args, which % 4 == 0);
	return 0;
}
