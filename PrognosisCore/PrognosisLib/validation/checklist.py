"""The items of TRIPOD+AI (Collins et al., BMJ 2024;385:e078378) in short words of this project, filled where known.

The numbers are the statement's, so that authors find the item there; the statement itself says what each one asks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

FOR_THE_AUTHORS = "for the authors"


class Item(NamedTuple):
    """An item: its number, what it is about, and the key of what the program may know."""

    number: str
    about: str
    key: str = ""


ITEMS = (
    Item("1", "Title names the task, the patients and the outcome", "title"),
    Item("2", "Abstract, by its own list"),
    Item("3a", "Clinical context and why a model is wanted"),
    Item("3b", "For whom and where on the way of care it is meant", "use"),
    Item("3c", "Known inequalities between groups of patients"),
    Item("4", "Aim: development, evaluation, or both", "aim"),
    Item("5a", "Where the data come from and whom they stand for", "data"),
    Item("5b", "Dates of inclusion and of the end of follow-up", "dates"),
    Item("6a", "Setting, number and place of centers", "sites"),
    Item("6b", "Who was eligible"),
    Item("6c", "Treatments that the patients had"),
    Item("7", "How data were prepared and checked", "preparation"),
    Item("8a", "The outcome, its time, and how it was assessed", "outcome"),
    Item("8b", "Qualification of those who assessed the outcome"),
    Item("8c", "Blinding of the assessment of the outcome"),
    Item("9a", "Which predictors were considered and why", "predictors"),
    Item("9b", "Predictors: definition, time and how they were measured", "predictors"),
    Item("9c", "Qualification of those who measured predictors by eye"),
    Item("10", "Sample size and why it suffices", "size"),
    Item("11", "Missing values", "missing"),
    Item("12a", "How the data were split and used", "split"),
    Item("12b", "How predictors were transformed", "predictors"),
    Item("12c", "Kind of model, how it was built and checked inside", "model"),
    Item("12d", "Differences between clusters of patients, such as centers", "clusters"),
    Item("12e", "Measures of performance", "measures"),
    Item("12f", "Changes made to the model after the evaluation", "updating"),
    Item("12g", "How predictions were calculated", "predictions"),
    Item("13", "Imbalance of the outcome and what was done about it", "imbalance"),
    Item("14", "What was done for fairness", "fairness"),
    Item("15", "What the model gives out, and thresholds", "output"),
    Item("16", "How these patients differ from those of the development", "difference"),
    Item("17", "Approval by an ethics committee"),
    Item("18a", "Funding"),
    Item("18b", "Conflicts of interest"),
    Item("18c", "Protocol of the study"),
    Item("18d", "Registration"),
    Item("18e", "Where the data can be had"),
    Item("18f", "Where the code can be had", "code"),
    Item("19", "Part that patients and the public had"),
    Item("20a", "Flow of the patients, with and without the outcome", "flow"),
    Item("20b", "Characteristics of the patients"),
    Item("20c", "Comparison with the patients of the development", "difference"),
    Item("21", "Patients and events in each analysis", "numbers"),
    Item("22", "The whole model, so that others can predict", "specification"),
    Item("23a", "Performance with intervals, in subgroups too", "performance"),
    Item("23b", "Differences of performance between clusters", "clusters"),
    Item("24", "Results of an update of the model", "updating"),
    Item("25", "Interpretation, with fairness, beside earlier studies", "published"),
    Item("26", "Limits of the study", "limits"),
    Item("27a", "What to do with poor or missing input", "poor_input"),
    Item("27b", "What users must do and know", "use"),
    Item("27c", "Next steps of research"),
)


def filled(known: Mapping[str, str]) -> Sequence[tuple[str, str, str]]:
    """Number, what it is about, and what the program knows of it or "for the authors"."""
    return [(one.number, one.about, known.get(one.key) or FOR_THE_AUTHORS) for one in ITEMS]
