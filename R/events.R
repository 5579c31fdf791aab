# The function that the owner's loop of a map calls for everything but results: with a frame, a named list (r_team_frame()), and
# `below`, all of whose items are done. An exception that it gives ends the map, unless it is to be collected. Conditions
# wait until all items before theirs are done; it gives the number that wait. label: of an item, in failures; NULL where the one
# item is no item to the caller.
map_events <- function(collect, timeout = Inf, progress = progress_off, label = NULL) {
  waiting <- list()
  failed <- FALSE
  relay <- new_relay(progress$hide)
  release <- function(below) {
    items <- vapply(waiting, `[[`, 0, "item")
    ready <- waiting[items <= below + 1]
    waiting <<- waiting[items > below + 1]
    for (w in ready[order(items[items <= below + 1])]) relay$give(w$value)
    length(waiting)
  }
  hold <- function(frame, below) {
    if (is_immediate(frame$value) || is.na(frame$item) || frame$item <= below + 1) relay$give(frame$value)
    else waiting[[length(waiting) + 1L]] <<- frame
    length(waiting)
  }
  end <- function(frame, below) {
    release(below)
    relay$end(frame$value)
  }
  function(frame, below) {
    switch(frame$type,
      progress = return(progress$tick(frame$value)),
      condition = return(hold(frame, below)),
      release = return(release(below)),
      end = {
        if (failed) beside_failure(end(frame, below)) else end(frame, below)
        return(0)
      })
    if (is.null(label)) frame$item <- NA_integer_
    e <- if (is.null(label)) failure_from(frame, timeout) else failure_from(frame, timeout, label)
    if (collect && !is.na(frame$item)) return(structure(list(e), class = "sharedmem_collected"))
    failed <<- TRUE
    e
  }
}
