#' What the workers of a map did, and when
#'
#' `pool$trace` shows where the time of the last `pool$map()` went, for a pool made with `MapReduce(trace = TRUE)`:
#' when each item ran in which worker, and each wait for [critical] and ordered sections. `plot()` draws the time line,
#' `summary()` says where the time went and what limits the map, `as.data.frame()` gives the events, and
#' [write_trace()] writes them for a trace viewer.
#'
#' Workers write their events into shared memory of their own, some ten nanoseconds each besides two looks at the clock,
#' so a trace also shows what a worker did that was killed later. Each worker keeps about four events an item, and at most
#' 4 million are kept for the map; `options(sharedmem.trace_events = n)` keeps `n` a worker. What finds no room
#' is counted and summed up by kind, so the totals of `summary()` stay exact; `print()`, `summary()` and `plot()` say how many
#' events are missing.
#'
#' @section Kinds of events:
#' - `item`: `func` ran. Contains the sections entered and the collections made meanwhile.
#' - `wait_critical`, `hold_critical`, `wait_ordered`, `hold_ordered`: waiting for a section, and being in it.
#' - `serialize`: results on their way to the session; contains `wait_ring`: the session had not made room yet.
#' - `gc`: R's garbage collector, as [gc.time()] counts it (whole milliseconds).
#' - `startup`: from before the fork to the first request for an item. `dispatch`: getting the next items.
#' - `lost`: the item a worker was at when it died or the map was ended.
#'
#' @section Columns of the summary:
#' Seconds of each worker, in `$workers`: `busy` (in items, without waits), `lost` (in items that did not finish), `critical`, `ordered` and
#' `ring` (waits), `overhead` (startup, dispatch and serialization), `idle` (the rest of the map's time); they add up to the map's time.
#' Also: `items`,
#' `gc` (part of busy and overhead), `tail` (the part of idle after the worker's last event while others were still
#' at work), `cpu` (processor time of the worker), `starved` (time it could have run but no processor was free; Linux), `private_bytes`
#' (memory that it did not share with the session when it ended). Load balance is the largest busy time over the mean: 1 is perfect.
#'
#' @param x,object A trace, of class `sharedmem_trace`.
#' @param row.names,optional,... Unused.
#' @return `as.data.frame()`: a data frame with a row an event and columns `rank` (integer, 0 ... np-1), `kind` (factor), `item` (its
#'   number in the sequence, `NA` for none), `start` and `end` (seconds since the map's start), ordered by rank and start; and `name` where
#'   the sequence has names, `host` where the map ran on a [ClusterBackend()]. `summary()`: an object of class `summary.sharedmem_trace`, a
#'   list with `elapsed` (seconds), `np` (workers forked), `nitems`, `workers` (see below), `busy` (share of all workers' time), `balance`,
#'   `losses` (named seconds, over all workers), `limit` (name of what limits the map, `"nothing"` if workers were busy most of the time),
#'   `reason` (text with the numbers), `lost` (runs of items that did not finish), `dropped` (number of events not kept one by one). Before
#'   the first map, and without `trace = TRUE`, `pool$trace` is an object of class `sharedmem_no_trace`: printed it says why, and `plot()`,
#'   `summary()` and `as.data.frame()` of it are errors of class `sharedmem_misuse_error`.
#' @source No counterpart in the Python package.
#' @seealso [plot.sharedmem_trace()], [write_trace()], [MapReduce()]
#' @examples
#' pool <- MapReduce(np = 2, trace = TRUE)
#' r <- pool$map(function(i) { Sys.sleep(i / 200); pool$critical(i) }, 1:8)
#' pool$trace
#' summary(pool$trace)
#' head(as.data.frame(pool$trace))
#' @name sharedmem_trace
#' @aliases trace
NULL

# What pool$trace is before there is a trace. recorded: the pool's option.
no_trace <- function(recorded) structure(list(recorded = recorded), class = "sharedmem_no_trace")

no_trace_text <- function(x) {
  if (x$recorded) "no map has run in this pool yet: call pool$map() first"
  else "this pool records no trace: make it by MapReduce(trace = TRUE), and run a map"
}

abort_no_trace <- function(x) abort_class("sharedmem_misuse_error", no_trace_text(x))

#' @export
plot.sharedmem_no_trace <- function(x, ...) abort_no_trace(x)

#' @export
summary.sharedmem_no_trace <- function(object, ...) abort_no_trace(object)

#' @export
as.data.frame.sharedmem_no_trace <- function(x, ...) abort_no_trace(x)

