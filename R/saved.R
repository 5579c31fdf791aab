# Handles in streams: values where the user saves, descriptors on the way to another process.

# What a stream gets of a handle: NULL for its descriptor (of a mapped file: with the path), or, where the user saves, its values.
# Called from C.
handle_state <- function(x) {
  if (!saves_values(sys.nframe() - 1L)) {
    the$cache$travelled <- the$cache$travelled + 1
    return(NULL)
  }
  about <- tryCatch(.Call(ffi_array_about, x), sharedmem_unattached_error = function(e) NULL)
  named <- !is.null(about$path) && !base::identical(getOption("sharedmem.serialize"), "values")
  if (is.null(about) || named) return(NULL)
  list(values = 1L, dtype = about$dtype, encoding = .Call(ffi_text_encoding, x), shape = .Call(ffi_array_shape, x),
       vector = about$vector, meta = array_meta(x), endian = .Platform$endian, bytes = .Call(ffi_view_bytes, x))
}

# Does the innermost closure, in frame n, keep what it writes? saveRDS(), save() and namespace tools (lazy-load data bases) do, and what
# makes a hash of it (rlang, for memoise and cachem); callr and xfun send their arguments by saveRDS().
saves_values <- function(n) {
  if (base::identical(getOption("sharedmem.serialize"), "values")) return(TRUE)
  if (n == 0L) return(FALSE)
  f <- sys.function(n)
  home <- package_of(environment(f))
  if (base::identical(f, base::save) || home == "tools" || (home == "rlang" && base::identical(f, rlang::hash))) return(TRUE)
  base::identical(f, base::saveRDS) && !package_of(sys.frame(sys.parents()[n])) %in% c("callr", "xfun") # frame 0 is the global environment
}

package_of <- function(env) {
  home <- topenv(env)
  if (isNamespace(home)) unname(getNamespaceName(home)) else ""
}

# A view goes as the handle that it looks through, but where its values are kept. Called from C, but where a worker gives it back.
view_goes_as_handle <- function(unused) {
  n <- sys.nframe() - 1L
  n > 0L && !saves_values(n)
}

view_from_state <- function(x, stretch) {
  if (!is_shared(x) || anyNA(stretch)) return(NULL)
  tryCatch(.Call(ffi_view_new, x, stretch[1L], stretch[2L]), sharedmem_error = function(e) NULL)
}

# A new shared array from such values; they are input.
handle_from_state <- function(state) {
  good <- is.list(state) && base::identical(state$values, 1L) && is.raw(state$bytes) && is.numeric(state$shape) &&
    is.character(state$dtype) && (isTRUE(state$vector) || isFALSE(state$vector)) &&
    (is.null(state$encoding) || length(state$encoding) == 1L && state$encoding %in% 0:3) && (is.null(state$meta) || is.list(state$meta))
  if (!good) abort_class("sharedmem_unattached_error", "shared array is not attached: its saved values are damaged")
  if (state$dtype != "raw" && !base::identical(state$endian, .Platform$endian))
    abort_class("sharedmem_unattached_error",
                "shared array is not attached: it was saved on a machine of the other byte order; save unshare(x) there")
  # the first files had no encoding
  x <- .Call(ffi_array_new, state$shape, state$dtype, if (is.null(state$encoding)) 0L else state$encoding)
  if (nbytes(x) != length(state$bytes))
    abort_class("sharedmem_unattached_error", "shared array is not attached: its saved values are damaged")
  .Call(ffi_array_put, x, state$bytes)
  if (!state$vector && length(state$shape) == 1L) x <- .Call(ffi_array_reshape, x, as.double(state$shape), FALSE, NULL)
  if (length(state$meta)) with_saved_meta(x, state$meta) else x
}

with_saved_meta <- function(x, meta) {
  good <- all(names(meta) %in% kept_attributes) && all(vapply(meta[names(meta) != "dimnames"], is.character, NA)) &&
    (is.null(meta$names) || length(meta$names) == length(x))
  if (!good) abort_class("sharedmem_unattached_error", "shared array is not attached: its saved attributes are damaged")
  if (!is.null(meta$dimnames)) meta$dimnames <- check_dimnames(meta$dimnames, dim(x))
  .Call(ffi_array_reshape, x, as.double(dim(x)), is.null(dim(x)) && length(.Call(ffi_array_shape, x)) == 1L, meta)
}
