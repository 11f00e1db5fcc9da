"""What bench/can measures, a file for each subject."""
