# How far a map is, for whoever looks: a bar in a terminal, a line now and then in a log, or progressr's handlers.
#
# progress_new() gives list(tick, hide, done, abort). tick(done) may be called as often as one likes, and the owner's loop
# does so ten times a second at most; hide() takes the bar away before something else is written; after done() or
# abort() nothing more happens, so abort() may stand in on.exit().

progress_new <- function(total, enabled, label = "map") {
  if (!isTRUE(enabled)) return(progress_off)
  if (progressr_listens()) return(progress_by_progressr(total, label))
  if (is_terminal()) progress_bar(total, label) else progress_log(total, label)
}

progress_off <- list(tick = function(done) NULL, hide = function() NULL, done = function() NULL, abort = function() NULL)

elapsed_now <- function() proc.time()[["elapsed"]]

# Messages may have been diverted; a bar belongs on a screen.
is_terminal <- function() {
  if (sink.number(type = "message") != 2L || isTRUE(getOption("knitr.in.progress"))) return(FALSE)
  if (identical(Sys.getenv("TERM"), "dumb") && !in_rstudio()) return(FALSE)
  isatty(stderr()) || in_rstudio()
}

in_rstudio <- function() interactive() && identical(Sys.getenv("RSTUDIO"), "1")

terminal_width <- function() {
  width <- .Call(ffi_progress_width)
  if (width > 0L) width else getOption("width")
}

# ---- the bar ----

# Shown once half a second has passed, drawn ten times a second at most; done() leaves one line that says how long it took.
progress_bar <- function(total, label, put = function(text) cat(text, file = stderr()), width = terminal_width,
                         clock = elapsed_now, escapes = !in_rstudio()) {
  began <- clock()
  drawn <- -Inf
  long <- 0L
  ended <- FALSE
  clear <- function() .Call(ffi_progress_clear)
  tick <- function(done) {
    now <- clock()
    if (ended || now - began < 0.5 || now - drawn < 0.1) return(invisible())
    drawn <<- now
    line <- bar_line(done, total, now - began, label, width() - 1L)
    pad <- if (escapes) "\033[K" else strrep(" ", max(0L, long - nchar(line)))
    put(paste0("\r", line, pad))
    long <<- nchar(line)
    .Call(ffi_progress_shown, long, escapes)
    invisible()
  }
  done <- function() {
    if (!ended && is.finite(drawn)) {
      clear()
      took <- clock() - began
      put(sprintf("%s: %s in %s, %s/s\n", label, count_of(total, "item"), format_clock(took), format_rate(total / max(took, 1e-9))))
    }
    ended <<- TRUE
    invisible()
  }
  abort <- function() {
    if (!ended) clear()
    ended <<- TRUE
    invisible()
  }
  list(tick = tick, hide = clear, done = done, abort = abort)
}

# One line of at most `width` characters; what does not fit is left out, the bar first.
bar_line <- function(done, total, elapsed, label, width) {
  share <- if (total > 0) min(1, done / total) else 1
  rate <- done / max(elapsed, 1e-9)
  left <- if (done > 0) format_clock((total - done) / rate) else "?"
  head <- sprintf("%s %3.0f%%", label, floor(100 * share))
  tail <- sprintf("%s/%s  %s/s  %s left", count_of(done), count_of(total), format_rate(rate), left)
  room <- width - nchar(head) - nchar(tail) - 5L
  line <- if (room >= 8L) {
    size <- min(room, 40L)
    full <- floor(share * size)
    bar <- paste0(strrep("=", max(0, full - 1)), if (full > 0) ">", strrep(" ", size - full))
    paste0(head, " [", bar, "] ", tail)
  } else if (width >= nchar(head) + 2L + nchar(tail)) paste0(head, "  ", tail) else sprintf("%s, %s left", head, left)
  substr(line, 1L, max(1L, width))
}

format_clock <- function(seconds) {
  if (!is.finite(seconds)) return("?")
  s <- ceiling(seconds)
  if (seconds < 10) sprintf("%.1f s", seconds) else if (s < 3600) sprintf("%d:%02d", s %/% 60, s %% 60)
  else sprintf("%d:%02d:%02d", s %/% 3600, s %% 3600 %/% 60, s %% 60)
}

format_rate <- function(rate) if (rate >= 100) count_of(round(rate)) else sprintf("%.3g", rate)

# ---- a log ----

# One line each tenth of the way, and none sooner than 5 seconds after the one before: a quick map writes nothing.
progress_log <- function(total, label, put = function(text) cat(text, file = stderr()), clock = elapsed_now, every = 5) {
  began <- last <- clock()
  tenth <- 0
  ended <- FALSE
  written <- FALSE
  tick <- function(done) {
    now <- clock()
    step <- floor(10 * done / max(total, 1))
    if (ended || step <= tenth || now - last < every) return(invisible())
    tenth <<- step
    last <<- now
    written <<- TRUE
    rate <- done / max(now - began, 1e-9)
    put(sprintf("%s: %.0f%%, %s of %s, %s/s, %s left\n", label, floor(100 * done / total), count_of(done), count_of(total, "item"),
                format_rate(rate), format_clock((total - done) / rate)))
    invisible()
  }
  done <- function() {
    took <- clock() - began
    if (!ended && written) put(sprintf("%s: %s in %s, %s/s\n", label, count_of(total, "item"), format_clock(took),
                                       format_rate(total / max(took, 1e-9))))
    ended <<- TRUE
    invisible()
  }
  list(tick = tick, hide = function() NULL, done = done, abort = function() ended <<- TRUE)
}

# ---- progressr ----

# Somebody handles progressr's conditions: global handlers, or a with_progress() that we are called from.
progressr_listens <- function() {
  if (!isNamespaceLoaded("progressr")) return(FALSE)
  if (isTRUE(progressr::handlers(global = NA))) return(TRUE)
  inside <- function(f) identical(f, progressr::with_progress) || identical(f, progressr::without_progress)
  for (k in seq_len(sys.nframe())) if (inside(sys.function(k))) return(TRUE)
  FALSE
}

progress_by_progressr <- function(total, label) {
  p <- progressr::progressor(steps = total, label = label, auto_finish = FALSE, on_exit = FALSE, envir = environment())
  told <- 0
  ended <- FALSE
  tick <- function(done) {
    if (!ended && done > told) {
      step <- done - told
      told <<- done
      p(amount = step)
    }
    invisible()
  }
  end <- function(done) {
    if (!ended) {
      if (done) tick(total)
      ended <<- TRUE
      p(type = "finish")
    }
    invisible()
  }
  list(tick = tick, hide = function() NULL, done = function() end(TRUE), abort = function() end(FALSE))
}