#' @export
print.sharedmem_no_trace <- function(x, ...) {
  cat("<no trace: ", no_trace_text(x), ">\n", sep = "")
  invisible(x)
}

# raw: what ffi_trace_read() gives. names: of the sequence, or NULL.
new_trace <- function(raw, nitems, names = NULL, begin = Sys.time() - raw$elapsed) {
  e <- raw$events
  e$kind <- structure(e$kind, levels = trace_kinds, class = "factor")
  if (nitems <= .Machine$integer.max) e$item <- as.integer(e$item)
  by <- order(e$rank, e$start, -e$end, method = "radix")
  events <- structure(lapply(e, `[`, by), class = "data.frame", row.names = .set_row_names(length(by)))
  dropped <- lapply(raw$dropped, function(m) { colnames(m) <- trace_kinds; m })
  structure(class = "sharedmem_trace", list(
    events = events, np = length(raw$private_bytes), nitems = nitems, elapsed = raw$elapsed, begin = begin,
    private_bytes = raw$private_bytes, cpu = raw$cpu, starved = raw$starved, dropped = dropped, names = names))
}

# The trace of a map that has ended, however it ended.
read_trace <- function(map, n, names) {
  raw <- .Call(ffi_trace_read, map)
  if (!is.null(raw)) new_trace(raw, n, names = names)
}

# Of a map without items, which has run nowhere.
empty_trace <- function(names) {
  map <- .Call(ffi_map_new, 0L, 1, NULL, NA_integer_, Inf, constants$output[["inherit"]])
  on.exit(.Call(ffi_map_end, map))
  .Call(ffi_trace_open, map, 1L, 1)
  read_trace(map, 0, names)
}

trace_title <- function(trace) sprintf("map of %s on %s", count_of(trace$nitems, "item"), count_of(trace$np, "worker"))

events_dropped <- function(trace) sum(trace$dropped$n)

#' @rdname sharedmem_trace
#' @export
as.data.frame.sharedmem_trace <- function(x, row.names = NULL, optional = FALSE, ...) {
  out <- x$events
  if (!is.null(x$names)) out$name <- x$names[out$item]
  if (!is.null(x$hosts)) out$host <- x$hosts[out$rank + 1L]
  out
}

#' @rdname sharedmem_trace
#' @export
print.sharedmem_trace <- function(x, ...) {
  s <- summary(x)
  cat(sprintf("<trace of a map: %s on %s, %s, busy %s>\n", count_of(x$nitems, "item"), count_of(x$np, "worker"),
              format_seconds(x$elapsed), format_percent(s$busy)))
  cat(count_of(nrow(x$events), "event"), if (s$dropped) sprintf(", %s more only summed up", count_of(s$dropped)),
      "; plot(), summary(), as.data.frame(), write_trace()\n", sep = "")
  invisible(x)
}

# Seconds by rank and kind: np x kinds; what was dropped included.
trace_totals <- function(trace) {
  e <- trace$events
  cell <- e$rank + 1 + trace$np * (as.integer(e$kind) - 1)
  total <- n <- numeric(trace$np * length(trace_kinds))
  ok <- !is.na(cell)
  if (any(ok)) {
    n <- tabulate(cell[ok], length(n))
    total[unique(cell[ok])] <- rowsum(e$end[ok] - e$start[ok], cell[ok], reorder = FALSE)
  }
  shape <- function(v) matrix(v, trace$np, dimnames = list(NULL, trace_kinds))
  list(n = shape(n) + trace$dropped$n, total = shape(total) + trace$dropped$total)
}

# When each rank did its last thing.
last_ends <- function(trace) {
  e <- trace$events
  last <- rep(0, trace$np)
  if (nrow(e)) {
    top <- tapply(e$end, factor(e$rank, seq_len(trace$np) - 1L), max)
    last <- ifelse(is.na(top), 0, top)
  }
  dropped <- apply(trace$dropped$last, 1L, function(v) max(0, v, na.rm = TRUE))
  pmin(pmax(last, dropped), trace$elapsed)
}

# When each rank did its first thing.
first_starts <- function(trace) {
  e <- trace$events
  first <- if (nrow(e)) tapply(e$start, factor(e$rank, seq_len(trace$np) - 1L), min) else rep(NA, trace$np)
  ifelse(is.na(first), 0, first)
}

