"""The hot operators: each a file with one public function of its name.

Tensors come first, then keyword-only options, `backend` last. What a module's `forward` states is
not stated here again: such an operator has fast forms only. `dispatch` chooses among the forms.
Files whose name starts with an underscore hold what several operators share.
"""
