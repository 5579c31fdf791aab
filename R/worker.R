# What runs in a forked worker, at the R level.

# The error of an item: what worker_failed() will need, once the stack has been left so that the item's on.exit()
# code runs. overflow: it has been left already.
worker_error <- function(e, collect, overflow = FALSE) {
  if (!collect || inherits(e, "StopProcessGroup")) .Call(ffi_worker_stop_all)
  n <- sys.nframe()
  traceback <- if (overflow) character()
               else tryCatch(calls_of_item(sys.calls(), n - 2L, quote(worker_items(frame, sequence, collect)), 2L),
                             error = function(e) character())
  if (.Call(ffi_worker_returned)) list(unsendable(e), character()) else list(e, traceback)
}

# Publish it, then end (or go on with the next item).
worker_failed <- function(e, traceback, collect) {
  if (inherits(e, "StopProcessGroup")) {
    .Call(ffi_worker_send, constants$frame[["stopped"]], NULL, NULL, TRUE)
    .Call(ffi_worker_end)
  }
  report_failure(send_failure, e, traceback)
  if (!collect) .Call(ffi_worker_end)
}

send_failure <- function(value, item = NULL) .Call(ffi_worker_send, constants$frame[["error"]], value, item, TRUE)
send_condition <- function(cond) .Call(ffi_worker_send, constants$frame[["condition"]], cond, NULL, FALSE)
suppress_condition <- function(kind) .Call(ffi_worker_suppress, kind - 1L)

unsendable <- function(e) simpleError(paste0("the result cannot be sent to the session: ", message_of(e)))

# Called from C: the result of an item (0-based here) in a batch could not be serialized.
worker_unsendable <- function(e, item) {
  report_failure(function(value) send_failure(value, item), unsendable(e), character())
  if (!isTRUE(the$worker$collect)) {
    .Call(ffi_worker_stop_all)
    .Call(ffi_worker_end)
  }
}

# Called from C after a jump to top level: what R says of it is all there is.
worker_jumped <- function() {
  if (!isTRUE(the$worker$collect)) .Call(ffi_worker_stop_all)
  e <- jump_reason(the$worker$message_before)
  report_failure(send_failure, if (.Call(ffi_worker_returned)) unsendable(e) else e, character())
}

# The loop of a worker. `item` is set by C before each call of `func(item, ...)`. Handlers are established once for all items. To
# abandon an item, the handler forces the promise `leave`, whose value is `return(failed)` in worker_items(): that unwinds the
# item's frames (its on.exit() runs). A promise runs once, so each error makes a new one: on the way out on.exit() code may
# raise another.
worker_loop <- function(func, sequence, collect, ...) {
  frame <- environment()
  repeat {
    failed <- catch_overflow(worker_items(frame, sequence, collect), function(e) worker_error(e, collect, TRUE))
    if (isTRUE(failed)) break
    if (!is.null(failed)) worker_failed(failed[[1L]], failed[[2L]], collect)
  }
}

worker_items <- function(frame, sequence, collect) {
  failed <- leave <- NULL
  here <- environment()
  withCallingHandlers({
    .Call(ffi_worker_loop, frame, sequence)
    TRUE
  }, error = function(e) {
    failed <<- worker_error(e, collect)
    delayedAssign("leave", return(failed), here)
    leave
  }, warning = function(w) relay_condition(w, 1L, send_condition, suppress_condition),
  message = function(m) relay_condition(m, 2L, send_condition, suppress_condition),
  progression = function(p) relay_progression(p, send_condition))
}

# What the members of a team are told. Built before the fork, so that members share its pages instead of each allocating their own.
worker_plan <- function(budget, collect, seed, threads = 1L) {
  the$worker$message_before <- geterrmessage()
  if (!is.null(threads)) .Call(ffi_threads_find)
  list(budget = budget, collect = collect, seed = seed, seed_binding = seed_binding,
       parallel_state = parallel_state(), parallel_binding = parallel_binding, threads = threads,
       quit_function = quit_worker,
       on_error = quote({ options(error = quote(invisible(NULL))); setTimeLimit() }), relayed = c(0, 0), background = list(),
       devices = device_files(), sinks = sink.number() > 0L || sink.number(type = "message") != 2L)
}

# q() in a worker: before R comes to the hook that ends a worker it would call the session's `.Last()`, and save the
# worker's workspace over the session's.
quit_worker <- function(save = "default", status = 0, runLast = TRUE) {
  .Call(ffi_team_quit, suppressWarnings(as.integer(status)))
  the$worker$quit("no", status, FALSE)
}

# First thing in every worker.
worker_setup <- function(plan) {
  .Call(ffi_worker_setup, the, plan)
  if (plan$sinks) drop_sinks()
  if (length(plan$devices)) .Call(ffi_output_silence, plan$devices)
  if (length(plan$globals)) list2env(plan$globals, globalenv())
}

# Files that graphics devices of the session write to. Drawing in a worker, or closing a device, must not reach them.
device_files <- function() {
  devices <- get0(".Devices", envir = baseenv(), inherits = FALSE)
  if (length(devices) < 2L) return(character()) # the first stands for none
  files <- unlist(lapply(devices, attr, "filepath"))
  pages <- grepl("%", files, fixed = TRUE, useBytes = TRUE)
  path.expand(as.character(c(files[!pages], Sys.glob(sub_bytes("%[-+ 0-9]*[diu]", "*", files[pages])))))
}

# Sinks of the session are the session's: what is printed here goes to this process's stdout.
drop_sinks <- function() {
  while (sink.number() > 0L) sink()
  if (sink.number(type = "message") != 2L) sink(type = "message")
}
