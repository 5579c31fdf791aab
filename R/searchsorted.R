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
  data <- sortable(data, "data")
  needle <- sortable(needle, "needle")
  .Call(ffi_search_run, data, needle, side[1L] == "right", kernel_threads(np, length(needle) * 64))
}
