# Classed errors. Every error of the package has class "sharedmem_error"; C raises through these too.

abort_class <- function(class, message, ..., call = NULL) {
  stop(structure(class = c(class, "sharedmem_error", "error", "condition"),
                 list(message = message, call = call, ...)))
}

warn_class <- function(class, message, ..., call = NULL) {
  warning(structure(class = c(class, "sharedmem_warning", "warning", "condition"),
                    list(message = message, call = call, ...)))
}

inform_class <- function(class, message, ..., call = NULL) {
  message(structure(class = c(class, "sharedmem_message", "message", "condition"),
                    list(message = paste0(message, "\n"), call = call, ...)))
}

# What a map, a region or a background call has failed with goes to the caller, and is kept for last_error().
raise_failure <- function(e) {
  the$session$last_error <- e
  stop(e)
}

#' The last failure of a worker
#'
#' Gives the last [WorkerException] that a map, a region or a background call has raised in this session. Printed, it shows the
#' calls in the worker, which `traceback()` cannot: they ran in another process.
#'
#' @return A [WorkerException], or `NULL` if there was none yet.
#' @source No counterpart in the Python package.
#' @seealso [WorkerException]
#' @examples
#' f <- function(i) if (i == 3) stop("bad input") else i
#' try(MapReduce(np = 2)$map(f, 1:4), silent = TRUE)
#' last_error()
#' @export
last_error <- function() the$session$last_error

# Names the argument, what came and what was expected.
abort_argument <- function(arg, got, expected, call = NULL) {
  abort_class("sharedmem_argument_error",
              sprintf("`%s` must be %s, not %s", arg, expected, got),
              arg = arg, got = got, expected = expected, call = call)
}

# A short description of a value that came where another was expected.
describe_value <- function(x) {
  if (is.null(x)) return("NULL")
  if (is.function(x)) return("a function")
  if (is.atomic(x) && length(x) == 1L && is.null(attributes(x)))
    return(if (is.character(x) && !is.na(x)) encodeString(cut_text(x), quote = "\"") else format(x, digits = 15))
  if (is.atomic(x)) return(sprintf("%s of length %.0f", class(x)[1L], length(x)))
  sprintf("an object of class <%s>", paste(class(x), collapse = "/"))
}

# The beginning of strings, of any bytes.
cut_text <- function(x, n = 60L) {
  Encoding(x)[!validEnc(x)] <- "bytes"
  substr(x, 1L, n)
}

#' What goes wrong in a worker
#'
#' A map, a region or a background call in which a worker fails raises a condition of class `WorkerException` (also
#' `SlaveException`, its name in the older Python line). It has these fields:
#'
#' - `reason`: the condition as it was raised in the worker, its class kept; for a worker that died, a
#'   `simpleError` that says how.
#' - `traceback`: character, the calls in the worker that led to it, outermost first.
#' - `item`: the number of the item in `sequence`, 1-based; `NA` if the worker was at none.
#' - `rank`, `pid`: the worker's rank (0 ... np-1) and process id.
#'
#' Where the original condition cannot be serialized, `reason` is a `simpleError` with its message, and a
#' warning of class `LostExceptionType` is given.
#'
#' `stop(StopProcessGroup())` inside `func` ends a map early and quietly; see [MapReduce()].
#'
#' @param message Character: the message.
#' @return `StopProcessGroup()`, `LostExceptionType()` and `WorkerException()` give conditions of these classes.
#' @source `sharedmem.SlaveException`, `sharedmem.StopProcessGroup` and `sharedmem.LostExceptionType` of the Python package.
#' @name WorkerException
#' @aliases SlaveException
#' @examples
#' pool <- MapReduce(np = 2)
#' tryCatch(pool$map(function(i) if (i == 3) stop("bad input") else i, 1:4),
#'          WorkerException = function(e) conditionMessage(e$reason))
NULL

#' @rdname WorkerException
#' @param reason The condition that the worker raised.
#' @param traceback Character: calls, outermost first.
#' @param item,rank,pid Integer, or `NA`.
#' @export
WorkerException <- function(reason, traceback = character(), item = NA_integer_, rank = NA_integer_,
                            pid = NA_integer_, message = worker_message(reason, item, rank, pid)) {
  structure(class = c("WorkerException", "SlaveException", "sharedmem_error", "error", "condition"),
            list(message = message, call = NULL, reason = reason, traceback = traceback,
                 item = item, rank = rank, pid = pid))
}

#' @rdname WorkerException
#' @export
SlaveException <- WorkerException

#' @rdname WorkerException
#' @export
StopProcessGroup <- function(message = "the map is ended early")
  structure(class = c("StopProcessGroup", "sharedmem_error", "error", "condition"), list(message = message, call = NULL))

#' @rdname WorkerException
#' @export
LostExceptionType <- function(message = "a worker's condition could not be serialized; its class is lost")
  structure(class = c("LostExceptionType", "sharedmem_warning", "warning", "condition"), list(message = message, call = NULL))

# The message of a condition, also where the class has a broken conditionMessage().
message_of <- function(cond) {
  text <- tryCatch(conditionMessage(cond), error = function(e) NULL)
  if (is.character(text) && length(text) == 1L && !is.na(text)) text
  else if (is.character(text) && length(text) > 1L) paste(text, collapse = "\n")
  else sprintf("a condition of class <%s> without a message", paste(class(cond), collapse = "/"))
}

at_item <- function(item) if (is.na(item)) "" else sprintf(" at item %.0f", item)

worker_message <- function(reason, item, rank, pid) {
  call <- tryCatch(conditionCall(reason), error = function(e) NULL)
  sprintf("%s\n(worker %d, pid %d%s%s)", message_of(reason), rank, pid, at_item(item),
          if (is.null(call)) "" else paste0(", in ", deparse(call, nlines = 1L, width.cutoff = 60L)[1L]))
}

#' @export
print.WorkerException <- function(x, ...) {
  cat(sprintf("<WorkerException: worker %d, pid %d%s>\n", x$rank, x$pid, at_item(x$item)))
  cat(sprintf("reason <%s>: %s\n", paste(class(x$reason), collapse = "/"), message_of(x$reason)))
  if (length(x$traceback)) cat("calls in the worker:", paste0("  ", x$traceback), sep = "\n")
  invisible(x)
}

# Its name on this system; of a real-time one by its distance from the first.
signal_name <- function(signal) {
  name <- names(constants$signal)[match(signal, constants$signal)]
  range <- constants$realtime
  if (!is.na(name)) name
  else if (!is.null(range) && signal >= range[1L] && signal <= range[2L]) sprintf("SIGRTMIN+%d", signal - range[1L])
  else "no name here"
}

# How a process ended, from its wait status (-1: not known).
describe_status <- function(status) {
  if (status < 0L) return("ended in an unknown way")
  signal <- bitwAnd(status, 127L)
  if (signal == 0L) return(sprintf("ended with exit status %d", bitwAnd(bitwShiftR(status, 8L), 255L)))
  paste0(sprintf("was killed by signal %d (%s)", signal, signal_name(signal)),
         if (signal == constants$signal[["SIGKILL"]]) "; the system may have run out of memory")
}

worker_death <- function(how, item, rank, pid) {
  text <- sprintf("worker %d (pid %d) %s%s", rank, pid, how,
                  if (is.na(item)) "" else sprintf(", while it worked on item %.0f", item))
  WorkerException(simpleError(text), character(), item, rank, pid, message = text)
}
