#' Daemons of mirai that share packages and data
#'
#' Starts daemons for package mirai that are forked from one clean R process, which has loaded packages and data before: they share these
#' copy-on-write, where each daemon that `mirai::daemons()` launches loads and holds its own. So do purrr's `in_parallel()`, crew, tune
#' and mlr3, which run on the daemons that are set.
#'
#' It launches daemons and leaves the setting of them to the user: call `mirai::daemons(url = mirai::local_url())` first. nanonext and mirai
#' are loaded in the daemons alone, since what they have running does not survive a fork.
#'
#' The daemons end with `$stop()`, with `mirai::daemons(0)`, and with the session, however that ends.
#'
#' @param n Whole number of at least 1: daemons.
#' @param url Character: where the daemons dial in. `NULL`: at the address of the daemons that are set in this session, with the
#'   settings (dispatcher, TLS, random streams) that mirai has for them.
#' @param packages Character: packages to load and attach before the daemons are forked, first one first. `NULL`: those that are attached in
#'   the session. mirai and nanonext are passed over, and of those attached in the session what loads them (crew).
#' @param data Named list, or `NULL`: objects that are in the global environment of each daemon.
#' @return An object of class `sharedmem_daemons`: an environment with `pids`, `url` and `stop()`. Where no daemons are set and no
#'   `url` is given, and where packages cannot be loaded, an error of class `sharedmem_server_error`; without package mirai one of class
#'   `sharedmem_package_error`.
#' @source No counterpart in the Python package; r-lib/mirai#647 asks for it.
#' @seealso [fork_server()]
#' @examples
#' \donttest{
#' if (requireNamespace("mirai", quietly = TRUE)) {
#'   mirai::daemons(url = mirai::local_url())
#'   d <- fork_daemons(2, data = list(big = runif(1e6)))
#'   print(mirai::mirai(length(big))[])
#'   d$stop()
#'   mirai::daemons(0)
#' }
#' }
#' @export
fork_daemons <- function(n, url = NULL, packages = NULL, data = NULL) {
  check_whole(n, "n", 1)
  if (!is.null(url) && (!is.character(url) || length(url) != 1L || is.na(url) || !nzchar(url)))
    abort_argument("url", describe_value(url), "NULL or an address as mirai::local_url() gives it")
  check_packages(packages)
  check_data(data)
  need_package("mirai", "fork_daemons()")
  calls <- if (is.null(url)) daemon_calls(n) else rep(list(bquote(mirai::daemon(.(url)))), n)
  d <- new.env(parent = emptyenv())
  d$server <- start_server(if (!is.null(packages)) setdiff(packages, never_served), data)
  ok <- FALSE
  on.exit(if (!ok) d$server$stop())
  if (is.null(packages)) d$server$load()
  d$url <- if (is.null(url)) calls[[1L]][[2L]] else url
  d$pids <- vapply(calls, start_daemon, 1L, d$server)
  d$stop <- function() d$server$stop()
  ok <- TRUE
  structure(d, class = "sharedmem_daemons")
}

# What mirai would have a remote machine call, once a daemon: it knows the settings of the daemons that are set.
daemon_calls <- function(n) {
  lines <- tryCatch(unclass(mirai::launch_remote(n)), error = function(e) NULL)
  if (is.null(lines))
    abort_class("sharedmem_server_error", "no daemons are set: call mirai::daemons(url = mirai::local_url()) before fork_daemons()")
  lapply(lines, function(line) {
    code <- gsub("'\\''", "'", sub("^[^']*'(.*)'[^']*$", "\\1", line), fixed = TRUE)
    parsed <- tryCatch(str2lang(code), error = function(e) NULL)
    if (!is.call(parsed) || !identical(parsed[[1L]], quote(mirai::daemon)))
      abort_class("sharedmem_server_error", paste0("mirai says in a way that is not known here how daemons are launched: ", line))
    parsed
  })
}

start_daemon <- function(call, server) {
  answer <- .Call(ffi_server_ask, server$ptr, list(type = "daemon", call = call, paths = .libPaths(), wd = getwd()))
  if (is.null(answer) || is.na(answer$pid)) abort_server(server, "a daemon could not be forked")
  answer$pid
}

#' @export
print.sharedmem_daemons <- function(x, ...) {
  cat(sprintf("<%s, forked from process %s, at %s>\n", count_of(length(x$pids), "daemon"), format(x$server$pid), x$url))
  invisible(x)
}

# In a process that the server has forked for it: a daemon until it is dismissed.
serve_daemon <- function(message) {
  .libPaths(message$paths)
  tryCatch(setwd(message$wd), error = function(e) NULL)
  eval(message$call, globalenv())
}
