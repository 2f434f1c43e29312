// own_operators_library: hands out and takes back blocks by C++'s operators, as its makers have linked them. With OWN_FORMS
// operators stand here that a library may bring: two of the four families, of the simplest form alone; with OWN_ALLOCATOR, on an
// allocator of another library's.
#include <cstdlib>
#include <new>

#ifdef OWN_ALLOCATOR
extern "C" void *own_malloc(std::size_t size);
extern "C" void own_free(void *block);
#else
#define own_malloc std::malloc
#define own_free std::free
#endif

#ifdef OWN_FORMS
void *operator new(std::size_t size) {
    if (void *block = own_malloc(size != 0 ? size : 1)) return block;
    throw std::bad_alloc();
}
void operator delete(void *block) noexcept { own_free(block); }
void operator delete(void *block, std::size_t) noexcept { own_free(block); }
#endif

extern "C" void *library_new(unsigned form, std::size_t size);
extern "C" void library_delete(unsigned form, void *block, std::size_t size);

// Forms: plain, array, aligned, array and aligned.
extern "C" void *library_new(unsigned form, std::size_t size) {
    switch (form) {
    case 0: return ::operator new(size);
    case 1: return ::operator new[](size);
    case 2: return ::operator new(size, std::align_val_t{64});
    default: return ::operator new[](size, std::align_val_t{64});
    }
}

extern "C" void library_delete(unsigned form, void *block, std::size_t size) {
    switch (form) {
    case 0: ::operator delete(block, size); break;
    case 1: ::operator delete[](block); break;
    case 2: ::operator delete(block, size, std::align_val_t{64}); break;
    default: ::operator delete[](block, std::align_val_t{64}); break;
    }
}
