"""One module for each section of the page: what is measured, and how it is reported."""
