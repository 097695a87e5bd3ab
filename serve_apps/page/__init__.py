"""The live page: our own HTML, CSS and JavaScript, and uPlot from its wheel."""
