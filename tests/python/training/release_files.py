"""What the tests of releases share."""

HOSTILE_NAME = "Cats: \"a\" # b\n---\n- c [x](y) \u2028 é"
"""A name that unescaped YAML and Markdown would misread."""

OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
"""Variables that keep Hugging Face's packages from using the network."""
