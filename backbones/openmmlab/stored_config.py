"""The config in a checkpoint: parse its text without executing it."""

import ast

LONGEST = 1 << 20  # characters of a config; ours have 30,000


def settings(text: str) -> dict[str, object]:
    """Return the settings in a config's text by their dotted names, without executing it."""
    found: dict[str, object] = {}
    try:
        statements = ast.parse(text).body if len(text) < LONGEST else []
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # a NUL byte, or deep nesting
        return {}
    for statement in statements:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            _flatten(statement.targets[0].id, statement.value, found)
    return found


def _flatten(name: str, node: ast.expr, found: dict[str, object]) -> None:
    items: list[tuple[str | None, ast.expr]]
    if isinstance(node, ast.Call):
        items = [(word.arg, word.value) for word in node.keywords]
    elif isinstance(node, ast.Dict):
        names = [ast.unparse(key).strip('\'"') if key else None for key in node.keys]
        items = list(zip(names, node.values))
    elif isinstance(node, ast.List | ast.Tuple):
        items = [(str(i), child) for i, child in enumerate(node.elts)]
    else:
        value = ast.unparse(node).strip("'")
        # BatchNorm is synchronised only on GPUs
        found[name] = value.replace('SyncBN', 'BN') if name.endswith('.type') else value
        return
    for key, child in items:
        _flatten(f'{name}.{key}' if key else name, child, found)  # no key: dict(**{...})
