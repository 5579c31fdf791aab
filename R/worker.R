# What runs in a forked worker, at the R level.

frame_error <- 2L
frame_stopped <- 3L
frame_condition <- 4L

# Of those that raise, the last calls before the handler.
own_frames <- c(".handleSimpleError", "stop", "abort_class", "abort_argument", "abort_argument_value", "abort_index", "abort_value")

# The calls between the item's call and the handler that asks, as text; without our own frames.
calls_of_item <- function(calls, last, item_call = quote(func(item, ...))) {
  is_item <- vapply(calls[seq_len(last)], function(cl) base::identical(cl, item_call), NA)
  from <- if (any(is_item)) max(which(is_item)) else 1L
  ours <- function(cl) identical(cl, quote(h(simpleError(msg, call)))) ||
    is.name(cl[[1L]]) && as.character(cl[[1L]]) %in% own_frames
  while (last > from && ours(calls[[last]])) last <- last - 1L
  calls <- calls[seq.int(from, last)]
  if (length(calls) > 60L) calls <- c(calls[1:30], list(quote(...)), calls[(length(calls) - 28L):length(calls)])
  vapply(calls, function(cl) deparse(cl, nlines = 1L, width.cutoff = 80L)[1L], "")
}

# The error of an item: what worker_failed() will need, once the stack has been left so that the item's on.exit()
# code runs. NULL if the error was raised while finished results were sent: C has then tried them one by one and
# reported those that cannot be.
worker_error <- function(e, collect) {
  if (.Call(ffi_worker_resend)) return()
  if (!collect || inherits(e, "StopProcessGroup")) .Call(ffi_worker_stop_all)
  n <- sys.nframe()
  traceback <- tryCatch(calls_of_item(sys.calls(), n - 2L), error = function(e) character())
  list(e, traceback)
}

# Publish it, then end (or go on with the next item).
worker_failed <- function(e, traceback, collect) {
  if (inherits(e, "StopProcessGroup")) {
    .Call(ffi_worker_send, frame_stopped, NULL, NULL, TRUE)
    .Call(ffi_worker_end)
  }
  worker_report(e, traceback, NULL)
  if (!collect) .Call(ffi_worker_end)
}

worker_report <- function(e, traceback, item) {
  tryCatch(.Call(ffi_worker_send, frame_error, list(e, traceback, FALSE), item, TRUE), error = function(e2) {
    plain <- simpleError(message_of(e))
    .Call(ffi_worker_send, frame_error, list(plain, traceback, TRUE), item, TRUE)
  })
}

# Called from C: the result of an item (0-based here) could not be serialized.
worker_unsendable <- function(e, item) {
  e <- simpleError(paste0("the result cannot be sent to the master: ", message_of(e)))
  worker_report(e, character(), item)
  if (!isTRUE(the$collect)) {
    .Call(ffi_worker_stop_all)
    .Call(ffi_worker_end)
  }
}

# Called from C after a jump to top level: what R says of it is all there is.
worker_jumped <- function() {
  .Call(ffi_worker_stop_all)
  .Call(ffi_worker_send, frame_error, list(jump_reason(the$message_before), character(), FALSE), NULL, TRUE)
  .Call(ffi_worker_end)
}

# The error behind a jump to top level, as far as R's last error message tells; before: what that was at the fork.
jump_reason <- function(before) {
  last <- geterrmessage()
  text <- sub("\n+$", "", sub("^Error[^:]*: ", "", last))
  simpleError(if (identical(last, before) || !nzchar(text)) "it jumped to top level" else text)
}

