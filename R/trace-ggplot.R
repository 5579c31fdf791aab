# The time line as a plot of package ggplot2, whose method is registered when that is loaded.

#' Draw the time line of a map with ggplot2
#'
#' `autoplot()` gives a ggplot of a [trace][sharedmem_trace], or of the last map of a pool, which you can add to: one lane a worker, items
#' coloured by their place in the sequence, waits in colours of their own.
#'
#' @param object a trace (`pool$trace`), or a pool made with `MapReduce(trace = TRUE)`.
#' @param ... unused.
#' @return An object of class `ggplot`. Without a trace an error of class `sharedmem_misuse_error`.
#' @source No counterpart in the Python package.
#' @seealso [plot.sharedmem_trace()], which needs no other package and also shows events that are too short to see
#' @examplesIf requireNamespace("ggplot2", quietly = TRUE)
#' pool <- MapReduce(np = 2, trace = TRUE)
#' r <- pool$map(function(i) Sys.sleep(0.01), 1:8)
#' ggplot2::autoplot(pool)
#' @exportS3Method ggplot2::autoplot
autoplot.sharedmem_trace <- function(object, ...) {
  e <- as.data.frame(object)
  e$lane <- object$np - e$rank
  items <- e[e$kind %in% c("item", "lost"), ]
  others <- e[e$kind %in% names(event_names), ]
  others$what <- event_names[as.character(others$kind)]
  start <- end <- lane <- item <- what <- NULL # columns, inside of aes()
  ggplot2::ggplot() +
    ggplot2::geom_rect(ggplot2::aes(xmin = start, xmax = end, ymin = lane - 0.4, ymax = lane + 0.4, fill = item), items) +
    ggplot2::geom_segment(ggplot2::aes(x = start, xend = end, y = lane, yend = lane, colour = what), others, linewidth = 2) +
    ggplot2::scale_y_continuous("worker (rank)", breaks = object$np:1, labels = seq_len(object$np) - 1L, minor_breaks = NULL) +
    ggplot2::scale_fill_viridis_c("item") +
    ggplot2::scale_colour_manual(NULL, values = event_colours()) +
    ggplot2::labs(x = "seconds since the start of the map", title = trace_title(object),
                  subtitle = paste("limited by", summary(object)$reason))
}

# What is no item, by kind of event.
event_names <- c(wait_critical = "waits for critical", wait_ordered = "waits for ordered", wait_ring = "waits for the session",
                 startup = "overhead", dispatch = "overhead", serialize = "overhead", gc = "garbage collection")

event_colours <- function() c("waits for critical" = trace_colours$critical, "waits for ordered" = trace_colours$ordered,
                   "waits for the session" = trace_colours$ring, overhead = trace_colours$overhead,
                   "garbage collection" = trace_colours$gc)

#' @rdname autoplot.sharedmem_trace
#' @exportS3Method ggplot2::autoplot
autoplot.sharedmem_pool <- function(object, ...) ggplot2::autoplot(object$trace, ...)

#' @exportS3Method ggplot2::autoplot
autoplot.sharedmem_no_trace <- function(object, ...) abort_no_trace(object)
