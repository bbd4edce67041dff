/* Counts what a process asks the allocator for: LD_PRELOAD=counting.so LOADTEST_COUNTS=FILE.
 *
 * FILE has two numbers of 64 bits, which another process can read at any moment: calls, and bytes
 * asked for. Children of the process do not count. Needs glibc, whose own functions do the work.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static uint64_t unread[2];
static uint64_t *counts = unread;

static void count(size_t size)
{
    __atomic_fetch_add(&counts[0], 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&counts[1], size, __ATOMIC_RELAXED);
}

__attribute__((constructor)) static void begin(void)
{
    const char *name = getenv("LOADTEST_COUNTS");
    int file = name ? open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (file >= 0 && ftruncate(file, sizeof unread) == 0) {
        void *shared = mmap(NULL, sizeof unread, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        if (shared != MAP_FAILED)
            counts = shared;
    }
    if (file >= 0)
        close(file);
    unsetenv("LOADTEST_COUNTS");
    unsetenv("LD_PRELOAD");
}

void *malloc(size_t size)
{
    count(size);
    return __libc_malloc(size);
}

void *calloc(size_t number, size_t size)
{
    count(number * size);
    return __libc_calloc(number, size);
}

void *realloc(void *old, size_t size)
{
    count(size);
    return __libc_realloc(old, size);
}

void *memalign(size_t boundary, size_t size)
{
    count(size);
    return __libc_memalign(boundary, size);
}

void *aligned_alloc(size_t boundary, size_t size)
{
    count(size);
    return __libc_memalign(boundary, size);
}

int posix_memalign(void **found, size_t boundary, size_t size)
{
    count(size);
    *found = __libc_memalign(boundary, size);
    return *found ? 0 : ENOMEM;
}
