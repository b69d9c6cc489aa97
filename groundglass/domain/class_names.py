"""The classes of the classification, in their order and by the names that people read."""

CLASSES = ("np", "cap", "covid19")
"""Class order of every probability vector: no pneumonia, community-acquired pneumonia, COVID-19."""

CLASS_NAMES = {"np": "No pneumonia", "cap": "CAP", "covid19": "COVID-19"}
"""What a class is called on pictures and in reports."""

LONG_CLASS_NAMES = {"np": "no pneumonia", "cap": "community-acquired pneumonia", "covid19": "COVID-19"}
"""In sentences."""

CLASS_ABBREVIATIONS = {"np": "NP", "cap": "CAP", "covid19": "COVID-19"}
"""As the paper has them, for tables."""
