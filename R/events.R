# The function that the master's loop calls for everything but results. An exception that it gives ends the map,
# unless it is to be collected. Conditions wait until all items before theirs are done (`low` of them);
# it gives the number that wait.
map_events <- function(collect, timeout = Inf, progress = progress_off) {
  waiting <- list()
  told <- c(0, 0)
  unsaid <- c(0, 0)
  tell <- function(cond) {
    progress$hide()
    kind <- if (inherits(cond, "message")) 2L else 1L
    told[kind] <<- told[kind] + 1
    if (told[kind] > relay_limit[kind]) unsaid[kind] <<- unsaid[kind] + 1
    else if (kind == 2L) message(cond)
    else warning(cond)
  }
  tell_ready <- function(low) {
    items <- vapply(waiting, `[[`, 0, 1L)
    ready <- waiting[items <= low + 1]
    waiting <<- waiting[items > low + 1]
    for (w in ready[order(items[items <= low + 1])]) tell(w[[2L]])
    length(waiting)
  }
  hold <- function(item, cond, low) {
    if (inherits(cond, "immediateCondition")) tell_now(cond)
    else if (is.na(item) || item <= low + 1) tell(cond)
    else waiting[[length(waiting) + 1L]] <<- list(item, cond)
    length(waiting)
  }
  function(kind, value, item, rank, pid, low) {
    switch(kind,
      progress = return(progress$tick(value)),
      condition = return(hold(item, value, low)),
      release = return(tell_ready(low)),
      end = {
        tell_ready(low)
        return(tell_unsaid(unsaid + value))
      })
    e <- switch(kind,
      error = exception_from(value, item, rank, pid),
      quit = worker_death("called q() or ended R in another way", item, rank, pid),
      timeout = worker_timeout(timeout, item, rank, pid),
      orphaned = return(worker_orphaned(value, rank)),
      death = worker_death(describe_status(value), item, rank, pid))
    if (collect && !is.na(item)) structure(list(e), class = "sharedmem_collected") else e
  }
}

# What is neither warning nor message is signalled, and nobody need handle it.
tell_now <- function(cond) {
  if (inherits(cond, "message")) message(cond)
  else if (inherits(cond, "warning")) warning(cond)
  else withRestarts(signalCondition(cond), muffleProgression = function(...) NULL)
}

# Most warnings and messages of a map that are told.
relay_limit <- c(50, 1000)

tell_unsaid <- function(counts) {
  if (counts[1L] > 0) warning(sprintf("and %.0f more warnings from workers", counts[1L]), call. = FALSE)
  if (counts[2L] > 0) message(sprintf("and %.0f more messages from workers", counts[2L]))
  0
}

exception_from <- function(payload, item, rank, pid) {
  if (is.null(payload)) return(worker_death("left the item by a jump to top level", item, rank, pid))
  if (payload[[3L]]) warning(LostExceptionType())
  WorkerException(payload[[1L]], payload[[2L]], item, rank, pid)
}

# death: its status, why nobody can take its place, its item and its pid. It ends the map even where failures are collected:
# the rest of the dead worker's items has nobody to run it.
worker_orphaned <- function(death, rank)
  worker_death(paste0(describe_status(death[[1L]]), ", and no fresh worker could be started (", death[[2L]], ")"),
               death[[3L]], rank, death[[4L]])

worker_timeout <- function(seconds, item, rank, pid) {
  text <- sprintf("item %.0f took longer than %s seconds; worker %d (pid %d) was killed", item, format(seconds), rank, pid)
  reason <- structure(class = c("sharedmem_timeout_error", "sharedmem_error", "error", "condition"),
                      list(message = text, call = NULL, timeout = seconds))
  WorkerException(reason, character(), item, rank, pid, message = text)
}