# Warnings and messages go to the master, if their default handling would show them; past the limit they are counted.
worker_relay <- function(cond, kind) {
  if (kind == 1L && isTRUE(getOption("warn") >= 2)) return() # about to become an error, here
  restart <- c("muffleWarning", "muffleMessage")[kind]
  for (r in computeRestarts(cond)) if (identical(r$name, restart)) {
    the$said[kind] <- the$said[kind] + 1
    if (the$said[kind] > relay_limit[kind]) .Call(ffi_worker_count, kind - 1L)
    else tryCatch(.Call(ffi_worker_send, frame_condition, cond, NULL, FALSE), error = function(e) {
      plain <- if (kind == 2L) simpleMessage(conditionMessage(cond)) else simpleWarning(conditionMessage(cond))
      .Call(ffi_worker_send, frame_condition, plain, NULL, FALSE)
    })
    invokeRestart(r)
  }
}

# The loop of a worker. `item` is set by C before each call of `func(item, ...)`. The handlers are set once, not
# once an item; `leave` returns from the frame of
# worker_items(), whatever lies above it; the loop then goes on. It is made anew for each error: on the way out on.exit()
# code may raise another.
worker_loop <- function(func, sequence, collect, ...) {
  frame <- environment()
  repeat {
    failed <- worker_items(frame, sequence, collect)
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
  }, warning = function(w) worker_relay(w, 1L), message = function(m) worker_relay(m, 2L))
}

# What the workers of a map are told. Made in the master: what a worker does not have to make costs it no fresh pages.
worker_plan <- function(budget, collect, options) {
  the$maps <- the$maps + 1
  the$message_before <- geterrmessage()
  if (!is.null(options$threads)) .Call(ffi_threads_find)
  base <- workers_folder(the$maps)
  list(budget = budget, collect = collect, seed = map_seed(options), seed_binding = seed_binding, threads = options$threads,
       tempdir_function = function(check = FALSE) {
         own <- file.path(base, Sys.getpid())
         if (!dir.exists(own)) dir.create(own, recursive = TRUE, showWarnings = FALSE)
         own
       },
       quit_function = quit_worker,
       on_error = quote(options(error = quote(invisible(NULL)))), said = c(0, 0), background = list(),
       devices = device_files(), sinks = sink.number() > 0L || sink.number(type = "message") != 2L, tempdir = base)
}

# q() in a worker: before R comes to the hook that ends a worker it would call the master's `.Last()`, and save the
# worker's workspace over the master's.
quit_worker <- function(save = "default", status = 0, runLast = TRUE) the$quit("no", status, FALSE)

# The folder of a map's temporary files, which is made when the first worker asks for one. What R code touches after a
# fork is copied page by page, so what stays the same is kept.
workers_folder <- function(map) {
  if (!identical(the$workers_of, c(tempdir(), Sys.getpid()))) {
    the$workers_of <- c(tempdir(), Sys.getpid())
    the$workers_prefix <- file.path(tempdir(), sprintf("workers-%d-", Sys.getpid()))
  }
  sprintf("%s%.0f", the$workers_prefix, map)
}

# First thing in every worker.
worker_setup <- function(plan) {
  .Call(ffi_worker_setup, the, plan)
  if (plan$sinks) drop_sinks()
  if (length(plan$devices)) .Call(ffi_output_silence, plan$devices)
  if (length(plan$globals)) list2env(plan$globals, globalenv())
}

# Files that graphics devices of the master write to. Drawing in a worker, or closing a device, must not reach them.
device_files <- function() {
  devices <- get0(".Devices", envir = baseenv(), inherits = FALSE)
  if (length(devices) < 2L) return(character()) # the first stands for none
  files <- unlist(lapply(devices, attr, "filepath"))
  pages <- grepl("%", files, fixed = TRUE)
  path.expand(as.character(c(files[!pages], Sys.glob(sub("%[-+ 0-9]*[diu]", "*", files[pages])))))
}

# Sinks of the master are the master's: what is printed here goes to this process's stdout.
drop_sinks <- function() {
  while (sink.number() > 0L) sink()
  if (sink.number(type = "message") != 2L) sink(type = "message")
}

# In the master, when the workers have ended.
unlink_worker_files <- function(plan) if (dir.exists(plan$tempdir)) unlink(plan$tempdir, recursive = TRUE)
