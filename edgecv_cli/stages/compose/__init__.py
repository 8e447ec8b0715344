"""From results to the blocks of a report; one module a command.

``compose_*`` gives a command's own blocks, to stand under a heading of their own in a longer
report (:func:`edgecv_cli.report.blocks.deeper`); ``*_document`` is the whole report of one run.
"""
