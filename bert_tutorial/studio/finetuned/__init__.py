"""Fine-tuning that is touched: labelled files of your own, what somebody types, networks kept."""
