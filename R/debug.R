#' Debug mode
#'
#' In debug mode every map, region and background call runs in the calling process, item by item, so
#' that `browser()`, `debug()` and `recover()` work, and errors come as they were raised, not wrapped in a
#' [WorkerException].
#'
#' @param flag `TRUE` or `FALSE`.
#' @return `set_debug()`: the previous value, invisibly. `get_debug()`: `TRUE` or `FALSE`.
#' @source `sharedmem.set_debug`, `sharedmem.get_debug` of the Python package.
#' @examples
#' old <- set_debug(TRUE)
#' get_debug()
#' set_debug(old)
#' @export
set_debug <- function(flag) {
  if (!is.logical(flag) || length(flag) != 1L || is.na(flag))
    abort_argument("flag", describe_value(flag), "TRUE or FALSE")
  old <- the$session$debug
  the$session$debug <- flag
  invisible(old)
}

#' @rdname set_debug
#' @export
get_debug <- function() the$session$debug

# For tests: the first worker of rank 0 of coming maps is killed at a point of its protocol (src/r_here.h).
kill_at <- function(point) invisible(.Call(ffi_test_kill_at, constants$kill_point[[point]]))
