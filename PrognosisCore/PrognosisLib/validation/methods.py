"""Words for what was done: the figures by key, and the sentences of the methods."""

from __future__ import annotations

FIGURES = {
    "auc": "AUC",
    "auc_difference": "Difference of AUC",
    "point": "Point",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "accuracy": "Accuracy",
    "precision": "Precision",
    "negative_predictive_value": "Negative predictive value",
    "f1": "F1",
    "precision_macro": "Precision, mean of both classes",
    "recall_macro": "Recall, mean of both classes",
    "f1_macro": "F1, mean of both classes",
    "best_cutoff": "Best cut-off",
    "brier": "Brier score",
    "scaled_brier": "Brier score, share saved",
    "calibration_slope": "Calibration slope",
    "calibration_intercept": "Calibration intercept",
    "observed_to_expected": "Observed to expected events",
    "calibration_index": "Mean distance from the diagonal",
    "net_benefit": "Net benefit",
    "net_reclassification": "Net reclassification",
    "net_reclassification_events": "Net reclassification, with the event",
    "net_reclassification_others": "Net reclassification, without the event",
    "integrated_discrimination": "Integrated discrimination",
    "c_index": "C-index",
    "auc_until": "AUC until a time",
    "c_index_difference": "Difference of C-indexes",
    "log_rank": "Log-rank chi-squared",
    "hazard_ratio": "Hazard ratio, high to low",
    "median_survival": "Median survival",
    "bias": "Bias",
    "lower_limit": "Lower limit of agreement",
    "upper_limit": "Upper limit of agreement",
    "intraclass": "Intraclass correlation",
    "mean_absolute_error": "Mean absolute error",
    "median_absolute_percent": "Median absolute error in percent",
    "coverage": "Interval holds the truth",
    "mean": "Mean",
    "sd": "Standard deviation",
    "median": "Median",
    "worst": "Worst",
    "missed": "Missed altogether",
    "accepted": "Accepted",
    "apparent": "Refitted: on its own patients",
    "optimism": "Refitted: optimism",
    "corrected": "Refitted: optimism-corrected",
}

SENTENCES = {
    "complete": "Cases without the outcome or the score were left out of the figures that need it (complete cases).",
    "auc": (
        "Discrimination is the area under the ROC curve with DeLong's 95 % interval; two scores were compared on the "
        "cases that have both, by DeLong's test."
    ),
    "point": (
        "Sensitivity, specificity, accuracy and predictive values have Wilson's 95 % intervals; F1 and means of both "
        "classes have percentile intervals of {repeats} bootstrap samples of patients."
    ),
    "youden": (
        "Where no point was decided before, it was put where the sum of sensitivity and specificity is largest in this "
        "cohort, which makes the figures at it too hopeful."
    ),
    "cutoff": (
        "The best cut-off was searched among all that leave a tenth of the patients on either side; its p value is "
        "that of the largest standardized statistic among {permutations} permutations of the outcome, and so counts "
        "the search in."
    ),
    "calibration": (
        "Calibration is given by the slope of the outcome on the log odds of the prediction, the intercept with these "
        "as an offset, observed to expected events, the Brier score, and the mean distance of a lowess curve from the "
        "diagonal; figures show groups of about equal size with Wilson's intervals."
    ),
    "decision": (
        "Decision curves show the net benefit over threshold probabilities, beside treating everybody and nobody."
    ),
    "reclassification": (
        "Net reclassification and integrated discrimination compare predictions as they stand, with Wald intervals; "
        "they flatter models that were fitted to the same patients, so differences of the area come first."
    ),
    "c_index": (
        "Harrell's C-index has a percentile interval of {repeats} bootstrap samples of patients; two scores were "
        "compared by the bootstrap of the difference."
    ),
    "auc_until": (
        "Discrimination until a time is the cumulative/dynamic area under the ROC curve, weighted for censoring by its "
        "inverse probability (Uno; Hung and Chiang), with a percentile interval of {repeats} bootstrap samples."
    ),
    "kaplan_meier": (
        "Survival was estimated by Kaplan and Meier with log(-log) intervals; groups were compared by the log-rank "
        "test and a Cox model's hazard ratio."
    ),
    "survival_calibration": (
        "Predictions until a time were compared with Kaplan-Meier estimates; their slope is that of a Cox model on "
        "log(-log) of predicted survival, and the Brier score weights for censoring by its inverse probability."
    ),
    "survival_decision": "Net benefit until a time uses Kaplan-Meier estimates of the share of events.",
    "agreement": (
        "Agreement is given as bias and 95 % limits of agreement (Bland and Altman), and as the intraclass correlation "
        "for absolute agreement of single measurements, ICC(2,1)."
    ),
    "quality": (
        "Means have percentile intervals of {repeats} bootstrap samples of patients; boxes show median and quartiles."
    ),
    "review": "Masks were accepted or rejected on visual review; the share has Wilson's interval.",
    "subgroups": "Subgroups were looked at one by one, without a test of interaction or a correction for their number.",
    "protocols": (
        "In the protocols every patient was judged by a reading that was fitted to others: in folds of patients, of "
        "earlier years, or of other sites."
    ),
    "refit": (
        "The risk models were fitted anew to this cohort with the same predictors; their figures were corrected for "
        "optimism by {repeats} bootstrap samples of patients, and come from models that never saw the patient in the "
        "protocols (folds of patients, later years, a site left out)."
    ),
}
