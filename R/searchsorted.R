#' Where values belong in sorted data, in parallel
#'
#' Gives for each needle the 1-based position at which it would have to be inserted to keep `data` sorted: with
#' `side = "left"` before, with `"right"` after the elements that are equal to it. So `left` is the first
#' position `i` with `data[i] >= needle`, and `length(data) + 1` where there is none.
#'
#' `data` must be sorted in ascending order, missing values last, as `data[argsort(data)]` is; strings in the order of the C
#' locale. That is not checked, as it would take longer than the search; unsorted data give positions without meaning. NA and
#' NaN count as greater than anything else, and as equal to one another; -0 and 0 are equal. Numbers of different
#' types are compared as their exact values. Needles in ascending order are found faster than others. No copy is made of
#' vectors or shared arrays.
#'
#' Dates and date-times, and time differences of different units, are brought together; a needle for a factor is a factor or
#' strings, found among the levels of `data`. Other classes that do not say the same are refused.
#'
#' @param data A sorted vector or shared array of numbers, or of strings.
#' @param needle A vector or shared array of numbers if `data` are numbers, of strings if they are strings; any length.
#' @param side `"left"` or `"right"`.
#' @param np Whole number: threads at most. `NULL` means [cpu_count()].
#' @return An integer vector as long as `needle` (double if `data` has more than 2^31 - 2 elements).
#' @source `numpy.searchsorted`; the Python package `sharedmem` has its arrays searched that way.
#' @seealso [argsort()], [findInterval()]
#' @examples
#' searchsorted(c(1, 2, 2, 3), c(0, 2, 5))
#' searchsorted(c(1, 2, 2, 3), c(0, 2, 5), side = "right")
#' @export
searchsorted <- function(data, needle, side = c("left", "right"), np = NULL) {
  if (!is.character(side) || !(identical(side, c("left", "right")) || (length(side) == 1L && side %in% c("left", "right"))))
    abort_argument("side", describe_value(side), "\"left\" or \"right\"")
  pair <- search_pair(data, needle)
  data <- sortable(pair$data, "data")
  needle <- sortable(pair$needle, "needle")
  .Call(ffi_search_run, data, needle, side[1L] == "right", kernel_threads(np, length(needle) * 64))
}

# What class the values have, with its attributes: list(class, units, levels).
value_class <- function(x) if (is_shared(x)) array_meta(x)[c("class", "units", "levels")] else attributes(x)[c("class", "units", "levels")]

known_class <- function(cls) {
  at <- match(cls, c("factor", "Date", "POSIXct", "difftime", "integer64"))
  if (is.null(cls) || identical(cls, "AsIs")) "" else if (all(is.na(at))) cls[1L] else cls[!is.na(at)][1L]
}

# data and needle in the same units.
search_pair <- function(data, needle) {
  if (inherits(data, "POSIXlt")) data <- as.POSIXct(data)
  if (inherits(needle, "POSIXlt")) needle <- as.POSIXct(needle)
  d <- value_class(data)
  q <- value_class(needle)
  kind <- c(known_class(d$class), known_class(q$class))
  if (all(kind %in% c("", "integer64"))) return(list(data = data, needle = needle))
  same <- function(...) identical(kind, c(...))
  if (kind[1L] == "factor") needle <- search_level(needle, kind[2L], d$levels)
  else if (same("difftime", "difftime")) { if (!identical(d$units, q$units)) needle <- as.double(plain(needle), units = d$units) }
  else if (same("Date", "POSIXct")) needle <- as.double(unclass(plain(needle))) / 86400
  else if (same("POSIXct", "Date")) needle <- as.double(unclass(plain(needle))) * 86400
  else if (kind[1L] != kind[2L] && (kind[2L] != "" || is.character(plain(needle))) ||
           !all(kind %in% c("", "Date", "POSIXct", "difftime")) && !is.numeric(unclass(data)))
    abort_argument("needle", sprintf("of class %s", if (nzchar(kind[2L])) kind[2L] else typeof(needle)),
                   sprintf("of class %s, as `data`", kind[1L]))
  list(data = data, needle = needle)
}

search_level <- function(needle, kind, levels) {
  text <- if (kind == "factor" || is.character(needle)) as.character(needle)
  at <- match(text, levels)
  if (is.null(text) || any(is.na(at) & !is.na(text)))
    abort_argument("needle", describe_value(needle), "a factor or strings, of the levels of `data`")
  at
}