worker_times <- function(trace) {
  sums <- trace_totals(trace)
  t <- sums$total
  last <- last_ends(trace)
  critical <- t[, "wait_critical"]
  ordered <- t[, "wait_ordered"]
  serialize <- pmax(t[, "serialize"] - t[, "wait_ring"], 0)
  ring <- t[, "wait_ring"]
  overhead <- t[, "startup"] + t[, "dispatch"] + serialize
  lost <- t[, "lost"]
  busy <- pmax(t[, "item"] - critical - ordered, 0)
  idle <- pmax(trace$elapsed - busy - lost - critical - ordered - ring - overhead, 0)
  data.frame(rank = seq_len(trace$np) - 1L, items = sums$n[, "item"], busy, lost, critical, ordered, ring, overhead, idle,
             tail = pmin(idle, max(last) - last), gc = t[, "gc"], startup = t[, "startup"], dispatch = t[, "dispatch"],
             serialize, cpu = trace$cpu, starved = trace$starved, private_bytes = trace$private_bytes)
}

longest_item <- function(trace) {
  e <- trace$events
  items <- e[e$kind %in% "item", ]
  took <- items$end - items$start
  kept <- if (nrow(items)) max(took) else 0
  dropped <- max(trace$dropped$max[, "item"])
  if (dropped > kept) return(list(seconds = dropped, item = NA))
  list(seconds = kept, item = if (nrow(items)) items$item[which.max(took)] else NA)
}

#' @rdname sharedmem_trace
#' @export
summary.sharedmem_trace <- function(object, ...) {
  w <- worker_times(object)
  room <- object$elapsed * object$np
  last <- last_ends(object)
  sums <- trace_totals(object)
  losses <- c(lost = sum(w$lost), critical = sum(w$critical), ordered = sum(w$ordered), tail = sum(w$tail), dispatch = 0,
              startup = sum(w$startup), serialization = sum(w$serialize), ring = sum(w$ring), collection = sum(w$gc),
              processor = sum(w$starved, na.rm = TRUE),
              session = max(0, object$elapsed - max(last)) * object$np)
  # idle is: not yet forked, between items, nothing left to do, and the session's own time at the end
  unborn <- sum(pmin(first_starts(object), w$idle))
  losses["startup"] <- losses[["startup"]] + unborn
  losses["dispatch"] <- sum(w$dispatch) + max(0, sum(w$idle) - unborn - losses[["tail"]] - losses[["session"]])
  s <- list(elapsed = object$elapsed, np = object$np, nitems = object$nitems, lost = sum(sums$n[, "lost"]), workers = w,
            busy = if (room > 0) sum(w$busy) / room else 0,
            balance = if (sum(w$busy) > 0) max(w$busy) / mean(w$busy) else 1,
            losses = losses, longest = longest_item(object), held = sum(sums$total[, "hold_critical"]),
            held_ordered = sum(sums$total[, "hold_ordered"]), dropped = events_dropped(object))
  s$limit <- trace_limit(s)
  s$reason <- trace_reason(s)
  structure(s, class = "summary.sharedmem_trace")
}

# The largest loss, if it is a tenth of the workers' time.
trace_limit <- function(s) {
  if (max(s$losses) < 0.1 * s$elapsed * s$np) "nothing" else names(s$losses)[which.max(s$losses)]
}

trace_reason <- function(s) {
  room <- s$elapsed * s$np
  share <- function(x) sprintf("%s (%s of the workers' time)", format_seconds(x), format_percent(x / room))
  loss <- share(if (s$limit %in% names(s$losses)) s$losses[[s$limit]] else 0)
  longest <- sprintf("the longest item%s took %s", if (is.na(s$longest$item)) "" else sprintf(", %.0f,", s$longest$item),
                     format_seconds(s$longest$seconds))
  switch(s$limit,
    lost = sprintf("lost items: %s went into items that did not finish, as their workers died or the map was ended", loss),
    critical = sprintf("the lock: workers waited %s for critical(), which was held during %s of the map", loss,
                       format_percent(s$held / s$elapsed)),
    ordered = sprintf("the order: workers waited %s for ordered(), which was in use during %s of the map", loss,
                      format_percent(s$held_ordered / s$elapsed)),
    tail = sprintf("the tail: workers had nothing left to do for %s while others still worked; %s", loss, longest),
    dispatch = sprintf("dispatch: %s between items; an item took %s on average", loss,
                       format_seconds(sum(s$workers$busy) / max(1, sum(s$workers$items)))),
    startup = sprintf("starting: until they were forked and ready the workers lost %s", loss),
    serialization = sprintf("serialization: sending results took %s", loss),
    ring = sprintf("the session: workers waited %s until it took results", loss),
    collection = sprintf("memory: garbage collection took %s", loss),
    session = sprintf("the session: %s after the last worker's end", format_seconds(s$losses[["session"]] / s$np)),
    processor = sprintf("processors: workers stood in line for one for %s: more run than are free", loss),
    sprintf("nothing: workers were busy %s of the time", format_percent(s$busy)))
}

