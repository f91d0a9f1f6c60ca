"""Statistics of masks, scores and models, with intervals: pure functions of arrays, no files and no figures.

Outcomes are 0/1 arrays with 1 for the event, scores rise with the risk, and intervals are 95 %. Files here import
scipy, lifelines and statsmodels, so whoever evaluates imports them late. `PrognosisLib/validation` makes reports of
these figures.
"""
