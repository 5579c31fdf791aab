#' The permutation that sorts, in parallel
#'
#' Gives the indices that put `data` in order, as [order()] does with `method = "radix"`, with a parallel radix sort: stable,
#' without a copy of a vector or shared array, on as many threads as pay.
#'
#' Missing values (NA and NaN are equal here) go last, first or away, by `na_last`; -0 and 0 are equal. Strings are in
#' the order of the C locale. Factors are sorted by their codes, and dates, times and integer64 by their numbers; any
#' other class by [xtfrm()]. Complex values are sorted by [order()], by their real, then
#' their imaginary parts.
#'
#' Beside the result it takes scratch memory: at most 16 bytes an element, 24 for strings (and 8 for the addresses
#' of an ordinary character vector), and 320 KiB a thread; where a sample shows that few values are distinct, and no more than 8192
#' are, 2 bytes an element. It can be interrupted at any time; `out` then holds no permutation. Where another process writes
#' `data` meanwhile, some permutation comes out.
#'
#' @param data A vector (numeric, integer, logical, character, raw, factor, Date, POSIXct, difftime, integer64) or a shared
#'   array of any dtype; one with extents is sorted as the vector of its elements. Or a list of such, of one length: several keys, the
#'   first one deciding before the others, as in `order(a, b)`.
#' @param out `NULL`, or a shared array of dtype i4, i8 or f8 and of the result's length, which takes the result. If it shares
#'   memory with `data`, a copy of them is sorted.
#' @param decreasing `TRUE` for greatest first; equal elements keep their order then too.
#' @param na_last `TRUE`: missing values last; `FALSE`: first; `NA`: left out.
#' @param np Whole number: threads at most. `NULL` means [cpu_count()].
#' @return An integer vector of 1-based indices (double past 2^31 - 1 elements), for input already in order a compact
#'   sequence as [seq_len()] gives; or `out`.
#' @source `sharedmem.argsort` of the Python package.
#' @seealso [searchsorted()], [order()]
#' @examples
#' x <- c(3, 1, NA, 2)
#' argsort(x)
#' argsort(x, decreasing = TRUE, na_last = NA)
#'
#' a <- copy(runif(1e5))
#' o <- argsort(a, out = empty(1e5, "i4"), np = 2)
#' is.unsorted(a[][o[]])
#' @export
argsort <- function(data, out = NULL, decreasing = FALSE, na_last = TRUE, np = NULL) {
  check_flag(decreasing, "decreasing")
  if (!is.logical(na_last) || length(na_last) != 1L)
    abort_argument("na_last", describe_value(na_last), "TRUE, FALSE or NA")
  if (is.list(data) && (!is.object(data) || is.data.frame(data)))
    return(place_into(out, argsort_keys(data, decreasing, na_last, np)))
  data <- sortable(data, "data")
  np <- kernel_threads(np, length(data))
  if (is.complex(data) || (is_shared(data) && dtype(data) == "c16"))
    return(place_into(out, order_complex(as.vector(data), decreasing, na_last)))
  .Call(ffi_argsort_run, data, out, decreasing, na_last, np)
}

place_into <- function(out, place) {
  if (is.null(out)) return(place)
  if (!is_shared(out) || !dtype(out) %in% c("i4", "i8", "f8") || length(out) != length(place))
    abort_argument("out", if (is_shared(out)) sprintf("of dtype %s and length %.0f", dtype(out), length(out)) else describe_value(out),
                   sprintf("a shared array of dtype i4, i8 or f8 and length %d", length(place)))
  out[] <- place
  out
}

# Sorted by the last key first: each sort is stable, so that those before it decide.
argsort_keys <- function(keys, decreasing, na_last, np) {
  n <- unique(vapply(keys, function(k) as.double(length(k)), 0))
  if (length(keys) == 0L || length(n) != 1L)
    abort_argument("data", sprintf("a list of %d of lengths %s", length(keys), toString(n)),
                   "a list of vectors or shared arrays of one length")
  keys <- lapply(unname(as.list(keys)), sortable, "data")
  place <- NULL
  if (is.na(na_last)) place <- which(!Reduce(`|`, lapply(keys, is.na)))
  for (key in rev(keys)) {
    if (!is.null(place)) key <- key[place]
    o <- argsort(key, decreasing = decreasing, na_last = is.na(na_last) || na_last, np = np)
    place <- if (is.null(place)) o else place[o]
  }
  place
}

order_complex <- function(z, decreasing, na_last) {
  z[is.na(z)] <- NA_complex_
  order(Re(z), Im(z), decreasing = decreasing, na.last = na_last, method = "radix")
}
