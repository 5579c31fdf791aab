# Conditions on their way from a member (a worker, a background process, a rank of a region) to the owner's caller.

# Most warnings and messages of a team that are relayed.
relay_limit <- c(50, 1000)

# ---- in a member ----

# What its default handling would show goes to the owner by `send(value)`; past the limit `suppress(kind)` counts it. kind: 1 for a
# warning, 2 for a message.
relay_condition <- function(cond, kind, send, suppress) {
  if (kind == 1L && isTRUE(getOption("warn") >= 2)) return() # about to become an error, here
  restart <- c("muffleWarning", "muffleMessage")[kind]
  for (r in computeRestarts(cond)) if (identical(r$name, restart)) {
    the$worker$relayed[kind] <- the$worker$relayed[kind] + 1
    if (the$worker$relayed[kind] > relay_limit[kind]) suppress(kind)
    else tryCatch(send(cond), error = function(e) send(list(simpleWarning, simpleMessage)[[kind]](message_of(cond))))
    invokeRestart(r)
  }
}

# Steps of progressr's go to the owner at once, where its handlers are; the member has inherited them, for nothing.
relay_progression <- function(cond, send) {
  relay_now(cond, send)
  for (r in computeRestarts(cond)) if (identical(r$name, "muffleProgression")) invokeRestart(r)
}

# A condition that cannot be serialized is lost.
relay_now <- function(cond, send) tryCatch(send(cond), error = function(e) NULL)

# The failure goes to the owner by `send(value)`, with its message alone where the condition cannot be serialized.
report_failure <- function(send, e, traceback) {
  tryCatch(send(list(reason = e, traceback = traceback, lost = FALSE)),
           error = function(e2) send(list(reason = simpleError(message_of(e)), traceback = traceback, lost = TRUE)))
}

# The error behind a jump to top level, as far as R's last error message tells; before: what that was at the fork.
jump_reason <- function(before) {
  last <- geterrmessage()
  text <- sub_bytes("\n+$", "", sub_bytes("^Error[^:]*: ", "", last))
  simpleError(if (identical(last, before) || !nzchar(text)) "it jumped to top level" else text)
}

# Of those that raise, the last calls before the handler.
own_frames <- c(".handleSimpleError", "stop", "abort_class", "abort_argument", "abort_argument_value", "abort_index", "abort_value")

# The calls between the item's call and the handler that asks, as text; without our own frames.
# That is the last call `after`, or the one so many frames behind it.
calls_of_item <- function(calls, last, after = quote(func(item, ...)), behind = 0L) {
  is_item <- vapply(calls[seq_len(last)], function(cl) base::identical(cl, after), NA)
  from <- if (any(is_item)) min(max(which(is_item)) + behind, last) else 1L
  ours <- function(cl) identical(cl, quote(h(simpleError(msg, call)))) ||
    is.name(cl[[1L]]) && as.character(cl[[1L]]) %in% own_frames
  while (last > from && ours(calls[[last]])) last <- last - 1L
  if (identical(calls[[last]][[1L]], quote(raise_failure))) last <- last_map(calls, from, last)
  calls <- calls[seq.int(from, last)]
  if (length(calls) > 60L) calls <- c(calls[1:30], list(quote(...)), calls[(length(calls) - 28L):length(calls)])
  vapply(calls, function(cl) deparse(cl, nlines = 1L, width.cutoff = 80L)[1L], "")
}

# The last call of a pool's map(), whose failure is raised: what follows is how the map came to that.
last_map <- function(calls, from, last) {
  inside <- function(cl) identical(cl[[1L]], quote(eval)) && "pool_map" %in% all.names(cl)
  at <- last
  while (at > from && !inside(calls[[at]])) at <- at - 1L
  while (at > from && inside(calls[[at]])) at <- at - 1L
  if (at > from) at else last
}

# Where a stack is full R calls exiting handlers alone, so handler(e) runs when the frames of expr have been left.
catch_overflow <- function(expr, handler) tryCatch(expr, stackOverflowError = handler)

# ---- in the owner ----

# give(cond) raises a member's condition here, up to the limit; end(suppressed) says how many were not, those that the members
# have counted included.
new_relay <- function(hide = function() NULL) {
  relayed <- suppressed <- c(0, 0)
  give <- function(cond) {
    if (is_immediate(cond)) return(signal_immediate(cond))
    hide()
    kind <- if (inherits(cond, "message")) 2L else 1L
    relayed[kind] <<- relayed[kind] + 1
    if (relayed[kind] > relay_limit[kind]) suppressed[kind] <<- suppressed[kind] + 1
    else if (kind == 2L) message(cond)
    else warning(cond)
  }
  end <- function(more) {
    n <- suppressed + more
    if (n[1L] > 0) warning(sprintf("and %.0f more warnings from workers", n[1L]), call. = FALSE)
    if (n[2L] > 0) message(sprintf("and %.0f more messages from workers", n[2L]))
  }
  list(give = give, end = end)
}

# Conditions that are given on the way to a failure: one that becomes an error here (`warn = 2`) does not take its place.
beside_failure <- function(expr) tryCatch(expr, error = function(e) NULL)

# Conditions that package future names so do not wait for items before theirs, and are not counted.
is_immediate <- function(cond) inherits(cond, "immediateCondition")

# One that is neither a warning nor a message need not be handled.
signal_immediate <- function(cond) {
  if (inherits(cond, "message")) message(cond)
  else if (inherits(cond, "warning")) warning(cond)
  else withRestarts(signalCondition(cond), muffleProgression = function(...) NULL)
}

# The exception that a frame, or the end of a process, means for its owner. label: of an item, as item_label() gives it.
failure_from <- function(frame, timeout = Inf, label = function(item) NA_character_) {
  value <- frame$value
  death <- function(how) worker_death(how, frame$item, frame$rank, frame$pid, label(frame$item))
  switch(frame$type,
    error = exception_from(value, frame, label),
    quit = death(describe_quit(value)),
    timeout = worker_timeout(timeout, frame$item, frame$rank, frame$pid, label(frame$item)),
    orphaned = worker_death(paste0(describe_status(value$status), ", and no fresh worker could be started (", value$why, ")"),
                            value$item, frame$rank, value$pid, label(value$item)),
    death = death(value))
}

# The exception says where its worker ran, if that was elsewhere.
on_host <- function(e, host) {
  if (is.null(host)) return(e)
  e$message <- sub_bytes("(pid [0-9]+)", paste0("\\1 on ", host), e$message)
  e$host <- host
  e
}

exception_from <- function(value, frame, label) {
  text <- label(frame$item)
  if (is.null(value)) return(worker_death("left the item by a jump to top level", frame$item, frame$rank, frame$pid, text))
  if (value$lost) warning(LostExceptionType())
  WorkerException(value$reason, value$traceback, frame$item, frame$rank, frame$pid, label = text)
}

worker_timeout <- function(seconds, item, rank, pid, label) {
  text <- sprintf("%s took longer than %s seconds", item_text(item, label), format(seconds))
  if (pid != Sys.getpid()) text <- sprintf("%s; worker %d (pid %d) was killed", text, rank, pid)
  reason <- structure(class = c("sharedmem_timeout_error", "sharedmem_error", "error", "condition"),
                      list(message = text, call = NULL, timeout = seconds))
  WorkerException(reason, character(), item, rank, pid, message = text, label = label)
}
