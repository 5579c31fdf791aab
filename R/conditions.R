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
  # `traceback()` has the session's calls alone; in a worker this failure is the reason of another
  if (length(e$traceback) && !in_worker()) e$message <- sub_bytes("\\)$", "; last_error() shows its calls)", e$message)
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
#' @seealso [WorkerException], [sharedmem_error]
#' @examples
#' f <- function(i) if (i == 3) stop("bad input") else i
#' try(MapReduce(np = 2)$map(f, 1:4), silent = TRUE)
#' last_error()
#' @export
last_error <- function() the$session$last_error

# Names the argument, what came, what was expected and, where that is not clear from it, what to do.
abort_argument <- function(arg, got, expected, call = NULL, advice = NULL) {
  abort_class("sharedmem_argument_error",
              paste0(sprintf("`%s` must be %s, not %s", arg, expected, got), if (!is.null(advice)) paste0(": ", advice)),
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

# What to do where a value came for a function.
advice_for_function <- function(x, otherwise = NULL) {
  if (is.character(x) && length(x) == 1L) sprintf("without quotes it is the function itself, or match.fun(%s)", describe_value(x))
  else if (inherits(x, "formula")) "write function(x) ... for ~ ..."
  else otherwise
}

# The beginning of strings, of any bytes.
cut_text <- function(x, n = 60L) {
  Encoding(x)[!validEnc(x)] <- "bytes"
  substr(x, 1L, n)
}

# sub() in text of any bytes, which need not be valid in its encoding, and keeps it.
sub_bytes <- function(pattern, replacement, x, fixed = FALSE) {
  if (!length(x)) return(character())
  encoding <- Encoding(x)
  x <- sub(pattern, replacement, x, fixed = fixed, useBytes = TRUE)
  Encoding(x) <- encoding
  x
}

# The numbers that texts of any bytes say, NA for those that say none: as.numeric() fails where text is not valid in its encoding.
number_in <- function(x) {
  x[!validEnc(x)] <- NA
  suppressWarnings(as.numeric(trimws(x)))
}

#' All conditions of the package, by class
#'
#' Every error of the package has class `sharedmem_error`, every warning `sharedmem_warning` and every message `sharedmem_message`, and a
#' class of its own below that. So `tryCatch(expr, sharedmem_memory_error = function(e) e$asked)` catches what you mean and nothing else.
#' What is raised inside a worker arrives as a [WorkerException] with the condition as its `reason`:
#' `tryCatch(expr, WorkerException = function(e) if (inherits(e$reason, "sharedmem_lock_error")) ...)`.
#'
#' @section Errors:
#' - `sharedmem_error` (fields `message`, `call`): the class of all of them.
#' - `WorkerException`, also `SlaveException` (fields `reason`, `traceback`, `item`, `label`, `rank`, `pid`): maps, regions and
#'   background calls in which a worker fails, dies or is killed; see [WorkerException].
#' - `StopProcessGroup`: you, inside the function of a map, to end it early.
#' - `sharedmem_argument_error` (fields `arg`, `got`, `expected`): any function: an argument it cannot use.
#' - `sharedmem_index_error` (fields `position`, `index`, `extent`, `axis`): `x[i]`, `x[i] <- v`, [shared_view()], [atomic_add()]: a
#'   subscript out of bounds.
#' - `sharedmem_value_error` (fields `position`, `value`, `dtype`): `x[i] <- v` and others: a value that the dtype cannot hold, an array
#'   that is read-only.
#' - `sharedmem_elements_error`: C code, `for`, `if`: asks for the elements as of an ordinary vector.
#' - `sharedmem_unattached_error`: any use of a handle whose memory is gone, or is on another machine.
#' - `sharedmem_memory_error` (fields `asked`, `available`): [empty()], [copy()], results of a map: memory, address space or descriptors
#'   that cannot be had.
#' - `sharedmem_file_error` (field `path`): [memmap()], [fromfile()], [tofile()], [read_npy()], [write_npy()], [write_trace()]; any use
#'   of a mapped file that has become shorter.
#' - `sharedmem_path_error`: [shared_path()]: no other program can find this memory.
#' - `sharedmem_lock_error`: [critical], `ordered`, [Lock()]: entered twice, outside of `func`, or held by a process that waits for this
#'   one.
#' - `sharedmem_region_error`: [Parallel()]: processes that do not meet the same loops and barriers, a region used outside of its braces.
#' - `sharedmem_timeout_error` (fields `timeout`, `pid`): `bg$wait(timeout)` of [background()]; as the `reason` of a [WorkerException]
#'   where an item took too long.
#' - `sharedmem_fork_error`: maps, regions and clusters: the system starts no process.
#' - `sharedmem_server_error`: [fork_server()]: the server cannot be started, or cannot be sent what the work needs.
#' - `sharedmem_refused_error` (field `name`): a variable of the session that cannot go to a worker of the fork server (a connection, a
#'   graphics device, an external pointer): raised where it is touched.
#' - `sharedmem_cluster_error`: [make_shared_cluster()]: a cluster that was stopped, or all of whose nodes have died.
#' - `sharedmem_task_error` (fields `item`, `reason`, `exception`): `foreach() %dopar%` with `.errorhandling = "stop"`.
#' - `sharedmem_package_error` (fields `package`, `needed`, `installed`): functions that need a package which is not installed, or is too
#'   old.
#' - `sharedmem_misuse_error` (field `method`, of a method that is not there): a pool that is closed or assigned to, a trace that was not
#'   recorded, a background process that another process started.
#' - `sharedmem_rng_error`: a `.Random.seed` that is no generator's state.
#' - `sharedmem_channel_error`, `sharedmem_kernel_error`: what should not happen: results damaged on their way, a thread that cannot be
#'   started.
#'
#' @section Warnings:
#' - `sharedmem_warning` (fields `message`, `call`): the class of all of them.
#' - `LostExceptionType`: a condition of a worker that cannot be serialized: its message is kept, its class is lost.
#' - `sharedmem_lost_warning` (fields `errors`, `lost`): [mclapply()], [mccollect()]: items that failed.
#' - `sharedmem_value_warning` (field `name` of a variable): [cpu_count()]: a setting that is no number; `i8` values past 2^53 read as
#'   double.
#' - `sharedmem_file_warning` (fields `path`, `links`): [tofile()], [write_npy()]: the file had more hard links, or is mapped.
#' - `sharedmem_fork_warning`: the session cannot be forked, and there is no fork server either: the work runs in the session.
#'
#' @section Messages:
#' - `sharedmem_message` (fields `message`, `call`): the class of all of them.
#' - `sharedmem_copy_message` (field `package`): a package whose assignments work on copies; see [set_shared()].
#' - `sharedmem_cluster_message` (field `nbytes`): what a map sends to each daemon of [ClusterBackend()] is large.
#' - `sharedmem_cores_message`: [cpu_count()]: `OMP_NUM_THREADS=1` hides what the scheduler gives.
#' - `sharedmem_server_message`: workers are forked by the session's [fork_server()] from here on.
#'
#' Warnings and messages of your own code in workers keep their classes.
#'
#' @seealso [WorkerException], [last_error()]
#' @examples
#' tryCatch(empty(3)[4], sharedmem_index_error = function(e) e$extent)
#' pool <- MapReduce(np = 2)
#' tryCatch(pool$map(function(path) stop("cannot read it"), c("a.csv", "b.csv")),
#'          WorkerException = function(e) e$label)
#' @name sharedmem_error
#' @aliases sharedmem_warning sharedmem_message sharedmem_argument_error sharedmem_index_error sharedmem_value_error
#'   sharedmem_elements_error sharedmem_unattached_error sharedmem_memory_error sharedmem_file_error sharedmem_path_error
#'   sharedmem_lock_error sharedmem_region_error sharedmem_timeout_error sharedmem_fork_error sharedmem_cluster_error
#'   sharedmem_cluster_message
#'   sharedmem_task_error sharedmem_package_error sharedmem_misuse_error sharedmem_rng_error sharedmem_channel_error
#'   sharedmem_kernel_error sharedmem_lost_warning sharedmem_value_warning sharedmem_file_warning sharedmem_fork_warning
#'   sharedmem_copy_message sharedmem_cores_message sharedmem_server_error sharedmem_server_message
#'   sharedmem_refused_error
NULL

#' What goes wrong in a worker
#'
#' A map, a region or a background call in which a worker fails raises a condition of class `WorkerException` (also
#' `SlaveException`, its name in the older Python line). It has these fields:
#'
#' - `reason`: the condition as it was raised in the worker, its class kept; for a worker that died, a
#'   `simpleError` that says how.
#' - `traceback`: character, the calls in the worker that led to it, outermost first.
#' - `item`: the number of the item in `sequence`, 1-based; `NA` if the worker was at none.
#' - `label`: the item itself: its name, and its value where that is a single string or number other than `item`; else `NA`.
#' - `rank`, `pid`: the worker's rank (0 ... np-1) and process id.
#'
#' Where the original condition cannot be serialized, `reason` is a `simpleError` with its message, and a
#' warning of class `LostExceptionType` is given.
#'
#' `stop(StopProcessGroup())` inside `func` ends a map early and quietly; see [map].
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
#' @param item,rank,pid Whole numbers, or `NA`.
#' @param label Character: the item's name and value, or `NA`.
#' @export
WorkerException <- function(reason, traceback = character(), item = NA_integer_, rank = NA_integer_,
                            pid = NA_integer_, message = worker_message(reason, item, rank, pid, label), label = NA_character_) {
  structure(class = c("WorkerException", "SlaveException", "sharedmem_error", "error", "condition"),
            list(message = message, call = NULL, reason = reason, traceback = traceback,
                 item = item, rank = rank, pid = pid, label = label))
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

# What stop("text") makes: nobody's methods are asked of it, where failures come by the thousand.
is_plain_error <- function(cond) identical(class(cond), c("simpleError", "error", "condition")) && is.list(cond)

# The message of a condition, also where the class has a broken conditionMessage().
message_of <- function(cond) {
  text <- if (is_plain_error(cond)) cond$message else tryCatch(conditionMessage(cond), error = function(e) NULL)
  if (is.character(text) && length(text) == 1L && !is.na(text)) text
  else if (is.character(text) && length(text) > 1L) paste(text, collapse = "\n")
  else sprintf("a condition of class <%s> without a message", paste(class(cond), collapse = "/"))
}

# "item 3 (name = value)"
item_text <- function(item, label = NA_character_) paste0(sprintf("item %.0f", item), if (!is.na(label)) sprintf(" (%s)", label))

at_item <- function(item, label = NA_character_) if (is.na(item)) "" else paste(" at", item_text(item, label))

# What an item is to the user: its name, and its value where that is a single string or number, and not its place in the
# sequence. A method of the user's for `[[` may do anything, so it is not called again.
item_label <- function(sequence, names, item) {
  if (is.null(names) && is.integer(sequence) && !is.object(sequence) && identical(sequence[[item]], as.integer(item)))
    return(NA_character_)
  known <- is_shared(sequence) || (is.atomic(sequence) || is.list(sequence)) &&
    (!is.object(sequence) || inherits(sequence, c("data.frame", "factor", "Date", "POSIXct")))
  single <- function(x) if (length(x) == 1L && is.atomic(x)) x
  value <- if (known) tryCatch(single(sequence[[item]]), error = function(e) NULL) # an error also for the empty symbol of formals(f)
  value <- if (is.null(value)) NULL
           else if (is.character(value)) encodeString(cut_text(value, 120L), quote = "\"")
           else if (is.object(value) || !identical(as.double(value), as.double(item))) format(value, digits = 15)
  name <- if (!is.null(names) && !names[item] %in% c(NA, "", item)) cut_text(names[item])
  if (length(name) && Encoding(name) == "bytes") name <- encodeString(name) # which can be pasted to text
  label <- paste(c(name, value), collapse = " = ")
  if (nzchar(label)) label else NA_character_
}

worker_message <- function(reason, item, rank, pid, label = NA_character_) {
  call <- if (is_plain_error(reason)) reason$call else tryCatch(conditionCall(reason), error = function(e) NULL)
  sprintf("%s\n(worker %d, pid %d%s%s)", message_of(reason), rank, pid, at_item(item, label),
          if (is.null(call) || !is.name(call[[1L]])) "" else paste0(", in ", deparse(call, nlines = 1L, width.cutoff = 60L)[1L]))
}

#' @export
print.WorkerException <- function(x, ...) {
  cat(sprintf("<WorkerException: worker %d, pid %d%s>\n", x$rank, x$pid, at_item(x$item, x$label)))
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

# How a process ended, from its wait status (-1: not known), and where it was.
describe_status <- function(status, where = "") {
  if (status < 0L) return(paste0("ended in an unknown way", where))
  if (!is.null(code <- exit_code(status))) return(sprintf("ended with exit status %d%s", code, where))
  signal <- bitwAnd(status, 127L)
  paste0(sprintf("was killed by signal %d (%s)", signal, signal_name(signal)), where,
         if (signal == constants$signal[["SIGKILL"]]) paste0("; the system may have run out of memory", describe_cpu_limit()))
}

describe_quit <- function(status)
  paste0("called q() or ended R in another way", if (!is.null(code <- exit_code(status))) sprintf(" (exit status %d)", code))

# That in a wait status; NULL for a process that a signal ended, or of which nothing is known.
exit_code <- function(status) if (status >= 0L && bitwAnd(status, 127L) == 0L) bitwAnd(bitwShiftR(status, 8L), 255L)

# The kernel kills a process at its hard limit of processor time; workers inherit the session's.
describe_cpu_limit <- function(limits = read_file("/proc/self/limits")) {
  hard <- sub("^Max cpu time +[^ ]+ +([^ ]+) .*", "\\1", grep("^Max cpu time", limits, value = TRUE))
  if (length(hard) && grepl("^[0-9]+$", hard)) sprintf(", or the worker has reached its limit of %s s of processor time (ulimit -t)", hard)
}

# how: text, or a wait status.
worker_death <- function(how, item, rank, pid, label = NA_character_) {
  where <- if (is.na(item)) "" else paste(" while it worked on", item_text(item, label))
  text <- sprintf("worker %d (pid %d) %s", rank, pid, if (is.character(how)) paste0(how, where) else describe_status(how, where))
  WorkerException(simpleError(text), character(), item, rank, pid, message = text, label = label)
}
