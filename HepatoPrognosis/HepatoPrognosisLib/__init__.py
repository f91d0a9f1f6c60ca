"""HepatoPrognosis: 30-day risk in HBV-ACLF from liver ultrasound at admission and on day 5, without Slicer."""