#' @rdname sharedmem_trace
#' @export
print.summary.sharedmem_trace <- function(x, ...) {
  cat(sprintf("Map of %s on %s: %s, busy %s, load balance %.2f\n", count_of(x$nitems, "item"), count_of(x$np, "worker"),
              format_seconds(x$elapsed), format_percent(x$busy), x$balance))
  cat("Limited by ", x$reason, "\n", sep = "")
  if (x$lost)
    cat(sprintf("%s of items did not finish, as workers died or the map was ended: %s\n", count_of(x$lost, "run"),
                format_seconds(sum(x$workers$lost))))
  cat("\n")
  print(worker_table(x), row.names = FALSE, right = TRUE)
  if (nrow(x$workers) > 16L) cat("(the 5 most and the 5 least busy of", nrow(x$workers), "workers)\n")
  cat("\nSeconds and share of the map's time.")
  if (sum(x$workers$gc) > 0) cat(sprintf(" Garbage collection: %s.", format_seconds(sum(x$workers$gc))))
  if (any(!is.na(x$workers$private_bytes))) cat(" Memory: private to the worker.")
  if (any(x$workers[c("critical", "ordered", "ring")] > 0))
    cat("\nfor lock, order, session: waits for critical(), ordered(), and for the session to take results.")
  cat("\n")
  if (x$dropped > 0)
    cat(sprintf("%s found no room and were only summed up: totals are exact, the time line has gaps.\n", count_of(x$dropped, "event")))
  invisible(x)
}

# One line a worker and one for all; long pools show their extremes.
worker_table <- function(s) {
  w <- s$workers
  times <- c("busy", "lost", "critical", "ordered", "ring", "overhead", "idle")
  times <- times[times %in% c("busy", "idle", "overhead") | vapply(times, function(k) any(w[[k]] > 0), NA)]
  cell <- function(v, room) sprintf("%s %4s", format_seconds(v, fixed = TRUE), format_percent(v / room))
  rows <- seq_len(nrow(w))
  if (length(rows) > 16L) {
    by <- order(w$busy)
    rows <- sort(c(by[1:5], by[length(by) - 4:0]))
  }
  one <- data.frame(worker = as.character(w$rank[rows]), items = format_count(w$items[rows]),
                    lapply(w[rows, times, drop = FALSE], cell, room = s$elapsed), memory = format_size(w$private_bytes[rows]))
  all <- data.frame(worker = "all", items = format_count(sum(w$items)), lapply(lapply(w[times], sum), cell, room = s$elapsed * s$np),
                    memory = format_size(if (all(is.na(w$private_bytes))) NA else sum(w$private_bytes, na.rm = TRUE)))
  out <- rbind(one, all)
  if (all(out$memory == "")) out$memory <- NULL
  names(out)[names(out) == "critical"] <- "for lock"
  names(out)[names(out) == "ordered"] <- "for order"
  names(out)[names(out) == "ring"] <- "for session"
  out
}

# ---- numbers as text ----

format_count <- function(n) formatC(n, format = "d", big.mark = " ")

count_of <- function(n, what = NULL) {
  text <- trimws(formatC(n, format = "f", digits = 0, big.mark = " "))
  if (is.null(what)) text else paste0(text, " ", what, if (n != 1) "s")
}

format_percent <- function(x) sprintf("%.0f%%", 100 * x)

format_seconds <- function(x, fixed = FALSE) {
  if (fixed) return(formatC(x, format = "f", digits = 3, width = 7))
  x <- unname(x)
  if (is.na(x)) "NA" else if (x >= 100) sprintf("%.0f s", x) else if (x >= 1) sprintf("%.2f s", x)
  else if (x >= 1e-3) sprintf("%.3g ms", x * 1e3) else sprintf("%.3g us", x * 1e6)
}

format_size <- function(n) {
  known <- ifelse(is.na(n), 0, n)
  unit <- pmax(0, pmin(4, floor(log(pmax(known, 1), 1024))))
  ifelse(is.na(n), "", sprintf("%.*f %s", ifelse(unit > 0 & known / 1024^unit < 100, 1L, 0L), known / 1024^unit,
                               c("B", "KiB", "MiB", "GiB", "TiB")[unit + 1]))
}
