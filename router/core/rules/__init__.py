"""The language of rules: what a condition may say, checked when the file is loaded.

`compile_expression` (compile.py) is the way in; language.py describes the language and its limits.
"""
